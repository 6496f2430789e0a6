/*
 * redelivery: dead letters once more into PostgreSQL, by the path of a window.
 *
 * For `sluice deadletter retry` alone. One owner, one thread, one connection of its own; a server
 * may run meanwhile.
 *
 * Order of calls: redelivery_open, redelivery_apply any number of times, redelivery_close (also
 * when the opening failed).
 */
#ifndef FLUSH_REDELIVERY_H
#define FLUSH_REDELIVERY_H

#include <stdbool.h>
#include <stddef.h>

#include "flush/session.h"
#include "flush/window.h"
#include "schema/deadletter.h"

/* A letter and what became of it. */
struct redelivery_item {
    struct deadletter letter;
    bool is_applied;                /* its rows are committed */
    char sqlstate[PG_SQLSTATE + 1]; /* else why not; both empty: not tried */
    char reason[240];
};

struct redelivery {
    /* private */
    const struct pg_terms *terms;
    struct pg_halt halt;
    struct session session;
    struct window window;
    struct arena arena; /* of one attempt */
    unsigned failures;  /* in a row */
};

/* terms: how to connect; they outlive the redelivery. */
must_check err_t redelivery_open(struct redelivery *r, const struct pg_terms *terms,
                                 struct fail *f);
void redelivery_close(struct redelivery *r);
/* Tries them in few transactions, each all or nothing for the letters in it, and no letter in
 * halves. OK: each is applied or says why it is refused. An error (the database is away, or its
 * schema is not ours) leaves the rest untried. */
must_check err_t redelivery_apply(struct redelivery *r, struct redelivery_item *items, size_t count,
                                  struct fail *f);

#endif
