/*
 * watcher: a thread that learns from PostgreSQL what others have committed.
 *
 * For a shared queue in a process that serves reads: a read waits for its run's points, and the
 * flusher that writes them may be anybody's. Started and stopped by gateway/server.c only.
 *
 * Order of calls: watcher_start, watcher_stop (waits and frees).
 */
#ifndef FLUSH_WATCHER_H
#define FLUSH_WATCHER_H

#include "ingest/queue.h"
#include "schema/settings.h"

struct watcher;

/* uri, of the database in use, and s must outlive it. Connects in the background and goes on trying. */
must_check err_t watcher_start(struct queue *q, const char *uri, const struct settings *s,
                               struct watcher **out, struct fail *f);
void watcher_stop(struct watcher *w);

#endif
