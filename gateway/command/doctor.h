/*
 * doctor: what `sluice doctor` looks at, and where it notes what it found.
 *
 * A check is a function of struct doctor that looks, changes nothing, and gives a verdict; the
 * table of them stands in cmd_doctor.c. They run in the order of the table: later ones use what
 * earlier ones found out. Main thread.
 */
#ifndef GATEWAY_DOCTOR_H
#define GATEWAY_DOCTOR_H

#include <libpq-fe.h>

#include "base/buf.h"
#include "gateway/sql/database.h"
#include "ingest/kafka_topic.h"
#include "schema/settings.h"

/* WARN: it works, but not as it could or not for long. FAIL: a server does not start, does not
 * write, or may lose what it has answered for. */
enum verdict { DOCTOR_OK, DOCTOR_WARN, DOCTOR_FAIL };

struct doctor {
    const struct settings *settings;
    struct buf saw;    /* of the check under way: what was found */
    struct buf remedy; /* what to do; "" = nothing */
    bool has_data_dir; /* noted by doctor_data_dir */
    int owner;         /* process that serves from it, 0 = none, -1 = one that gives no number */
    struct database db;
    PGconn *conn; /* NULL: no database, see why_not */
    char why_not[160];
    rd_kafka_t *kafka;        /* NULL: not configured, or no broker answers */
    struct kafka_topic topic; /* without partitions: not there, or not known */
};

/* doctor_host.c: this machine. */
enum verdict doctor_settings(struct doctor *d);
enum verdict doctor_data_dir(struct doctor *d);
enum verdict doctor_owner(struct doctor *d);
enum verdict doctor_filesystem(struct doctor *d);
enum verdict doctor_disk(struct doctor *d);
enum verdict doctor_fdatasync(struct doctor *d);
enum verdict doctor_files(struct doctor *d);
enum verdict doctor_memory(struct doctor *d);
enum verdict doctor_listen(struct doctor *d);
enum verdict doctor_admin_listen(struct doctor *d);
enum verdict doctor_deadletters(struct doctor *d);
enum verdict doctor_not_configured(struct doctor *d);

/* doctor_redis.c: what pods share, if they do. */
enum verdict doctor_redis(struct doctor *d);

/* doctor_upstream.c: the server behind, if there is one. */
enum verdict doctor_upstream(struct doctor *d);

/* doctor_kafka.c: brokers, topic, the group of flushers and what it has not flushed. */
enum verdict doctor_kafka(struct doctor *d);
enum verdict doctor_topic(struct doctor *d);
enum verdict doctor_flushers(struct doctor *d);
/* doctor_users.c */
enum verdict doctor_users(struct doctor *d);

/* doctor_database.c: PostgreSQL, and the journal held against it. */
enum verdict doctor_postgresql(struct doctor *d);
enum verdict doctor_schema(struct doctor *d);
enum verdict doctor_indexes(struct doctor *d);
enum verdict doctor_grants(struct doctor *d);
enum verdict doctor_durability(struct doctor *d);
enum verdict doctor_clock(struct doctor *d);
enum verdict doctor_backlog(struct doctor *d);

#endif
