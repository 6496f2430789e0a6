/*
 * tls: certificate, key and ticket keys of the listener, made anew when their files change.
 *
 * Order of calls: tls_open, then tls_tend every second or so and tls_reload when somebody asks for it;
 * after each that says so, workers are given tls_context() again. Main thread. What they are given is
 * never changed afterwards, and lives as long as any connection made with it (OpenSSL counts).
 */
#ifndef GATEWAY_TLS_H
#define GATEWAY_TLS_H

#include <openssl/ssl.h>

#include "base/fail.h"
#include "schema/settings.h"
#include "schema/stats.h"

struct tls;

/* Reads tls_cert, tls_key and, when they are set, tls_client_ca and tls_client_crl. stats: the main thread's. */
must_check err_t tls_open(const struct settings *s, struct stats *stats, struct tls **out,
                          struct fail *f);
void tls_close(struct tls *t);
/* What new connections are made with; t's own, the taker adds a reference. */
SSL_CTX *tls_context(const struct tls *t);
/* Has a file changed, or a ticket key become old? True when tls_context() is another one now. */
bool tls_tend(struct tls *t);
/* Reads the files although they look the same. True likewise. */
bool tls_reload(struct tls *t);

#endif
