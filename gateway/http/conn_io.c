/*
 * conn_io: a client socket's system calls, and the turn-off for those that are not plain.
 *
 * The plain calls stand here and cost one comparison more than without the turn-off. A file goes to a
 * plain socket by sendfile, so its bytes are never in this process. Behind a table they are read into
 * one piece of memory of the thread's stack and written from there: the table's write must take a part
 * and say so, as the socket does, and what it did not take is read again. SIGPIPE is ignored by the
 * whole program, so sendfile needs no flag for it.
 */
#include "gateway/http/conn_io.h"

#include <errno.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/http/conn.h"

enum { FILE_PIECE = 16384 /* a TLS record holds as much */ };

static ssize_t plain_read(int fd, void *p, size_t n)
{
    ssize_t got;

again:
    got = read(fd, p, n);
    if (got < 0 && errno == EINTR)
        goto again;
    return got;
}

/* MSG_TRUNC on TCP takes bytes without a copy. */
static ssize_t plain_drop(int fd, size_t n)
{
    ssize_t got;

again:
    got = recv(fd, NULL, n, MSG_TRUNC);
    if (got < 0 && errno == EINTR)
        goto again;
    return got;
}

static ssize_t plain_write(int fd, const struct iovec *v, int count)
{
    /* sendmsg takes a pointer that is not const, and only reads. */
    struct msghdr m = {.msg_iov = (struct iovec *)(uintptr_t)v, .msg_iovlen = (size_t)count};
    ssize_t sent;

again:
    sent = sendmsg(fd, &m, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR)
        goto again;
    return sent;
}

static ssize_t plain_send_file(int to, int fd, uint64_t at, size_t n)
{
    off_t offset = (off_t)at;
    ssize_t sent;

again:
    sent = sendfile(to, fd, &offset, n);
    if (sent < 0 && errno == EINTR)
        goto again;
    return sent;
}

static ssize_t copied_send_file(struct conn *c, int fd, uint64_t at, size_t n)
{
    char piece[FILE_PIECE];
    struct iovec v = {piece, 0};
    ssize_t got;

again:
    got = pread(fd, piece, n < sizeof(piece) ? n : sizeof(piece), (off_t)at);
    if (got < 0 && errno == EINTR)
        goto again;
    if (got <= 0)
        return got;
    v.iov_len = (size_t)got;
    return c->io->write(c, &v, 1);
}

ssize_t conn_io_read(struct conn *c, void *p, size_t n)
{
    return c->io ? c->io->read(c, p, n) : plain_read(c->fd, p, n);
}

ssize_t conn_io_drop(struct conn *c, size_t n)
{
    return c->io ? c->io->drop(c, n) : plain_drop(c->fd, n);
}

ssize_t conn_io_write(struct conn *c, const struct iovec *v, int count)
{
    return c->io ? c->io->write(c, v, count) : plain_write(c->fd, v, count);
}

ssize_t conn_io_send_file(struct conn *c, int fd, uint64_t at, size_t n)
{
    return c->io ? copied_send_file(c, fd, at, n) : plain_send_file(c->fd, fd, at, n);
}

int conn_io_shutdown(struct conn *c)
{
    return c->io ? c->io->shutdown(c) : shutdown(c->fd, SHUT_WR);
}

bool conn_io_has_pending(const struct conn *c)
{
    return c->io && c->io->has_pending(c);
}

void conn_io_close(struct conn *c)
{
    if (c->io)
        c->io->close(c);
}

struct iovec conn_io_slice(struct str s)
{
    return (struct iovec){(void *)(uintptr_t)s.p, s.n};
}
