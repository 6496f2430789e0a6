/*
 * csrf: does a form come from a page of ours? Any thread.
 *
 * The page sets a cookie and carries a token of it in its form; who posts the form sends both. Another site can
 * make a browser send the cookie, but does not know the token.
 */
#ifndef GATEWAY_CSRF_H
#define GATEWAY_CSRF_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"

struct csrf {
    struct str session; /* the cookie's value */
    struct str token;   /* of the form */
};

/* For a page; cookies: the Cookie field that was sent, whose session is kept when it is one of ours. False:
 * the system has no random bytes. */
must_check bool csrf_make(struct arena *a, struct str secret, struct str cookies, uint64_t now_s,
                          struct csrf *out);
/* NULL when the token is of the session in cookies and no older than an hour, else MLflow's words. */
const char *csrf_refusal(struct str secret, struct str cookies, struct str token, uint64_t now_s);

#endif
