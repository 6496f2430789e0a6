/*
 * auth_header: the name and the password in an Authorization header.
 *
 * Pure functions; any thread.
 */
#ifndef GATEWAY_AUTH_HEADER_H
#define GATEWAY_AUTH_HEADER_H

#include <stdbool.h>

#include "base/str.h"

enum { AUTH_HEADER_MAX = 8192 }; /* bytes of a header that is looked at */

struct auth_credentials {
    struct str name;
    struct str password;
    char text[AUTH_HEADER_MAX]; /* what they point into */
};

/* Does it begin as one of scheme Basic? Costs nothing. */
bool auth_header_is_basic(struct str header);
/* Reads it as werkzeug does: false where that finds no credentials. */
must_check bool auth_header_read(struct str header, struct auth_credentials *out);

#endif
