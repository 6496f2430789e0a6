/*
 * auth_hash: hashes of passwords, as werkzeug writes and reads them.
 *
 * Each call costs what the hash was made to cost, some 60 ms and 34 MB: not for a worker's thread.
 */
#ifndef GATEWAY_AUTH_HASH_H
#define GATEWAY_AUTH_HASH_H

#include <stdbool.h>

#include "base/str.h"

/* Of a hash that is made here: scrypt:32768:8:1$salt$hex. */
enum { AUTH_HASH_BYTES = 16 + 1 + 16 + 1 + 128 };

/* Is it the hash of that password? False for a hash of no known form. */
must_check bool auth_hash_matches(struct str hash, struct str password);
/* What nobody's password hashes to; it costs as much as the hash of a user. */
extern const struct str auth_hash_of_nobody;
/* A new hash of the password, NUL-terminated; false when the system has no random bytes. */
must_check bool auth_hash_make(struct str password, char out[AUTH_HASH_BYTES + 1]);

#endif
