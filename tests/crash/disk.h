/*
 * disk: what a directory may look like after the power was cut, from a trace of what was done to it.
 *
 * Order of calls: disk_new, disk_load when it did not begin empty, disk_apply for each operation, and
 * at any moment disk_pick, which writes one of the possible states. One thread. A test helper: what
 * cannot be aborts.
 */
#ifndef TESTS_CRASH_DISK_H
#define TESTS_CRASH_DISK_H

#include <stddef.h>
#include <stdint.h>

#include "tests/crash/trace.h"

struct disk;

/* xorshift: the same seed, the same states. */
struct dice {
    uint64_t state;
};

void dice_begin(struct dice *r, uint64_t seed, uint64_t number);
unsigned dice_roll(struct dice *r, unsigned sides);

struct disk *disk_new(void);
void disk_free(struct disk *d);
/* Everything in the directory is there for good. */
void disk_load(struct disk *d, int dir);
/* bytes, of a TRACE_WRITE, must live as long as the disk. */
void disk_apply(struct disk *d, const struct trace_op *op, const char *bytes);
/* Fills the empty directory with a state that the dice choose; says in words which. */
void disk_pick(const struct disk *d, struct dice *r, int dir, char *words, size_t cap);
/* Removes all files of a directory. */
void disk_wipe(int dir);

#endif
