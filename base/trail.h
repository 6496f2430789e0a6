/*
 * trail: what is recorded of one flush that somebody follows, and of whose requests its points are.
 *
 * The flusher fills it in and asks the follower twice for each take of the queue, from its own thread:
 * begin before the first transaction, end when all of it is in PostgreSQL or the flusher has to stop.
 * A value without pointers; base, because flush/ makes it and gateway/ sends it.
 */
#ifndef BASE_TRAIL_H
#define BASE_TRAIL_H

#include <stdbool.h>
#include <stdint.h>

struct take;

enum { TRAIL_LINKS = 8, TRAIL_APPLICATION = 64 };

/* A span that stands somewhere else. */
struct trail_link {
    uint64_t trace[2];
    uint64_t span;
};

struct trail {
    struct trail_link self;
    uint64_t parent; /* of the request in whose trace it is; 0 = it begins one */
    char application[TRAIL_APPLICATION]; /* what PostgreSQL calls its transactions */
    unsigned followed;   /* requests with points in it; of them the first is the parent, */
    unsigned link_count; /* and these are told, too */
    struct trail_link links[TRAIL_LINKS];

    uint64_t begin_us, end_us; /* of the monotonic clock */
    unsigned flusher;
    uint64_t entries; /* of the queue */
    uint64_t points, rows, runs, repeats;
    uint64_t transactions; /* tried: one, unless something was refused or went wrong */
    bool is_staged;        /* the last of them went by the temporary table */
    bool is_cut;           /* the flusher had to stop before the end */
};

struct follower {
    void *arg;
    /* Is this flush followed? Then out says as what; the rest of it is zeros. */
    bool (*begin)(void *arg, const struct take *take, struct trail *out);
    /* False: it is dropped. */
    bool (*end)(void *arg, const struct trail *t);
};

#endif
