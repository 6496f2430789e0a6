/*
 * flusher: a thread that moves windows from the queue into PostgreSQL.
 *
 * Started and stopped by gateway/server.c only. Each owns the partitions p with
 * p % count == index, and one PostgreSQL connection.
 *
 * Order of calls: flusher_start for each index, flusher_stop (asks, does not wait), flusher_join.
 */
#ifndef FLUSH_FLUSHER_H
#define FLUSH_FLUSHER_H

#include "base/trail.h"
#include "ingest/queue.h"
#include "ingest/runs.h"
#include "schema/settings.h"
#include "schema/stats.h"

struct flusher;

struct flusher_config {
    struct queue *queue;
    struct runs *runs; /* for dead letters; may be NULL */
    const struct settings *settings;
    const char *pg_uri;  /* of the database in use: a private cluster's is not in the settings */
    struct stats *stats; /* this flusher's block */
    struct follower follower; /* of flushes; arg NULL = nobody */
    unsigned index;
    unsigned count;
};

/* Starts the thread; connects in the background and goes on trying. */
must_check err_t flusher_start(const struct flusher_config *c, struct flusher **out,
                               struct fail *f);
/* Takes over the settings that may change while it runs (flush_rows, flush_interval,
 * deadletter_max_bytes); s may go afterwards. Any thread. */
void flusher_reload(struct flusher *fl, const struct settings *s);
/* Asks it to flush what is durable until deadline_us and then to end. Once more with an earlier
 * one: hurry. Any thread. */
void flusher_stop(struct flusher *fl, uint64_t deadline_us);
/* Its thread is about to end: flusher_join will not wait. Any thread. */
bool flusher_has_ended(const struct flusher *fl);
/* Waits for its end and frees it. */
void flusher_join(struct flusher *fl);

#endif
