/*
 * txn: one window, one transaction.
 *
 * Called by a flusher on its own session; the order of steps stands in txn.c.
 */
#ifndef FLUSH_TXN_H
#define FLUSH_TXN_H

#include <stdbool.h>

#include "flush/session.h"
#include "flush/window.h"

enum txn_mode {
    TXN_DIRECT, /* COPY into metrics: fastest, ends in ERR_PG_REPEAT at a row that is there */
    TXN_STAGED, /* COPY into a temporary table, then INSERT what is new */
    TXN_TRIAL   /* TXN_STAGED without the positions, and rolled back: would it be refused? */
};

enum txn_verdict {
    TXN_DONE,        /* committed (or, a trial, possible) */
    TXN_MOVED,       /* stored positions are further than the session knew; it knows now */
    TXN_LACKS_RUNS,  /* runs of the window do not exist: has_run tells which */
    TXN_LACKS_MODELS /* models do not exist: has_model */
};

struct txn {
    /* in */
    struct session *session;
    const struct window *window;
    enum txn_mode mode;
    pos_t cursor;            /* every owned partition's position after the commit */
    const pos_t *cursors;    /* when each has one of its own; else NULL */
    const char *application; /* what PostgreSQL calls it; NULL or "" = as the session */
    struct arena *arena;     /* for what comes out */
    /* out; nothing was written unless TXN_DONE */
    enum txn_verdict verdict;
    uint64_t skipped; /* rows that were there already (staged only) */
    bool *has_run;    /* by rank */
    bool *has_model;
    /* private */
    int32_t *experiments; /* of each run */
};

/* Writes the window. An error leaves no transaction open, and perhaps no connection. */
must_check err_t txn_write(struct txn *t, struct fail *f);

#endif
