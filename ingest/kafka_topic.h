/*
 * kafka_topic: what there is to know of the topic before anything is written to it.
 *
 * kafka_topic_look is called once, by queue_open, and blocks until the brokers have answered;
 * kafka_topic_peek is for who only looks.
 */
#ifndef INGEST_KAFKA_TOPIC_H
#define INGEST_KAFKA_TOPIC_H

#include <librdkafka/rdkafka.h>

#include "base/fail.h"
#include "ingest/queue.h"
#include "schema/settings.h"

struct kafka_topic {
    unsigned partitions;
    unsigned replicas;          /* the least of any partition */
    unsigned in_sync;           /* min.insync.replicas; 0 = could not be asked */
    uint64_t message_max_bytes; /* max.message.bytes; 0 = could not be asked */
    bool is_unclean;            /* unclean.leader.election.enable */
    bool has_writers_time;      /* message.timestamp.type = CreateTime */
    int32_t leader;             /* of the first partition, when it was looked over */
    char cluster[64];           /* the cluster's id */
};

/* Makes the topic when there is none, looks it over, logs how its durability compares with the journal's.
 * ERR_UNAVAILABLE: no broker answers; ERR_SETTING: a topic that must not be used, and why. */
must_check err_t kafka_topic_look(const struct settings *s, struct kafka_topic *out,
                                  struct fail *f);
/* One look at it: makes nothing, waits for no leader, seconds at most. *brokers: how many there are. OK
 * without partitions: there is no such topic yet. */
must_check err_t kafka_topic_peek(rd_kafka_t *rk, const struct settings *s, struct kafka_topic *out,
                                  int *brokers, struct fail *f);
/* The name of the queue in PostgreSQL that this topic of this cluster is. */
void kafka_topic_id(const struct kafka_topic *t, const char *name, char id[QUEUE_ID_BYTES + 1]);

#endif
