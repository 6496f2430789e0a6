/* redis: a connection to a real redis-server that refuses, hangs, dies and comes back. */
#define _GNU_SOURCE /* RTLD_NEXT */
#include "gateway/http/client_tls.c"
#include "gateway/peers/redis.c"

#include <dlfcn.h>
#include <netdb.h>
#include <pthread.h>

#include "tests/unit/redistest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define PATIENCE_US ((uint64_t)20 * 1000 * 1000)

static struct event_base *base;
static struct stats *stats;
static struct redis_pulse pulse;
static struct redis *redis;
static struct arena arena;
static unsigned ups, changes;

static void on_up(void *arg)
{
    (void)arg;
    ups++;
}

static void on_good(void *arg, bool is_good)
{
    (void)arg;
    changes++;
    assert_int_equal(is_good, redis_is_good(redis));
}

static bool turn(uint64_t until_us)
{
    assert_true(clock_us() < until_us);
    event_base_loop(base, EVLOOP_ONCE);
    return true;
}

#define AWAIT(what)                                    \
    do {                                               \
        uint64_t until_us_ = clock_us() + PATIENCE_US; \
        while (!(what) && turn(until_us_))             \
            continue;                                  \
    } while (0)

static void connect_with(const char *uri, struct client_tls *tls, uint64_t timeout_us)
{
    struct redis_config c = {.base = base,
                             .tls = tls,
                             .pulse = &pulse,
                             .timeout_us = timeout_us,
                             .wait_us = 50000,
                             .stats = stats,
                             .on_up = on_up,
                             .on_good = on_good};

    assert_true(redis_uri_parse(str_of(uri), &arena, &c.uri));
    ups = changes = 0;
    redis = redis_open(&c);
}

static const char *uri_of(const char *scheme, const char *before, const char *host, unsigned port,
                          const char *after)
{
    static char text[256];

    snprintf(text, sizeof(text), "%s://%s%s:%u%s", scheme, before, host, port, after);
    return text;
}

static void connect_plainly(void)
{
    connect_with(uri_of("redis", "", "127.0.0.1", redistest.port, ""), NULL, 1000000);
    AWAIT(redis_is_good(redis));
}

static int start(void **state)
{
    (void)state;
    memset(&pulse, 0, sizeof(pulse));
    redistest.password = NULL;
    redistest.lacks_auth = false;
    redistest.tls_port = 0;
    redistest_start();
    return 0;
}

static int stop(void **state)
{
    (void)state;
    redis_close(redis);
    redis = NULL;
    redistest_kill();
    assert_int_equal(pulse.away, 0);
    return 0;
}

struct answer {
    unsigned count, lost, errors;
    char text[64];
};

static void on_answer(void *arg, const struct redisReply *reply)
{
    struct answer *a = arg;

    a->count++;
    a->lost += reply == NULL;
    a->errors += reply && !redis_is_fine(redis, reply);
    str_to_cstr(redis_text(reply), a->text, sizeof(a->text));
}

static bool ask(struct answer *a, const char *line)
{
    struct str words[16], rest = str_of(line);
    unsigned n = 0;

    while (rest.n)
        words[n++] = str_cut(&rest, ' ');
    return redis_send(redis, words, n, on_answer, a);
}

static void test_commands_are_answered_in_order(void **state)
{
    struct answer a = {0}, b = {0};

    (void)state;
    connect_plainly();
    assert_true(ask(&a, "SET word hello"));
    assert_true(ask(&b, "GET word"));
    AWAIT(b.count);
    assert_int_equal(a.count, 1);
    assert_string_equal(a.text, "OK");
    assert_string_equal(b.text, "hello");
    assert_int_equal(ups, 1);
}

static void test_password_and_database_are_used(void **state)
{
    struct answer a = {0}, b = {0};

    (void)state;
    redistest_kill();
    redistest.password = "a b@c";
    redistest_start();
    connect_with(uri_of("redis", ":a%20b%40c@", "localhost", redistest.port, "/3"), NULL, 1000000);
    AWAIT(redis_is_good(redis));
    assert_true(ask(&a, "SET here 1") && ask(&b, "CLIENT LIST"));
    AWAIT(b.count);
    redis_close(redis);
    connect_with(uri_of("redis", "default:a%20b%40c@", "127.0.0.1", redistest.port, "/4"), NULL,
                 1000000);
    AWAIT(redis_is_good(redis));
    b.count = 0;
    assert_true(ask(&b, "GET here"));
    AWAIT(b.count);
    assert_string_equal(b.text, "");
}

/* The C library's, but names are looked up while nobody holds the server. */
static pthread_mutex_t name_server = PTHREAD_MUTEX_INITIALIZER;

int getaddrinfo(const char *restrict node, const char *restrict service,
                const struct addrinfo *restrict hints, struct addrinfo **restrict out)
{
    int (*next)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    void *found = dlsym(RTLD_NEXT, "getaddrinfo");

    check(found);
    memcpy(&next, &found, sizeof(next));
    if (!(hints->ai_flags & AI_NUMERICHOST)) {
        pthread_mutex_lock(&name_server);
        pthread_mutex_unlock(&name_server);
    }
    return next(node, service, hints, out);
}

static void test_a_silent_name_server_is_waited_for_again_and_again(void **state)
{
    (void)state;
    pthread_mutex_lock(&name_server);
    connect_with(uri_of("redis", "", "localhost", redistest.port, ""), NULL, 100000);
    AWAIT(redis->failures > 2);
    assert_int_equal(redis->state, REDIS_DOWN);
    pthread_mutex_unlock(&name_server);
    AWAIT(redis_is_good(redis));
    pthread_mutex_lock(&name_server);
    redis_close(redis);
    connect_with(uri_of("redis", "", "localhost", redistest.port, ""), NULL, 100000);
    AWAIT(redis->failures > 0);
    redis_close(redis); /* with a question that is not answered */
    redis = NULL;
    pthread_mutex_unlock(&name_server);
}

static void test_wrong_password_is_away_and_says_why(void **state)
{
    (void)state;
    redistest_kill();
    redistest.password = "right";
    redistest_start();
    connect_with(uri_of("redis", ":wrong@", "127.0.0.1", redistest.port, ""), NULL, 1000000);
    AWAIT(strncmp(redis->why, "WRONGPASS", 9) == 0);
    assert_false(redis_is_good(redis));
    assert_int_equal(pulse.away, 1);
    assert_int_equal(ups, 0);
}

static void test_a_password_that_is_repeated_is_not_said(void **state)
{
    (void)state;
    redistest_kill();
    redistest.password = "hidden";
    redistest.lacks_auth = true;
    redistest_start();
    connect_with(uri_of("redis", ":hidden@", "127.0.0.1", redistest.port, ""), NULL, 1000000);
    AWAIT(strncmp(redis->why, "ERR unknown command", 19) == 0);
    assert_null(strstr(redis->why, "hidden"));
}

static void subscribe_again(void *arg)
{
    ups++;
    assert_true(redis_subscribe(redis, STR("news"), on_answer, arg));
}

static void test_a_subscription_that_is_refused_is_not_hurried(void **state)
{
    struct redis_config c;
    struct answer a = {0};

    (void)state;
    connect_plainly();
    assert_true(ask(&a, "ACL SETUSER deaf on >x ~* +@all resetchannels"));
    AWAIT(a.count);
    assert_string_equal(a.text, "OK");
    c = redis->c;
    redis_close(redis);
    assert_true(redis_uri_parse(str_of(uri_of("redis", "deaf:x@", "127.0.0.1", redistest.port, "")),
                                &arena, &c.uri));
    c.on_up = subscribe_again;
    c.on_good = NULL;
    c.arg = &a;
    ups = 0;
    redis = redis_open(&c);
    AWAIT(ups >= 4); /* greeted each time, and closed for the subscription */
    assert_int_equal(strncmp(redis->why, "NOPERM", 6), 0);
    assert_in_range(redis->failures, 3, ups);
}

static void test_tls_compares_issuer_and_host(void **state)
{
    struct client_tls *good, *other;
    char path[96];
    struct fail f;
    struct answer a = {0};

    (void)state;
    redistest_kill();
    redistest.tls_port = redistest_free_port();
    redistest.password = "x";
    redistest_start();
    snprintf(path, sizeof(path), "%s/good.pem", redistest.dir);
    assert_int_equal(client_tls_open("redis_ca", path, &good, &f), OK);
    snprintf(path, sizeof(path), "%s/other.pem", redistest.dir);
    assert_int_equal(client_tls_open("redis_ca", path, &other, &f), OK);

    connect_with(uri_of("rediss", ":x@", "localhost", redistest.tls_port, ""), good, 1000000);
    AWAIT(redis_is_good(redis));
    assert_true(ask(&a, "PING"));
    AWAIT(a.count);
    assert_string_equal(a.text, "PONG");
    redis_close(redis);

    connect_with(uri_of("rediss", ":x@", "127.0.0.1", redistest.tls_port, ""), good, 1000000);
    AWAIT(redis_is_good(redis));
    redis_close(redis);

    /* One that ends, and then no way to connect at all. */
    connect_with(uri_of("rediss", ":x@", "127.0.0.1", redistest.tls_port, ""), good, 1000000);
    AWAIT(redis_is_good(redis));
    redis->c.uri.host = "255.255.255.255";
    assert_true(ask(&a, "QUIT"));
    AWAIT(redis->failures > 2);
    assert_null(redis->ssl); /* it went with its connection, and is not asked why */
    redis_close(redis);

    connect_with(uri_of("rediss", ":x@", "127.0.0.1", redistest.tls_port, ""), other, 1000000);
    AWAIT(strstr(redis->why, "self-signed certificate"));
    redis_close(redis);

    /* The same server under a name that its certificate does not have. */
    connect_with(uri_of("rediss", ":x@", "127.0.0.2", redistest.tls_port, ""), good, 1000000);
    AWAIT(strstr(redis->why, "IP address mismatch"));
    assert_int_equal(ups, 0);
    redis_close(redis);
    redis = NULL;
    client_tls_close(good);
    client_tls_close(other);
    assert_int_equal(client_tls_open("redis_ca", "/nowhere.pem", &good, &f), ERR_SETTING);
}

static void test_messages_are_heard_after_a_restart_too(void **state)
{
    struct redis *teller;
    struct answer heard = {0}, told = {0};

    (void)state;
    connect_plainly();
    teller = redis;
    for (unsigned round = 0; round < 2; round++) {
        connect_plainly();
        heard.count = 0;
        assert_true(redis_subscribe(redis, STR("news"), on_answer, &heard));
        AWAIT(heard.count == 1); /* confirmed */
        told.count = 0;
        assert_true(redis_send(teller, (struct str[]){STR("PUBLISH"), STR("news"), STR("x y")}, 3,
                               on_answer, &told));
        AWAIT(heard.count == 2 && told.count == 1);
        redis_close(redis);
        redis = NULL;
    }
    redis = teller;
}

static void on_message(void *arg, const struct redisReply *reply)
{
    struct answer *a = arg;
    struct str text = redis_message(reply);

    if (!text.p)
        return;
    a->count++;
    str_to_cstr(text, a->text, sizeof(a->text));
}

static void test_subscriber_stays_up_without_traffic(void **state)
{
    struct answer heard = {0};
    struct redis *listener;
    uint64_t until_us;

    (void)state;
    connect_plainly();
    listener = redis;
    assert_true(redis_subscribe(listener, STR("news"), on_message, &heard));
    until_us = clock_us() + PING_US + PING_US / 2; /* a PING and its answer lie within */
    while (clock_us() < until_us)
        event_base_loop(base, EVLOOP_ONCE);
    assert_true(redis_is_good(listener));
    assert_int_equal(ups, 1);
    connect_plainly();
    assert_true(ask(&(struct answer){0}, "PUBLISH news hello"));
    AWAIT(heard.count);
    assert_string_equal(heard.text, "hello");
    redis_close(listener);
}

static void test_kill_ends_what_waits_and_it_comes_back(void **state)
{
    struct answer a = {0}, b = {0};

    (void)state;
    connect_plainly();
    kill(redistest.server, SIGSTOP);
    assert_true(ask(&a, "PING") && ask(&a, "PING"));
    redistest_kill();
    AWAIT(a.count == 2);
    assert_int_equal(a.lost, 2);
    assert_false(redis_is_good(redis));
    assert_false(ask(&a, "PING"));
    assert_int_equal(pulse.away, 1);
    redistest_start();
    AWAIT(redis_is_good(redis));
    assert_int_equal(ups, 2);
    assert_int_equal(pulse.away, 0);
    assert_true(ask(&b, "PING"));
    AWAIT(b.count);
    assert_string_equal(b.text, "PONG");
}

static void test_silence_is_not_good_after_the_wait_and_passes(void **state)
{
    struct answer a = {0};
    uint64_t begun_us;

    (void)state;
    connect_with(uri_of("redis", "", "127.0.0.1", redistest.port, ""), NULL, PATIENCE_US);
    AWAIT(redis_is_good(redis));
    kill(redistest.server, SIGSTOP);
    begun_us = clock_us();
    assert_true(ask(&a, "PING"));
    AWAIT(!redis_is_good(redis));
    assert_true(clock_us() - begun_us >= 50000);
    assert_int_equal(a.count, 0);
    assert_false(ask(&a, "PING")); /* nothing gathers */
    kill(redistest.server, SIGCONT);
    AWAIT(redis_is_good(redis));
    assert_int_equal(a.count, 1);
    assert_int_equal(a.lost, 0);
    assert_int_equal(ups, 1);
}

static void test_long_silence_ends_the_connection(void **state)
{
    struct answer a = {0};

    (void)state;
    connect_with(uri_of("redis", "", "127.0.0.1", redistest.port, ""), NULL, 100000);
    AWAIT(redis_is_good(redis));
    kill(redistest.server, SIGSTOP);
    assert_true(ask(&a, "PING"));
    AWAIT(a.count);
    assert_int_equal(a.lost, 1);
    AWAIT(redis->failures > 2); /* connects to the backlog, is not greeted */
    kill(redistest.server, SIGCONT);
    AWAIT(redis_is_good(redis));
    assert_int_equal(ups, 2);
}

static void test_refusal_is_not_good_until_it_passes(void **state)
{
    struct answer a = {0};

    (void)state;
    connect_plainly();
    assert_true(ask(&a, "CONFIG SET maxmemory 1"));
    assert_true(ask(&a, "SET word hello"));
    AWAIT(a.count == 2);
    assert_int_equal(a.errors, 1);
    assert_int_equal(strncmp(a.text, "OOM", 3), 0);
    assert_false(redis_is_good(redis));
    assert_int_equal(pulse.away, 1);
    assert_true(ask(&a, "CONFIG SET maxmemory 0")); /* still sent: how else would it pass */
    AWAIT(redis_is_good(redis));
    assert_int_equal(ups, 1);
}

static void test_nobody_there_and_then_somebody(void **state)
{
    (void)state;
    redistest_kill();
    connect_with(uri_of("redis", "", "localhost", redistest.port, ""), NULL, 1000000);
    AWAIT(redis->failures > 2);
    assert_int_equal(pulse.away, 1);
    assert_int_equal(pulse.losses, 1); /* said once */
    redistest_start();
    AWAIT(redis_is_good(redis));
    assert_int_equal(changes, 1);
}

static void test_close_ends_what_waits(void **state)
{
    struct answer a = {0};

    (void)state;
    connect_plainly();
    kill(redistest.server, SIGSTOP);
    assert_true(ask(&a, "PING"));
    redis_close(redis);
    redis = NULL;
    assert_int_equal(a.lost, 1);
    kill(redistest.server, SIGCONT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_commands_are_answered_in_order, start, stop),
        cmocka_unit_test_setup_teardown(test_password_and_database_are_used, start, stop),
        cmocka_unit_test_setup_teardown(test_a_silent_name_server_is_waited_for_again_and_again,
                                        start, stop),
        cmocka_unit_test_setup_teardown(test_wrong_password_is_away_and_says_why, start, stop),
        cmocka_unit_test_setup_teardown(test_a_password_that_is_repeated_is_not_said, start, stop),
        cmocka_unit_test_setup_teardown(test_a_subscription_that_is_refused_is_not_hurried, start,
                                        stop),
        cmocka_unit_test_setup_teardown(test_tls_compares_issuer_and_host, start, stop),
        cmocka_unit_test_setup_teardown(test_messages_are_heard_after_a_restart_too, start, stop),
        cmocka_unit_test_setup_teardown(test_subscriber_stays_up_without_traffic, start, stop),
        cmocka_unit_test_setup_teardown(test_kill_ends_what_waits_and_it_comes_back, start, stop),
        cmocka_unit_test_setup_teardown(test_silence_is_not_good_after_the_wait_and_passes, start,
                                        stop),
        cmocka_unit_test_setup_teardown(test_long_silence_ends_the_connection, start, stop),
        cmocka_unit_test_setup_teardown(test_refusal_is_not_good_until_it_passes, start, stop),
        cmocka_unit_test_setup_teardown(test_nobody_there_and_then_somebody, start, stop),
        cmocka_unit_test_setup_teardown(test_close_ends_what_waits, start, stop),
    };
    int failed;

    signal(SIGPIPE, SIG_IGN);
    redistest_init();
    redistest_make_certificates();
    arena_init(&arena, 1024);
    stats = stats_new();
    base = event_base_new();
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    event_base_free(base);
    stats_free(stats);
    arena_fini(&arena);
    return failed;
}
