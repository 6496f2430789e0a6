/*
 * slice: how long this thread runs before another has its turn, and so how soon it has its own.
 *
 * Linux's scheduler (EEVDF) gives each thread the same share of a processor, in slices of some 3 ms. A
 * thread that wakes waits for the end of the slice of who runs, unless its own slice is the shorter: then
 * its deadline is the nearer and it runs at once. The share stays the same, so this takes nothing from
 * anybody; a thread that works for 20 us at a time asks for it. Since Linux 6.12 the slice is
 * sched_runtime of sched_setattr; before that the field is ignored. The C library of Debian 12 has
 * neither the call nor the struct.
 */
#define _GNU_SOURCE /* SCHED_BATCH */
#include "base/slice.h"

#include <sched.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* As the kernel's struct sched_attr began, which is what it still takes. */
struct attr {
    uint32_t size;
    uint32_t policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime_ns;
    uint64_t deadline_ns;
    uint64_t period_ns;
};

bool slice_set_us(unsigned us)
{
    struct attr a = {.size = sizeof(a)};

    /* What the thread has (its niceness, its policy) stays; other policies know no such slice. */
    if (syscall(SYS_sched_getattr, 0, &a, sizeof(a), 0) != 0 ||
        (a.policy != SCHED_OTHER && a.policy != SCHED_BATCH))
        return false;
    a.runtime_ns = (uint64_t)us * 1000;
    return syscall(SYS_sched_setattr, 0, &a, 0) == 0;
}
