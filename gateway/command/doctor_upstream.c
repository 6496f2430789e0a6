/*
 * doctor_upstream: the server behind, as a worker would find it: reachable, trusted, and well?
 *
 * One connection of the kind that workers have (proxy/upstream.h), on a loop of its own, and a GET of
 * /health on it, which a stock server answers without looking at anything. The connection may take
 * upstream_connect_timeout, and the answer as long again: upstream_timeout is for answers that are work.
 *
 * A server that answers is asked for its server-info as well: one with workspaces behind a Sluice without them, or
 * the other way round, shows one and the same client two different worlds.
 *
 * Native paths do without it, so its silence is a warning; but where all is passed on it is a failure.
 */
#include "gateway/command/doctor.h"

#include <errno.h>
#include <event2/event.h>
#include <sys/uio.h>

#include "base/clock.h"
#include "gateway/proxy/upstream.h"
#include "yyjson.h"

enum { UPSTREAM_READ = 16384, HEALTHY = 200, BODY_MOST = 65536 };

struct look {
    struct event_base *base;
    struct upstream_conn *conn;
    struct str left; /* of the request */
    struct buf body;
    uint64_t sent_us;
    uint64_t took_us;
    const char *why; /* NULL: it has answered, or the time was over */
    int status;      /* 0: no answer */
    bool wants_body; /* the answer is whole when that is */
    bool is_over;
};

static void look_end(struct look *l, const char *why)
{
    l->why = why;
    l->is_over = true;
    event_base_loopbreak(l->base);
}

/* Sends what is left; false when that has to wait, or failed. */
static bool look_send(struct look *l)
{
    while (l->left.n) {
        struct iovec v = {.iov_base = (void *)(uintptr_t)l->left.p, .iov_len = l->left.n};
        ssize_t n = upstream_write(l->conn, &v, 1);

        if (n < 0 && errno == EAGAIN)
            upstream_await(l->conn, EV_WRITE);
        else if (n < 0)
            look_end(l, "it cut the connection");
        if (n < 0)
            return false;
        l->left = str_skip(l->left, (size_t)n);
    }
    return true;
}

/* Takes what came; the head says all that is wanted, where not the body is. */
static void look_take(struct look *l, struct str bytes)
{
    while (bytes.n) {
        struct fail f;
        size_t used = 0;
        enum http_event event;

        fail_init(&f, NULL);
        event = http_answer_feed(l->conn->answer, bytes, &used, &l->body, &f);
        if (event == HTTP_ERROR) {
            look_end(l, "what it says is no HTTP");
            return;
        }
        if (event == HTTP_HEAD_END && http_answer_head(l->conn->answer)->status >= HEALTHY) {
            l->status = http_answer_head(l->conn->answer)->status;
            l->took_us = clock_us() - l->sent_us;
        }
        if (l->status && (!l->wants_body || event == HTTP_END || buf_len(&l->body) > BODY_MOST)) {
            look_end(l, NULL);
            return;
        }
        bytes = str_skip(bytes, used);
    }
}

static void look_on_event(struct upstream_conn *c)
{
    char bytes[UPSTREAM_READ];
    struct look *l = c->owner;
    ssize_t n;

    if (c->state == UPSTREAM_FAILED) {
        look_end(l, c->why);
        return;
    }
    if (l->sent_us == 0)
        l->sent_us = clock_us();
    if (!look_send(l))
        return;
    n = upstream_read(c, bytes, sizeof(bytes));
    if (n > 0)
        look_take(l, (struct str){bytes, (size_t)n});
    else if (n == 0 || errno != EAGAIN)
        look_end(l, "it cut the connection");
    if (!l->is_over)
        upstream_await(c, EV_READ);
}

static void look_at(struct look *l, struct upstream *u, const struct settings *s, struct str path)
{
    const struct upstream_url *url = upstream_url(u);
    char text[2048];
    uint64_t most_us = 2 * s->upstream_connect_timeout;
    const struct timeval most = {.tv_sec = (time_t)(most_us / 1000000),
                                 .tv_usec = (suseconds_t)(most_us % 1000000)};
    struct fail f;

    snprintf(text, sizeof(text),
             "GET %.*s%.*s HTTP/1.1\r\nHost: %.*s\r\nAccept: */*\r\nConnection: close\r\n\r\n",
             STR_ARG(url->prefix), STR_ARG(path), STR_ARG(url->authority));
    l->left = str_of(text);
    fail_init(&f, NULL);
    if (upstream_take(u, true, clock_us(), &l->conn, &f)) {
        l->why = "no connection";
        return;
    }
    l->conn->owner = l;
    l->conn->on_event = look_on_event;
    http_answer_begin(l->conn->answer, false);
    if (l->conn->state == UPSTREAM_FAILED) {
        l->why = l->conn->why;
    } else {
        event_base_loopexit(l->base, &most);
        event_base_dispatch(l->base);
    }
    if (l->conn->state == UPSTREAM_CONNECTING && l->why == NULL)
        l->why = "no connection in time";
    upstream_put(l->conn, false);
    upstream_unknown(u);
}

static enum verdict look_judge(struct doctor *d, const struct look *l)
{
    bool is_all = settings_passes_all(d->settings);

    buf_printf(&d->saw, "%s", d->settings->upstream);
    if (l->status == HEALTHY) {
        buf_printf(&d->saw, " answers /health, which takes %.1f ms", (double)l->took_us / 1000);
        return DOCTOR_OK;
    }
    if (l->status)
        buf_printf(&d->saw, " answers /health with %d", l->status);
    else
        buf_printf(&d->saw, ": %s", l->why ? l->why : "no answer to /health in time");
    buf_printf(&d->remedy,
               "does a stock MLflow server run there; are upstream and upstream_ca right? %s",
               is_all ? "All is passed on to it" : "Without it all goes on but what it answers");
    return is_all ? DOCTOR_FAIL : DOCTOR_WARN;
}

/* Does it have workspaces, as far as it says? */
static bool look_says_workspaces(const struct look *l, bool *has)
{
    yyjson_doc *doc = l->status == HEALTHY && buf_len(&l->body) <= BODY_MOST
                          ? yyjson_read(buf_str(&l->body).p, buf_len(&l->body), 0)
                          : NULL;
    yyjson_val *said = yyjson_obj_get(yyjson_doc_get_root(doc), "workspaces_enabled");
    bool is_said = yyjson_is_bool(said);

    *has = yyjson_get_bool(said);
    yyjson_doc_free(doc);
    return is_said;
}

/* Both have workspaces, or neither. */
static enum verdict look_compare(struct doctor *d, struct look *l, struct upstream *u)
{
    bool ours = d->settings->enable_workspaces, theirs;

    l->wants_body = true;
    l->is_over = false;
    l->status = 0;
    l->sent_us = 0;
    look_at(l, u, d->settings, STR("/ajax-api/3.0/mlflow/server-info"));
    if (!look_says_workspaces(l, &theirs) || theirs == ours)
        return DOCTOR_OK;
    buf_printf(&d->saw, "; it runs %s workspaces, and this server %s", theirs ? "with" : "without",
               ours ? "with" : "without");
    buf_printf(&d->remedy, "start both with enable_workspaces, or neither: what one makes the "
                           "other does not show");
    return DOCTOR_WARN;
}

enum verdict doctor_upstream(struct doctor *d)
{
    struct stats *stats;
    struct upstream *u;
    struct look l = {0};
    struct arena arena;
    struct fail f;
    enum verdict v;

    if (d->settings->upstream[0] == '\0')
        return doctor_not_configured(d);
    arena_init(&arena, 1024);
    fail_init(&f, &arena);
    buf_init(&l.body);
    stats = stats_new();
    l.base = event_base_new();
    check(l.base);
    if (upstream_open(l.base, d->settings, stats, &u, &f)) {
        buf_add_str(&d->saw, f.text);
        v = DOCTOR_FAIL;
    } else {
        look_at(&l, u, d->settings, STR("/health"));
        v = look_judge(d, &l);
        if (v == DOCTOR_OK && !settings_passes_all(d->settings))
            v = look_compare(d, &l, u);
        upstream_close(u);
    }
    event_base_free(l.base);
    stats_free(stats);
    buf_fini(&l.body);
    arena_fini(&arena);
    return v;
}
