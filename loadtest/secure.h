/*
 * secure: TLS of the client's side.
 *
 * One context for all connections, made by secure_open; a session for each connection, over its
 * non-blocking socket. One thread: that of the loop.
 */
#ifndef LOADTEST_SECURE_H
#define LOADTEST_SECURE_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/fail.h"

/* ca_file: who may have signed the server's certificate; "" = those that the system trusts.
 * is_unchecked: anybody may. */
must_check err_t secure_open(const char *ca_file, bool is_unchecked, SSL_CTX **out, struct fail *f);
void secure_close(SSL_CTX *context);
/* A session over fd with the server of that name (or address), whose hands are still to be shaken. */
SSL *secure_session(SSL_CTX *context, int fd, const char *host);

enum secure_step { SECURE_DONE, SECURE_WANTS_READ, SECURE_WANTS_WRITE, SECURE_FAILED };

/* Goes on with the handshake. */
enum secure_step secure_shake(SSL *session);
/* As recv(2) and send(2): -1 with EAGAIN when it would block, 0 at the end of what comes. */
ssize_t secure_recv(SSL *session, void *out, size_t cap);
ssize_t secure_send(SSL *session, const void *bytes, size_t n);
/* Why the handshake failed; a text that lasts. */
const char *secure_why(const SSL *session);

#endif
