/*
 * client_tls: what TLS to another server takes, Redis or the upstream: whom to trust, and who is meant.
 *
 * Read at the start; client_tls_new from any thread.
 */
#ifndef GATEWAY_CLIENT_TLS_H
#define GATEWAY_CLIENT_TLS_H

#include <openssl/ssl.h>

#include "base/fail.h"

struct client_tls;

/* ca: a file of certificates that count in place of the system's; "" = the system's. setting: that names
 * it. */
must_check err_t client_tls_open(const char *setting, const char *ca, struct client_tls **out,
                                 struct fail *f);
/* Why its handshake has failed; NULL: not for a reason of TLS. For the thread that it failed on. */
const char *client_tls_trouble(const SSL *ssl);
/* For one connection; its certificate must be of this host, a name or an address. */
SSL *client_tls_new(struct client_tls *t, const char *host);
/* NULL is fine. */
void client_tls_close(struct client_tls *t);

#endif
