/*
 * kafka_topic: made when absent, refused when it would lose points, warned about when it is weak.
 *
 * A topic that we make has 16 partitions, as many replicas as there are brokers but three at most,
 * min.insync.replicas one less than that, takes messages of 4 MiB, and stamps them with the brokers'
 * time (LogAppendTime): with the writer's a gateway whose clock is an hour ahead is refused, and what one
 * writes whose clock is a week behind is older than retention at once.
 *
 * Refused: compaction, which keeps the newest message of each key, and the key is the run; more
 * partitions than a mask has bits (64), of which one process would not know all.
 *
 * Warned about: a broker answers before its disk has synced, so an ack means that min.insync.replicas
 * machines have the message in memory. With one, a power cut loses acked points, which the journal
 * never does; with two, both must lose power in the same second. An unclean election may drop
 * what was acked as well, and so may retention by the writers' clocks.
 *
 * The list of all topics is asked for, because asking for one by name makes brokers create it, with
 * one partition, where auto.create.topics.enable is on.
 */
#include "ingest/kafka_topic.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <xxhash.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "ingest/kafka_conf.h"
#include "ingest/queue.h"
#include "schema/errors.h"

enum { TOPIC_PARTITIONS = 16, TOPIC_REPLICAS = 3, TOPIC_ANSWER_MS = 5000, TOPIC_PAUSE_MS = 100 };

#define TOPIC_PATIENCE_US ((uint64_t)30 * 1000 * 1000)
#define TOPIC_MESSAGE_MAX "4194304"

static void topic_pause(void)
{
    static const struct timespec moment = {.tv_nsec = TOPIC_PAUSE_MS * 1000000};

    nanosleep(&moment, NULL);
}

/* One answer about all topics. The caller destroys *md. */
static err_t topic_ask(rd_kafka_t *rk, const struct settings *s,
                       const struct rd_kafka_metadata **md,
                       const struct rd_kafka_metadata_topic **topic, struct fail *f)
{
    rd_kafka_resp_err_t e = rd_kafka_metadata(rk, 1, NULL, md, TOPIC_ANSWER_MS);

    *topic = NULL;
    if (e)
        return fail(f, ERR_UNAVAILABLE, "Kafka at %s does not answer: %s", s->kafka_brokers,
                    rd_kafka_err2str(e));
    for (int i = 0; i < (*md)->topic_cnt; i++) {
        if (strcmp((*md)->topics[i].topic, s->kafka_topic) == 0)
            *topic = &(*md)->topics[i];
    }
    return OK;
}

/* -- making it --------------------------------------------------------------------------------- */

/* Waits for the one answer to an admin request. NULL: there was none. */
static rd_kafka_event_t *topic_answer(rd_kafka_queue_t *q)
{
    return rd_kafka_queue_poll(q, 2 * TOPIC_ANSWER_MS);
}

static err_t topic_made(rd_kafka_event_t *answer, const char *name, struct fail *f)
{
    const rd_kafka_CreateTopics_result_t *result;
    const rd_kafka_topic_result_t **topics;
    rd_kafka_resp_err_t e;
    size_t count = 0;

    if (answer == NULL)
        return fail(f, ERR_UNAVAILABLE, "the topic %s could not be made: no answer", name);
    if (rd_kafka_event_error(answer))
        return fail(f, ERR_UNAVAILABLE, "the topic %s could not be made: %s", name,
                    rd_kafka_event_error_string(answer));
    result = rd_kafka_event_CreateTopics_result(answer);
    topics = rd_kafka_CreateTopics_result_topics(result, &count);
    check(count == 1);
    e = rd_kafka_topic_result_error(topics[0]);
    if (e && e != RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) /* another gateway was quicker */
        return fail(f, ERR_SETTING, "the topic %s could not be made: %s", name,
                    rd_kafka_topic_result_error_string(topics[0]));
    return OK;
}

static err_t topic_make(rd_kafka_t *rk, const char *name, int brokers, struct fail *f)
{
    rd_kafka_queue_t *q = rd_kafka_queue_new(rk);
    rd_kafka_event_t *answer;
    rd_kafka_NewTopic_t *topic;
    char why[256] = "";
    int replicas = brokers < TOPIC_REPLICAS ? brokers : TOPIC_REPLICAS;
    err_t e;

    topic = rd_kafka_NewTopic_new(name, TOPIC_PARTITIONS, replicas, why, sizeof(why));
    if (topic == NULL) {
        rd_kafka_queue_destroy(q);
        return fail(f, ERR_SETTING, "setting kafka_topic = \"%s\": %s", name, why);
    }
    rd_kafka_NewTopic_set_config(topic, "cleanup.policy", "delete");
    rd_kafka_NewTopic_set_config(topic, "min.insync.replicas", replicas > 1 ? "2" : "1");
    rd_kafka_NewTopic_set_config(topic, "max.message.bytes", TOPIC_MESSAGE_MAX);
    rd_kafka_NewTopic_set_config(topic, "message.timestamp.type", "LogAppendTime");
    rd_kafka_CreateTopics(rk, &topic, 1, NULL, q);
    answer = topic_answer(q);
    e = topic_made(answer, name, f);
    if (answer)
        rd_kafka_event_destroy(answer);
    rd_kafka_NewTopic_destroy(topic);
    rd_kafka_queue_destroy(q);
    if (!e)
        log_info("", "topic made", "topic=%s partitions=%d replicas=%d", name, TOPIC_PARTITIONS,
                 replicas);
    return e;
}

/* -- looking at it ------------------------------------------------------------------------------ */

static err_t topic_see_partitions(const struct rd_kafka_metadata_topic *t, struct kafka_topic *out,
                                  struct fail *f)
{
    out->partitions = (unsigned)t->partition_cnt;
    out->replicas = UINT32_MAX;
    if (t->err || t->partition_cnt == 0)
        return fail(f, ERR_UNAVAILABLE, "the topic %s is not ready: %s", t->topic,
                    rd_kafka_err2str(t->err));
    if (out->partitions > QUEUE_PARTITIONS_MAX)
        return fail(f, ERR_SETTING, "the topic %s has %u partitions; at most %d can be used",
                    t->topic, out->partitions, QUEUE_PARTITIONS_MAX);
    for (int i = 0; i < t->partition_cnt; i++) {
        if (t->partitions[i].leader < 0)
            return fail(f, ERR_UNAVAILABLE, "partition %d of the topic %s has no leader", i,
                        t->topic);
        if ((unsigned)t->partitions[i].replica_cnt < out->replicas)
            out->replicas = (unsigned)t->partitions[i].replica_cnt;
    }
    out->leader = t->partitions[0].leader;
    return OK;
}

/* Until it is there with all its leaders; makes it once. */
static err_t topic_await(rd_kafka_t *rk, const struct settings *s, struct kafka_topic *out,
                         struct fail *f)
{
    uint64_t until = clock_us() + TOPIC_PATIENCE_US;
    bool is_made = false;
    err_t e;

    do {
        const struct rd_kafka_metadata *md = NULL;
        const struct rd_kafka_metadata_topic *topic;
        int brokers = 0;

        e = topic_ask(rk, s, &md, &topic, f);
        if (md)
            brokers = md->broker_cnt;
        if (!e && topic)
            e = topic_see_partitions(topic, out, f);
        else if (!e && is_made)
            e = fail(f, ERR_UNAVAILABLE, "the topic %s was made and is not there", s->kafka_topic);
        else if (!e && !(e = topic_make(rk, s->kafka_topic, brokers, f))) {
            is_made = true;
            e = ERR_UNAVAILABLE;
        }
        if (md)
            rd_kafka_metadata_destroy(md);
        if (e == ERR_UNAVAILABLE)
            topic_pause();
    } while (e == ERR_UNAVAILABLE && clock_us() < until);
    return e;
}

static err_t topic_see_entry(const char *topic, const char *name, const char *value,
                             struct kafka_topic *out, struct fail *f)
{
    if (strcmp(name, "cleanup.policy") == 0 && strstr(value, "compact"))
        return fail(f, ERR_SETTING,
                    "the topic %s has cleanup.policy = %s: compaction would drop points", topic,
                    value);
    if (strcmp(name, "min.insync.replicas") == 0)
        out->in_sync = (unsigned)strtoul(value, NULL, 10);
    else if (strcmp(name, "max.message.bytes") == 0)
        out->message_max_bytes = strtoull(value, NULL, 10);
    else if (strcmp(name, "unclean.leader.election.enable") == 0)
        out->is_unclean = strcmp(value, "true") == 0;
    else if (strcmp(name, "message.timestamp.type") == 0)
        out->has_writers_time = strcmp(value, "CreateTime") == 0;
    return OK;
}

/* A cluster may forbid the question: then a warning has to do. */
static err_t topic_see_configs(rd_kafka_event_t *answer, const char *name, struct kafka_topic *out,
                               struct fail *f)
{
    const rd_kafka_ConfigResource_t **resources;
    const rd_kafka_ConfigEntry_t **entries;
    rd_kafka_resp_err_t e = answer ? rd_kafka_event_error(answer) : RD_KAFKA_RESP_ERR__TIMED_OUT;
    size_t count = 0;
    err_t why = OK;

    if (!e) {
        resources = rd_kafka_DescribeConfigs_result_resources(
            rd_kafka_event_DescribeConfigs_result(answer), &count);
        check(count == 1);
        e = rd_kafka_ConfigResource_error(resources[0]);
    }
    if (e) {
        log_warn("", "the topic's settings could not be asked for: its durability is not known",
                 "topic=%s why=%s", name, rd_kafka_err2str(e));
        return OK;
    }
    entries = rd_kafka_ConfigResource_configs(resources[0], &count);
    for (size_t i = 0; i < count && !why; i++) {
        const char *value = rd_kafka_ConfigEntry_value(entries[i]);

        if (value)
            why = topic_see_entry(name, rd_kafka_ConfigEntry_name(entries[i]), value, out, f);
    }
    return why;
}

/* Asked of a broker that leads, which knows the answer as well as the controller, who may be away. */
static err_t topic_ask_configs(rd_kafka_t *rk, const char *name, struct kafka_topic *out,
                               struct fail *f)
{
    rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(rk, RD_KAFKA_ADMIN_OP_ANY);
    rd_kafka_queue_t *q = rd_kafka_queue_new(rk);
    rd_kafka_ConfigResource_t *resource =
        rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, name);
    rd_kafka_event_t *answer;
    char why[256] = "";
    err_t e;

    check(resource);
    if (rd_kafka_AdminOptions_set_broker(options, out->leader, why, sizeof(why)))
        check_failed(why, __FILE__, __LINE__);
    rd_kafka_DescribeConfigs(rk, &resource, 1, options, q);
    answer = topic_answer(q);
    e = topic_see_configs(answer, name, out, f);
    if (answer)
        rd_kafka_event_destroy(answer);
    rd_kafka_ConfigResource_destroy(resource);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_queue_destroy(q);
    return e;
}

/* -- the verdict ------------------------------------------------------------------------------- */

static void topic_judge(const char *name, const struct kafka_topic *t)
{
    log_info("", "topic", "topic=%s partitions=%u replicas=%u in_sync=%u", name, t->partitions,
             t->replicas, t->in_sync);
    if (t->replicas < 2 || t->in_sync == 1)
        log_warn("",
                 "acked points are on one machine, and not on its disk: weaker than the journal",
                 "topic=%s replicas=%u min.insync.replicas=%u", name, t->replicas, t->in_sync);
    else if (t->in_sync >= t->replicas)
        log_warn("", "no broker may be away: writes stop with the first", "topic=%s replicas=%u",
                 name, t->replicas);
    if (t->is_unclean)
        log_warn("", "an unclean election may lose acked points",
                 "topic=%s unclean.leader.election.enable=true", name);
    if (t->has_writers_time)
        log_warn(
            "",
            "retention goes by the clocks of gateways: one that is behind may lose acked points",
            "topic=%s message.timestamp.type=CreateTime remedy=LogAppendTime", name);
}

static err_t topic_see_cluster(rd_kafka_t *rk, struct kafka_topic *out, struct fail *f)
{
    char *id = rd_kafka_clusterid(rk, TOPIC_ANSWER_MS);

    if (id == NULL)
        return fail(f, ERR_UNAVAILABLE, "the Kafka cluster does not say its id");
    str_to_cstr(str_of(id), out->cluster, sizeof(out->cluster));
    rd_kafka_mem_free(rk, id);
    return OK;
}

err_t kafka_topic_look(const struct settings *s, struct kafka_topic *out, struct fail *f)
{
    rd_kafka_conf_t *conf;
    rd_kafka_t *rk;
    err_t e;

    memset(out, 0, sizeof(*out));
    if ((e = kafka_conf_new(s, &conf, f)) ||
        (e = kafka_client_new(conf, RD_KAFKA_PRODUCER, &rk, f)))
        return e;
    if (!(e = topic_await(rk, s, out, f)) && !(e = topic_see_cluster(rk, out, f)) &&
        !(e = topic_ask_configs(rk, s->kafka_topic, out, f)))
        topic_judge(s->kafka_topic, out);
    rd_kafka_destroy(rk);
    return e;
}

err_t kafka_topic_peek(rd_kafka_t *rk, const struct settings *s, struct kafka_topic *out,
                       int *brokers, struct fail *f)
{
    const struct rd_kafka_metadata *md = NULL;
    const struct rd_kafka_metadata_topic *topic;
    err_t e;

    memset(out, 0, sizeof(*out));
    *brokers = 0;
    if ((e = topic_ask(rk, s, &md, &topic, f)))
        return e;
    *brokers = md->broker_cnt;
    if (topic)
        e = topic_see_partitions(topic, out, f);
    rd_kafka_metadata_destroy(md);
    if (e || !topic || (e = topic_see_cluster(rk, out, f)))
        return e;
    return topic_ask_configs(rk, s->kafka_topic, out, f);
}

void kafka_topic_id(const struct kafka_topic *t, const char *name, char id[QUEUE_ID_BYTES + 1])
{
    char text[512];
    XXH128_hash_t h;

    snprintf(text, sizeof(text), "%s/%s", t->cluster, name);
    h = XXH3_128bits(text, strlen(text));
    snprintf(id, QUEUE_ID_BYTES + 1, "%016" PRIx64 "%016" PRIx64, (uint64_t)h.high64,
             (uint64_t)h.low64);
}
