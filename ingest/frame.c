/*
 * frame: one entry. Little-endian, at a position that is a multiple of 8:
 *
 *   0   u32  bytes of payload, at most FRAME_PAYLOAD_MAX
 *   4   u8   partition
 *   5   u8   record version of the payload
 *   6   u16  zero
 *   8   u64  pos: where this frame begins in the endless stream
 *   16  u64  XXH3-64 of (the 16 bytes before, then the XXH3-64 of the payload as u64)
 *   24       payload, then zeros up to a multiple of 8
 *
 * Because pos is inside and checked, bytes that were written for another place can never pass:
 * what a recycled segment file held before, what a disk wrote to the wrong block, and the older
 * lap of the ring all carry another pos. The hash is of a hash so that the long part can be done
 * before the writer reserves its place and learns pos; everybody else is held up meanwhile.
 */
#include "ingest/frame.h"

#include <endian.h>
#include <string.h>
#include <xxhash.h>

uint64_t frame_hash(struct str payload)
{
    return XXH3_64bits(payload.p, payload.n);
}

static uint64_t frame_seal(const uint64_t head[2], uint64_t hash)
{
    const uint64_t sealed[3] = {head[0], head[1], htole64(hash)};

    return XXH3_64bits(sealed, sizeof(sealed));
}

void frame_head_write(uint64_t head[FRAME_HEAD_WORDS], pos_t pos, unsigned partition,
                      unsigned version, struct str payload, uint64_t hash)
{
    head[0] = htole64((uint64_t)payload.n | (uint64_t)partition << 32 | (uint64_t)version << 40);
    head[1] = htole64(pos);
    head[2] = htole64(frame_seal(head, hash));
}

bool frame_head_read(const void *head, pos_t pos, struct entry *out)
{
    uint64_t words[2];

    memcpy(words, head, sizeof(words));
    if (le64toh(words[1]) != pos)
        return false;
    uint64_t first = le64toh(words[0]);

    *out = (struct entry){.pos = pos,
                          .partition = (unsigned)(first >> 32 & 0xff),
                          .version = (unsigned)(first >> 40 & 0xff),
                          .payload = {NULL, first & 0xffffffff}};
    out->end = pos + frame_bytes(out->payload.n);
    return first >> 48 == 0 && out->payload.n <= FRAME_PAYLOAD_MAX &&
           out->partition < QUEUE_PARTITIONS;
}

bool frame_is_sound(const void *head, const struct entry *e)
{
    uint64_t words[FRAME_HEAD_WORDS];

    memcpy(words, head, sizeof(words));
    return le64toh(words[2]) == frame_seal(words, frame_hash(e->payload));
}
