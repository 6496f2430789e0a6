/*
 * process: what the kernel says of this process, for /metrics and the status page.
 *
 * Any thread; each call reads /proc, some 30 us. What cannot be read is 0.
 */
#ifndef BASE_PROCESS_H
#define BASE_PROCESS_H

#include <stdint.h>

struct process {
    uint64_t resident_bytes;
    uint64_t virtual_bytes;
    uint64_t cpu_us;     /* user and system time of all threads, without children */
    uint64_t started_us; /* since the epoch; the kernel counts in hundredths of a second */
    uint64_t threads;
    uint64_t open_fds;
    uint64_t max_fds; /* the soft limit */
};

void process_look(struct process *out);

#endif
