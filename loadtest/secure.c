/*
 * secure: OpenSSL over a socket that does not block.
 *
 * TLS 1.2 at least, without renegotiation, so that a write never waits for bytes to be read. A record
 * is at most 16 KiB and secure_recv is given more room than that, so that nothing that has been
 * read from the socket stays behind in the session, where no event would tell of it.
 *
 * No session is taken up again: each connection pays for its handshake, as those of processes that
 * have nothing to do with each other do. The end of the bytes without a close_notify counts as an end; whoever
 * reads an answer knows whether it is whole.
 */
#include "loadtest/secure.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdint.h>

#include "schema/errors.h"

static const char *secure_reason(void)
{
    const char *text = ERR_reason_error_string(ERR_peek_last_error());

    return text ? text : "no reason given";
}

err_t secure_open(const char *ca_file, bool is_unchecked, SSL_CTX **out, struct fail *f)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    int is_known;

    check(context != NULL);
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_verify(context, is_unchecked ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    is_known = *ca_file ? SSL_CTX_load_verify_locations(context, ca_file, NULL)
                        : SSL_CTX_set_default_verify_paths(context);
    if (is_known != 1) {
        SSL_CTX_free(context);
        return fail(f, ERR_SETTING, "setting ca_file = \"%s\": %s", ca_file, secure_reason());
    }
    *out = context;
    return OK;
}

void secure_close(SSL_CTX *context)
{
    SSL_CTX_free(context);
}

SSL *secure_session(SSL_CTX *context, int fd, const char *host)
{
    SSL *session = SSL_new(context);
    X509_VERIFY_PARAM *param;

    check(session != NULL);
    check(SSL_set_fd(session, fd) == 1);
    param = SSL_get0_param(session);
    /* An address is no name: it is not sent, and held against other fields of the certificate. */
    if (X509_VERIFY_PARAM_set1_ip_asc(param, host) != 1) {
        /* SSL_set_tlsext_host_name(), without its cast of a const that OpenSSL only copies. */
        SSL_ctrl(session, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                 (void *)(uintptr_t)host);
        check(X509_VERIFY_PARAM_set1_host(param, host, 0) == 1);
    }
    SSL_set_connect_state(session);
    return session;
}

enum secure_step secure_shake(SSL *session)
{
    int done;

    ERR_clear_error();
    done = SSL_do_handshake(session);
    if (done == 1)
        return SECURE_DONE;
    switch (SSL_get_error(session, done)) {
    case SSL_ERROR_WANT_READ: return SECURE_WANTS_READ;
    case SSL_ERROR_WANT_WRITE: return SECURE_WANTS_WRITE;
    default: return SECURE_FAILED;
    }
}

/* What SSL_read_ex or SSL_write_ex came to, in the words of recv and send. */
static ssize_t secure_result(SSL *session, int is_done, size_t n)
{
    if (is_done == 1)
        return (ssize_t)n;
    switch (SSL_get_error(session, is_done)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE: errno = EAGAIN; return -1;
    case SSL_ERROR_ZERO_RETURN: return 0;
    default: errno = EPROTO; return -1;
    }
}

ssize_t secure_recv(SSL *session, void *out, size_t cap)
{
    size_t n = 0;
    int is_done;

    ERR_clear_error();
    is_done = SSL_read_ex(session, out, cap, &n);
    return secure_result(session, is_done, n);
}

ssize_t secure_send(SSL *session, const void *bytes, size_t n)
{
    size_t sent = 0;
    int is_done;

    ERR_clear_error();
    is_done = SSL_write_ex(session, bytes, n, &sent);
    if (is_done != 1 && SSL_get_error(session, is_done) == SSL_ERROR_ZERO_RETURN) {
        errno = EPIPE; /* 0 would be asked again at once */
        return -1;
    }
    return secure_result(session, is_done, sent);
}

const char *secure_why(const SSL *session)
{
    long verdict = SSL_get_verify_result(session);

    return verdict == X509_V_OK ? secure_reason() : X509_verify_cert_error_string(verdict);
}
