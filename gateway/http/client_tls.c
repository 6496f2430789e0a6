/*
 * A certificate that does not lead to one that is trusted, or that names another host, ends the
 * handshake: with a password in the first bytes there is no harmless way to go on. hiredis has a TLS
 * context of its own, but it does not compare the host; so it gets an SSL that does.
 */
#include "gateway/http/client_tls.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/check.h"
#include "schema/errors.h"

struct client_tls {
    SSL_CTX *ctx;
};

err_t client_tls_open(const char *setting, const char *ca, struct client_tls **out, struct fail *f)
{
    struct client_tls *t = calloc(1, sizeof(*t));

    check(t);
    t->ctx = SSL_CTX_new(TLS_client_method());
    check(t->ctx);
    SSL_CTX_set_min_proto_version(t->ctx, TLS1_2_VERSION);
    SSL_CTX_set_verify(t->ctx, SSL_VERIFY_PEER, NULL);
    ERR_clear_error();
    if (*ca ? SSL_CTX_load_verify_locations(t->ctx, ca, NULL) != 1
            : SSL_CTX_set_default_verify_paths(t->ctx) != 1) {
        const char *why = ERR_reason_error_string(ERR_peek_last_error());

        client_tls_close(t);
        return fail(f, ERR_SETTING, "setting %s: cannot take certificates from %s: %s", setting,
                    *ca ? ca : "the system", why ? why : "no reason given");
    }
    *out = t;
    return OK;
}

static bool is_numeric(const char *host)
{
    struct in6_addr space;

    return inet_pton(AF_INET, host, &space) == 1 || inet_pton(AF_INET6, host, &space) == 1;
}

SSL *client_tls_new(struct client_tls *t, const char *host)
{
    SSL *ssl = SSL_new(t->ctx);

    check(ssl);
    if (is_numeric(host)) {
        check(X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1);
    } else {
        check(SSL_set1_host(ssl, host) == 1);
        /* SSL_set_tlsext_host_name(), without its cast of a const that OpenSSL only copies. */
        (void)SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                       (void *)(uintptr_t)host);
    }
    return ssl;
}

const char *client_tls_trouble(const SSL *ssl)
{
    long verdict = ssl ? SSL_get_verify_result(ssl) : X509_V_OK;

    if (verdict != X509_V_OK)
        return X509_verify_cert_error_string(verdict);
    return ssl ? ERR_reason_error_string(ERR_peek_last_error()) : NULL;
}

void client_tls_close(struct client_tls *t)
{
    if (t)
        SSL_CTX_free(t->ctx);
    free(t);
}
