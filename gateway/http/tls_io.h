/*
 * tls_io: a client socket behind TLS; gateway/http/tls.h makes what it needs.
 *
 * Order of calls: tls_begin for an accepted socket, tls_greet until it says that it is over; from
 * then on the connection's reads and writes go through conn_io.h as ever. The worker's thread.
 */
#ifndef GATEWAY_TLS_IO_H
#define GATEWAY_TLS_IO_H

#include <openssl/ssl.h>

#include "gateway/http/conn.h"

enum tls_greeting {
    TLS_WAIT, /* for bytes, or for room: the connection's events tell */
    TLS_DONE,
    TLS_PLAIN, /* the peer speaks HTTP without TLS, and c is a plain connection again */
    TLS_FAILED /* it must be closed */
};

/* Puts TLS between c and its socket; adds its own reference to the context. */
void tls_begin(struct conn *c, SSL_CTX *context);
/* Goes on with the handshake. */
enum tls_greeting tls_greet(struct conn *c);
/* Is there TLS between? */
bool tls_is_on(const struct conn *c);
/* The subject of the client's certificate, as RFC 2253 writes it; empty without one. In space. */
struct str tls_subject(const struct conn *c, char *space, size_t size);

#endif
