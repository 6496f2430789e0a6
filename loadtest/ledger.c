/*
 * ledger: points by formula, bookkeeping by bits.
 *
 *   key = index % keys     step = index / keys     timestamp = epoch + 1000 ms * step
 *   value = mix(seed, run, index): millionths from -1 to 1, or, seldom, NaN or an infinity
 *
 * Millionths, because m / 1e6 is what reading the decimal text gives, to the last bit: comparing
 * with what the database holds needs no tolerance. Equal (key, step) never have two values, so the
 * right latest_metrics row of a key is that of its greatest step.
 *
 * The bit sets grow by doubling when points come that are beyond them: amortised, outside of which
 * nothing here allocates. They are bounded by the points that the plan can send.
 */
#include "loadtest/ledger.h"

#include <float.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"

enum { BLOCK = 16 };

/* As mlflow/system_metrics names them, on a machine without GPUs. */
static const char *const system_keys[SYSTEM_KEYS] = {
    "system/cpu_utilization_percentage",     "system/system_memory_usage_megabytes",
    "system/system_memory_usage_percentage", "system/disk_usage_percentage",
    "system/disk_usage_megabytes",           "system/disk_available_megabytes",
    "system/network_receive_megabytes",      "system/network_transmit_megabytes",
};

uint64_t mix64(uint64_t x)
{
    x += 0x9E3779B97F4A7C15ULL;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
    return x ^ (x >> 31);
}

/* --- bits ------------------------------------------------------------------------------------- */

static void bits_grow(struct bits *b, uint64_t least)
{
    size_t cap = b->cap ? b->cap : 1024;

    while (cap < least)
        cap *= 2;
    b->words = realloc(b->words, cap / 8);
    check(b->words != NULL);
    memset((char *)b->words + b->cap / 8, 0, (cap - b->cap) / 8);
    b->cap = cap;
}

bool bits_get(const struct bits *b, uint64_t i)
{
    return i < b->cap && (b->words[i / 64] >> (i % 64) & 1);
}

uint32_t bits_set(struct bits *b, uint64_t first, uint32_t n)
{
    uint32_t fresh = 0;

    if (first + n > b->cap)
        bits_grow(b, first + n);
    for (uint64_t i = first; i < first + n; i++) {
        uint64_t bit = UINT64_C(1) << (i % 64);

        fresh += !(b->words[i / 64] & bit);
        b->words[i / 64] |= bit;
    }
    return fresh;
}

uint64_t bits_count(const struct bits *b)
{
    uint64_t n = 0;

    for (size_t i = 0; i < b->cap / 64; i++)
        n += (uint64_t)__builtin_popcountll(b->words[i]);
    return n;
}

void bits_fini(struct bits *b)
{
    free(b->words);
    *b = (struct bits){0};
}

/* --- points ----------------------------------------------------------------------------------- */

uint32_t ledger_keys(const struct ledger *l, uint32_t row)
{
    return row < l->count ? l->keys : SYSTEM_KEYS;
}

uint32_t ledger_key_count(const struct ledger *l)
{
    return l->rows > l->count ? l->keys + SYSTEM_KEYS : l->keys;
}

struct point ledger_point(const struct ledger *l, uint32_t row, uint64_t index)
{
    uint64_t x = mix64(mix64(l->seed * 0x10001 + row) + index);
    uint32_t keys = ledger_keys(l, row);
    struct point p = {
        .key = (uint32_t)(index % keys) + (row < l->count ? 0 : l->keys),
        .step = (int64_t)(index / keys),
        .timestamp = l->epoch_ms + (int64_t)(index / keys) * 1000,
        .micro = (int32_t)(x % 2000001) - 1000000,
    };

    if ((double)(x >> 40) < l->special * (double)(1 << 24))
        p.class = POINT_NAN + (x >> 8) % 3;
    return p;
}

/* load/m12, or load/m12/xxxx where keys are to be longer than that. */
size_t ledger_key(const struct ledger *l, uint32_t number, char out[KEY_MAX])
{
    static const char prefix[6] = "load/m";
    char digits[10];
    size_t at = sizeof(digits);
    size_t n = sizeof(prefix);

    if (number >= l->keys) {
        n = strlen(system_keys[number - l->keys]);
        memcpy(out, system_keys[number - l->keys], n);
        return n;
    }
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    memcpy(out, prefix, sizeof(prefix));
    memcpy(out + n, digits + at, sizeof(digits) - at);
    n += sizeof(digits) - at;
    if (n + 1 < l->key_bytes) {
        out[n] = '/';
        memset(out + n + 1, 'x', l->key_bytes - n - 1);
        n = l->key_bytes;
    }
    return n;
}

bool ledger_key_number(const struct ledger *l, struct str name, uint32_t *number)
{
    struct str rest = str_skip(name, sizeof("load/m") - 1);
    char want[KEY_MAX];
    uint64_t value;

    for (uint32_t i = 0; l->rows > l->count && i < SYSTEM_KEYS; i++) {
        *number = l->keys + i;
        if (str_eq(name, str_of(system_keys[i])))
            return true;
    }
    if (!str_to_u64(str_head(rest, str_find(rest, '/')), &value) || value >= l->keys)
        return false;
    *number = (uint32_t)value;
    return str_eq(name, (struct str){want, ledger_key(l, *number, want)});
}

double point_stored(const struct point *p)
{
    switch (p->class) {
    case POINT_NAN: return 0;
    case POINT_INF: return DBL_MAX;
    case POINT_MINUS_INF: return -DBL_MAX;
    default: return p->micro / 1e6;
    }
}

/* --- the books -------------------------------------------------------------------------------- */

void ledger_init(struct ledger *l, size_t count, uint32_t keys, uint32_t batch, uint64_t seed,
                 double special)
{
    *l = (struct ledger){.count = count,
                         .rows = count,
                         .keys = keys,
                         .batch = batch,
                         .seed = seed,
                         .special = special,
                         .epoch_ms = clock_wall_ms()};
    l->runs = calloc(count, sizeof(*l->runs));
    check(l->runs != NULL);
}

void ledger_add_system(struct ledger *l)
{
    l->rows = 2 * l->count;
    l->runs = realloc(l->runs, l->rows * sizeof(*l->runs));
    check(l->runs != NULL);
    memset(l->runs + l->count, 0, l->count * sizeof(*l->runs));
}

void ledger_name(struct ledger *l, size_t run, const char *id)
{
    for (; run < l->rows; run += l->count)
        strcpy(l->runs[run].id, id); /* the caller held it against LEDGER_ID_MAX */
}

void ledger_fini(struct ledger *l)
{
    for (size_t i = 0; i < l->rows; i++) {
        bits_fini(&l->runs[i].sent);
        bits_fini(&l->runs[i].acked);
    }
    free(l->runs);
    l->runs = NULL;
}

uint64_t ledger_take(struct ledger *l, uint32_t run, uint32_t count)
{
    uint64_t first = l->runs[run].next;

    l->runs[run].next += count;
    return first;
}

uint64_t ledger_take_shuffled(struct ledger *l, uint32_t run, uint64_t chance)
{
    struct run *r = &l->runs[run];
    unsigned skip;
    unsigned at = 0;

    if (r->block_left == 0) {
        r->block = ledger_take(l, run, l->batch * BLOCK);
        r->block_left = UINT16_MAX;
    }
    skip = (unsigned)(chance % (unsigned)__builtin_popcount(r->block_left));
    for (; !(r->block_left >> at & 1) || skip; at++)
        skip -= r->block_left >> at & 1;
    r->block_left = (uint16_t)(r->block_left & ~(1U << at));
    return r->block + (uint64_t)at * l->batch;
}

void ledger_sent(struct ledger *l, const struct call *c)
{
    bits_set(&l->runs[c->run].sent, c->first, c->count);
}

uint32_t ledger_acked(struct ledger *l, const struct call *c)
{
    return bits_set(&l->runs[c->run].acked, c->first, c->count);
}

uint64_t ledger_acked_count(const struct ledger *l)
{
    uint64_t n = 0;

    for (size_t i = 0; i < l->rows; i++)
        n += bits_count(&l->runs[i].acked);
    return n;
}
