/*
 * htpasswd: the file of names and hashes that Apache's htpasswd writes.
 *
 * What was read is constant; any thread may look into it. htpasswd_matches costs what a hash was made to
 * cost: not for a worker's thread.
 */
#ifndef GATEWAY_HTPASSWD_H
#define GATEWAY_HTPASSWD_H

#include <stdbool.h>

#include "base/fail.h"
#include "base/str.h"

struct htpasswd;

/* Reads it whole; ERR_SETTING names the line that is none. */
must_check err_t htpasswd_open(const char *path, struct htpasswd **out, struct fail *f);
/* NULL is fine. */
void htpasswd_close(struct htpasswd *h);
/* Has the file changed since? */
bool htpasswd_is_old(const struct htpasswd *h);
/* The hash of a name; p NULL when it is not in the file, or h is NULL. Lives as long as h. */
struct str htpasswd_find(const struct htpasswd *h, struct str name);
/* Is it the hash of that password? bcrypt, apr1, {SHA}, and what crypt(3) knows. */
must_check bool htpasswd_matches(struct str hash, struct str password);

#endif
