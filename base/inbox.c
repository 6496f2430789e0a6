/*
 * inbox: an eventfd, a flag that says it has been rung, and a bounded queue of notes.
 *
 * A ring is one exchange on is_rung; only the one that finds it false writes to the eventfd, so
 * a worker that is flooded with rings costs the senders no system call.
 *
 * Why no wake-up is lost. The owner reads the eventfd first and resets is_rung after that:
 *
 *   - A ring before the reset finds true and writes nothing. The reset is an exchange, too, so it
 *     reads what that ring wrote and sees everything that the ringer did before; the owner looks
 *     at the world only after inbox_clear(), and finds it.
 *   - A ring after the reset finds false and writes: the owner wakes again.
 *   - A ringer that has set the flag but not written yet when the owner clears: its write comes
 *     later and causes one wake-up for nothing.
 *
 * The other order (reset, then read) would be wrong: a ring in between sets the flag and writes,
 * the read swallows the write, and the flag stays true with an empty eventfd: no later ring would
 * ever wake the owner.
 */
#include "base/inbox.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"

int inbox_init(struct inbox *b)
{
    b->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (b->fd < 0)
        return errno;
    check(pthread_mutex_init(&b->lock, NULL) == 0);
    atomic_init(&b->is_rung, false);
    b->head = 0;
    b->count = 0;
    return 0;
}

void inbox_fini(struct inbox *b)
{
    close(b->fd);
    b->fd = -1;
    pthread_mutex_destroy(&b->lock);
}

int inbox_fd(const struct inbox *b)
{
    return b->fd;
}

void inbox_ring(struct inbox *b)
{
    const uint64_t one = 1;
    int saved = errno; /* a signal handler may be what rings */

    if (atomic_exchange_explicit(&b->is_rung, true, memory_order_acq_rel))
        return;
again:
    if (write(b->fd, &one, sizeof(one)) < 0) {
        if (errno == EINTR)
            goto again;
        /* EAGAIN: the counter is at its top, so the descriptor is readable already. */
        check(errno == EAGAIN);
    }
    errno = saved;
}

bool inbox_send(struct inbox *b, const struct note *n)
{
    bool has_room;

    pthread_mutex_lock(&b->lock);
    has_room = b->count < INBOX_NOTES;
    if (has_room)
        b->notes[(b->head + b->count++) % INBOX_NOTES] = *n;
    pthread_mutex_unlock(&b->lock);
    if (has_room)
        inbox_ring(b);
    return has_room;
}

void inbox_clear(struct inbox *b)
{
    uint64_t rings;

again:
    if (read(b->fd, &rings, sizeof(rings)) < 0) {
        if (errno == EINTR)
            goto again;
        check(errno == EAGAIN);
    }
    atomic_exchange_explicit(&b->is_rung, false, memory_order_acq_rel);
}

bool inbox_take(struct inbox *b, struct note *out)
{
    bool has_note;

    pthread_mutex_lock(&b->lock);
    has_note = b->count > 0;
    if (has_note) {
        *out = b->notes[b->head];
        b->head = (b->head + 1) % INBOX_NOTES;
        b->count--;
    }
    pthread_mutex_unlock(&b->lock);
    return has_note;
}

bool inbox_wait(struct inbox *b, uint64_t deadline_us)
{
    struct pollfd p = {.fd = b->fd, .events = POLLIN};

    for (;;) {
        uint64_t now = clock_us();
        uint64_t left = deadline_us > now ? deadline_us - now : 0;
        int n = poll(&p, 1, left < 3600000000 ? (int)((left + 999) / 1000) : 3600000);

        if (n > 0) {
            inbox_clear(b);
            return true;
        }
        check(n == 0 || errno == EINTR);
        if (left == 0)
            return false;
    }
}
