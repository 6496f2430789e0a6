/*
 * tracks: which places of the queue hold points of requests that somebody follows, so that the flush which
 * moves them can name those requests.
 *
 * The last TRACKS_KEPT of them: what is older has been flushed, or waits behind so much that its trace is
 * looked at no more. Any thread; a mutex, taken for followed requests and followed flushes alone.
 */
#ifndef GATEWAY_TRACKS_H
#define GATEWAY_TRACKS_H

#include <pthread.h>

#include "base/trail.h"
#include "ingest/queue.h"

enum { TRACKS_KEPT = 256 };

struct tracks {
    /* private */
    pthread_mutex_t lock;
    unsigned next, count;
    struct track {
        pos_t end; /* of the entry, as queue_append gave it */
        struct trail_link who;
    } kept[TRACKS_KEPT];
};

void tracks_init(struct tracks *t);
void tracks_fini(struct tracks *t);
/* The entry that ends there is of that request. */
void tracks_note(struct tracks *t, pos_t end, const struct trail_link *who);
/* How many of them have entries in the take; the first of those, at most max, in out, oldest first. */
unsigned tracks_find(struct tracks *t, const struct take *take, struct trail_link *out,
                     unsigned max);

#endif
