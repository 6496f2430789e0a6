/*
 * conn_io: the socket of a connection, plain or behind something that changes its bytes.
 *
 * All that conn*.c does to a client socket goes through here. A connection whose io is NULL is plain;
 * otherwise each call goes to the table that io points to, and io_data is the table's own. What the
 * calls return is what read(2) and its kind return, errno with it: EAGAIN means that one of the
 * connection's two events will tell when to come again. The worker's thread.
 */
#ifndef GATEWAY_CONN_IO_H
#define GATEWAY_CONN_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/str.h"

struct conn;

struct conn_io {
    ssize_t (*read)(struct conn *c, void *p, size_t n);
    /* Takes bytes that nobody wants, at most n of them. */
    ssize_t (*drop)(struct conn *c, size_t n);
    ssize_t (*write)(struct conn *c, const struct iovec *v, int count);
    /* Tells the peer that nothing follows; 0 when it was told. It may still send. */
    int (*shutdown)(struct conn *c);
    /* May there be more to read although the last read did not fill its room? Bytes that were taken
     * from the kernel already, which no event tells of. */
    bool (*has_pending)(const struct conn *c);
    /* Gives back io_data. The descriptor is closed behind it, by the caller. */
    void (*close)(struct conn *c);
};

ssize_t conn_io_read(struct conn *c, void *p, size_t n);
ssize_t conn_io_drop(struct conn *c, size_t n);
ssize_t conn_io_write(struct conn *c, const struct iovec *v, int count);
/* n bytes of a file, from offset at: the kernel moves them where nothing changes them on the way. 0
 * means that the file is shorter. */
ssize_t conn_io_send_file(struct conn *c, int fd, uint64_t at, size_t n);
int conn_io_shutdown(struct conn *c);
bool conn_io_has_pending(const struct conn *c);
void conn_io_close(struct conn *c);
/* For a write, which only reads what it is given. */
struct iovec conn_io_slice(struct str s);

#endif
