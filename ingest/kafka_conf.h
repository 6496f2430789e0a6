/*
 * kafka_conf: from settings to librdkafka's configuration.
 *
 * What is Sluice's own to decide (acks, idempotence, offsets) is set here and cannot be chosen;
 * everything else takes a setting kafka.NAME. Any thread.
 */
#ifndef INGEST_KAFKA_CONF_H
#define INGEST_KAFKA_CONF_H

#include <librdkafka/rdkafka.h>

#include "base/fail.h"
#include "schema/settings.h"

/* A configuration for any client. ERR_SETTING names the kafka.* setting that is unknown, out of
 * bounds or not to be chosen. The caller gives it to kafka_client_new or destroys it. */
must_check err_t kafka_conf_new(const struct settings *s, rd_kafka_conf_t **out, struct fail *f);
/* Would that be an error? OK as well when the queue is not Kafka. */
must_check err_t kafka_conf_check(const struct settings *s, struct fail *f);
/* One more value, of our own: it must be valid. */
void kafka_conf_set(rd_kafka_conf_t *conf, const char *name, const char *value);
/* A client; takes conf over. */
must_check err_t kafka_client_new(rd_kafka_conf_t *conf, rd_kafka_type_t type, rd_kafka_t **out,
                                  struct fail *f);

#endif
