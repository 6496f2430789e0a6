/*
 * kafka_topic: what there is to know of the topic before anything is written to it.
 *
 * Called once, by queue_open; blocks until the brokers have answered.
 */
#ifndef INGEST_KAFKA_TOPIC_H
#define INGEST_KAFKA_TOPIC_H

#include <librdkafka/rdkafka.h>

#include "base/fail.h"
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

#endif
