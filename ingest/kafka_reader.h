/*
 * kafka_reader: one flusher's consumer, as kafka_reader.c (takes) and kafka_group.c (the group that deals
 * out the partitions) see it. Nobody else includes it; everything here is the flusher's thread's.
 *
 * Order: kafka_group_join, then takes and kafka_reader_begin in any order, then kafka_group_leave.
 */
#ifndef INGEST_KAFKA_READER_H
#define INGEST_KAFKA_READER_H

#include <librdkafka/rdkafka.h>

#include "base/arena.h"
#include "ingest/queue_kafka.h"

/* What retention removed of a partition before it was flushed; counted once the position is past it. */
struct kafka_lapse {
    pos_t end;
    uint64_t entries; /* 0: none */
};

struct kafka_reader {
    struct reader_head head;
    struct kafka_queue *queue;
    struct kafka_slot *slot;
    unsigned slot_number; /* + 1, as in kafka_part */
    rd_kafka_t *rk;
    rd_kafka_topic_partition_list_t *arriving; /* NULL: none */
    uint64_t owned;                            /* those that arrive included */
    uint64_t told;                             /* owned, as kafka_reader_begin last knew it */
    uint64_t held;
    uint64_t astray;
    uint64_t astray_at_us; /* when they are looked for again */
    bool was_assigned;     /* ever, if only nothing */
    bool is_closing;
    bool has_gap;                     /* passed what retention removed; until the next commit */
    bool begins_at_end;               /* a test breaks the promise on purpose */
    pos_t gaps[QUEUE_PARTITIONS_MAX]; /* the cursor + 1 at which a gap was asked about; 0 = none */
    struct kafka_lapse lapses[QUEUE_PARTITIONS_MAX];
    pos_t cursors[QUEUE_PARTITIONS_MAX]; /* the next to hand out */
    pos_t begin[QUEUE_PARTITIONS_MAX];   /* cursors when this take began */
    struct arena arena;                  /* payloads of the last take */
    struct entry *entries;
    size_t count;
    size_t cap;
    uint64_t points; /* gathered by this take */
    uint64_t bytes;
};

static inline struct kafka_reader *kafka_reader_of(struct queue_reader *r)
{
    return (struct kafka_reader *)(void *)r;
}

/* Of one partition in a mask; 0 for one that has no bit. */
static inline uint64_t kafka_reader_bit(int32_t partition)
{
    return partition >= 0 && partition < QUEUE_PARTITIONS_MAX ? (uint64_t)1 << partition : 0;
}

/* Are these partitions not read on for now? Keeps the gauge. */
void kafka_group_set_held(struct kafka_reader *r, uint64_t mask, bool is_held);
/* Hears of the group in conf, whose opaque is the reader. Before the client is made. */
void kafka_group_hear(struct kafka_reader *r, rd_kafka_conf_t *conf);
/* Asks for a share of the partitions; they come with a later take. */
must_check err_t kafka_group_join(struct kafka_reader *r, struct fail *f);
/* Reads the partition from its cursor, and forgets what was fetched ahead. False: not now. */
must_check bool kafka_group_read_again(struct kafka_reader *r, unsigned p);
/* Gives all back, so that the others need not wait for the session's end. False: not until then, and the
 * client must be left alone. What was gathered is dropped either way. */
bool kafka_group_leave(struct kafka_reader *r, uint64_t until_us);
/* Drops what waits for its positions. */
void kafka_group_fini(struct kafka_reader *r);

#endif
