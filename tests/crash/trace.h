/*
 * trace: what the journal asked of the disk, in order, and what was answered to clients meanwhile.
 *
 * record.c writes it, states.c reads it. A trace is a sequence of trace_op, each with `len` bytes
 * behind it when it is a TRACE_WRITE. One file for each life of the program: the end of it may be
 * cut by kill -9, which the reader notices. Little else than what is needed to rebuild a disk.
 */
#ifndef TESTS_CRASH_TRACE_H
#define TESTS_CRASH_TRACE_H

#include <stdint.h>

enum trace_kind {
    TRACE_CREATE = 1, /* file, name: a new empty file; noted before the call */
    TRACE_OPEN,       /* file, name: it was there */
    TRACE_WRITE,      /* file, offset, len; before */
    TRACE_ZERO,       /* the same, all zeros, no bytes behind; before */
    TRACE_SIZE,       /* file, offset = its new size; before */
    TRACE_ALLOC,      /* file, offset = bytes it has at least; before */
    TRACE_SYNC,     /* file: what was noted before the call began is durable; after it succeeded */
    TRACE_RENAME,   /* name, to; before */
    TRACE_LINK,     /* name, to; before */
    TRACE_UNLINK,   /* name; before */
    TRACE_DIR_SYNC, /* after */
    TRACE_ANSWER,   /* port = the client's, status; before */
    TRACE_KINDS
};

struct trace_op {
    uint32_t kind;
    uint32_t port;
    uint64_t file; /* inode number */
    uint64_t offset;
    uint64_t len;
    uint32_t status;
    char name[44];
    char to[44];
};

/* Notes what this process does from now on, in the file fd; -1 = no longer. */
void record_to(int fd);

#endif
