/*
 * The thread: take a window from the queue, apply it, take the next.
 *
 *    CONNECTING -positions read, reader opened-> TAKING -entries-> APPLYING -committed-> TAKING
 *    TAKING -asked to stop and nothing durable left-> ended
 *    any -asked to stop, and the database is away or the deadline has come-> ended
 *
 * The first connection is needed before the first take: only PostgreSQL knows from where to read.
 * After that the reader stays open over losses of the connection, with its window in hand. Of a shared
 * queue partitions come and go while it takes; their positions are read when they come.
 *
 * A window is flush_rows points, or what came within flush_interval. While FLUSHER_BUSY_POINTS and more
 * come in each of these it goes on to half of flush_rows or flush_interval_busy, so that a row of
 * latest_metrics is written once for several of its points. With a backlog it grows to
 * FLUSHER_GROWTH times flush_rows, bounded by FLUSHER_ROWS_MAX: the fixed costs of a window are
 * spread further, and neighbours in the indexes meet more often.
 */
#define _GNU_SOURCE /* pthread_setname_np */

#include "flush/flusher.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/heap.h"
#include "base/log.h"
#include "flush/link.h"
#include "flush/load.h"
#include "ingest/queue_share.h"
#include "schema/errors.h"

enum {
    FLUSHER_GROWTH = 4,
    FLUSHER_ROWS_MAX = 200000, /* of a grown window: about 15 MiB with all its tables */
    FLUSHER_BUSY_POINTS = 1000,
    FLUSHER_PAUSE_US = 200000 /* after an error of the queue */
};

struct flusher {
    struct flusher_config config;
    pthread_t thread;
    struct pg_terms terms;
    struct link link;
    struct load load;
    _Atomic(struct queue_reader *) reader; /* NULL until the first connection */
    _Atomic uint64_t rows;                 /* flush_rows and flush_interval, as last reloaded */
    _Atomic uint64_t interval_us;
    _Atomic uint64_t busy_us; /* flush_interval_busy */
    uint64_t taken_us;        /* when the last take ended */
    bool has_backlog;         /* then */
    _Atomic bool has_ended;
    char log_ctx[24];
};

static uint64_t flusher_rows(const struct flusher *fl)
{
    uint64_t rows = atomic_load(&fl->rows);
    uint64_t grown = rows * FLUSHER_GROWTH;

    if (!fl->has_backlog)
        return rows;
    grown = grown < FLUSHER_ROWS_MAX ? grown : FLUSHER_ROWS_MAX;
    return grown > rows ? grown : rows;
}

/* The interval is counted from the end of the last take: what came while its window was applied has waited. */
static struct take_terms flusher_terms(const struct flusher *fl)
{
    uint64_t interval_us = atomic_load(&fl->interval_us);
    struct take_terms terms = take_until(flusher_rows(fl), clock_us());

    if (link_is_asked_to_stop(&fl->link))
        return terms;
    terms.deadline_us = fl->taken_us + interval_us;
    terms.busy_points = FLUSHER_BUSY_POINTS;
    terms.enough_points = atomic_load(&fl->rows) / 2;
    terms.busy_step_us = interval_us;
    terms.busy_deadline_us = fl->taken_us + atomic_load(&fl->busy_us);
    return terms;
}

/* Nothing to write (the queue moves its marks by itself): the connection is looked after. */
static err_t flusher_idle(struct flusher *fl, const struct take *take)
{
    link_look(&fl->link);
    if (link_is_asked_to_stop(&fl->link) && !take->has_more)
        return ERR_CLOSING;
    return link_ready(&fl->link);
}

static err_t flusher_open_reader(struct flusher *fl)
{
    struct queue_reader *reader;
    struct fail f;
    err_t e;

    if ((e = link_ready(&fl->link)))
        return e;
    fail_init(&f, NULL);
    while ((e = queue_reader_open(fl->config.queue, fl->link.session.mask,
                                  fl->link.session.positions, &reader, &f))) {
        log_error(fl->log_ctx, "the queue cannot be read", "why=%.*s", STR_ARG(f.text));
        if ((e = link_pause(&fl->link, FLUSHER_PAUSE_US, true)))
            return e;
    }
    atomic_store(&fl->reader, reader);
    return OK;
}

/* Partitions of a shared queue have come or gone. */
static err_t flusher_own(struct flusher *fl, struct take *take)
{
    struct fail f;
    err_t e;

    if ((e = link_own(&fl->link, take->mask)))
        return e;
    fail_init(&f, NULL);
    if (!queue_reader_begin(fl->reader, fl->link.session.positions, &f))
        return OK;
    log_warn(fl->log_ctx, "partitions are asked for anew", "why=%.*s", STR_ARG(f.text));
    take->count = 0;       /* they were of partitions that are not ours any more, */
    take->has_gap = false; /* and the cursors are behind them */
    return link_pause(&fl->link, FLUSHER_PAUSE_US, true);
}

/* One window. */
static err_t flusher_turn(struct flusher *fl)
{
    struct take_terms terms;
    struct take take;
    struct fail f;
    err_t e;

    if (link_is_asked_to_stop(&fl->link) && clock_us() >= atomic_load(&fl->link.halt.deadline_us))
        return ERR_CLOSING;
    terms = flusher_terms(fl);
    fail_init(&f, NULL);
    e = queue_take(fl->reader, terms, &take, &f);
    if (e) {
        log_error(fl->log_ctx, "the queue cannot be read", "why=%.*s", STR_ARG(f.text));
        return link_pause(&fl->link, FLUSHER_PAUSE_US, true);
    }
    fl->has_backlog = take.has_more;
    fl->taken_us = clock_us();
    if (take.has_moved && (e = flusher_own(fl, &take)))
        return e;
    if (take.count == 0 && !take.has_gap)
        return flusher_idle(fl, &take);
    if ((e = link_ready(&fl->link)))
        return e;
    return load_apply(&fl->load, fl->reader, &take);
}

static void *flusher_main(void *arg)
{
    struct flusher *fl = arg;
    err_t e;

    (void)heap_give_back(); /* windows are large, and few */
    e = flusher_open_reader(fl);

    while (!e)
        e = flusher_turn(fl);
    stat_set(fl->config.stats, flusher_connected, 0);
    log_info(fl->log_ctx, "flusher ends", "backlog_points=%llu",
             (unsigned long long)queue_backlog_points(fl->config.queue));
    atomic_store(&fl->has_ended, true);
    return NULL;
}

static void flusher_free(struct flusher *fl)
{
    load_fini(&fl->load);
    link_fini(&fl->link);
    free(fl);
}

/* Signals are for the main thread. */
static int flusher_spawn(struct flusher *fl)
{
    sigset_t all, before;
    int error;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&fl->thread, NULL, flusher_main, fl);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!error)
        pthread_setname_np(fl->thread, "flusher");
    return error;
}

err_t flusher_start(const struct flusher_config *c, struct flusher **out, struct fail *f)
{
    struct flusher *fl = calloc(1, sizeof(*fl));
    int error;
    err_t e;

    check(fl && c->index < c->count && c->count <= QUEUE_PARTITIONS);
    fl->config = *c;
    fl->terms = pg_terms_of(c->pg_uri, c->settings);
    snprintf(fl->log_ctx, sizeof(fl->log_ctx), "flusher=%u", c->index);
    if ((e = link_init(&fl->link, &fl->terms, queue_id(c->queue), c->index, c->count, fl->log_ctx,
                       c->stats, f))) {
        free(fl);
        return e;
    }
    fl->link.session.is_shared = queue_is_shared(c->queue);
    if (fl->link.session.is_shared)
        fl->link.session.mask = 0; /* the group says which, and others move positions too */
    else
        fl->link.newest = queue_appended(c->queue);
    e = load_init(&fl->load, &fl->link, c->queue, c->settings->data_dir, c->index, c->stats, f);
    fl->load.runs = c->runs;
    fl->load.follower = c->follower;
    fl->load.trail.flusher = c->index;
    if (!e)
        flusher_reload(fl, c->settings);
    if (!e && (error = flusher_spawn(fl)))
        e = fail(f, ERR_INTERNAL, "cannot start a thread: %s", strerror(error));
    if (e) {
        flusher_free(fl);
        return e;
    }
    *out = fl;
    return OK;
}

/* Ends the wait for the window under way. */
static void flusher_wake(struct flusher *fl)
{
    struct queue_reader *reader = atomic_load(&fl->reader);

    if (reader)
        queue_reader_wake(reader);
}

void flusher_reload(struct flusher *fl, const struct settings *s)
{
    atomic_store(&fl->rows, s->flush_rows);
    atomic_store(&fl->interval_us, s->flush_interval);
    atomic_store(&fl->busy_us, s->flush_interval_busy);
    load_limit(&fl->load, s->deadletter_max_bytes);
    flusher_wake(fl); /* the window under way may have been begun with an hour to fill */
}

void flusher_stop(struct flusher *fl, uint64_t deadline_us)
{
    atomic_store(&fl->link.halt.deadline_us, deadline_us);
    atomic_store(&fl->link.halt.is_asked, true);
    inbox_ring(&fl->link.halt.inbox);
    flusher_wake(fl);
}

bool flusher_has_ended(const struct flusher *fl)
{
    return atomic_load(&fl->has_ended);
}

void flusher_join(struct flusher *fl)
{
    struct queue_reader *reader;

    pthread_join(fl->thread, NULL);
    reader = atomic_load(&fl->reader);
    if (reader)
        queue_reader_close(reader);
    flusher_free(fl);
}
