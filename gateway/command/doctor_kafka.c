/*
 * doctor_kafka: what a gateway and a flusher need of Kafka, looked at from here.
 *
 * One client for all checks; nothing is made, and each question has a time limit. What is behind is
 * counted in entries: from the position that PostgreSQL has of each partition to the end of its log.
 */
#include "gateway/command/doctor.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ingest/kafka_conf.h"
#include "schema/errors.h"

enum { KAFKA_ANSWER_MS = 5000 };

static bool is_kafka(struct doctor *d)
{
    if (strcmp(d->settings->queue, "kafka") == 0)
        return true;
    buf_add_str(&d->saw, STR("not configured"));
    return false;
}

enum verdict doctor_kafka(struct doctor *d)
{
    rd_kafka_conf_t *conf;
    struct fail f;
    int brokers = 0;
    err_t e;

    if (!is_kafka(d))
        return DOCTOR_OK;
    fail_init(&f, NULL);
    if ((e = kafka_conf_new(d->settings, &conf, &f)) == OK &&
        (e = kafka_client_new(conf, RD_KAFKA_PRODUCER, &d->kafka, &f)) == OK)
        e = kafka_topic_peek(d->kafka, d->settings, &d->topic, &brokers, &f);
    if (brokers == 0) {
        buf_add_str(&d->saw, f.text);
        buf_add_str(&d->remedy, e == ERR_SETTING
                                    ? STR("see docs/config.md")
                                    : STR("look at kafka_brokers, and at kafka.security.protocol "
                                          "with what belongs to it"));
        return DOCTOR_FAIL;
    }
    buf_printf(&d->saw, "%d brokers", brokers);
    if (d->topic.cluster[0])
        buf_printf(&d->saw, ", cluster %s", d->topic.cluster);
    if (!e)
        return DOCTOR_OK;
    buf_printf(&d->saw, ": %.*s", STR_ARG(f.text));
    d->topic.partitions = 0;
    if (e == ERR_SETTING)
        buf_add_str(&d->remedy, STR("name another topic, or mend this one"));
    return DOCTOR_FAIL;
}

enum verdict doctor_topic(struct doctor *d)
{
    const struct kafka_topic *t = &d->topic;

    if (!is_kafka(d))
        return DOCTOR_OK;
    if (t->partitions == 0) {
        buf_printf(&d->saw, "%s is not there, or not ready", d->settings->kafka_topic);
        buf_add_str(&d->remedy, STR("`sluice serve` makes a topic that is not there"));
        return DOCTOR_WARN;
    }
    buf_printf(&d->saw, "%s: %u partitions, %u replicas, min.insync.replicas ",
               d->settings->kafka_topic, t->partitions, t->replicas);
    if (t->in_sync)
        buf_printf(&d->saw, "%u", t->in_sync);
    else
        buf_add_str(&d->saw, STR("not known"));
    if (t->replicas < 2 || t->in_sync == 1)
        buf_add_str(&d->remedy,
                    STR("what is answered is on one machine, and not on its disk: three "
                        "replicas, min.insync.replicas=2"));
    else if (t->in_sync >= t->replicas)
        buf_add_str(&d->remedy, STR("no broker may be away: one replica more than "
                                    "min.insync.replicas"));
    else if (t->is_unclean)
        buf_add_str(&d->remedy, STR("unclean.leader.election.enable=true may lose what was "
                                    "answered: switch it off"));
    return buf_len(&d->remedy) ? DOCTOR_WARN : DOCTOR_OK;
}

/* -- the group of flushers ---------------------------------------------------------------------- */

struct lag {
    uint64_t entries; /* that wait */
    uint64_t expired; /* that the topic dropped before */
};

/* How many members the group has; -1: it does not say. */
static int group_members(const struct doctor *d)
{
    const struct rd_kafka_group_list *list = NULL;
    rd_kafka_conf_t *conf;
    char group[300] = "";
    size_t n = sizeof(group);
    int members = -1;

    if (kafka_conf_new(d->settings, &conf, NULL))
        return -1;
    (void)rd_kafka_conf_get(conf, "group.id", group, &n);
    rd_kafka_conf_destroy(conf);
    if (rd_kafka_list_groups(d->kafka, group, &list, KAFKA_ANSWER_MS))
        return -1;
    for (int i = 0; i < list->group_cnt; i++)
        members = list->groups[i].member_cnt;
    rd_kafka_group_list_destroy(list);
    return members;
}

static bool lag_positions(struct doctor *d, pos_t positions[QUEUE_PARTITIONS_MAX])
{
    char id[QUEUE_ID_BYTES + 1];
    const char *values[1] = {id};
    PGresult *r;
    bool is_good;

    kafka_topic_id(&d->topic, d->settings->kafka_topic, id);
    r = PQexecParams(d->conn,
                     "SELECT partition, position FROM sluice.positions WHERE queue_id = $1", 1,
                     NULL, values, NULL, NULL, 0);
    is_good = PQresultStatus(r) == PGRES_TUPLES_OK;
    for (int i = 0; is_good && i < PQntuples(r); i++) {
        unsigned long p = strtoul(PQgetvalue(r, i, 0), NULL, 10);

        if (p < QUEUE_PARTITIONS_MAX)
            positions[p] = strtoull(PQgetvalue(r, i, 1), NULL, 10);
    }
    PQclear(r);
    return is_good;
}

static bool lag_count(struct doctor *d, struct lag *lag)
{
    pos_t positions[QUEUE_PARTITIONS_MAX] = {0};

    if (!lag_positions(d, positions))
        return false;
    for (unsigned p = 0; p < d->topic.partitions; p++) {
        int64_t low = 0, high = 0;

        if (rd_kafka_query_watermark_offsets(d->kafka, d->settings->kafka_topic, (int32_t)p, &low,
                                             &high, KAFKA_ANSWER_MS))
            return false;
        pos_t from = positions[p] > (pos_t)low ? positions[p] : (pos_t)low;

        lag->expired += from - positions[p];
        lag->entries += (pos_t)high > from ? (pos_t)high - from : 0;
    }
    return true;
}

enum verdict doctor_flushers(struct doctor *d)
{
    struct lag lag = {0};
    int members;

    if (!is_kafka(d))
        return DOCTOR_OK;
    if (!d->kafka || d->topic.partitions == 0 || !d->conn) {
        buf_printf(&d->saw, "not looked at: %s", d->conn ? "no topic" : "no database");
        return DOCTOR_WARN;
    }
    members = group_members(d);
    if (!lag_count(d, &lag)) {
        buf_add_str(&d->saw, STR("positions or ends of the log cannot be read"));
        return DOCTOR_WARN;
    }
    if (members >= 0)
        buf_printf(&d->saw, "%d in the group, ", members);
    buf_printf(&d->saw, "%" PRIu64 " entries wait in the topic", lag.entries);
    if (lag.expired) {
        buf_printf(&d->saw, ", %" PRIu64 " more were removed by its retention", lag.expired);
        buf_add_str(&d->remedy, STR("what was removed is lost: raise retention, add flushers"));
        return DOCTOR_FAIL;
    }
    if (lag.entries == 0 || members > 0)
        return DOCTOR_OK;
    buf_add_str(&d->remedy, STR("`sluice serve --listen none` with this topic flushes them"));
    return DOCTOR_WARN;
}
