/*
 * server: the order in which things come to life and end.
 *
 *   up    signals blocked > addresses bound > private cluster > schema > queue (replay) > runs
 *         > users > flushers, watcher > file limit > listen > workers > the lines on standard output
 *   down  not ready > drain_delay > workers (listeners, idle connections, open requests)
 *         > queue seals > flushers flush what fits > watcher > queue > runs > cluster
 *
 * Addresses are bound first because a taken port is the most frequent mistake and should not cost
 * the start of a cluster; nobody can connect before listen(). Each step up is undone by the same
 * function that stops a running server (server_stop), which looks at how far it came.
 *
 * Signals are blocked in every thread; the main thread waits for them and tends the cluster
 * meanwhile. On the way down it goes on hearing them: a second SIGTERM moves every deadline to now.
 * SIGHUP makes a new snapshot of the settings from the same sources. Settings marked RESTART keep
 * their value (and a line in the log names them). A snapshot is freed when every worker
 * has taken the next one, except the first, which the queue and the flushers were opened with (the
 * flushers are told of each new one, and copy what they need).
 */
#define _GNU_SOURCE /* environ */
#include "gateway/server.h"

#include <libpq-fe.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/notify.h"
#include "base/process.h"
#include "flush/flusher.h"
#include "flush/watcher.h"
#include "gateway/artifact/artifacts.h"
#include "gateway/artifact/ui_files.h"
#include "gateway/auth/auth_config.h"
#include "gateway/auth/htpasswd.h"
#include "gateway/auth/may.h"
#include "gateway/auth/user.h"
#include "gateway/auth/workspace_start.h"
#include "gateway/auth/workspace_table.h"
#include "gateway/helper.h"
#include "gateway/http/listen.h"
#include "gateway/http/route.h"
#include "gateway/http/tls.h"
#include "gateway/pod.h"
#include "gateway/status/latency.h"
#include "gateway/status/pulse.h"
#include "gateway/status/status_page.h"
#include "gateway/trace/tracer.h"
#include "gateway/worker.h"
#include "gateway/worker_config.h"
#include "ingest/queue.h"
#include "ingest/queue_share.h"
#include "ingest/runs.h"
#include "schema/cluster.h"
#include "schema/errors.h"
#include "schema/migrate.h"
#include "schema/pg_connect.h"

enum { WORKERS_MAX = 256, FLUSHERS_MAX = 16, WORKERS_AUTO_MAX = 8 };
/* Longer blocks are remapped as they grow. Left alone, glibc raises this to 32 MiB once such a block
 * was freed, and then copies a long body each time it doubles. */
enum { REMAPPED_BYTES = 4 << 20 };
enum server_stage { STAGE_STARTING, STAGE_SERVING, STAGE_DRAINING };

struct server {
    struct settings *first;   /* RESTART settings never change, so these are good to the end */
    struct settings *current; /* main thread; the workers have their own pointer to it */
    const struct server_source *source;
    _Atomic int stage;
    uint64_t started_us;
    struct cluster *cluster; /* NULL with a pg_uri */
    const char *pg_uri;      /* NULL: everything goes upstream */
    struct arena arena;      /* constants of this server's life */
    const char *artifact_root;
    struct artifacts artifacts;

    struct queue *queue;
    struct watcher *watcher; /* NULL: the queue is this process's own, or nobody reads here */
    struct runs *runs;
    struct workspace_table *workspaces; /* which are known; NULL: they are off */
    struct pod *pod;
    struct helper *helper;
    struct auth_config auth_config; /* with auth = basic */
    struct auth_shared *auth;       /* NULL = auth is none */
    struct htpasswd *file;          /* of names and hashes; NULL = none */
    bool delegates_users;           /* the upstream judges who may, so everything goes there */
    const char *users_uri;          /* where the users are; pg_uri itself when it is the same */
    struct tls *tls;                /* NULL = listen is plain */
    struct ui_files *ui;            /* NULL = no ui_dir */
    struct pulse *pulse;
    struct tracer *tracer; /* NULL = no otlp_endpoint */
    struct stats *tracer_stats;
    struct stats *main_stats;
    struct stats *sealer_stats;
    struct stats *worker_stats[WORKERS_MAX];
    struct stats *flusher_stats[FLUSHERS_MAX];
    struct worker *workers[WORKERS_MAX];
    struct flusher *flushers[FLUSHERS_MAX];
    unsigned worker_count;
    unsigned flusher_count;
    unsigned max_connections; /* what the limit of file descriptors leaves of the setting */
    _Atomic unsigned workers_started;
    unsigned flushers_started;

    int listen_fds[WORKERS_MAX];
    int admin_fd;
    char url[LISTEN_URL_MAX]; /* "" = not served */
    char admin_url[LISTEN_URL_MAX];
    sigset_t signals;
    struct notify manager;
    uint64_t until_us; /* drain_timeout ends then */
    bool is_hurried;
};

/* -- what other threads ask -------------------------------------------------------------------- */

void server_stats(struct server *sv, struct stats_view *v)
{
    memset(v, 0, sizeof(*v));
    stats_sum(sv->sealer_stats, v);
    stats_sum(sv->main_stats, v);
    stats_sum(sv->tracer_stats, v);
    for (unsigned i = 0; i < sv->worker_count; i++)
        stats_sum(sv->worker_stats[i], v);
    for (unsigned i = 0; i < sv->flusher_count; i++)
        stats_sum(sv->flusher_stats[i], v);
}

uint64_t server_open_connections(struct server *sv)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < sv->worker_count; i++)
        sum += atomic_load_explicit(&sv->worker_stats[i]->open_connections, memory_order_relaxed);
    return sum;
}

struct worker *server_worker(struct server *sv, unsigned index)
{
    unsigned n = atomic_load_explicit(&sv->workers_started, memory_order_acquire);

    return index < n ? sv->workers[index] : NULL;
}

void server_hurry_logins(struct server *sv)
{
    auth_shared_hurry(sv->auth);
}

const struct auth_config *server_auth_config(const struct server *sv)
{
    return sv->users_uri ? &sv->auth_config : NULL;
}

/* How many flushers have a connection, and how many hold. */
struct flushing {
    uint64_t connected;
    uint64_t held;
};

static struct flushing server_flushing(const struct server *sv)
{
    struct flushing sum = {0};

    for (unsigned i = 0; i < sv->flusher_count; i++) {
        const struct stats *s = sv->flusher_stats[i];

        sum.connected += atomic_load_explicit(&s->flusher_connected, memory_order_relaxed);
        sum.held += atomic_load_explicit(&s->flusher_held, memory_order_relaxed);
    }
    return sum;
}

static struct server_check check_of(const char *name, bool is_good, const char *trouble)
{
    return (struct server_check){name, is_good ? CHECK_GOOD : CHECK_BAD, is_good ? "" : trouble};
}

unsigned server_checks(struct server *sv, struct server_check *out)
{
    int stage = atomic_load_explicit(&sv->stage, memory_order_acquire);
    struct flushing flushing = server_flushing(sv);
    const char *redis = pod_trouble(sv->pod);
    unsigned n = 0;

    out[n++] = check_of("serving", stage == STAGE_SERVING,
                        stage == STAGE_STARTING ? "starting" : "draining");
    out[n++] = check_of(queue_kind(sv->queue), queue_is_healthy(sv->queue),
                        queue_is_shared(sv->queue) ? "no broker takes writes"
                                                   : "the journal cannot be written");
    out[n++] = check_of("postgresql", flushing.connected + flushing.held >= sv->flusher_count,
                        "a flusher has no connection to PostgreSQL");
    out[n++] = check_of("flushing", flushing.held == 0,
                        "held until somebody acts on the database; the log says why");
    if (!sv->pod->has_redis)
        out[n++] = (struct server_check){"redis", CHECK_OFF, "not configured"};
    else /* everything goes on without it */
        out[n++] =
            (struct server_check){"redis", redis ? CHECK_WARN : CHECK_GOOD, redis ? redis : ""};
    return n;
}

bool server_is_ready(struct server *sv, bool is_verbose, struct buf *why)
{
    struct server_check checks[SERVER_CHECKS];
    unsigned n = server_checks(sv, checks);
    bool is_ready = true;

    for (unsigned i = 0; i < n; i++) {
        is_ready = is_ready && checks[i].state != CHECK_BAD;
        if (checks[i].state == CHECK_BAD)
            buf_printf(why, "[-]%s: %s\n", checks[i].name, checks[i].words);
        else if (is_verbose && checks[i].state == CHECK_GOOD)
            buf_printf(why, "[+]%s ok\n", checks[i].name);
        else if (is_verbose && checks[i].state == CHECK_WARN)
            buf_printf(why, "[!]%s: %s\n", checks[i].name, checks[i].words);
    }
    return is_ready;
}

bool server_flusher_stats(const struct server *sv, unsigned index, struct stats_view *v)
{
    if (index >= sv->flusher_count)
        return false;
    memset(v, 0, sizeof(*v));
    stats_sum(sv->flusher_stats[index], v);
    return true;
}

struct pulse *server_pulse(struct server *sv)
{
    return sv->pulse;
}

struct queue *server_queue(struct server *sv)
{
    return sv->queue;
}

uint64_t server_uptime_us(struct server *sv)
{
    return clock_us() - sv->started_us;
}

const struct ui_files *server_ui(const struct server *sv)
{
    return sv->ui;
}

const char *server_artifact_root(struct server *sv)
{
    return sv->artifact_root;
}

const struct artifacts *server_artifacts(struct server *sv)
{
    return &sv->artifacts;
}

/* -- up ---------------------------------------------------------------------------------------- */

static void server_block_signals(struct server *sv)
{
    sigemptyset(&sv->signals);
    sigaddset(&sv->signals, SIGINT);
    sigaddset(&sv->signals, SIGTERM);
    sigaddset(&sv->signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &sv->signals, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static unsigned server_processors(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);

    if (n < 1)
        return 1;
    return n > WORKERS_AUTO_MAX ? WORKERS_AUTO_MAX : (unsigned)n;
}

static bool server_is_none(const char *address)
{
    return strcmp(address, "none") == 0;
}

static unsigned server_workers(const struct settings *s)
{
    if (server_is_none(s->listen))
        return 1; /* for admin_listen */
    return s->workers ? (unsigned)s->workers : server_processors();
}

uint64_t server_files(const struct settings *s)
{
    uint64_t pools =
        strcmp(s->auth, "basic") == 0 ? 2 : 1; /* the users may have a database of their own */

    return s->max_connections + server_workers(s) * (pools * s->sql_connections + WORKER_FILES) +
           s->artifact_transfers * ARTIFACT_FILES + 256;
}

/* Asks for as many file descriptors as max_connections needs. With fewer, fewer connections are
 * taken: a client is told so, where one that meets the limit itself would take them from the journal
 * and from PostgreSQL as well. */
static void server_raise_file_limit(struct server *sv)
{
    const struct settings *s = sv->first;
    struct rlimit limit;
    rlim_t want = server_files(s);
    rlim_t others = want - s->max_connections;
    struct rlimit more = {want, want};

    sv->max_connections = (unsigned)s->max_connections;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= want)
        return;
    more.rlim_max = limit.rlim_max > want ? limit.rlim_max : want;
    if (setrlimit(RLIMIT_NOFILE, &more) == 0) /* beyond rlim_max root may */
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur > 2 * others)
        limit.rlim_max = limit.rlim_cur - others;
    else
        limit.rlim_max = limit.rlim_cur / 2;
    if (sv->max_connections > limit.rlim_max)
        sv->max_connections = (unsigned)limit.rlim_max;
    log_warn("", "fewer connections than max_connections: file descriptors are limited",
             "limit=%llu want=%llu connections=%u", (unsigned long long)limit.rlim_cur,
             (unsigned long long)want, sv->max_connections);
}

static err_t server_bind(struct server *sv, struct fail *f)
{
    const struct settings *s = sv->first;
    err_t e;

    if (!server_is_none(s->listen)) {
        e = listen_open("listen", s->listen, sv->listen_fds, sv->worker_count, sv->url, f);
        if (e)
            return e;
    }
    if (server_is_none(s->admin_listen))
        return OK;
    return listen_open("admin_listen", s->admin_listen, &sv->admin_fd, 1, sv->admin_url, f);
}

/* Its files are read before anything that takes time is begun. */
static err_t server_open_tls(struct server *sv, struct fail *f)
{
    struct str rest = str_skip(str_of(sv->url), 4); /* behind "http" */
    char url[LISTEN_URL_MAX];
    err_t e;

    if (sv->first->tls_cert[0] == '\0' || sv->url[0] == '\0')
        return OK;
    if ((e = tls_open(sv->first, sv->main_stats, &sv->tls, f)))
        return e;
    snprintf(url, sizeof(url), "https%.*s", STR_ARG(rest));
    memcpy(sv->url, url, sizeof(url));
    return OK;
}

/* libpq's first line says what, those behind it guess why. */
static err_t server_refuse_database(PGconn *c, struct fail *f)
{
    struct str said = str_trim(str_of(PQerrorMessage(c)));
    struct str why = str_cut(&said, '\n');

    return fail(f, ERR_PG, "cannot connect to PostgreSQL: %.*s", STR_ARG(why));
}

/* The waits at a start are libpq's, which no signal ends: meanwhile one that asks us to stop ends the
 * process at once. Nothing is open yet that would mind. Not so a cluster of ours: it would be left
 * running, and it answers. */
static void server_let_signals_kill(bool is_so)
{
    sigset_t stop;

    sigemptyset(&stop);
    sigaddset(&stop, SIGINT);
    sigaddset(&stop, SIGTERM);
    pthread_sigmask(is_so ? SIG_UNBLOCK : SIG_BLOCK, &stop, NULL);
}

static err_t server_open_database(struct server *sv, struct fail *f)
{
    const struct settings *s = sv->first;
    struct pg_terms terms;
    PGconn *c;
    err_t e;

    if (settings_passes_all(s))
        return OK;
    if ((e = workspace_start_check(s, str_of(sv->artifact_root), f)))
        return e;
    sv->pg_uri = s->pg_uri;
    if (s->pg_uri[0] == '\0') {
        if ((e = cluster_open(s->data_dir, s->pg_bin_dir, &sv->cluster, f)))
            return e;
        sv->pg_uri = cluster_uri(sv->cluster);
    }
    terms = pg_terms_of(sv->pg_uri, s);
    if (!sv->cluster)
        server_let_signals_kill(true);
    c = pg_connect_wait(&terms, "sluice start");
    if (c && PQstatus(c) == CONNECTION_OK)
        e = migrate_prepare(c, workspace_first_root(&sv->arena, s, str_of(sv->artifact_root)), f);
    else
        e = server_refuse_database(c, f);
    if (!e && strcmp(s->listen, "none") != 0)
        e = workspace_start_look(c, s->enable_workspaces, f);
    PQfinish(c);
    server_let_signals_kill(false);
    return e;
}

/* A function in Python is the upstream's to run. */
static err_t server_delegate_users(struct server *sv, struct fail *f)
{
    struct str function = str_head(sv->auth_config.authorization_function, 200);

    if (*sv->first->upstream == '\0')
        return fail(f, ERR_SETTING,
                    "auth_config: authorization_function = %.*s is a Python function, which only a "
                    "stock server can run: set upstream to one that has it, and all is passed on "
                    "to it, or leave authorization_function out",
                    STR_ARG(function));
    sv->delegates_users = true;
    log_info("", "a function in Python judges who may: everything is passed on to the upstream",
             "authorization_function=%.*s", STR_ARG(function));
    return OK;
}

/* What there must be. */
static err_t server_check_users(const struct settings *s, struct fail *f)
{
    if (*s->auth_secret_key == '\0')
        return fail(f, ERR_SETTING,
                    "A static secret key needs to be set for CSRF protection. Please set the "
                    "`MLFLOW_FLASK_SERVER_SECRET_KEY` environment variable before starting the "
                    "server. For example:\n\nexport MLFLOW_FLASK_SERVER_SECRET_KEY='my-secret-key'"
                    "\n\nIf you are using multiple servers, please ensure this key is consistent "
                    "between them, in order to prevent validation issues.");
    return OK;
}

/* The users: MLflow's file about them, their database, the first admin. */
static err_t server_open_users(struct server *sv, struct fail *f)
{
    const struct settings *s = sv->first;
    struct pg_terms terms;
    PGconn *c;
    err_t e;

    if (strcmp(s->auth, "none") == 0)
        return OK;
    if ((e = auth_config_load(s, environ, &sv->arena, &sv->auth_config, f)))
        return e;
    if (!str_eq(sv->auth_config.authorization_function, STR(AUTH_FUNCTION_BASIC)))
        return server_delegate_users(sv, f);
    if ((e = server_check_users(s, f)) ||
        (*s->auth_htpasswd && (e = htpasswd_open(s->auth_htpasswd, &sv->file, f))))
        return e;
    sv->users_uri = auth_config_pg_uri(&sv->auth_config, s, sv->pg_uri, &sv->arena);
    terms = pg_terms_of(sv->users_uri, s);
    c = pg_connect_wait(&terms, "sluice start");
    if (c && PQstatus(c) == CONNECTION_OK) {
        if ((e = migrate_auth(c, f)) == OK)
            e = user_bootstrap(c, &sv->auth_config, f);
    } else {
        e = server_refuse_database(c, f);
    }
    PQfinish(c);
    if (e == OK)
        sv->auth = auth_shared_start(s, &sv->auth_config, sv->file);
    return e;
}

static err_t server_start_flushers(struct server *sv, struct fail *f)
{
    for (unsigned i = 0; i < sv->flusher_count; i++) {
        struct flusher_config c = {.queue = sv->queue,
                                   .runs = sv->runs,
                                   .settings = sv->first,
                                   .pg_uri = sv->pg_uri,
                                   .stats = sv->flusher_stats[i],
                                   .follower = sv->tracer ? tracer_follower(sv->tracer)
                                                          : (struct follower){0},
                                   .index = i,
                                   .count = sv->flusher_count};
        err_t e = flusher_start(&c, &sv->flushers[i], f);

        if (e)
            return e;
        sv->flushers_started++;
    }
    return OK;
}

static err_t server_start_workers(struct server *sv, struct fail *f)
{
    for (unsigned i = 0; i < sv->worker_count; i++) {
        struct worker_config c = {.server = sv,
                                  .count = sv->worker_count,
                                  .index = i,
                                  .max_connections = sv->max_connections,
                                  .settings = sv->first,
                                  .queue = sv->queue,
                                  .runs = sv->runs,
                                  .workspaces = sv->workspaces,
                                  .pod = sv->pod,
                                  .helper = sv->helper,
                                  .pg_uri = sv->delegates_users ? NULL : sv->pg_uri,
                                  .auth = sv->auth,
                                  .users_uri = sv->users_uri,
                                  .tls = sv->tls ? tls_context(sv->tls) : NULL,
                                  .stats = sv->worker_stats[i],
                                  .tracer = sv->tracer,
                                  .listen_fd = sv->listen_fds[i],
                                  .admin_listen_fd = i == 0 ? sv->admin_fd : -1};
        err_t e;

        sv->listen_fds[i] = -1; /* the worker's now */
        if (i == 0)
            sv->admin_fd = -1;
        if ((e = worker_start(&c, &sv->workers[i], f)))
            return e;
        atomic_store_explicit(&sv->workers_started, i + 1, memory_order_release);
    }
    return OK;
}

static err_t server_start(struct server *sv, struct fail *f)
{
    const struct settings *s = sv->first;
    err_t e;

    (void)mallopt(M_MMAP_THRESHOLD, REMAPPED_BYTES);
    status_page_init();
    route_init(s->static_prefix, s->ui_dir[0] != '\0', strcmp(s->auth, "basic") == 0);
    may_init();
    if (s->ui_dir[0] && (e = ui_files_open(s->ui_dir, &sv->ui, f)))
        return e;
    if ((e = artifacts_open(&sv->artifacts, &sv->arena, s, f)))
        return e;
    if ((e = server_bind(sv, f)) || (e = server_open_tls(sv, f)) ||
        (e = server_open_database(sv, f)) || (e = server_open_users(sv, f)))
        return e;
    if ((e = queue_open(s, sv->url[0] ? sv->worker_count : 0, sv->sealer_stats, &sv->queue, f)))
        return e;
    sv->runs = runs_new(s->run_cache_entries);
    runs_raise_floor(sv->runs, queue_appended(sv->queue)); /* reads wait for what was replayed */
    if (s->enable_workspaces)
        sv->workspaces = workspace_table_new();
    if ((e = pod_open(s, sv->queue, sv->runs, &sv->pod, f)))
        return e;
    if (s->otlp_endpoint[0]) {
        sv->tracer = tracer_start(s->otlp_endpoint, sv->pod->id, sv->tracer_stats);
        tracer_sample(sv->tracer, s->otlp_sample);
    }
    if ((e = server_start_flushers(sv, f)))
        return e;
    if (queue_is_shared(sv->queue) && sv->url[0] &&
        (e = watcher_start(sv->queue, sv->pg_uri, s, &sv->watcher, f)))
        return e;
    server_raise_file_limit(sv);
    sv->helper = helper_start();
    if (sv->url[0])
        listen_set_peer_timeout(sv->listen_fds, sv->worker_count, s->peer_timeout);
    if (sv->admin_url[0])
        listen_set_peer_timeout(&sv->admin_fd, 1, s->peer_timeout);
    if (sv->url[0] && (e = listen_begin(sv->listen_fds, sv->worker_count, f)))
        return e;
    if (sv->admin_url[0] && (e = listen_begin(&sv->admin_fd, 1, f)))
        return e;
    if ((e = server_start_workers(sv, f)))
        return e;
    atomic_store_explicit(&sv->stage, STAGE_SERVING, memory_order_release);
    return OK;
}

/* A URL that a client on this machine can use. */
static void server_print_example(const struct server *sv)
{
    const char *dir = sv->first->data_dir;
    const char *port = strrchr(sv->url, ':');
    const char *host = strstr(sv->url, "://");
    bool is_any = strncmp(host, "://0.0.0.0:", 11) == 0 || strncmp(host, "://[::]:", 8) == 0;

    if (is_any)
        printf("  export MLFLOW_TRACKING_URI=%.*s://127.0.0.1%s\n", (int)(host - sv->url), sv->url,
               port);
    else
        printf("  export MLFLOW_TRACKING_URI=%s\n", sv->url);
    printf("  python examples/digits.py\n");
    if (sv->cluster && strcmp(dir, "./var") != 0)
        printf(
            "  psql \"$(build/sluice pg-uri --data-dir %s)\" -c 'select count(*) from metrics'\n",
            dir);
    else
        printf("  psql \"$(build/sluice pg-uri)\" -c 'select count(*) from metrics'\n");
}

static void server_print(const struct server *sv)
{
    if (sv->url[0])
        printf("listening on %s\n", sv->url);
    if (sv->admin_url[0])
        printf("admin on %s\n", sv->admin_url);
    if (sv->cluster) {
        printf("private PostgreSQL cluster in %s\n", cluster_dir(sv->cluster));
        printf("psql '%s'\n", sv->pg_uri);
    }
    if (sv->pg_uri == NULL)
        printf("everything is passed on to %s: pg_uri names no PostgreSQL\n", sv->first->upstream);
    else if (sv->url[0])
        server_print_example(sv);
    fflush(stdout);
}

/* -- reload ------------------------------------------------------------------------------------ */

static void server_set_log(const struct settings *s)
{
    static const char *const levels[] = {"error", "warn", "info", "debug"};

    for (unsigned i = 0; i < array_len(levels); i++) {
        if (strcmp(s->log_level, levels[i]) == 0)
            log_set_level((enum log_level)i);
    }
    log_set_json(strcmp(s->log_format, "json") == 0);
}

/* Every worker takes a snapshot between two events: milliseconds. */
static void server_await_reload(struct server *sv)
{
    static const struct timespec moment = {.tv_nsec = 1000000};

    for (unsigned i = 0; i < sv->worker_count; i++) {
        while (!worker_has_reloaded(sv->workers[i], sv->current))
            nanosleep(&moment, NULL);
    }
}

/* All of it or nothing: a file with one bad line changes no setting. */
static void server_reload(struct server *sv)
{
    struct settings *old = sv->current;
    struct settings *s = settings_new();
    struct buf changed, kept;
    struct fail f;

    fail_init(&f, &s->arena);
    if (sv->source->load(sv->source->arg, s, &f) != OK) {
        log_each(LOG_ERROR, "", "settings not reloaded, the old ones stay", "why=%.*s",
                 STR_ARG(f.text));
        settings_free(s);
        return;
    }
    buf_init(&changed);
    buf_init(&kept);
    settings_follow(s, old, &changed, &kept);
    server_set_log(s);
    sv->current = s;
    for (unsigned i = 0; i < sv->worker_count; i++)
        worker_reload(sv->workers[i], s);
    for (unsigned i = 0; i < sv->flusher_count; i++)
        flusher_reload(sv->flushers[i], s);
    if (sv->tracer)
        tracer_sample(sv->tracer, s->otlp_sample);
    server_await_reload(sv);
    if (old != sv->first)
        settings_free(old);
    if (buf_len(&kept))
        log_each(LOG_WARN, "", "settings take effect at the next start only", "settings=%.*s",
                 STR_ARG(buf_str(&kept)));
    log_each(LOG_INFO, "", "settings reloaded", "changed=%.*s",
             STR_ARG(buf_len(&changed) ? buf_str(&changed) : STR("none")));
    buf_fini(&changed);
    buf_fini(&kept);
}

/* The file of names and hashes has changed. While it cannot be read the old one counts. */
static void server_read_file(struct server *sv)
{
    static const struct timespec moment = {.tv_nsec = 1000000};
    struct htpasswd *old = sv->file, *file;
    struct fail f;

    fail_init(&f, NULL);
    if (htpasswd_open(sv->first->auth_htpasswd, &file, &f) != OK) {
        log_error("", "users of the file not read anew, the old ones stay", "why=%.*s",
                  STR_ARG(f.text));
        return;
    }
    sv->file = file;
    for (unsigned i = 0; i < sv->worker_count; i++) {
        while (!auth_send_file(sv->workers[i], file))
            nanosleep(&moment, NULL);
    }
    for (unsigned i = 0; i < sv->worker_count; i++) {
        while (!auth_has_file(sv->workers[i], file))
            nanosleep(&moment, NULL);
    }
    htpasswd_close(old);
    log_info("", "users of the file read anew", "%s", "");
}

static void server_pass_tls(struct server *sv)
{
    for (unsigned i = 0; i < sv->worker_count; i++)
        worker_set_tls(sv->workers[i], tls_context(sv->tls));
}

/* -- down -------------------------------------------------------------------------------------- */

/* A second signal: what is open is answered 503, what is not in PostgreSQL stays in the journal. */
static void server_hurry(struct server *sv)
{
    if (sv->is_hurried)
        return;
    log_warn("", "hurrying", "backlog_points=%llu",
             sv->queue ? (unsigned long long)queue_backlog_points(sv->queue) : 0);
    sv->is_hurried = true;
    sv->until_us = clock_us();
    for (unsigned i = 0; i < atomic_load(&sv->workers_started); i++)
        worker_drain(sv->workers[i], sv->until_us);
    for (unsigned i = 0; i < sv->flushers_started; i++)
        flusher_stop(sv->flushers[i], sv->until_us);
}

/* A moment, within which signals are heard. */
static void server_pause(struct server *sv)
{
    static const struct timespec moment = {.tv_nsec = 2000000};
    int sig = sigtimedwait(&sv->signals, NULL, &moment);

    if (sig == SIGINT || sig == SIGTERM)
        server_hurry(sv);
    else if (sig == SIGHUP)
        log_warn("", "settings not reloaded: stopping", "%s", "");
}

/* Load balancers learn from /readyz that they should go elsewhere; until they have, all is served. */
static void server_linger(struct server *sv)
{
    uint64_t until_us = clock_us() + sv->current->drain_delay;

    if (sv->current->drain_delay == 0)
        return;
    for (unsigned i = 0; i < atomic_load(&sv->workers_started); i++)
        worker_leave(sv->workers[i]);
    while (!sv->is_hurried && clock_us() < until_us)
        server_pause(sv);
}

static void server_stop_workers(struct server *sv)
{
    unsigned workers = atomic_load(&sv->workers_started);

    for (unsigned i = 0; i < workers; i++)
        worker_drain(sv->workers[i], sv->until_us);
    for (unsigned i = 0; i < workers; i++) {
        while (!worker_has_ended(sv->workers[i]))
            server_pause(sv);
        worker_join(sv->workers[i]);
    }
}

static void server_stop_flushers(struct server *sv)
{
    for (unsigned i = 0; i < sv->flushers_started; i++)
        flusher_stop(sv->flushers[i], sv->until_us);
    for (unsigned i = 0; i < sv->flushers_started; i++) {
        while (!flusher_has_ended(sv->flushers[i]))
            server_pause(sv);
    }
    for (unsigned i = 0; i < sv->flushers_started; i++)
        flusher_join(sv->flushers[i]);
    sv->flushers_started = 0;
}

static void server_stop(struct server *sv)
{
    bool has_served = atomic_load(&sv->stage) == STAGE_SERVING;
    unsigned workers = atomic_load(&sv->workers_started);

    atomic_store_explicit(&sv->stage, STAGE_DRAINING, memory_order_release);
    if (has_served)
        server_linger(sv);
    if (!sv->is_hurried)
        sv->until_us = clock_us() + sv->current->drain_timeout;
    server_stop_workers(sv);
    helper_stop(sv->helper);
    artifacts_close(&sv->artifacts);
    auth_shared_stop(sv->auth);
    sv->auth = NULL;
    if (sv->queue)
        queue_stop(sv->queue);
    server_stop_flushers(sv);
    tracer_stop(sv->tracer);
    watcher_stop(sv->watcher);
    if (sv->queue)
        queue_close(sv->queue);
    for (unsigned i = 0; i < workers; i++)
        worker_free(sv->workers[i]);
    pod_close(sv->pod);
    if (sv->runs)
        runs_free(sv->runs);
    workspace_table_free(sv->workspaces);
    if (sv->cluster)
        cluster_close(sv->cluster);
}

static void server_free(struct server *sv)
{
    for (unsigned i = 0; i < WORKERS_MAX; i++) {
        if (sv->listen_fds[i] >= 0)
            close(sv->listen_fds[i]);
    }
    if (sv->admin_fd >= 0)
        close(sv->admin_fd);
    tls_close(sv->tls);
    ui_files_close(sv->ui);
    pulse_free(sv->pulse);
    stats_free(sv->main_stats);
    stats_free(sv->tracer_stats);
    stats_free(sv->sealer_stats);
    for (unsigned i = 0; i < sv->worker_count; i++)
        stats_free(sv->worker_stats[i]);
    for (unsigned i = 0; i < sv->flusher_count; i++)
        stats_free(sv->flusher_stats[i]);
    if (sv->current != sv->first)
        settings_free(sv->current);
    settings_free(sv->first);
    htpasswd_close(sv->file);
    arena_fini(&sv->arena);
    free(sv);
}

/* -- all of it --------------------------------------------------------------------------------- */

static struct server *server_new(struct settings *s, const struct server_source *source)
{
    struct server *sv = calloc(1, sizeof(*sv));

    check(sv != NULL);
    sv->first = sv->current = s;
    sv->source = source;
    sv->started_us = clock_us();
    sv->admin_fd = -1;
    for (unsigned i = 0; i < WORKERS_MAX; i++)
        sv->listen_fds[i] = -1;
    arena_init(&sv->arena, 1024);
    sv->artifact_root = settings_artifact_root(s, &sv->arena).p;
    sv->worker_count = server_workers(s);
    sv->flusher_count = settings_passes_all(s) ? 0 : (unsigned)s->flushers;
    sv->pulse = pulse_new();
    sv->main_stats = stats_new();
    sv->tracer_stats = stats_new();
    sv->sealer_stats = stats_new();
    for (unsigned i = 0; i < sv->worker_count; i++)
        sv->worker_stats[i] = stats_new();
    for (unsigned i = 0; i < sv->flusher_count; i++)
        sv->flusher_stats[i] = stats_new();
    return sv;
}

/* Answers 5xx of all routes. */
static uint64_t server_count_failed(const struct server *sv)
{
    struct hist_view h = {0};
    struct exemplar_view e = {0};
    size_t rows;

    route_rows(&rows);
    for (unsigned i = 0; i < sv->worker_count; i++) {
        for (unsigned row = 0; row <= rows; row++)
            latency_sum_route(sv->workers[i]->latency, row, 5, &h, &e);
    }
    return hist_count(&h);
}

static void server_beat(struct server *sv)
{
    uint64_t now_us = clock_us();
    struct pulse_look look;
    struct process p;

    if (!pulse_is_due(sv->pulse, now_us))
        return;
    process_look(&p);
    server_stats(sv, &look.stats);
    look.failed = server_count_failed(sv);
    look.cpu_us = p.cpu_us;
    look.resident_bytes = p.resident_bytes;
    look.backlog_points = queue_backlog_points(sv->queue);
    look.backlog_us = queue_backlog_us(sv->queue);
    pulse_beat(sv->pulse, &look, now_us);
}

/* Returns when it is time to stop. */
static void server_await_signals(struct server *sv)
{
    static const struct timespec second = {.tv_sec = 1};

    for (;;) {
        int sig = sigtimedwait(&sv->signals, NULL, &second);

        server_beat(sv);
        if (sig == SIGINT || sig == SIGTERM) {
            log_info("", "stopping", "signal=%d", sig);
            return;
        }
        if (sig == SIGHUP)
            server_reload(sv);
        if (sv->tls && (sig == SIGHUP ? tls_reload(sv->tls) : tls_tend(sv->tls)))
            server_pass_tls(sv);
        if (sv->cluster)
            cluster_tend(sv->cluster);
        if (sv->file && htpasswd_is_old(sv->file))
            server_read_file(sv);
    }
}

int server_run(struct settings *s, const struct server_source *source)
{
    struct server *sv = server_new(s, source);
    struct fail f;
    err_t e;

    fail_init(&f, &sv->arena);
    server_set_log(s);
    server_block_signals(sv);
    if (!notify_open(&sv->manager))
        log_warn("", "NOTIFY_SOCKET cannot be reached: the service manager learns nothing", "%s",
                 "");
    e = server_start(sv, &f);
    if (e == OK) {
        server_print(sv);
        notify_say(&sv->manager, "READY=1");
        server_await_signals(sv);
    } else {
        fprintf(stderr, "sluice: %.*s\n", STR_ARG(f.text));
    }
    notify_say(&sv->manager, "STOPPING=1");
    server_stop(sv);
    notify_close(&sv->manager);
    server_free(sv);
    return e == OK ? 0 : 1;
}
