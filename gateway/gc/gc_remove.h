/*
 * gc_remove: artifacts and rows of what was deleted, gone for good, beside servers that write.
 *
 * One owner, one thread. Order of calls: gc_remove_open, then any, gc_remove_close. Each batch of runs or
 * models, and each experiment, is gone with its call or untouched but for its artifacts and, of one that
 * is large, some of its rows; the same call again finishes it.
 */
#ifndef GATEWAY_GC_REMOVE_H
#define GATEWAY_GC_REMOVE_H

#include "gateway/gc/gc_artifacts.h"
#include "gateway/gc/gc_sql.h"

enum {
    GC_BATCH = 64 /* runs or models in one transaction */,
    GC_ROWS = 500000 /* and rows of a part */
};

enum gc_end {
    GC_KEPT,    /* it is not deleted any more, or not any more as old as asked */
    GC_LEFT,    /* its artifacts are in a store that is not built here: nothing of it was touched */
    GC_REFUSED, /* nor here: its URI is none that may be removed; `refused` was told why */
    GC_GONE,    /* as asked */
    GC_BYPASSED /* its rows; its artifacts' URL is none */
};

struct gc_remover {
    struct gc_artifacts *artifacts;
    const char *workspace;
    int64_t cutoff_ms; /* counts when has_age */
    bool has_age;
    uint64_t part_rows;        /* rows of a part; 0 = GC_ROWS */
    uint64_t rows;             /* of metrics and traces that went in parts, so far */
    void (*tick)(void *owner); /* now and then, within what is large */
    void (*refused)(void *owner, struct str id, struct str why);
    void *owner;
    /* private */
    struct gc_sql hold; /* the locks, and what ends a batch */
    struct gc_sql work; /* parts of what is large, each committed at once */
    struct arena arena; /* of one batch */
    uint64_t fetch_rows;
    char part_text[24], fetch[48]; /* for statements */
};

/* Two connections. artifacts, tick, refused and workspace are the caller's to set, before and in between. */
must_check err_t gc_remove_open(struct gc_remover *g, const struct pg_terms *terms, struct fail *f);
void gc_remove_close(struct gc_remover *g);
/* ids: GC_BATCH at most; ends[i]: what became of ids->items[i]. */
must_check err_t gc_remove_runs(struct gc_remover *g, const struct gc_ids *ids, enum gc_end *ends,
                                struct fail *f);
must_check err_t gc_remove_models(struct gc_remover *g, const struct gc_ids *ids, enum gc_end *ends,
                                  struct fail *f);
/* With all that is in it; its runs' artifacts went with gc_remove_runs. */
must_check err_t gc_remove_experiment(struct gc_remover *g, struct str id, enum gc_end *end,
                                      struct fail *f);
/* Up to a thousand of the jobs that are over; their ids into *gone, in the arena. older_than: 0 = any. */
must_check err_t gc_remove_jobs(struct gc_remover *g, const struct gc_options *o, struct arena *a,
                                struct gc_ids *gone, struct fail *f);

#endif
