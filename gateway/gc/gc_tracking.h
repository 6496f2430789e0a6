/*
 * gc_tracking: artifacts removed by asking the tracking server that keeps them, as `mlflow gc` does.
 *
 * One owner, one thread, which waits. Order of calls: gc_tracking_open, removals, gc_tracking_close.
 */
#ifndef GATEWAY_GC_TRACKING_H
#define GATEWAY_GC_TRACKING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/fail.h"
#include "base/str.h"

struct gc_tracking {
    struct str base;      /* http(s)://host:port/prefix, without a slash at its end */
    uint64_t timeout_us;  /* longest time of one request */
    struct str workspace; /* goes along in X-MLFLOW-WORKSPACE; empty = none */
    /* private */
    void *easy;
};

/* Does it name a server that may be asked? */
bool gc_tracking_is_server(struct str uri);
void gc_tracking_open(struct gc_tracking *t, struct str uri, uint64_t timeout_us);
/* DELETE .../mlflow-artifacts/artifacts/<path>/. *is_unresolvable: the URL is none, so nothing was asked. */
must_check err_t gc_tracking_remove(struct gc_tracking *t, struct arena *a, struct str path,
                                    bool *is_unresolvable, struct fail *f);
/* Also of a zeroed one. */
void gc_tracking_close(struct gc_tracking *t);

#endif
