/*
 * The dead-letter file: frames one after the other, only ever appended to. Integers are little
 * endian.
 *
 *    0  4  magic "SLD2"
 *    4  4  bytes of the payload
 *    8  8  XXH3-64 of the payload, with the seed 2
 *   16  .  payload:
 *              u64 time, ms since the epoch
 *              u64 position of the entry in the queue
 *              u32 partition
 *              u32 points
 *              u32 version of the record
 *              u64 position of the first entry of the window that met the refusal
 *              u64 position behind that window
 *              then six strings, each a u32 length and its bytes: queue id, run id, SQLSTATE,
 *              reason, client, record
 *
 * The first format has the magic "SLDL", the seed 0, no window and no client; it is read, not
 * written (docs/decisions/009-letter-format.md).
 *
 * Validity: a frame counts when its magic, its length and its checksum fit. Writing is one append
 * and one fdatasync; a crash may leave the beginning of a frame, and what is appended after the
 * restart follows it directly. So a reader that finds no sound frame looks for the next magic at
 * every byte. Frames are not aligned for that reason: nothing depends on where one begins.
 *
 * The record is what the journal held, in the journal's own encoding, because a refused key may be
 * bytes that no text format can carry, and because replaying a letter is then appending its record.
 *
 * A crash between writing a letter and committing the window that skips its points writes the same
 * letter again. deadletter_id leaves out the time, so a reader tells such twins by it.
 */
#include "schema/deadletter.h"

#include <endian.h>
#include <string.h>

#include <xxhash.h>

#define DEADLETTER_MAGIC       "SLD2"
#define DEADLETTER_MAGIC_FIRST "SLDL"

enum {
    DEADLETTER_HEAD = 16,
    DEADLETTER_FIXED_FIRST = 28,
    DEADLETTER_FIXED = 44,
    DEADLETTER_STRINGS = 6,
    DEADLETTER_SEED_FIRST = 0,
    DEADLETTER_SEED = 2,
    DEADLETTER_MAX = 1 << 30 /* payload: an entry is at most one request body */
};

static void put_u32(struct buf *out, uint32_t v)
{
    v = htole32(v);
    buf_add(out, &v, sizeof(v));
}

static void put_u64(struct buf *out, uint64_t v)
{
    v = htole64(v);
    buf_add(out, &v, sizeof(v));
}

static void put_str(struct buf *out, struct str s)
{
    put_u32(out, (uint32_t)s.n);
    buf_add(out, s.p, s.n);
}

static uint32_t get_u32(const char *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof(v));
    return le32toh(v);
}

static uint64_t get_u64(const char *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof(v));
    return le64toh(v);
}

uint64_t deadletter_id(const struct deadletter *d)
{
    const struct str parts[] = {d->queue_id, d->sqlstate, d->record};
    uint64_t id = d->pos;

    for (size_t i = 0; i < array_len(parts); i++)
        id = XXH3_64bits_withSeed(parts[i].n ? parts[i].p : "", parts[i].n, id);
    return id;
}

void deadletter_write(const struct deadletter *d, struct buf *out)
{
    size_t n = DEADLETTER_FIXED + DEADLETTER_STRINGS * 4 + d->queue_id.n + d->run_id.n +
               d->sqlstate.n + d->reason.n + d->client.n + d->record.n;
    struct str whole;
    size_t at = buf_len(out);
    uint32_t length;
    uint64_t sum;
    char *head;

    check(n <= DEADLETTER_MAX);
    head = buf_room(out, DEADLETTER_HEAD + n);
    memset(head, 0, DEADLETTER_HEAD);
    buf_added(out, DEADLETTER_HEAD);
    put_u64(out, (uint64_t)d->time_ms);
    put_u64(out, d->pos);
    put_u32(out, d->partition);
    put_u32(out, d->points);
    put_u32(out, d->version);
    put_u64(out, d->window_from);
    put_u64(out, d->window_end);
    put_str(out, d->queue_id);
    put_str(out, d->run_id);
    put_str(out, d->sqlstate);
    put_str(out, d->reason);
    put_str(out, d->client);
    put_str(out, d->record);

    whole = str_skip(buf_str(out), at);
    check(whole.n == DEADLETTER_HEAD + n);
    sum = htole64(XXH3_64bits_withSeed(whole.p + DEADLETTER_HEAD, n, DEADLETTER_SEED));
    length = htole32((uint32_t)n);
    memcpy(head, DEADLETTER_MAGIC, 4);
    memcpy(head + 4, &length, 4);
    memcpy(head + 8, &sum, 8);
}

static bool take_str(struct str *rest, struct str *out)
{
    uint32_t n;

    if (rest->n < 4 || (n = get_u32(rest->p)) > rest->n - 4)
        return false;
    *out = (struct str){rest->p + 4, n};
    *rest = str_skip(*rest, 4 + (size_t)n);
    return true;
}

static bool deadletter_parse(struct str payload, bool is_first, struct deadletter *out)
{
    size_t fixed = is_first ? DEADLETTER_FIXED_FIRST : DEADLETTER_FIXED;
    struct str rest = str_skip(payload, fixed);

    if (payload.n < fixed)
        return false;
    *out = (struct deadletter){.time_ms = (int64_t)get_u64(payload.p),
                               .pos = get_u64(payload.p + 8),
                               .partition = get_u32(payload.p + 16),
                               .points = get_u32(payload.p + 20),
                               .version = get_u32(payload.p + 24)};
    if (!is_first) {
        out->window_from = get_u64(payload.p + 28);
        out->window_end = get_u64(payload.p + 36);
    }
    return take_str(&rest, &out->queue_id) && take_str(&rest, &out->run_id) &&
           take_str(&rest, &out->sqlstate) && take_str(&rest, &out->reason) &&
           (is_first || take_str(&rest, &out->client)) && take_str(&rest, &out->record) &&
           rest.n == 0;
}

/* Is there a sound frame at the very front? Then its length, else 0. */
static size_t deadletter_frame(struct str bytes, struct deadletter *out)
{
    struct str payload;
    uint64_t seed;
    bool is_first;
    size_t n;

    if (bytes.n < DEADLETTER_HEAD)
        return 0;
    is_first = memcmp(bytes.p, DEADLETTER_MAGIC_FIRST, 4) == 0;
    if (!is_first && memcmp(bytes.p, DEADLETTER_MAGIC, 4) != 0)
        return 0;
    n = get_u32(bytes.p + 4);
    if (n > DEADLETTER_MAX || n > bytes.n - DEADLETTER_HEAD)
        return 0;
    payload = (struct str){bytes.p + DEADLETTER_HEAD, n};
    seed = is_first ? DEADLETTER_SEED_FIRST : DEADLETTER_SEED;
    if (get_u64(bytes.p + 8) != XXH3_64bits_withSeed(payload.p, n, seed) ||
        !deadletter_parse(payload, is_first, out))
        return 0;
    return DEADLETTER_HEAD + n;
}

bool deadletter_read(struct str *bytes, struct deadletter *out, size_t *skipped)
{
    while (bytes->n) {
        size_t n = deadletter_frame(*bytes, out);
        const char *next;

        if (n) {
            *bytes = str_skip(*bytes, n);
            return true;
        }
        next = memchr(bytes->p + 1, DEADLETTER_MAGIC[0], bytes->n - 1);
        n = next ? (size_t)(next - bytes->p) : bytes->n;
        *skipped += n;
        *bytes = str_skip(*bytes, n);
    }
    return false;
}
