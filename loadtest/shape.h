/*
 * shape: makes the bytes of requests.
 *
 * What shape_request writes depends on the call alone (and on plan, target and ledger, which stay
 * the same), so a replay is byte-identical. One owner; keeps one scratch buffer.
 */
#ifndef LOADTEST_SHAPE_H
#define LOADTEST_SHAPE_H

#include "loadtest/ledger.h"
#include "loadtest/plan.h"
#include "loadtest/target.h"

struct shape {
    const struct plan *plan;
    const struct target *target;
    const struct ledger *ledger;
    char experiment[24]; /* id, once known */
    /* private */
    struct buf body;
};

void shape_init(struct shape *s, const struct plan *p, const struct target *t,
                const struct ledger *l);
void shape_fini(struct shape *s);
/* Replaces what out holds by the request. */
void shape_request(struct shape *s, const struct call *c, struct buf *out);
/* What the set-up and verify ask; body may be empty. */
void shape_get(const struct shape *s, struct buf *out, const char *path, struct str query);
void shape_post(const struct shape *s, struct buf *out, const char *path, struct str body);
const char *call_word(enum call_kind kind);
/* Does the call write points? */
bool call_is_write(enum call_kind kind);

#endif
