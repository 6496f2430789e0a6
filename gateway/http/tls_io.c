/*
 * tls_io: OpenSSL's calls as the system calls that conn.c expects.
 *
 * OpenSSL says WANT_READ or WANT_WRITE where a socket says EAGAIN. The read event is armed whenever
 * conn.c waits for bytes; a read that wants to write (an alert, an answer to a change of keys) arms the
 * write event itself. A write never wants to read: renegotiation is refused.
 *
 * A record holds 16 KiB, so slices that are shorter are gathered into one: head and body of an answer
 * are one record, one write and one packet. OpenSSL remembers a record that the socket did not take,
 * and wants the same bytes again: conn.c gathers them anew from where it stands, which are the same.
 *
 * The end. shutdown says close_notify before the FIN, so a client that reads to the end knows that it
 * is one. What comes after it is dropped by the kernel, undeciphered. An answer that was cut off ends
 * without it, in a reset.
 *
 * Before the handshake one byte is looked at: a record begins with 22, an HTTP request with a capital
 * letter. The latter is answered in plain 400, which beats a line about a bad version in somebody's log.
 */
#include "gateway/http/tls_io.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "gateway/http/conn_io.h"
#include "gateway/worker.h"

enum { RECORD_BYTES = 16384 };

static SSL *tls_of(const struct conn *c)
{
    return c->io_data;
}

/* What a call's failure is for conn.c: -1 with errno, or 0 for an end that the peer has announced. */
static ssize_t tls_failed(struct conn *c, int result)
{
    int why = SSL_get_error(tls_of(c), result);

    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) {
        if (why == SSL_ERROR_WANT_WRITE)
            event_add(&c->writable, NULL);
        errno = EAGAIN;
        return -1;
    }
    ERR_clear_error();
    if (why == SSL_ERROR_ZERO_RETURN)
        return 0;
    errno = ECONNRESET;
    return -1;
}

static ssize_t tls_read(struct conn *c, void *p, size_t n)
{
    int got = SSL_read(tls_of(c), p, n < INT32_MAX ? (int)n : INT32_MAX);

    return got > 0 ? got : tls_failed(c, got);
}

static ssize_t tls_drop(struct conn *c, size_t n)
{
    char nowhere[RECORD_BYTES];
    ssize_t got;

    if (!(SSL_get_shutdown(tls_of(c)) & SSL_SENT_SHUTDOWN))
        return tls_read(c, nowhere, n < sizeof(nowhere) ? n : sizeof(nowhere));
again:
    got = recv(c->fd, NULL, n, MSG_TRUNC);
    if (got < 0 && errno == EINTR)
        goto again;
    return got;
}

static ssize_t tls_write(struct conn *c, const struct iovec *v, int count)
{
    char record[RECORD_BYTES];
    const void *from = record;
    size_t n = 0;
    int sent;

    for (int i = 0; i < count && n < sizeof(record); i++) {
        size_t part = v[i].iov_len < sizeof(record) - n ? v[i].iov_len : sizeof(record) - n;

        if (i == 0 && part == sizeof(record))
            from = v[i].iov_base; /* it fills the record: no copy */
        else
            memcpy(record + n, v[i].iov_base, part);
        n += part;
    }
    sent = SSL_write(tls_of(c), from, (int)n);
    return sent > 0 ? sent : tls_failed(c, sent);
}

static int tls_shutdown(struct conn *c)
{
    if (SSL_shutdown(tls_of(c)) < 0)
        ERR_clear_error();
    return shutdown(c->fd, SHUT_WR);
}

static bool tls_has_pending(const struct conn *c)
{
    return SSL_has_pending(tls_of(c)) == 1;
}

static void tls_end(struct conn *c)
{
    SSL *ssl = tls_of(c);

    if (SSL_is_init_finished(ssl) && !c->is_cut_off && SSL_shutdown(ssl) < 0)
        ERR_clear_error();
    SSL_free(ssl);
    c->io = NULL;
    c->io_data = NULL;
}

static const struct conn_io tls_io = {.read = tls_read,
                                      .drop = tls_drop,
                                      .write = tls_write,
                                      .shutdown = tls_shutdown,
                                      .has_pending = tls_has_pending,
                                      .close = tls_end};

/* -- the greeting ------------------------------------------------------------------------------ */

void tls_begin(struct conn *c, SSL_CTX *context)
{
    SSL *ssl = SSL_new(context);

    check(ssl != NULL && SSL_set_fd(ssl, c->fd) == 1);
    SSL_set_accept_state(ssl);
    c->io = &tls_io;
    c->io_data = ssl;
}

bool tls_is_on(const struct conn *c)
{
    return c->io == &tls_io;
}

/* Has the peer begun with a method instead of a record? */
static bool tls_peer_is_plain(const struct conn *c)
{
    char first;

    return SSL_in_before(tls_of(c)) && recv(c->fd, &first, 1, MSG_PEEK) == 1 && first >= 'A' &&
           first <= 'Z';
}

static void tls_count(struct conn *c)
{
    stat_add(c->worker->stats, tls_handshakes, 1);
    if (SSL_session_reused(tls_of(c)))
        stat_add(c->worker->stats, tls_resumptions, 1);
}

enum tls_greeting tls_greet(struct conn *c)
{
    unsigned long code;
    int done;

    if (tls_peer_is_plain(c)) {
        SSL_free(tls_of(c));
        c->io = NULL;
        c->io_data = NULL;
        stat_add(c->worker->stats, tls_failures, 1);
        return TLS_PLAIN;
    }
    done = SSL_do_handshake(tls_of(c));
    if (done == 1) {
        tls_count(c);
        return TLS_DONE;
    }
    code = ERR_peek_error();
    if (tls_failed(c, done) < 0 && errno == EAGAIN)
        return TLS_WAIT;
    log_debug("", "no handshake", "worker=%u fd=%d why=%s", c->worker->index, c->fd,
              code ? ERR_reason_error_string(code) : "cut off");
    stat_add(c->worker->stats, tls_failures, 1);
    return TLS_FAILED;
}

struct str tls_subject(const struct conn *c, char *space, size_t size)
{
    X509 *x = tls_is_on(c) ? SSL_get0_peer_certificate(tls_of(c)) : NULL;
    BIO *out;
    int n = 0;

    if (x == NULL || (out = BIO_new(BIO_s_mem())) == NULL)
        return STR("");
    if (X509_NAME_print_ex(out, X509_get_subject_name(x), 0, XN_FLAG_RFC2253) >= 0)
        n = BIO_read(out, space, (int)size);
    BIO_free(out);
    return (struct str){space, n > 0 ? (size_t)n : 0};
}
