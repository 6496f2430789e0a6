/*
 * kafka_conf: three layers: our defaults, then what the operator chose, then what must be.
 *
 * Defaults that differ from librdkafka's, and why:
 *
 *   message.timeout.ms 10 s      (5 min) a writer waits for it; its request ends after 30 s
 *   socket.timeout.ms 5 s        (60 s) a request that a hung broker has: sent again to whoever leads
 *                                then, while message.timeout.ms lasts
 *   linger.ms 1                  (5) a lone writer waits for this, and batches fill by themselves:
 *                                while five requests are in flight the next one gathers
 *   reconnect.backoff.max.ms 1 s (10 s) how long after its return a broker stays unnoticed
 *   session.timeout.ms 10 s      (45 s) how long the partitions of a killed flusher lie still
 *   topic.metadata.refresh.interval.ms 10 s
 *                                (5 min) a broker that was cut off still names itself leader of what it
 *                                led; once it is back it answers whoever believed it as a follower
 *                                does, without an error, up to a mark that is not moved in a partition
 *                                that nobody writes to: the last messages stay unread for so long
 *   coordinator.query.interval.ms 10 s
 *                                (10 min) a coordinator that hangs while it has our wish to join: its
 *                                answer is waited for as long as max.poll.interval.ms (5 min), unless
 *                                another is found to have its place
 *   group.id sluice-TOPIC        two installations on one topic, with a database each, choose two
 *   queued.max.messages.kbytes   (64 MiB) 16 MiB of messages fetched ahead, for each flusher
 *
 * What must be: acks=all and idempotence are the promise; offsets are in PostgreSQL, so that
 * librdkafka stores none and a missing offset is an error for us to judge; partitions are given
 * back one by one (cooperative-sticky), since kafka_group.c assigns incrementally.
 *
 * SLUICE_TEST_ACKS_ONE=1 breaks the promise on purpose: the leader's word alone is taken. The pods suite
 * must notice.
 */
#include "ingest/kafka_conf.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/fault.h"
#include "base/log.h"
#include "schema/errors.h"

struct conf_row {
    const char *name;
    const char *value; /* NULL: nothing is set, but neither may it be chosen */
};

static const struct conf_row defaults[] = {
    {"client.id", "sluice"},
    {"message.timeout.ms", "10000"},
    {"socket.timeout.ms", "5000"},
    {"linger.ms", "1"},
    {"compression.codec", "lz4"},
    {"queue.buffering.max.messages", "200000"},
    {"reconnect.backoff.max.ms", "1000"},
    {"session.timeout.ms", "10000"},
    {"queued.max.messages.kbytes", "16384"},
    {"fetch.error.backoff.ms", "100"},
    {"topic.metadata.refresh.interval.ms", "10000"},
    {"coordinator.query.interval.ms", "10000"},
    {"log.connection.close", "false"},
};

static const struct conf_row musts[] = {
    {"enable.idempotence", "true"},
    {"acks", "all"},
    {"enable.auto.commit", "false"},
    {"enable.auto.offset.store", "false"},
    {"auto.offset.reset", "error"},
    {"partition.assignment.strategy", "cooperative-sticky"},
    {"allow.auto.create.topics", "false"},
    {"request.required.acks", NULL},
    {"bootstrap.servers", NULL}, /* kafka_brokers */
    {"metadata.broker.list", NULL},
    {"partitioner", NULL},
    {"transactional.id", NULL},
    {"enable.partition.eof", NULL},
};

static void conf_on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    (void)rk;
    if (strcmp(facility, "CONFWARN") == 0 && strstr(text, "will be ignored by this"))
        return; /* a consumer's setting, given to a producer, or the reverse: we give all to both */
    if (level <= 4)
        log_warn("", "kafka client", "about=%s text=%s", facility, text);
    else if (level <= 6)
        log_info("", "kafka client", "about=%s text=%s", facility, text);
    else
        log_debug("", "kafka client", "about=%s text=%s", facility, text);
}

void kafka_conf_set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char why[256] = "";

    if (rd_kafka_conf_set(conf, name, value, why, sizeof(why)) != RD_KAFKA_CONF_OK)
        check_failed(why, __FILE__, __LINE__);
}

/* One kafka.* of the operator's. */
static err_t conf_choose(rd_kafka_conf_t *conf, const struct setting_pass *p, struct fail *f)
{
    char why[256] = "";

    for (size_t i = 0; i < array_len(musts); i++) {
        if (strcmp(p->name, musts[i].name) == 0)
            return fail(f, ERR_SETTING, "setting kafka.%s: not to be chosen, %s", p->name,
                        strcmp(p->name, "bootstrap.servers") == 0 ? "it is kafka_brokers"
                                                                  : "the promise depends on it");
    }
    if (rd_kafka_conf_set(conf, p->name, p->value, why, sizeof(why)) != RD_KAFKA_CONF_OK)
        return fail(f, ERR_SETTING, "setting kafka.%s: %s", p->name, why);
    return OK;
}

err_t kafka_conf_new(const struct settings *s, rd_kafka_conf_t **out, struct fail *f)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char why[256] = "";
    char group[300];
    err_t e = OK;

    *out = NULL;
    rd_kafka_conf_set_log_cb(conf, conf_on_log);
    for (size_t i = 0; i < array_len(defaults); i++)
        kafka_conf_set(conf, defaults[i].name, defaults[i].value);
    snprintf(group, sizeof(group), "sluice-%s", s->kafka_topic);
    kafka_conf_set(conf, "group.id", group);
    if (rd_kafka_conf_set(conf, "bootstrap.servers", s->kafka_brokers, why, sizeof(why)))
        e = fail(f, ERR_SETTING, "setting kafka_brokers: %s", why);
    for (const struct setting_pass *p = s->kafka; p && !e; p = p->next)
        e = conf_choose(conf, p, f);
    if (e) {
        rd_kafka_conf_destroy(conf);
        return e;
    }
    for (size_t i = 0; i < array_len(musts); i++) {
        if (musts[i].value)
            kafka_conf_set(conf, musts[i].name, musts[i].value);
    }
    if (fault_switch("SLUICE_TEST_ACKS_ONE")) {
        kafka_conf_set(conf, "enable.idempotence", "false");
        kafka_conf_set(conf, "acks", "1");
    }
    *out = conf;
    return OK;
}

err_t kafka_conf_check(const struct settings *s, struct fail *f)
{
    rd_kafka_conf_t *conf;
    err_t e;

    if (strcmp(s->queue, "kafka") != 0)
        return OK;
    if (!(e = kafka_conf_new(s, &conf, f)))
        rd_kafka_conf_destroy(conf);
    return e;
}

err_t kafka_client_new(rd_kafka_conf_t *conf, rd_kafka_type_t type, rd_kafka_t **out,
                       struct fail *f)
{
    char why[256] = "";

    *out = rd_kafka_new(type, conf, why, sizeof(why));
    if (*out)
        return OK;
    rd_kafka_conf_destroy(conf);
    return fail(f, ERR_SETTING, "the Kafka client cannot start: %s", why);
}
