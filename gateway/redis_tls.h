/*
 * redis_tls: what TLS to Redis takes: whom to trust, and who is meant.
 *
 * One for the process, read at the start; redis_tls_new from any thread.
 */
#ifndef GATEWAY_REDIS_TLS_H
#define GATEWAY_REDIS_TLS_H

#include <openssl/ssl.h>

#include "base/fail.h"

struct redis_tls;

/* ca: a file of certificates that count in place of the system's; "" = the system's. */
must_check err_t redis_tls_open(const char *ca, struct redis_tls **out, struct fail *f);
/* Why its handshake has failed; NULL: not for a reason of TLS. For the thread that it failed on. */
const char *redis_tls_trouble(const SSL *ssl);
/* For one connection; its certificate must be of this host, a name or an address. */
SSL *redis_tls_new(struct redis_tls *t, const char *host);
/* NULL is fine. */
void redis_tls_close(struct redis_tls *t);

#endif
