/*
 * What the unit tests of the queue share: a directory that is gone afterwards, settings, batches
 * that can be told apart, waiting with a deadline. Included after the file under test.
 */
#ifndef TESTS_UNIT_QUEUE_FIXTURE_H
#define TESTS_UNIT_QUEUE_FIXTURE_H

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "ingest/queue.h"
#include "schema/errors.h"
#include "schema/record.h"
#include "schema/settings.h"
#include "schema/stats.h"

#define DEADLINE_US ((uint64_t)20000000)

/* Waits until the condition holds, or fails the test. */
#define wait_for(condition)                            \
    do {                                               \
        uint64_t until_us_ = clock_us() + DEADLINE_US; \
        while (!(condition)) {                         \
            assert_true(clock_us() < until_us_);       \
            usleep(200);                               \
        }                                              \
    } while (0)

static char fixture_dir[64];
static struct stats *fixture_stats;
static struct settings fixture_settings;
static struct fail fixture_fail;

static inline int fixture_set_up(void **state)
{
    (void)state;
    snprintf(fixture_dir, sizeof(fixture_dir), "/tmp/sluice-unit-XXXXXX");
    assert_non_null(mkdtemp(fixture_dir));
    fixture_stats = aligned_alloc(64, (sizeof(struct stats) + 63) / 64 * 64);
    memset(fixture_stats, 0, sizeof(*fixture_stats));
    memset(&fixture_settings, 0, sizeof(fixture_settings));
    fixture_settings.data_dir = fixture_dir;
    fixture_settings.queue = "journal";
    fixture_settings.ring_bytes = 1 << 20;
    fixture_settings.journal_segment_bytes = 1 << 20;
    fixture_settings.journal_max_bytes = 64 << 20;
    fail_init(&fixture_fail, NULL);
    /* Damage and failing disks are logged as errors, and these tests make plenty. */
    log_set_level(getenv("SLUICE_TEST_LOG") ? LOG_DEBUG : (enum log_level)(LOG_ERROR - 1));
    return 0;
}

/* The directory and all below it. */
static inline void fixture_remove(int parent, const char *name)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);

    for (struct dirent *item = d ? readdir(d) : NULL; item; item = readdir(d)) {
        if (strcmp(item->d_name, ".") == 0 || strcmp(item->d_name, "..") == 0)
            continue;
        if (unlinkat(fd, item->d_name, 0) < 0)
            fixture_remove(fd, item->d_name);
    }
    if (d)
        closedir(d);
    unlinkat(parent, name, AT_REMOVEDIR);
}

static inline int fixture_tear_down(void **state)
{
    (void)state;
    fixture_remove(AT_FDCWD, fixture_dir);
    free(fixture_stats);
    return 0;
}

/* Files in the journal directory whose names end so. */
static inline unsigned fixture_files(const char *ending)
{
    char path[128];
    unsigned n = 0;

    snprintf(path, sizeof(path), "%s/journal", fixture_dir);
    DIR *d = opendir(path);

    assert_non_null(d);
    for (struct dirent *item = readdir(d); item; item = readdir(d))
        n += str_ends(str_of(item->d_name), str_of(ending));
    closedir(d);
    return n;
}

/* A batch of run `run` whose first point's step is `serial`; the others count on from there. */
static inline struct batch fixture_batch(struct point *points, uint32_t n, unsigned run,
                                         int64_t serial)
{
    struct batch b = {.experiment_id = 1, .npoints = n, .points = points};
    char id[LIMIT_RUN_ID + 1];

    snprintf(id, sizeof(id), "%032x", run);
    assert_true(run_id_set(&b.run, str_of(id)));
    for (uint32_t i = 0; i < n; i++)
        points[i] = (struct point){.key = STR("loss"), .value = 0.25, .step = serial + i};
    return b;
}

/* Asserts that the call says OK and shows what it says otherwise. */
#define assert_ok(call)                                                            \
    do {                                                                           \
        err_t err_ = (call);                                                       \
        if (err_)                                                                  \
            print_error("%s: %d %.*s\n", #call, err_, STR_ARG(fixture_fail.text)); \
        assert_int_equal(err_, OK);                                                \
    } while (0)

#endif
