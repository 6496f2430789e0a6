/*
 * inbox: the one door into a thread.
 *
 * Any thread may ring it or put a note in; only the owner takes notes out. It has an eventfd, so
 * the owner waits for it in epoll or poll together with everything else. Rings collapse: ten rings
 * before the owner wakes are one wake-up. Notes are bounded (INBOX_NOTES); a full inbox refuses,
 * and the sender says what that means.
 */
#ifndef BASE_INBOX_H
#define BASE_INBOX_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { INBOX_NOTES = 256 };

/* What one thread tells another. The meaning of kind is the receiver's enum. */
struct note {
    int kind;
    int err;
    uint64_t ref; /* conn_ref, partition, ... as kind says */
    uint64_t pos;
};

struct inbox {
    /* private */
    int fd;
    _Atomic bool is_rung;
    pthread_mutex_t lock;
    unsigned head;
    unsigned count;
    struct note notes[INBOX_NOTES];
};

/* Returns 0 or an errno value. */
int inbox_init(struct inbox *b);
void inbox_fini(struct inbox *b);
/* The descriptor that becomes readable when there is something. */
int inbox_fd(const struct inbox *b);
/* Wakes the owner; says nothing else. Async-signal-safe. */
void inbox_ring(struct inbox *b);
/* Puts a copy of n in and wakes the owner; false when full. */
bool inbox_send(struct inbox *b, const struct note *n);
/* Owner: clears the wake-up. Call before looking at whatever the ring was about. */
void inbox_clear(struct inbox *b);
/* Owner: the next note, or false. */
bool inbox_take(struct inbox *b, struct note *out);
/* Owner: waits until rung or until deadline_us (clock_us time); true when rung. Clears it. */
bool inbox_wait(struct inbox *b, uint64_t deadline_us);

#endif
