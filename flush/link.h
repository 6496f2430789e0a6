/*
 * link: the patience of a flusher; when to try again, and when to hold.
 *
 * Keeps a session in working order: connects in the background of failures, backs off, holds
 * while the schema is not one we may write to, and ends every wait when the flusher is to stop.
 * One owner, one thread.
 *
 * Order of calls: link_init, link_ready, then link_recover after each failed transaction;
 * link_fini.
 */
#ifndef FLUSH_LINK_H
#define FLUSH_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "flush/session.h"
#include "schema/stats.h"

struct link {
    struct session session;
    struct pg_halt halt;
    pos_t newest;        /* no position of ours is above it; UINT64_MAX: not known, not checked */
    const char *log_ctx; /* "flusher=0" */
    /* private */
    const struct pg_terms *terms;
    unsigned index;
    struct stats *stats;
    unsigned failures; /* in a row */
    uint64_t random;
};

/* terms, queue_id, log_ctx and stats must outlive it. */
must_check err_t link_init(struct link *l, const struct pg_terms *terms, const char *queue_id,
                           unsigned index, unsigned count, const char *log_ctx, struct stats *stats,
                           struct fail *f);
void link_fini(struct link *l);
/* Returns with an open session, however long that takes; ERR_CLOSING when asked to stop. */
must_check err_t link_ready(struct link *l);
/* As link_ready, for other partitions than before; their positions are known then. */
must_check err_t link_own(struct link *l, uint64_t mask);
/* After the failure e of a transaction, explained by f: waits as it deserves and makes the session
 * ready again. ERR_CLOSING: no use in going on before the stop. */
must_check err_t link_recover(struct link *l, err_t e, const struct fail *f);
/* A transaction is about to store this position: from now on it may be found stored. */
void link_expect(struct link *l, pos_t cursor);
/* The positions have moved: were they stored by us? Else it holds until somebody has acted, and
 * returns as link_ready does. */
must_check err_t link_judge(struct link *l);
/* Waits; ERR_CLOSING at the halt's deadline, or when asked to stop and is_prompt. */
must_check err_t link_pause(struct link *l, uint64_t us, bool is_prompt);
/* Notices between two windows that the server has gone. */
void link_look(struct link *l);
/* A transaction went through: the next failure is a first one. */
void link_worked(struct link *l);
bool link_is_asked_to_stop(const struct link *l);

#endif
