/*
 * pod: this process as one among several, and where they meet: Redis.
 *
 * Opened when the queue is, closed when the workers have ended. Its fields are constant but where
 * noted; any thread.
 */
#ifndef GATEWAY_POD_H
#define GATEWAY_POD_H

#include "gateway/peers/marks.h"
#include "gateway/peers/rate.h"
#include "gateway/peers/redis.h"
#include "ingest/runs.h"

enum { POD_ID = 16, POD_WORKERS = 256 };

struct pod_worker {
    struct inbox *inbox;
    _Atomic bool has_missed; /* news, because its inbox was full */
};

struct pod {
    const struct settings *settings;
    struct queue *queue;
    struct runs *runs;
    bool has_redis;
    struct redis_uri uri;
    struct client_tls *tls; /* NULL: none */
    struct redis_pulse pulse;
    char id[POD_ID + 1]; /* of this start; hex digits */
    struct marks *marks;
    struct rate *rate;
    struct arena arena;
    struct pod_worker workers[POD_WORKERS]; /* by worker index */
    _Atomic unsigned worker_count;
};

/* The settings outlive it. */
must_check err_t pod_open(const struct settings *s, struct queue *q, struct runs *runs,
                          struct pod **out, struct fail *f);
/* NULL is fine. */
void pod_close(struct pod *p);
/* The next worker, in order of index. Main thread. */
void pod_join(struct pod *p, struct inbox *inbox);
/* Wakes every worker. */
void pod_ring(struct pod *p);
/* How Redis is, for readiness; NULL: as it should be, or there is none. */
const char *pod_trouble(const struct pod *p);

#endif
