/*
 * tag_swap: a change to a tag that is a list, which loses nobody's entry.
 *
 * The caller's r->data begins with a struct tag_swap: names filled in, and values[0], by which both
 * statements find the tag's owner. The worker's thread.
 */
#ifndef GATEWAY_TAG_SWAP_H
#define GATEWAY_TAG_SWAP_H

#include "gateway/req.h"

struct tag_swap {
    const char *key; /* of the tag, for the words of who gives up */
    const struct stmt
        *read; /* its owner's row, if there is one, with the tag's value or NULL in column */
    const struct stmt *write; /* $2 in place of $3, which was read; a row when it still was that */
    int column;
    /* Looks at the owner's row (r->sql.results[0]) and says what to make of the value; before.p NULL =
     * there is no such tag yet. */
    err_t (*change)(struct req *r, struct str before, struct str *after, struct fail *f);
    req_step written; /* goes on when it is done */
    struct str values[3];
    /* private */
    unsigned attempts;
};

/* Changes the tag; what change refuses is the answer, and 503 when others are faster all the time. */
must_check err_t tag_swap(struct req *r);

#endif
