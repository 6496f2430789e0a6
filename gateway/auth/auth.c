/*
 * auth: from an Authorization header to r->user.
 *
 *   known, and looked at within auth_ttl     a digest and a look-up; nothing is allocated
 *   known, past half of auth_ttl             the same; the user's row is asked for once more meanwhile
 *   known, past auth_ttl                     waits for that row
 *   not known                                waits for the row, then for a thread that hashes
 *
 * An entry of the cache stands for one header. While it is under way everybody with the same header waits
 * for it (w->users_asked), and when it is settled each of them looks again, from the beginning: so there
 * is one place that decides, auth_look. What is remembered of a good header is a digest of the hash that
 * the row had: a row that has another one, or is gone, ends the entry, and the header is judged anew. So a
 * password that was changed anywhere is seen within auth_ttl, one that was changed through this process at
 * once, and so it is in other pods with Redis (auth_forget, news.h).
 *
 * What one worker learns it tells the others (auth_learn), so that a user is known wherever the next
 * connection ends up; each of them asks for his grants then, so that what he may do is known there, too.
 *
 * Whoever is not known costs a hash, whether there is such a user or not: the same work is done for nobody,
 * so that the time does not tell which names exist. It is done by threads of low priority, each with its
 * own share of names, so that one thread sees all the logins of a name one after the other and remembers
 * those that were right for all workers. What failing costs is bounded by the gate (auth_gate.h) and by how
 * many may be under way; beyond either the answer is 429.
 *
 * When the database of the users gives no answer for PATIENCE_US, who is known goes on for auth_grace;
 * others are answered 503. 401 is said only when the row was seen, or is known not to exist.
 */
#include "gateway/auth/auth.h"

#define OPENSSL_SUPPRESS_DEPRECATED /* SHA256_*: no other way to keep a state without allocating */
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/clock.h"
#include "base/log.h"
#include "gateway/auth/auth_cache.h"
#include "gateway/auth/auth_config.h"
#include "gateway/auth/auth_gate.h"
#include "gateway/auth/auth_hash.h"
#include "gateway/auth/auth_header.h"
#include "gateway/auth/grant_ask.h"
#include "gateway/auth/htpasswd.h"
#include "gateway/auth/may.h"
#include "gateway/http/conn.h"
#include "gateway/http/forwarded.h"
#include "gateway/http/reply.h"
#include "gateway/http/route.h"
#include "gateway/peers/news.h"
#include "gateway/req_user.h"
#include "gateway/server.h"
#include "gateway/worker.h"
#include "gateway/worker_net.h"
#include "schema/errors.h"

enum {
    THREADS_MAX = 16,
    TRIES_MAX = 96,        /* of a worker, to be hashed: their notes leave room in its inbox */
    MEMO = 4096,           /* right logins that a thread remembers */
    NAME_MAX_BYTES = 1020, /* 255 characters: what a row may hold */
    HASH_MAX_BYTES = 1020,
    HASH_NICE = 19,
    LONG_BODY = 65536
};
#define BAD_US      1000000u /* how long a wrong password is wrong without another look */
#define AWAY_US     200000u  /* how long nobody asks again, after no answer or too much to do */
#define PATIENCE_US 200000u
#define TELL_US     30000000u /* how often others hear that a user is still there */

#define WORDS_401                                                                            \
    "You are not authenticated. Please see "                                                 \
    "https://www.mlflow.org/docs/latest/auth/index.html#authenticating-to-mlflow on how to " \
    "authenticate."
/* Of an admin it is refused: older versions of MLflow shipped it. */
#define LEGACY_PASSWORD "password1234"

static const struct stmt AUTH_FIND = {
    "auth_find",
    "SELECT id, password_hash, coalesce(is_admin, false) FROM users WHERE username = $1"};

static const struct stmt AUTH_ADD = {
    "auth_add", "INSERT INTO users (username, password_hash, is_admin) VALUES ($1, '!', false)"
                " ON CONFLICT (username) DO NOTHING"};

/* HMAC-SHA256 as it is before the message: two states. */
struct auth_key {
    SHA256_CTX inner, outer;
};

/* A thread that hashes, and its memory; the memory is that thread's. */
struct auth_hasher {
    struct helper *helper;
    unsigned char memo[MEMO][AUTH_DIGEST_BYTES];
};

struct auth_shared {
    const struct auth_config *config;
    const struct htpasswd *first_file; /* NULL = none */
    struct auth_key key;
    uint64_t seed; /* of hashes of names and addresses */
    struct auth_gate *gate;
    struct auth_hasher *hashers[THREADS_MAX];
    unsigned hasher_count;
    _Atomic bool is_hurried;
};

struct auth {
    struct worker *worker;
    struct auth_shared *shared;
    struct auth_cache *cache;
    unsigned tries;          /* to be hashed */
    unsigned checking_count; /* of them those that a thread has */
    uint64_t last_id;
    uint64_t forgot_us;                    /* news that are older do not count */
    _Atomic(const struct htpasswd *) file; /* NULL = none; others may ask which */
};

/* Of a good entry, for another worker. */
struct auth_news {
    unsigned char key[AUTH_DIGEST_BYTES], row[AUTH_DIGEST_BYTES];
    bool is_admin;
    int64_t user_id;
    uint64_t seen_us;
    size_t name_length;
    char name[];
};

/* One question about an entry: to the database, and then to a thread. */
struct auth_try {
    struct helper_job job;
    struct sql_call call;
    struct str value; /* of the statement */
    struct auth *auth;
    struct auth_entry *entry;
    struct auth_hasher *hasher;
    struct auth_sender sender;
    bool is_again;   /* of a good entry: its row only */
    bool is_of_file; /* the hash is the file's */
    bool has_row;
    bool is_right; /* what the thread found */
    bool is_undone;
    bool is_admin;
    int64_t user_id;
    unsigned char row[AUTH_DIGEST_BYTES];  /* of the hash */
    unsigned char memo[AUTH_DIGEST_BYTES]; /* of header and hash */
    char hash[HASH_MAX_BYTES + 1];
    size_t hash_length;
    struct str password; /* in text */
    char text[];         /* name, NUL, password */
};

/* -- digests ----------------------------------------------------------------------------------- */

static void key_init(struct auth_key *k)
{
    unsigned char block[SHA256_CBLOCK];

    check(RAND_bytes(block, sizeof(block)) == 1);
    for (size_t i = 0; i < sizeof(block); i++)
        block[i] ^= 0x36;
    SHA256_Init(&k->inner);
    SHA256_Update(&k->inner, block, sizeof(block));
    for (size_t i = 0; i < sizeof(block); i++)
        block[i] ^= 0x36 ^ 0x5c;
    SHA256_Init(&k->outer);
    SHA256_Update(&k->outer, block, sizeof(block));
    OPENSSL_cleanse(block, sizeof(block));
}

static void key_digest(const struct auth_key *k, struct str a, struct str b,
                       unsigned char out[AUTH_DIGEST_BYTES])
{
    SHA256_CTX c = k->inner;

    SHA256_Update(&c, a.p, a.n);
    SHA256_Update(&c, "", b.n ? 1 : 0); /* headers and hashes hold no NUL */
    SHA256_Update(&c, b.p, b.n);
    SHA256_Final(out, &c);
    c = k->outer;
    SHA256_Update(&c, out, AUTH_DIGEST_BYTES);
    SHA256_Final(out, &c);
}

static uint64_t auth_name_hash(struct str name)
{
    return XXH3_64bits(name.p, name.n);
}

/* -- what workers share ------------------------------------------------------------------------ */

struct auth_shared *auth_shared_start(const struct settings *s, const struct auth_config *config,
                                      const struct htpasswd *file)
{
    struct auth_shared *sh = calloc(1, sizeof(*sh));

    check(sh != NULL && RAND_bytes((unsigned char *)&sh->seed, sizeof(sh->seed)) == 1);
    sh->config = config;
    sh->first_file = file;
    key_init(&sh->key);
    sh->gate = auth_gate_new();
    sh->hasher_count = (unsigned)s->auth_threads;
    for (unsigned i = 0; i < sh->hasher_count; i++) {
        check((sh->hashers[i] = calloc(1, sizeof(*sh->hashers[i]))) != NULL);
        sh->hashers[i]->helper = helper_start_as("hasher", HASH_NICE);
    }
    return sh;
}

void auth_shared_hurry(struct auth_shared *sh)
{
    if (sh)
        atomic_store_explicit(&sh->is_hurried, true, memory_order_relaxed);
}

void auth_shared_stop(struct auth_shared *sh)
{
    if (sh == NULL)
        return;
    for (unsigned i = 0; i < sh->hasher_count; i++) {
        helper_stop(sh->hashers[i]->helper);
        free(sh->hashers[i]);
    }
    auth_gate_free(sh->gate);
    OPENSSL_cleanse(&sh->key, sizeof(sh->key));
    free(sh);
}

static void auth_on_news(void *arg, struct str name);

struct auth *auth_new(struct worker *w, struct auth_shared *sh)
{
    struct auth *a = calloc(1, sizeof(*a));

    check(a != NULL);
    a->worker = w;
    a->shared = sh;
    atomic_init(&a->file, sh->first_file);
    a->cache = auth_cache_new(w->settings->auth_cache_entries);
    news_hear(w, NEWS_USER, auth_on_news, a);
    return a;
}

void auth_free(struct auth *a)
{
    if (a == NULL)
        return;
    auth_cache_free(a->cache);
    free(a);
}

/* -- on a thread that hashes ------------------------------------------------------------------- */

static void auth_hash(void *arg)
{
    struct auth_try *t = arg;
    unsigned char *memo;
    uint32_t slot;

    if (atomic_load_explicit(&t->auth->shared->is_hurried, memory_order_relaxed)) {
        t->is_undone = true;
        return;
    }
    memcpy(&slot, t->memo, sizeof(slot));
    memo = t->hasher->memo[slot % MEMO];
    t->is_right = memcmp(memo, t->memo, AUTH_DIGEST_BYTES) == 0;
    if (t->is_right)
        return; /* another worker had asked */
    t->is_right = (t->is_of_file ? htpasswd_matches : auth_hash_matches)(
        (struct str){t->hash, t->hash_length}, t->password);
    if (t->is_right)
        memcpy(memo, t->memo, AUTH_DIGEST_BYTES);
}

/* -- a question -------------------------------------------------------------------------------- */

static void auth_try_free(struct auth_try *t)
{
    OPENSSL_cleanse(t->text, (size_t)(t->password.p - t->text) + t->password.n);
    free(t);
}

/* What came of it: everybody who waits looks again. */
static void auth_settle(struct auth_try *t, enum auth_verdict verdict)
{
    struct auth *a = t->auth;
    struct auth_entry *e = t->entry;

    uint64_t id = e->id;

    e->verdict = verdict;
    e->is_asked_again = false;
    e->asked_us = a->worker->now_us;
    if (!t->is_again)
        a->tries--;
    auth_try_free(t);
    if (e->is_void)
        auth_cache_remove(a->cache, e);
    req_wake_user(a->worker, id);
}

static void auth_take_row(struct auth_try *t, const PGresult *res)
{
    const struct auth_key *key = &t->auth->shared->key;
    struct str of_file = htpasswd_find(atomic_load(&t->auth->file), auth_entry_name(t->entry));
    struct str hash = PQntuples(res) ? sql_get(res, 0, 1) : auth_hash_of_nobody;

    t->has_row = PQntuples(res) > 0;
    t->is_of_file = of_file.p != NULL;
    if (t->is_of_file)
        hash = of_file;
    if (hash.n > HASH_MAX_BYTES || hash.n == 0)
        hash = auth_hash_of_nobody;
    memcpy(t->hash, hash.p, hash.n);
    t->hash_length = hash.n;
    key_digest(key, hash, STR(""), t->row);
    if (t->has_row) {
        t->user_id = sql_get_i64(res, 0, 0);
        t->is_admin = sql_get_bool(res, 0, 2);
    }
}

/* -- from worker to worker --------------------------------------------------------------------- */

static struct auth_news *auth_news_of(const struct auth_entry *e)
{
    struct str name = auth_entry_name(e);
    struct auth_news *news = calloc(1, sizeof(*news) + name.n);

    check(news != NULL);
    memcpy(news->key, e->key, sizeof(e->key));
    memcpy(news->row, e->row, sizeof(e->row));
    news->is_admin = e->is_admin;
    news->user_id = e->user_id;
    news->seen_us = e->seen_us;
    news->name_length = name.n;
    memcpy(news->name, name.p, name.n);
    return news;
}

/* One that is too busy to be told asks for itself. */
static void auth_tell(struct auth *a, struct auth_entry *e)
{
    struct worker *w = a->worker, *other;

    e->told_us = w->now_us;
    for (unsigned i = 0; (other = server_worker(w->server, i)); i++) {
        struct note n = {.kind = WORKER_LEARN};

        if (other == w)
            continue;
        n.ref = (uintptr_t)auth_news_of(e);
        if (!inbox_send(&other->inbox, &n))
            free((void *)(uintptr_t)n.ref);
    }
}

void auth_learn(struct worker *w, struct auth_news *news)
{
    struct auth *a = w ? w->auth : NULL;
    struct auth_entry *e = a ? auth_cache_find(a->cache, news->key) : NULL;
    struct str name = {news->name, news->name_length};

    if (a && news->seen_us > a->forgot_us && (e == NULL || e->verdict != AUTH_ASKED) &&
        (e == NULL || (!e->is_asked_again && e->seen_us < news->seen_us)) &&
        (e || (e = auth_cache_add(a->cache, news->key, name)))) {
        e->verdict = AUTH_GOOD;
        e->is_admin = news->is_admin;
        e->user_id = news->user_id;
        e->is_stale = false;
        memcpy(e->row, news->row, sizeof(e->row));
        e->seen_us = e->asked_us = e->told_us = news->seen_us;
        e->name_hash = auth_name_hash(name);
        e->id = e->id ? e->id : ++a->last_id;
        if (!e->is_admin)
            grant_ask_early(w, e->user_id);
    }
    free(news);
}

/* The row of a user who is known: is it as it was? */
static void auth_see_again(struct auth_try *t, const PGresult *res)
{
    struct auth_entry *e = t->entry;

    auth_take_row(t, res);
    if (PQntuples(res) == 0 || memcmp(e->row, t->row, sizeof(e->row)) != 0) {
        e->is_void = true;
    } else {
        e->user_id = t->user_id;
        e->is_admin = t->is_admin;
        e->seen_us = e->asked_us;
        e->is_stale = false;
        if (t->auth->worker->now_us - e->told_us >= TELL_US)
            auth_tell(t->auth, e);
    }
    auth_settle(t, AUTH_GOOD);
}

static void auth_on_row(struct sql_call *call)
{
    struct auth_try *t = call->owner;
    struct auth *a = t->auth;
    struct worker *w = a->worker;

    worker_touch(w);
    if (call->err) {
        t->entry->is_stale = t->is_again;
        auth_settle(t, t->is_again ? AUTH_GOOD : AUTH_AWAY);
        return;
    }
    if (t->is_again) {
        auth_see_again(t, call->results[0]);
        return;
    }
    auth_take_row(t, call->results[0]);
    key_digest(&a->shared->key, (struct str){(const char *)t->entry->key, AUTH_DIGEST_BYTES},
               (struct str){t->hash, t->hash_length}, t->memo);
    t->job = (struct helper_job){.work = auth_hash,
                                 .arg = t,
                                 .answer_to = &w->inbox,
                                 .answer = {.kind = WORKER_CHECKED, .ref = (uintptr_t)t},
                                 .until_us = w->now_us + w->settings->request_timeout};
    if (!helper_post(t->hasher->helper, &t->job)) {
        auth_settle(t, AUTH_BUSY);
        return;
    }
    a->checking_count++;
    stat_set(a->worker->stats, auth_hashing, a->checking_count);
}

/* The row is there: everybody looks again, and finds it. */
static void auth_on_added(struct sql_call *call)
{
    struct auth_try *t = call->owner;

    worker_touch(t->auth->worker);
    t->entry->is_void = call->err == OK;
    auth_settle(t, call->err ? AUTH_AWAY : AUTH_GOOD);
}

/* The first login of a name of the file: the user gets a row, with a hash that nothing matches, because
 * roles hang on it. */
static void auth_add_row(struct auth_try *t)
{
    t->call = (struct sql_call){.nsteps = 1, .done = auth_on_added, .owner = t};
    t->call.steps[0] = (struct sql_step){&AUTH_ADD, &t->value, 1};
    sql_call(t->auth->worker->users_sql, &t->call);
}

static void auth_warn_legacy(struct str name)
{
    log_warn("", "an admin's login with the password that older MLflow shipped is refused",
             "user=%.*s remedy=%s", STR_ARG(str_head(name, 100)),
             "set MLFLOW_AUTH_ADMIN_PASSWORD and restart");
}

void auth_on_checked(struct worker *w, struct auth_try *t)
{
    struct auth_entry *e = t->entry;
    bool is_legacy = t->is_admin && str_eq(t->password, STR(LEGACY_PASSWORD));

    t->auth->checking_count--;
    stat_set(w->stats, auth_hashing, t->auth->checking_count);
    if (t->job.is_late || t->is_undone) {
        auth_settle(t, AUTH_BUSY);
        return;
    }
    stat_add(w->stats, auth_checks, 1);
    if (!t->is_right || is_legacy) {
        if (t->is_right)
            auth_warn_legacy(auth_entry_name(e));
        stat_add(w->stats, auth_failures, 1);
        auth_settle(t, AUTH_BAD);
        return;
    }
    auth_gate_give_back(t->auth->shared->gate, &t->sender);
    if (!t->has_row && w->users_sql) { /* right without a row: a name of the file */
        auth_add_row(t);
        return;
    }
    e->user_id = t->user_id;
    e->is_admin = t->is_admin;
    e->seen_us = e->asked_us;
    memcpy(e->row, t->row, sizeof(e->row));
    if (!e->is_void)
        auth_tell(t->auth, e);
    auth_settle(t, AUTH_GOOD);
}

static void auth_try_begin(struct auth *a, struct auth_entry *e, struct str password,
                           const struct auth_sender *sender)
{
    struct str name = auth_entry_name(e);
    struct auth_try *t = calloc(1, sizeof(*t) + name.n + 1 + password.n);
    bool is_possible = name.n <= NAME_MAX_BYTES && str_find(name, '\0') == name.n;

    check(t != NULL);
    t->auth = a;
    t->entry = e;
    memcpy(t->text, name.p, name.n);
    t->password = (struct str){t->text + name.n + 1, password.n};
    if (password.n)
        memcpy(t->text + name.n + 1, password.p, password.n);
    t->value =
        is_possible ? (struct str){t->text, name.n} : sql_null(); /* a row has no such name */
    t->hasher = a->shared->hashers[e->name_hash % a->shared->hasher_count];
    t->is_again = sender == NULL;
    if (sender)
        t->sender = *sender;
    t->call = (struct sql_call){.nsteps = 1, .done = auth_on_row, .owner = t};
    t->call.steps[0] = (struct sql_step){&AUTH_FIND, &t->value, 1};
    e->asked_us = a->worker->now_us;
    if (!t->is_again)
        a->tries++;
    sql_call(a->worker->users_sql, &t->call);
}

/* -- a request --------------------------------------------------------------------------------- */

err_t auth_challenge(struct req *r)
{
    reply_header(r, "www-authenticate", "Basic realm=\"mlflow\"");
    return reply_text(r, 401,
                      may_is_native(r) ? "text/plain; charset=utf-8" : "text/html; charset=utf-8",
                      STR(WORDS_401));
}

static bool auth_is_server_info(struct str path)
{
    struct str version;

    if (!str_ends(path, STR("/mlflow/server-info")))
        return false;
    path.n -= STR("/mlflow/server-info").n;
    if (path.n == 0)
        return true;
    if (str_starts(path, STR("/ajax-api/")))
        version = str_skip(path, STR("/ajax-api/").n);
    else if (str_starts(path, STR("/api/")))
        version = str_skip(path, STR("/api/").n);
    else
        return false;
    for (size_t i = 0, dots = 0; i < version.n; i++) {
        bool is_dot = version.p[i] == '.' && i > 0 && i + 1 < version.n && dots++ == 0;

        if (!is_dot && (version.p[i] < '0' || version.p[i] > '9'))
            return false;
    }
    return version.n >= 3 && str_find(version, '.') < version.n;
}

/* MLflow's rule, which looks at how a path begins. Of a path with a row the row's counts, so that a static
 * prefix that itself begins so opens nothing. */
bool auth_is_open(const struct req *r)
{
    static const struct str open[] = {STR_INIT("/static"), STR_INIT("/favicon.ico"),
                                      STR_INIT("/health"), STR_INIT("/livez"), STR_INIT("/readyz")};
    bool has_row = r->route && r->route->path[0] != '\0' && r->route->path[0] != '(';
    struct str path = has_row ? str_of(r->route->path) : r->head->path, bare = path;
    struct str prefix = str_of(r->worker->settings->static_prefix);

    if (str_starts(path, STR("/api/2.0/"))) /* nearly all */
        return false;
    if (!has_row && prefix.n && str_starts(path, prefix))
        bare = str_skip(path, prefix.n);
    for (size_t i = 0; i < array_len(open); i++) {
        if (str_starts(path, open[i]) || str_starts(bare, open[i]))
            return true;
    }
    return auth_is_server_info(bare);
}

/* The request goes on as this user. */
static err_t auth_go_on(struct req *r, const struct auth_entry *e)
{
    r->user_space = (struct auth_user){.id = e->user_id,
                                       .name = arena_dup(&r->arena, auth_entry_name(e)),
                                       .is_admin = e->is_admin};
    r->user = &r->user_space;
    return r->admitted(r, r->fail);
}

static err_t auth_look(struct req *r, struct fail *f);

/* It waits for what comes of the entry, until then at most. */
static err_t auth_wait(struct req *r, const struct auth_entry *e, uint64_t until_us)
{
    struct worker *w = r->worker;

    if (r->auth_until_us == 0)
        r->auth_until_us = w->now_us + w->settings->request_timeout;
    if (w->now_us >= r->auth_until_us)
        return fail(r->fail, ERR_UNAVAILABLE, "It could not be found out in time who sent this.");
    req_wait_user(r, e->id, until_us < r->auth_until_us ? until_us : r->auth_until_us, auth_look);
    return OK;
}

static err_t auth_refuse_busy(struct req *r)
{
    stat_add(r->worker->stats, auth_throttled, 1);
    return fail(r->fail, ERR_LOGINS, "Too many logins failed, or wait to be checked.");
}

static struct auth_sender auth_sender_of(const struct req *r, struct str name)
{
    uint64_t seed = r->worker->auth->shared->seed;
    struct auth_sender s;
    uint8_t client[NET_BYTES] = {0};

    (void)forwarded_client(r, client);
    s.address = XXH3_64bits_withSeed(client, sizeof(client), seed);
    s.address_and_name = XXH3_64bits_withSeed(name.p, name.n, s.address);
    return s;
}

/* Nothing is known of this header. */
static err_t auth_begin(struct req *r, const unsigned char *key, struct str header)
{
    struct auth *a = r->worker->auth;
    struct auth_credentials who;
    struct auth_sender sender;
    struct auth_entry *e;

    if (!auth_header_read(header, &who))
        return auth_challenge(r);
    sender = auth_sender_of(r, who.name);
    if (a->tries >= TRIES_MAX || r->worker->users_sql == NULL ||
        !auth_gate_take(a->shared->gate, &sender, r->worker->settings->auth_failure_rate,
                        r->worker->now_us) ||
        (e = auth_cache_add(a->cache, key, who.name)) == NULL) {
        OPENSSL_cleanse(&who, sizeof(who));
        return auth_refuse_busy(r);
    }
    e->name_hash = auth_name_hash(who.name);
    e->id = ++a->last_id;
    auth_try_begin(a, e, who.password, &sender);
    OPENSSL_cleanse(who.text, sizeof(who.text));
    return auth_wait(r, e, UINT64_MAX);
}

/* The header was right. Is that recent enough? */
static err_t auth_trust(struct req *r, struct auth_entry *e)
{
    struct worker *w = r->worker;
    const struct settings *s = w->settings;
    uint64_t age_us = w->now_us - e->seen_us;
    bool is_fresh = age_us < s->auth_ttl || e->seen_us >= r->started_us;

    if (e->is_void) /* and under way: what comes back ends it */
        return auth_wait(r, e, UINT64_MAX);
    if (!e->is_asked_again && age_us >= s->auth_ttl / 2 && w->users_sql &&
        (!e->is_stale || w->now_us - e->asked_us >= AWAY_US)) {
        e->is_asked_again = true;
        auth_try_begin(w->auth, e, STR(""), NULL);
    }
    if (is_fresh) {
        stat_add(w->stats, auth_hits, 1);
        return auth_go_on(r, e);
    }
    if (age_us - s->auth_ttl >= s->auth_grace)
        return e->is_asked_again
                   ? auth_wait(r, e, UINT64_MAX)
                   : fail(r->fail, ERR_UNAVAILABLE, "The database of the users gives no answer.");
    if (e->is_asked_again && w->now_us - e->asked_us < PATIENCE_US && sql_is_up(w->users_sql))
        return auth_wait(r, e, e->asked_us + PATIENCE_US);
    stat_add(w->stats, auth_stale, 1);
    return auth_go_on(r, e);
}

static err_t auth_look(struct req *r, struct fail *f)
{
    struct auth *a = r->worker->auth;
    struct str header = r->head->authorization;
    unsigned char key[AUTH_DIGEST_BYTES];
    struct auth_entry *e;
    uint64_t age_us;

    if (!auth_header_is_basic(header))
        return auth_challenge(r);
    key_digest(&a->shared->key, header, STR(""), key);
    if ((e = auth_cache_find(a->cache, key)) == NULL)
        return auth_begin(r, key, header);
    age_us = r->worker->now_us - e->asked_us;
    switch (e->verdict) {
    case AUTH_ASKED: return auth_wait(r, e, UINT64_MAX);
    case AUTH_GOOD: return auth_trust(r, e);
    case AUTH_BAD:
        if (age_us < BAD_US)
            return auth_challenge(r);
        break;
    case AUTH_AWAY:
        if (age_us < AWAY_US)
            return fail(f, ERR_UNAVAILABLE, "The database of the users gives no answer.");
        break;
    case AUTH_BUSY:
        if (age_us < AWAY_US)
            return auth_refuse_busy(r);
        break;
    }
    auth_cache_remove(a->cache, e);
    return auth_begin(r, key, header);
}

/* Is somebody to be asked who it is? */
static bool auth_is_due(const struct req *r)
{
    return r->worker->auth != NULL && r->conn->where != ON_ADMIN && !auth_is_open(r);
}

/* A long body of somebody whose password was just found wrong is not read either. */
bool auth_admits_head(struct req *r)
{
    const struct auth *a = r->worker->auth;
    unsigned char key[AUTH_DIGEST_BYTES];
    const struct auth_entry *e;

    if (!auth_is_due(r))
        return true;
    if (auth_header_is_basic(r->head->authorization)) {
        if (!r->head->is_chunked && r->head->content_length < LONG_BODY)
            return true;
        key_digest(&a->shared->key, r->head->authorization, STR(""), key);
        e = auth_cache_find(a->cache, key);
        if (e == NULL || e->verdict != AUTH_BAD || r->worker->now_us - e->asked_us >= BAD_US)
            return true;
    }
    (void)auth_challenge(r);
    return false;
}

err_t auth_admit(struct req *r, req_step next)
{
    if (!auth_is_due(r))
        return next(r, r->fail);
    r->admitted = next;
    return auth_look(r, r->fail);
}

uint64_t auth_question(struct worker *w)
{
    return ++w->auth->last_id;
}

bool auth_is_checking(const struct worker *w)
{
    return w->auth && w->auth->checking_count > 0;
}

struct helper *auth_hasher_of(const struct worker *w, struct str name)
{
    const struct auth_shared *sh = w->auth->shared;

    return sh->hashers[auth_name_hash(name) % sh->hasher_count]->helper;
}

/* What is known goes on until it is looked at again, as after a change of the table. */
void auth_take_file(struct worker *w, const struct htpasswd *file)
{
    atomic_store(&w->auth->file, file);
}

bool auth_send_file(struct worker *w, const struct htpasswd *file)
{
    struct note n = {.kind = WORKER_FILE, .ref = (uintptr_t)file};

    return inbox_send(&w->inbox, &n);
}

bool auth_has_file(const struct worker *w, const struct htpasswd *file)
{
    return atomic_load(&w->auth->file) == file;
}

/* -- forgetting -------------------------------------------------------------------------------- */

/* What news.h brings. Of which user is not known when some of it was missed: then every row is looked at
 * before it is trusted again. */
static void auth_on_news(void *arg, struct str name)
{
    struct auth *a = arg;
    const struct worker *w = a->worker;

    a->forgot_us = w->now_us;
    if (name.p)
        auth_cache_forget(a->cache, auth_name_hash(name));
    else if (w->now_us > w->settings->auth_ttl)
        auth_cache_doubt(a->cache, w->now_us - w->settings->auth_ttl);
}

void auth_forget(struct worker *w, struct str name)
{
    news_tell(w, NEWS_USER, name);
}
