/*
 * watch: looks at the server now and then: its memory, its descriptors, its backlog.
 *
 * Fills the row of the curves at hand. Memory and descriptors come from /proc of the process that
 * the plan names, the rest from /metrics of Sluice's admin listener; what the plan does not name
 * stays -1.
 */
#ifndef LOADTEST_WATCH_H
#define LOADTEST_WATCH_H

#include "loadtest/plan.h"
#include "loadtest/tally.h"
#include "loadtest/wire.h"

struct watch {
    struct target target; /* of the admin listener; who opened it gives it TLS */
    /* private */
    uint64_t pid;
    struct sample *row;
    struct wire wire;
    struct buf request;
    bool has_admin;
};

/* row is the one that is filled; it belongs to the caller and outlives w. */
must_check err_t watch_init(struct watch *w, const struct plan *p, struct event_base *loop,
                            struct sample *row, struct arena *a, struct fail *f);
void watch_fini(struct watch *w);
/* Looks; what the admin listener says arrives when it does. */
void watch_look(struct watch *w);
/* Points waiting in Sluice, asked now; -1 when nobody says. Runs the loop until it knows. */
double watch_backlog(struct watch *w);
/* Largest resident size the process ever had, in bytes; 0 when it cannot be told. */
double watch_peak_bytes(const struct watch *w);

/* Least-squares slope of y over x; 0 for fewer than two points. */
double slope_of(const double *x, const double *y, size_t n);

#endif
