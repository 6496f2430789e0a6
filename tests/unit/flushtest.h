/*
 * flushtest: a real queue and a real database for the tests of the flusher's files.
 *
 * flushtest_begin gives a fresh database with runs run01 .. run40, a data directory, settings,
 * statistics and an open queue; flushtest_append writes points the way a worker does and waits
 * until they are durable. Static functions in a header; needs pgtest.h's server to be started.
 */
#ifndef TESTS_UNIT_FLUSHTEST_H
#define TESTS_UNIT_FLUSHTEST_H

#include "base/clock.h"
#include "ingest/queue.h"
#include "schema/deadletter.h"
#include "schema/errors.h"
#include "schema/record.h"
#include "schema/settings.h"
#include "schema/stats.h"
#include "tests/unit/pgtest.h"

#define FLUSHTEST_PATIENCE_US ((uint64_t)20 * 1000 * 1000)

static struct {
    char dir[64];
    const char *uri;
    struct settings *settings;
    struct stats *stats;       /* the flusher's */
    struct stats *queue_stats; /* the sealer's */
    struct queue *queue;
    struct inbox inbox; /* rung when marks move */
    struct queue_reader *reader;
} flushtest;

static PGTEST_UNUSED void flushtest_open_queue(void)
{
    struct fail f;

    fail_init(&f, NULL);
    if (queue_open(flushtest.settings, 1, flushtest.queue_stats, &flushtest.queue, &f))
        pgtest_die("queue_open", f.small);
    queue_subscribe(flushtest.queue, &flushtest.inbox);
}

static PGTEST_UNUSED void flushtest_begin(void)
{
    flushtest.uri = pgtest_database();
    pgtest_sql("INSERT INTO runs (run_uuid, experiment_id, status, lifecycle_stage, start_time)"
               " SELECT 'run' || to_char(i, 'FM00'), 0, 'RUNNING', 'active', 0"
               " FROM generate_series(1, 40) i");
    snprintf(flushtest.dir, sizeof(flushtest.dir), "/tmp/sluice-flushtest-XXXXXX");
    if (!mkdtemp(flushtest.dir))
        pgtest_die("mkdtemp", flushtest.dir);
    flushtest.settings = settings_new();
    if (settings_set(flushtest.settings, STR("data_dir"), str_of(flushtest.dir), NULL) ||
        settings_set(flushtest.settings, STR("flush_interval"), STR("20ms"), NULL) ||
        settings_set(flushtest.settings, STR("ring_bytes"), STR("1MiB"), NULL))
        pgtest_die("settings_set", "refused");
    flushtest.stats = stats_new();
    flushtest.queue_stats = stats_new();
    if (inbox_init(&flushtest.inbox))
        pgtest_die("inbox_init", "failed");
    flushtest_open_queue();
}

static PGTEST_UNUSED void flushtest_end(void)
{
    char command[128];

    if (flushtest.reader)
        queue_reader_close(flushtest.reader);
    flushtest.reader = NULL;
    queue_close(flushtest.queue);
    inbox_fini(&flushtest.inbox);
    stats_free(flushtest.stats);
    stats_free(flushtest.queue_stats);
    settings_free(flushtest.settings);
    snprintf(command, sizeof(command), "rm -rf '%s'", flushtest.dir);
    if (system(command) != 0)
        fprintf(stderr, "flushtest: %s is left behind\n", flushtest.dir);
}

/* Waits until done(arg) says so; the queue's marks ring, and everything else is looked at often. */
static PGTEST_UNUSED void flushtest_until(bool (*done)(uint64_t arg), uint64_t arg,
                                          const char *what)
{
    uint64_t deadline = clock_us() + FLUSHTEST_PATIENCE_US;

    while (!done(arg)) {
        if (clock_us() > deadline)
            pgtest_die("waited in vain", what);
        inbox_wait(&flushtest.inbox, clock_us() + 2000);
    }
}

static PGTEST_UNUSED bool flushtest_is_durable(uint64_t end)
{
    return queue_durable(flushtest.queue) >= end;
}

static PGTEST_UNUSED bool flushtest_is_committed(uint64_t end)
{
    return queue_committed_all(flushtest.queue) >= end;
}

/* One entry; returns its end once it is durable. */
static PGTEST_UNUSED pos_t flushtest_append(const char *run, struct point *points, uint32_t count)
{
    struct batch b = {.npoints = count, .points = points};
    struct fail f;
    pos_t end;

    fail_init(&f, NULL);
    if (!run_id_set(&b.run, str_of(run)))
        pgtest_die("run_id_set", run);
    if (queue_append(flushtest.queue, 0, &b, &end, &f))
        pgtest_die("queue_append", f.small);
    flushtest_until(flushtest_is_durable, end, "durable");
    return end;
}

static PGTEST_UNUSED pos_t flushtest_point(const char *run, const char *key, double value,
                                           int64_t step)
{
    struct point p = {.key = str_of(key), .value = value, .timestamp = step, .step = step};

    return flushtest_append(run, &p, 1);
}

/* Letters in flusher 0's file: how many; the last one's run, SQLSTATE and keys, for comparison. */
static PGTEST_UNUSED size_t flushtest_letters(char last[256])
{
    static char bytes[1 << 20];
    char path[128];
    size_t count = 0, skipped = 0, n;
    struct deadletter d;
    struct arena arena;
    struct str rest;
    FILE *file;

    last[0] = 0;
    snprintf(path, sizeof(path), "%s/%s/flusher-0%s", flushtest.dir, DEADLETTER_FOLDER,
             DEADLETTER_SUFFIX);
    file = fopen(path, "rb");
    n = file ? fread(bytes, 1, sizeof(bytes), file) : 0;
    if (file)
        fclose(file);
    rest = (struct str){bytes, n};
    arena_init(&arena, 4096);
    for (; deadletter_read(&rest, &d, &skipped); count++) {
        struct batch b;
        int used = snprintf(last, 256, "%.*s %.*s %u", STR_ARG(d.run_id), STR_ARG(d.sqlstate),
                            (unsigned)d.points);

        if (record_decode(d.record, d.version, &arena, &b, NULL))
            continue;
        for (uint32_t i = 0; i < b.npoints && used < 200; i++)
            used += snprintf(last + used, (size_t)(256 - used), " %.*s",
                             STR_ARG(str_head(b.points[i].key, 20)));
    }
    arena_fini(&arena);
    return count;
}

#endif
