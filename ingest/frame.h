/*
 * frame: how one entry stands in the ring and in a segment file, byte for byte the same.
 *
 * The layout and why it cannot be mistaken stand in frame.c. Pure functions; any thread.
 */
#ifndef INGEST_FRAME_H
#define INGEST_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ingest/queue.h"

enum {
    FRAME_HEAD = 24, /* bytes before the payload */
    FRAME_HEAD_WORDS = 3,
    FRAME_ALIGN = 8,            /* frames begin at multiples of this */
    FRAME_PAYLOAD_MAX = 1 << 26 /* a longer payload is damage, not a record */
};

/* What the first half of a head says; payload points nowhere yet, its n is the length. */
bool frame_head_read(const void *head, pos_t pos, struct entry *out);
/* Writes the head of the frame at pos; hash is frame_hash of its payload. */
void frame_head_write(uint64_t head[FRAME_HEAD_WORDS], pos_t pos, unsigned partition,
                      unsigned version, struct str payload, uint64_t hash);
/* To be made before the position is known: what costs time is the payload. */
uint64_t frame_hash(struct str payload);
/* Are head and e->payload, which frame_head_read gave a length, what was written for e->pos? */
bool frame_is_sound(const void *head, const struct entry *e);

/* Bytes of a frame with n bytes of payload, padding included. */
static inline uint64_t frame_bytes(uint64_t n)
{
    return (FRAME_HEAD + n + FRAME_ALIGN - 1) & ~(uint64_t)(FRAME_ALIGN - 1);
}

#endif
