/*
 * watcher: asks for the rows of sluice.positions, tells the queue, waits for the next question.
 *
 * The queue says when it is time (queue_await_question): every second for the backlog gauge, every
 * 20 ms while a read waits. One statement by primary key prefix, at most 64 rows: 0.05 ms of the
 * server's time (EXPLAIN ANALYZE); so a pod that is read from all the time costs 3 ms of it per
 * second, and one that is only written to next to nothing. The connection is one more in each pod's budget.
 *
 * Its settings are the transaction's, so that a pooler keeps none of them (schema/pg_pooler.h).
 *
 * When PostgreSQL is away reads have nothing to read either; the watcher only tries again.
 */
#define _GNU_SOURCE /* pthread_setname_np */
#include "flush/watcher.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "flush/pg.h"
#include "ingest/queue_share.h"
#include "schema/errors.h"
#include "schema/tables.h"

#define WATCHER_IDLE_US  ((uint64_t)1000 * 1000)
#define WATCHER_PAUSE_US ((uint64_t)500 * 1000)

struct watcher {
    struct queue *queue;
    struct pg_terms terms;
    pthread_t thread;
    struct pg pg;
    struct pg_halt halt;
    _Atomic bool was_away;
};

static err_t watcher_ask(struct watcher *w, struct fail *f)
{
    struct pg_call calls[2] = {{.sql = "SELECT set_config('statement_timeout', '5s', true),"
                                       " set_config('jit', 'off', true)"},
                               {.sql = "SELECT partition, position FROM sluice.positions"
                                       " WHERE queue_id = $1"}};
    const PGresult *rows;
    err_t e;

    pg_bind(&calls[1], column_oid(COLUMN_TEXT), str_of(queue_id(w->queue)));
    e = pg_batch(&w->pg, calls, array_len(calls), f);
    rows = calls[1].result;
    for (int i = 0; !e && i < PQntuples(rows); i++)
        queue_see_committed(w->queue, (unsigned)pg_get_int4(rows, i, 0),
                            (pos_t)pg_get_int8(rows, i, 1));
    pg_batch_clear(calls, array_len(calls));
    return e;
}

/* One question, over a connection that may have to be made first. */
static err_t watcher_turn(struct watcher *w, struct fail *f)
{
    err_t e = OK;

    if (!pg_is_open(&w->pg))
        e = pg_open(&w->pg, &w->terms, "sluice watcher", &w->halt, f);
    if (!e)
        e = watcher_ask(w, f);
    if (e)
        pg_close(&w->pg);
    return e;
}

static void *watcher_main(void *arg)
{
    struct watcher *w = arg;

    while (!atomic_load(&w->halt.is_asked)) {
        struct fail f;
        err_t e;

        fail_init(&f, NULL);
        e = watcher_turn(w, &f);
        if (e && !w->was_away && e != ERR_CLOSING)
            log_warn("", "what others have flushed is not known", "why=%.*s", STR_ARG(f.text));
        w->was_away = e != OK;
        if (e && !atomic_load(&w->halt.is_asked))
            (void)inbox_wait(&w->halt.inbox, clock_us() + WATCHER_PAUSE_US);
        /* After a failure at once: it was a pause already. */
        queue_await_question(w->queue, e ? 0 : clock_us() + WATCHER_IDLE_US);
    }
    pg_fini(&w->pg);
    return NULL;
}

err_t watcher_start(struct queue *q, const char *uri, const struct settings *s,
                    struct watcher **out, struct fail *f)
{
    struct watcher *w = calloc(1, sizeof(*w));
    sigset_t all, before;
    int error;

    check(w);
    w->queue = q;
    w->terms = pg_terms_of(uri, s);
    if ((error = pg_halt_init(&w->halt))) {
        free(w);
        return fail(f, ERR_INTERNAL, "eventfd: %s", strerror(error));
    }
    sigfillset(&all); /* signals are for the main thread */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&w->thread, NULL, watcher_main, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error) {
        pg_halt_fini(&w->halt);
        free(w);
        return fail(f, ERR_INTERNAL, "cannot start a thread: %s", strerror(error));
    }
    pthread_setname_np(w->thread, "watcher");
    *out = w;
    return OK;
}

void watcher_stop(struct watcher *w)
{
    if (!w)
        return;
    atomic_store(&w->halt.is_asked, true);
    atomic_store(&w->halt.deadline_us, 0);
    inbox_ring(&w->halt.inbox);
    queue_wake_question(w->queue);
    pthread_join(w->thread, NULL);
    pg_halt_fini(&w->halt);
    free(w);
}
