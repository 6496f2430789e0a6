/* req_body: bodies in pieces and answers in parts, through a worker and real sockets, on routes of this
 * test's own (they stand in for gateway/http/route.c and what server.c tells a worker). */
#include "gateway/req_body.c"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include "gateway/http/conn_io.h"
#include "gateway/http/listen.h"
#include "gateway/http/route.h"
#include "gateway/pod.h"
#include "gateway/req_event.h"
#include "gateway/req_part.h"
#include "gateway/server.h"
#include "gateway/worker.h"
#include "gateway/worker_config.h"
#include "schema/errors.h"
#include "tests/unit/queue_fixture.h"

enum {
    FILE_BYTES = 3000000,
    LIMIT_BYTES = 10000,
    LONG_BYTES = 64 << 20,
    LONG_FILE_BYTES = 32 << 20
};

static struct worker *worker;
static struct queue *queue;
static struct runs *runs;
static struct pod *pod;
static struct settings *settings;
static struct stats *stats;
static int file_fd = -1;
static uint16_t port;
static _Atomic unsigned over_count, piece_count;
static _Atomic uint64_t taken_bytes, piece_max;
static _Atomic bool may_go_on;

/* -- handlers ---------------------------------------------------------------------------------- */

struct taken {
    uint64_t bytes;
    uint32_t sum;
};

static uint32_t sum_of(uint32_t sum, struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        sum = sum * 31 + (unsigned char)s.p[i];
    return sum;
}

static void note_over(struct req *r)
{
    (void)r;
    atomic_fetch_add(&over_count, 1);
}

static void take_add(struct req *r)
{
    struct taken *t = r->data;

    t->bytes += r->piece.n;
    t->sum = sum_of(t->sum, r->piece);
    atomic_fetch_add(&piece_count, 1);
    atomic_fetch_add(&taken_bytes, r->piece.n);
    if (r->piece.n > piece_max)
        piece_max = r->piece.n;
}

static err_t take_answer(struct req *r)
{
    const struct taken *t = r->data;

    buf_reset(&r->reply.body);
    buf_printf(&r->reply.body, "%llu %u", (unsigned long long)t->bytes, t->sum);
    return reply_text(r, 200, "text/plain", buf_str(&r->reply.body));
}

static err_t take_piece(struct req *r, struct fail *f)
{
    (void)f;
    take_add(r);
    return r->is_whole ? take_answer(r) : req_next_piece(r, take_piece);
}

static err_t take_begin(struct req *r, req_step step)
{
    r->data = arena_zalloc(&r->arena, sizeof(struct taken));
    r->over = note_over;
    return req_next_piece(r, step);
}

static err_t handle_take(struct req *r, struct fail *f)
{
    (void)f;
    return take_begin(r, take_piece);
}

static err_t handle_limited(struct req *r, struct fail *f)
{
    (void)f;
    req_limit_body(r, LIMIT_BYTES);
    return take_begin(r, take_piece);
}

/* Between two pieces it waits until the test lets it go on. */
static err_t hold_piece(struct req *r, struct fail *f);

static err_t hold_wait(struct req *r, struct fail *f)
{
    (void)f;
    if (!may_go_on)
        return req_wait_event(r, 1000, hold_wait); /* looked at with the worker's tick */
    take_add(r);
    return r->is_whole ? take_answer(r) : req_next_piece(r, hold_piece);
}

static err_t hold_piece(struct req *r, struct fail *f)
{
    return hold_wait(r, f);
}

static err_t handle_hold(struct req *r, struct fail *f)
{
    (void)f;
    return take_begin(r, hold_piece);
}

static err_t handle_refuse(struct req *r, struct fail *f)
{
    r->over = note_over;
    return fail_str(f, ERR_DENIED, STR("no"));
}

/* A part goes out while the body is still coming; then the rest of it is taken. */
static err_t echo_piece(struct req *r, struct fail *f);

static err_t echo_next(struct req *r, struct fail *f)
{
    (void)f;
    return r->is_whole ? req_end_answer(r) : req_next_piece(r, echo_piece);
}

static err_t echo_piece(struct req *r, struct fail *f)
{
    (void)f;
    if (r->piece.n == 0)
        return echo_next(r, f);
    buf_add_str(&r->reply.body, r->piece);
    return req_send(r, echo_next);
}

static err_t handle_echo(struct req *r, struct fail *f)
{
    (void)f;
    r->over = note_over;
    req_begin_answer(r, 201, "application/octet-stream",
                     r->head->is_chunked ? REQ_NO_LENGTH : r->head->content_length);
    return req_next_piece(r, echo_piece);
}

static err_t file_end(struct req *r, struct fail *f)
{
    (void)f;
    buf_add_str(&r->reply.body, STR("-end"));
    return req_end_answer(r);
}

/* "begin-", the whole file, "-end". */
static err_t handle_file(struct req *r, struct fail *f)
{
    (void)f;
    r->over = note_over;
    reply_header(r, "etag", "\"%d\"", 7);
    req_begin_answer(r, 206, "application/octet-stream", 6 + FILE_BYTES + 4);
    buf_add_str(&r->reply.body, STR("begin-"));
    return req_send_file(r, file_fd, 0, FILE_BYTES, file_end);
}

/* More than the kernel's buffers take: a hole. */
static err_t handle_long(struct req *r, struct fail *f)
{
    (void)f;
    req_begin_answer(r, 200, "application/octet-stream", LONG_FILE_BYTES + 4);
    return req_send_file(r, file_fd, FILE_BYTES, LONG_FILE_BYTES, file_end);
}

/* Writes as a table may: less than it was given, now and then nothing. */
static unsigned stutter;

static ssize_t meagre_write(struct conn *c, const struct iovec *v, int count)
{
    (void)count;
    if (++stutter % 3 == 0) {
        errno = EAGAIN;
        return -1;
    }
    return send(c->fd, v[0].iov_base, v[0].iov_len < 700 ? v[0].iov_len : 700, MSG_NOSIGNAL);
}

static ssize_t meagre_read(struct conn *c, void *p, size_t n)
{
    return recv(c->fd, p, n, 0);
}

static ssize_t meagre_drop(struct conn *c, size_t n)
{
    return recv(c->fd, NULL, n, MSG_TRUNC);
}

static int meagre_shutdown(struct conn *c)
{
    return shutdown(c->fd, SHUT_WR);
}

static bool meagre_pending(const struct conn *c)
{
    (void)c;
    return false;
}

static void meagre_close(struct conn *c)
{
    c->io_data = NULL;
}

static const struct conn_io meagre = {.read = meagre_read,
                                      .drop = meagre_drop,
                                      .write = meagre_write,
                                      .shutdown = meagre_shutdown,
                                      .has_pending = meagre_pending,
                                      .close = meagre_close};

static err_t handle_table(struct req *r, struct fail *f)
{
    r->conn->io = &meagre;
    return handle_file(r, f);
}

/* Says one byte more than there is. */
static err_t handle_short(struct req *r, struct fail *f)
{
    (void)f;
    r->over = note_over;
    req_begin_answer(r, 200, "text/plain", 100);
    return req_send_file(r, file_fd, FILE_BYTES + LONG_FILE_BYTES - 99, 100, file_end);
}

static err_t less_end(struct req *r, struct fail *f)
{
    (void)f;
    return req_end_answer(r);
}

/* Sends fewer bytes than it said: the end must not look like one. */
static err_t handle_less(struct req *r, struct fail *f)
{
    (void)f;
    req_begin_answer(r, 200, "text/plain", 10);
    buf_add_str(&r->reply.body, STR("12345"));
    return req_send(r, less_end);
}

/* -- what stands in for route.c and server.c --------------------------------------------------- */

static const struct route routes[] = {
    {HTTP_M_POST, "/take", false, handle_take, BODY_STREAM, MAY_ANY, ON_CLIENT, "/take"},
    {HTTP_M_POST, "/limited", false, handle_limited, BODY_STREAM, MAY_ANY, ON_CLIENT, "/limited"},
    {HTTP_M_POST, "/hold", false, handle_hold, BODY_STREAM, MAY_ANY, ON_CLIENT, "/hold"},
    {HTTP_M_POST, "/refuse", false, handle_refuse, BODY_STREAM, MAY_ANY, ON_CLIENT, "/refuse"},
    {HTTP_M_POST, "/echo", false, handle_echo, BODY_STREAM, MAY_ANY, ON_CLIENT, "/echo"},
    {HTTP_M_GET, "/file", false, handle_file, BODY_NONE, MAY_ANY, ON_CLIENT, "/file"},
    {HTTP_M_GET, "/long", false, handle_long, BODY_NONE, MAY_ANY, ON_CLIENT, "/long"},
    {HTTP_M_GET, "/table", false, handle_table, BODY_NONE, MAY_ANY, ON_CLIENT, "/table"},
    {HTTP_M_GET, "/short", false, handle_short, BODY_NONE, MAY_ANY, ON_CLIENT, "/short"},
    {HTTP_M_GET, "/less", false, handle_less, BODY_NONE, MAY_ANY, ON_CLIENT, "/less"},
};

const struct route *route_find(unsigned method, struct str path, enum route_where where,
                               unsigned *allowed)
{
    (void)where;
    *allowed = 0;
    for (size_t i = 0; i < array_len(routes); i++) {
        if (str_eq(path, str_of(routes[i].path)) &&
            (method == routes[i].methods ||
             (method == HTTP_M_HEAD && routes[i].methods == HTTP_M_GET)))
            return &routes[i];
    }
    return NULL;
}

const struct route route_unknown, route_asked;

const struct route *route_upstream(void)
{
    return &routes[0];
}

const struct route *route_upstream_whole(void)
{
    return NULL;
}

bool route_is_own(struct str path)
{
    (void)path;
    return false;
}

const struct route *route_rows(size_t *count)
{
    *count = array_len(routes);
    return routes;
}

unsigned route_index(const struct route *route)
{
    return (unsigned)(route - routes);
}

uint64_t server_open_connections(struct server *sv)
{
    (void)sv;
    return 0;
}

/* Nobody is asked who it is. */
const struct auth_config *server_auth_config(const struct server *sv)
{
    (void)sv;
    return NULL;
}

struct worker *server_worker(struct server *sv, unsigned index)
{
    (void)sv, (void)index;
    return NULL;
}

void server_hurry_logins(struct server *sv)
{
    (void)sv;
}

/* Asked for by handlers of files only. */
const struct artifacts *server_artifacts(struct server *sv)
{
    (void)sv;
    return NULL;
}

/* -- a worker of its own ----------------------------------------------------------------------- */

static int set_up(void **state)
{
    char url[LISTEN_URL_MAX], path[128];
    struct worker_config c = {.count = 1, .max_connections = 100, .admin_listen_fd = -1};
    char bytes[3000];

    fixture_set_up(state);
    settings = settings_new();
    settings->data_dir = fixture_dir;
    settings->allowed_hosts = "*";
    settings->ring_bytes = settings->journal_segment_bytes = 1 << 20;
    settings->request_timeout = 1500000;
    settings->min_body_rate = 1000;
    stats = stats_new();
    assert_ok(queue_open(settings, 1, fixture_stats, &queue, &fixture_fail));
    runs = runs_new(1000);
    assert_ok(listen_open("listen", "127.0.0.1:0", &c.listen_fd, 1, url, &fixture_fail));
    assert_ok(listen_begin(&c.listen_fd, 1, &fixture_fail));
    port = (uint16_t)atoi(strrchr(url, ':') + 1);
    c.settings = settings;
    c.queue = queue;
    c.runs = runs;
    assert_ok(pod_open(settings, queue, runs, &pod, &fixture_fail));
    c.pod = pod;
    c.stats = stats;
    c.pg_uri = "postgresql://nobody@127.0.0.1:1/none";
    assert_ok(worker_start(&c, &worker, &fixture_fail));
    snprintf(path, sizeof(path), "%s/file", fixture_dir);
    file_fd = open(path, O_RDWR | O_CREAT, 0600);
    for (size_t i = 0; i < FILE_BYTES; i += sizeof(bytes)) {
        memset(bytes, (int)('a' + i / sizeof(bytes) % 26), sizeof(bytes));
        assert_int_equal(write(file_fd, bytes, sizeof(bytes)), sizeof(bytes));
    }
    assert_int_equal(ftruncate(file_fd, FILE_BYTES + LONG_FILE_BYTES), 0);
    return 0;
}

static int tear_down(void **state)
{
    worker_drain(worker, clock_us() + 1000000);
    worker_join(worker);
    queue_stop(queue);
    queue_close(queue);
    worker_free(worker);
    pod_close(pod);
    runs_free(runs);
    stats_free(stats);
    settings_free(settings);
    close(file_fd);
    return fixture_tear_down(state);
}

static uint64_t held_bytes(void)
{
    return atomic_load_explicit(&stats->held_bytes, memory_order_relaxed);
}

/* Once the connections of other tests, whose requests end after their answers, are gone. */
static unsigned over_so_far(void)
{
    wait_for(atomic_load_explicit(&stats->open_connections, memory_order_relaxed) == 0);
    return over_count;
}

/* -- a client ---------------------------------------------------------------------------------- */

static int dial(void)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_sec = 10};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    return fd;
}

static void say_bytes(int fd, const void *p, size_t n)
{
    const char *at = p;

    while (n) {
        ssize_t sent = send(fd, at, n, MSG_NOSIGNAL);

        assert_true(sent > 0);
        at += sent;
        n -= (size_t)sent;
    }
}

static void say(int fd, const char *text)
{
    say_bytes(fd, text, strlen(text));
}

/* Everything up to the text, which ends it. */
static const char *hear_until(int fd, const char *text)
{
    static char got[8192];
    size_t n = 0;

    got[0] = '\0';
    while (n < strlen(text) || memcmp(got + n - strlen(text), text, strlen(text)) != 0) {
        assert_true(n + 1 < sizeof(got));
        if (recv(fd, got + n, 1, 0) != 1) {
            print_error("heard only: %s\n", got);
            fail();
        }
        got[++n] = '\0';
    }
    return got;
}

/* How the connection ends, after how many more bytes: 0, or an errno value. */
static int hear_end(int fd, size_t *count)
{
    static char drop[65536];
    ssize_t n;

    *count = 0;
    while ((n = recv(fd, drop, sizeof(drop), 0)) > 0)
        *count += (size_t)n;
    return n == 0 ? 0 : errno;
}

static const char *taken_text(const char *bytes, size_t n)
{
    static char text[64];

    snprintf(text, sizeof(text), "\r\n\r\n%zu %u", n, sum_of(0, (struct str){bytes, n}));
    return text;
}

static char *pattern(size_t n)
{
    char *p = malloc(n);

    for (size_t i = 0; i < n; i++)
        p[i] = (char)(i * 7 + i / 251);
    return p;
}

/* -- bodies ------------------------------------------------------------------------------------ */

static void test_a_long_body_comes_in_pieces_and_the_next_request_behind_it(void **state)
{
    char *body = pattern(1000000);
    int fd = dial();

    (void)state;
    piece_max = 0;
    say(fd, "POST /take HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
    say_bytes(fd, body, 1000000);
    say(fd, "POST /take HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    say(fd, "POST /take HTTP/1.1\r\nHost: a\r\n\r\n"); /* none at all */
    hear_until(fd, taken_text(body, 1000000));
    hear_until(fd, taken_text("hello", 5));
    hear_until(fd, taken_text("", 0));
    assert_true(piece_max <= 3 * 65536);
    close(fd);
    free(body);
}

static void test_a_chunked_body_is_put_together(void **state)
{
    int fd = dial();

    (void)state;
    say(fd, "POST /take HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab");
    wait_for(held_bytes() < 100000);
    say(fd, "c\r\n4;x=y\r\nde");
    say(fd, "fg\r\n0\r\nTrailer: t\r\n\r\nPOST /take HTTP/1.1\r\nHost: a\r\nContent-Length: "
            "1\r\n\r\n!");
    hear_until(fd, taken_text("abcdefg", 7));
    hear_until(fd, taken_text("!", 1));
    close(fd);
}

static void test_a_body_that_breaks_the_framing_is_answered_400(void **state)
{
    unsigned before = over_so_far();
    size_t n;
    int fd = dial();

    (void)state;
    say(fd, "POST /take HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcX");
    assert_non_null(strstr(hear_until(fd, "\r\n\r\n"), "400 Bad Request"));
    shutdown(fd, SHUT_WR);
    assert_int_equal(hear_end(fd, &n), 0);
    wait_for(over_count == before + 1);
    close(fd);
}

static void test_a_100_comes_when_the_handler_wants_the_body(void **state)
{
    int fd = dial();

    (void)state;
    say(fd, "POST /take HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    assert_string_equal(hear_until(fd, "\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
    say(fd, "abc");
    hear_until(fd, taken_text("abc", 3));
    close(fd);
}

static void test_no_100_comes_when_it_does_not_and_the_connection_ends(void **state)
{
    const char *head;
    size_t n;
    int fd = dial();

    (void)state;
    say(fd,
        "POST /refuse HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    head = hear_until(fd, "\r\n\r\n");
    assert_non_null(strstr(head, "HTTP/1.1 403"));
    assert_non_null(strstr(head, "connection: close\r\n"));
    shutdown(fd, SHUT_WR);
    assert_int_equal(hear_end(fd, &n), 0);
    close(fd);
}

static void test_what_is_left_of_a_refused_body_is_passed_over_when_it_is_little(void **state)
{
    char *body = pattern(60000);
    int fd = dial();

    (void)state;
    say(fd, "POST /refuse HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n");
    hear_until(fd, "\r\n\r\n");
    say_bytes(fd, body, 60000);
    say(fd, "POST /take HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok");
    hear_until(fd, taken_text("ok", 2));
    close(fd);
    free(body);
}

static void test_a_limit_holds_for_a_length_and_for_chunks(void **state)
{
    char *body = pattern(LIMIT_BYTES + 1);
    char head[64];
    int fd = dial();

    (void)state;
    say(fd, "POST /limited HTTP/1.1\r\nHost: a\r\nContent-Length: 10001\r\n\r\n");
    assert_non_null(strstr(hear_until(fd, "\r\n\r\n"), "HTTP/1.1 413"));
    close(fd);
    fd = dial();
    snprintf(head, sizeof(head), "%x\r\n", LIMIT_BYTES);
    say(fd, "POST /limited HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    say(fd, head);
    say_bytes(fd, body, LIMIT_BYTES);
    say(fd, "\r\n1\r\n!\r\n");
    assert_non_null(strstr(hear_until(fd, "\r\n\r\n"), "HTTP/1.1 413"));
    close(fd);
    free(body);
}

static void test_a_sender_that_trickles_is_answered_408(void **state)
{
    unsigned before = over_so_far();
    uint64_t began_us = clock_us();
    int fd = dial();
    struct pollfd p = {.fd = fd, .events = POLLIN};

    (void)state;
    say(fd, "POST /take HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
    while (poll(&p, 1, 100) == 0 &&
           clock_us() - began_us < 10000000) /* bytes come, each in time, and they are too few */
        say(fd, "x");
    assert_non_null(strstr(hear_until(fd, "\r\n\r\n"), "HTTP/1.1 408"));
    assert_true(clock_us() - began_us >= 900000);
    close(fd);
    wait_for(over_count == before + 1);
}

static void test_a_sender_that_falls_silent_is_answered_408(void **state)
{
    unsigned before = over_so_far();
    int fd = dial();

    (void)state;
    say(fd, "POST /take HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_non_null(strstr(hear_until(fd, "\r\n\r\n"), "HTTP/1.1 408"));
    close(fd);
    wait_for(over_count == before + 1);
}

static void test_the_handler_hears_of_a_peer_that_goes(void **state)
{
    unsigned before = over_so_far();
    uint64_t taken = taken_bytes;
    int fd = dial();

    (void)state;
    say(fd, "POST /take HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nabc");
    wait_for(taken_bytes == taken + 3);
    assert_int_equal(over_count, before);
    close(fd);
    wait_for(over_count == before + 1);
    wait_for(held_bytes() == 0);
}

/* How much of it a peer gets rid of while nobody takes it. */
static size_t push(int fd, const char *p, size_t n)
{
    struct pollfd room = {.fd = fd, .events = POLLOUT};
    size_t sent = 0;

    while (sent < n && poll(&room, 1, 300) == 1) {
        ssize_t got = send(fd, p + sent, n - sent, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (got > 0)
            sent += (size_t)got;
    }
    return sent;
}

static void test_a_slow_handler_slows_its_sender_and_holds_a_piece(void **state)
{
    char *body = pattern(LONG_BYTES);
    char head[100];
    size_t sent;
    int fd = dial();

    (void)state;
    may_go_on = false;
    snprintf(head, sizeof(head), "POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n",
             LONG_BYTES);
    say(fd, head);
    sent = push(fd, body, LONG_BYTES);
    assert_true(sent > 0 && sent < LONG_BYTES / 2); /* what the kernel's buffers take */
    assert_true(held_bytes() > 0 && held_bytes() < 300000);
    may_go_on = true;
    say_bytes(fd, body + sent, LONG_BYTES - sent);
    hear_until(fd, taken_text(body, LONG_BYTES));
    wait_for(held_bytes() == 0);
    close(fd);
    free(body);
}

/* -- answers ----------------------------------------------------------------------------------- */

static void hear_file(int fd)
{
    char *got = malloc(FILE_BYTES);
    char *want = malloc(FILE_BYTES);

    hear_until(fd, "\r\n\r\nbegin-");
    assert_int_equal(recv(fd, got, FILE_BYTES, MSG_WAITALL), FILE_BYTES);
    assert_int_equal(pread(file_fd, want, FILE_BYTES, 0), FILE_BYTES);
    assert_memory_equal(got, want, FILE_BYTES);
    hear_until(fd, "-end");
    free(got);
    free(want);
}

static void test_a_file_goes_out_between_bytes(void **state)
{
    int fd = dial();
    const char *head;

    (void)state;
    say(fd, "GET /file HTTP/1.1\r\nHost: a\r\n\r\nGET /file HTTP/1.1\r\nHost: a\r\n\r\n"
            "HEAD /file HTTP/1.1\r\nHost: a\r\n\r\nPOST /take HTTP/1.1\r\nHost: a\r\n\r\n");
    hear_file(fd);
    hear_file(fd);
    head = hear_until(fd, "\r\n\r\n");
    assert_non_null(strstr(head, "HTTP/1.1 206 Partial Content\r\n"));
    assert_non_null(strstr(head, "content-length: 3000010\r\n"));
    assert_non_null(strstr(head, "etag: \"7\"\r\n"));
    hear_until(fd, taken_text("", 0));
    close(fd);
}

static void test_a_file_goes_through_a_table_of_calls(void **state)
{
    size_t n;
    int fd = dial();

    (void)state;
    say(fd, "GET /table HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    hear_file(fd);
    assert_int_equal(hear_end(fd, &n), 0);
    assert_int_equal(n, 0);
    close(fd);
}

static void test_a_reader_that_takes_a_file_slowly_is_waited_for(void **state)
{
    char *bytes = malloc(1 << 20);
    int small = 65536, fd = dial();
    uint64_t began_us = clock_us();
    size_t got = 0;
    ssize_t n;

    (void)state;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    say(fd, "GET /long HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    while ((n = recv(fd, bytes, 1 << 20, MSG_WAITALL)) > 0) {
        got += (size_t)n;
        poll(NULL, 0, 80); /* the reader that the test is about */
    }
    assert_int_equal(n, 0);
    assert_true(got > LONG_FILE_BYTES);
    assert_true(clock_us() - began_us > settings->request_timeout);
    close(fd);
    free(bytes);
}

static void test_a_file_that_is_shorter_ends_in_a_reset(void **state)
{
    unsigned before = over_so_far();
    size_t n;
    int fd = dial();

    (void)state;
    say(fd, "GET /short HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(hear_end(fd, &n), ECONNRESET);
    wait_for(over_count == before + 1);
    close(fd);
}

static void test_fewer_bytes_than_the_length_end_in_a_reset(void **state)
{
    size_t n;
    int fd = dial();

    (void)state;
    say(fd, "GET /less HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_int_equal(hear_end(fd, &n), ECONNRESET);
    close(fd);
}

static void test_an_answer_begins_while_the_body_comes(void **state)
{
    size_t n;
    int fd = dial();

    (void)state;
    say(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nabcd");
    hear_until(fd, "content-length: 8\r\n\r\nabcd");
    say(fd, "efghPOST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nxy\r\n");
    hear_until(fd, "efgh");
    assert_non_null(strstr(hear_until(fd, "2\r\nxy\r\n"), "201 Created"));
    say(fd, "0\r\n\r\nPOST /echo HTTP/1.0\r\nContent-Length: 2\r\n\r\nzz");
    hear_until(fd, "0\r\n\r\n");
    hear_until(fd, "content-length: 2\r\n\r\nzz");
    assert_int_equal(hear_end(fd, &n), 0); /* HTTP/1.0 */
    close(fd);
}

static void test_a_body_cut_off_after_the_answer_began_resets(void **state)
{
    size_t n;
    int fd = dial();

    (void)state;
    say(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n");
    hear_until(fd, "4\r\nabcd\r\n");
    say(fd, "nonsense\r\n");
    assert_int_equal(hear_end(fd, &n), ECONNRESET);
    assert_int_equal(n, 0);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_long_body_comes_in_pieces_and_the_next_request_behind_it),
        cmocka_unit_test(test_a_chunked_body_is_put_together),
        cmocka_unit_test(test_a_body_that_breaks_the_framing_is_answered_400),
        cmocka_unit_test(test_a_100_comes_when_the_handler_wants_the_body),
        cmocka_unit_test(test_no_100_comes_when_it_does_not_and_the_connection_ends),
        cmocka_unit_test(test_what_is_left_of_a_refused_body_is_passed_over_when_it_is_little),
        cmocka_unit_test(test_a_limit_holds_for_a_length_and_for_chunks),
        cmocka_unit_test(test_a_sender_that_trickles_is_answered_408),
        cmocka_unit_test(test_a_sender_that_falls_silent_is_answered_408),
        cmocka_unit_test(test_the_handler_hears_of_a_peer_that_goes),
        cmocka_unit_test(test_a_slow_handler_slows_its_sender_and_holds_a_piece),
        cmocka_unit_test(test_a_file_goes_out_between_bytes),
        cmocka_unit_test(test_a_file_goes_through_a_table_of_calls),
        cmocka_unit_test(test_a_reader_that_takes_a_file_slowly_is_waited_for),
        cmocka_unit_test(test_a_file_that_is_shorter_ends_in_a_reset),
        cmocka_unit_test(test_fewer_bytes_than_the_length_end_in_a_reset),
        cmocka_unit_test(test_an_answer_begins_while_the_body_comes),
        cmocka_unit_test(test_a_body_cut_off_after_the_answer_began_resets),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
