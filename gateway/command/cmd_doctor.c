/*
 * The table of checks, and how they are shown. A new check is a row and its function (doctor.h).
 *
 *   ok    fdatasync     takes 0.41 ms (median of 16), 0.93 ms at worst
 *   warn  filesystem    tmpfs: it is memory: all that was answered is gone with the power
 *
 * With --json an array of {"check", "verdict", "saw", "remedy"}. No check starts or repairs
 * anything, and none waits longer than its own limit, so the whole ends within seconds.
 */
#include "gateway/command/cmd_doctor.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "gateway/command/doctor.h"

static const struct {
    const char *name;
    enum verdict (*look)(struct doctor *d);
} checks[] = {
    {"settings", doctor_settings},
    {"data_dir", doctor_data_dir},
    {"owner", doctor_owner},
    {"filesystem", doctor_filesystem},
    {"disk", doctor_disk},
    {"fdatasync", doctor_fdatasync},
    {"files", doctor_files},
    {"memory", doctor_memory},
    {"listen", doctor_listen},
    {"admin_listen", doctor_admin_listen},
    {"postgresql", doctor_postgresql},
    {"schema", doctor_schema},
    {"indexes", doctor_indexes},
    {"grants", doctor_grants},
    {"durability", doctor_durability},
    {"clock", doctor_clock},
    {"users", doctor_users},
    {"backlog", doctor_backlog},
    {"deadletters", doctor_deadletters},
    {"redis", doctor_redis},
    {"kafka", doctor_kafka},
    {"topic", doctor_topic},
    {"flushers", doctor_flushers},
    {"upstream", doctor_upstream},
};

static const char *const verdicts[] = {"ok", "warn", "fail"};

/* What others said goes into one line. */
static void one_line(struct buf *text)
{
    char *p = (char *)(uintptr_t)buf_str(text).p;

    for (size_t i = 0; i < buf_len(text); i++) {
        if ((unsigned char)p[i] < 0x20)
            p[i] = ' ';
    }
}

static void show_line(const char *name, enum verdict v, const struct doctor *d)
{
    printf("%-4s  %-13s %.*s%s%.*s\n", verdicts[v], name, STR_ARG(buf_str(&d->saw)),
           buf_len(&d->remedy) ? ": " : "", STR_ARG(buf_str(&d->remedy)));
}

static void show_json(struct json *j, const char *name, enum verdict v, const struct doctor *d)
{
    json_open(j);
    json_pair_str(j, "check", str_of(name));
    json_pair_str(j, "verdict", str_of(verdicts[v]));
    json_pair_str(j, "saw", buf_str(&d->saw));
    json_pair_str(j, "remedy", buf_str(&d->remedy));
    json_close(j);
}

/* How many fail. */
static unsigned look_at_all(struct doctor *d, struct json *j)
{
    unsigned failed = 0;

    for (size_t i = 0; i < array_len(checks); i++) {
        enum verdict v;

        buf_reset(&d->saw);
        buf_reset(&d->remedy);
        v = checks[i].look(d);
        one_line(&d->saw);
        one_line(&d->remedy);
        failed += v == DOCTOR_FAIL;
        if (j)
            show_json(j, checks[i].name, v, d);
        else
            show_line(checks[i].name, v, d);
    }
    return failed;
}

int cmd_doctor(int argc, char **argv, const struct settings *s)
{
    bool is_json = argc == 1 && strcmp(argv[0], "--json") == 0;
    struct doctor d = {.settings = s};
    unsigned failed;
    struct buf out;
    struct json j;

    if (argc && !is_json) {
        fputs("usage: sluice doctor [--json]\n", stderr);
        return 2;
    }
    buf_init(&d.saw);
    buf_init(&d.remedy);
    buf_init(&out);
    database_find(s, &d.db);
    json_init(&j, &out, JSON_PRETTY);
    json_open_list(&j);
    failed = look_at_all(&d, is_json ? &j : NULL);
    json_close_list(&j);
    if (is_json)
        printf("%.*s\n", STR_ARG(buf_str(&out)));
    PQfinish(d.conn);
    if (d.kafka)
        rd_kafka_destroy(d.kafka);
    database_close(&d.db);
    buf_fini(&d.saw);
    buf_fini(&d.remedy);
    buf_fini(&out);
    if (fflush(stdout) != 0)
        return 1;
    return failed ? 1 : 0;
}
