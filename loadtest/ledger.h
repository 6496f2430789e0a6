/*
 * ledger: which points exist, which were sent, which were acked.
 *
 * A point is (run, index): key, step, timestamp and value follow from it by ledger_point(), so
 * what has to be remembered of a point is two bits. Ten million points are 2.5 MB. One owner.
 *
 * A run may have a second series, what MLflow's client logs of the machine: row i + count is
 * that of run i, with keys of its own.
 */
#ifndef LOADTEST_LEDGER_H
#define LOADTEST_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "loadtest/call.h"

enum { LEDGER_ID_MAX = 36 };

struct bits {
    uint64_t *words;
    size_t cap; /* bits */
};

struct run {
    char id[LEDGER_ID_MAX + 1]; /* as the server gave it; "" before */
    uint64_t next;              /* first index that no call has */
    uint64_t block;             /* shuffle: first index of the sixteen batches being dealt out */
    uint16_t block_left;        /* shuffle: those of them not dealt out yet, a bit each */
    uint64_t others;            /* calls that carry no points */
    struct bits sent;
    struct bits acked;
};

struct ledger {
    struct run *runs;
    size_t count; /* runs */
    size_t rows;  /* of runs: count, or twice that when there are system metrics */
    uint64_t seed;
    uint32_t keys;
    uint32_t batch;     /* points of a log-batch */
    uint32_t key_bytes; /* least length of a key's name; may be set before the first point */
    double special;     /* share of points that are no finite number */
    int64_t epoch_ms;   /* timestamp of step 0 */
};

enum point_class { POINT_PLAIN, POINT_NAN, POINT_INF, POINT_MINUS_INF };

struct point {
    uint32_t key; /* number of the key in its run; ledger_key makes its name */
    int64_t step;
    int64_t timestamp; /* ms */
    int32_t micro;     /* value in millionths, when it is plain */
    enum point_class class;
};

enum { KEY_MAX = 250, SYSTEM_KEYS = 8 };

void ledger_init(struct ledger *l, size_t count, uint32_t keys, uint32_t batch, uint64_t seed,
                 double special);
void ledger_fini(struct ledger *l);
/* Each run gets its second series. Before any run has its id. */
void ledger_add_system(struct ledger *l);
/* The run at row has this id, both its series. */
void ledger_name(struct ledger *l, size_t run, const char *id);
/* Keys of a series; those of the second are numbered from l->keys on. */
uint32_t ledger_keys(const struct ledger *l, uint32_t row);
/* All keys that a run may have. */
uint32_t ledger_key_count(const struct ledger *l);
/* The point at index of row. */
struct point ledger_point(const struct ledger *l, uint32_t row, uint64_t index);
/* The name of a key, not terminated; returns its length. */
size_t ledger_key(const struct ledger *l, uint32_t number, char out[KEY_MAX]);
/* The number of a key's name; false when it is no key of l. */
bool ledger_key_number(const struct ledger *l, struct str name, uint32_t *number);
/* The value as PostgreSQL stores it: NaN is 0 with is_nan, infinities are the largest doubles. */
double point_stored(const struct point *p);
/* The next count points of run. */
uint64_t ledger_take(struct ledger *l, uint32_t run, uint32_t count);
/* The next log-batch of run, one of sixteen by chance. */
uint64_t ledger_take_shuffled(struct ledger *l, uint32_t run, uint64_t chance);
void ledger_sent(struct ledger *l, const struct call *c);
/* Returns how many of the points were not acked before. */
uint32_t ledger_acked(struct ledger *l, const struct call *c);
uint64_t ledger_acked_count(const struct ledger *l);

bool bits_get(const struct bits *b, uint64_t i);
/* Sets bits first to first + n - 1; returns how many were not set before. */
uint32_t bits_set(struct bits *b, uint64_t first, uint32_t n);
uint64_t bits_count(const struct bits *b);
void bits_fini(struct bits *b);

/* A well mixed number from a plain one. */
uint64_t mix64(uint64_t x);

#endif
