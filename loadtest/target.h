/*
 * target: the server under test, as its URL names it.
 *
 * Made once by target_open, read-only after that.
 */
#ifndef LOADTEST_TARGET_H
#define LOADTEST_TARGET_H

#include <sys/socket.h>

#include "base/buf.h"
#include "base/fail.h"

struct target {
    bool is_secure;         /* https; who connects gives it tls */
    struct ssl_ctx_st *tls; /* borrowed; NULL for http */
    const char *host;       /* as the certificate should have it; lives in the arena */
    struct sockaddr_storage address;
    socklen_t address_len;
    struct str prefix; /* before every path; "" or begun by '/' and not ended by it */
    struct str common; /* the header lines that every request has, each with its CRLF */
};

/* http[s]://[user:password@]host[:port][/prefix]; texts live in a. */
must_check err_t target_open(struct target *t, struct str url, struct arena *a, struct fail *f);
/* The head of a request with a body, or without one when type is empty. path may hold a query. */
void target_head(const struct target *t, struct buf *out, struct str method, struct str path,
                 struct str type, size_t body_len);

#endif
