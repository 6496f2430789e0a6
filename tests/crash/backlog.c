/*
 * backlog: a journal of any size, made and read back, for the figures of docs/reliability.md.
 *
 *     backlog fill DIR MEBIBYTES    appends batches of 500 points until the journal holds so much
 *     backlog read DIR              opens it as a start does and takes everything, as a flusher does
 *
 * `read` first asks the kernel to forget the files, so that they come from the disk, then prints how
 * long the replay took (queue_open), how long the taking, and how long plain read() takes for the
 * same bytes, cold again: the sequential speed of this disk at this moment.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "ingest/journal_dir.h"
#include "ingest/queue.h"
#include "ingest/segment.h"
#include "schema/errors.h"

enum { POINTS = 500 };

static struct fail why;

static struct queue *open_queue(const char *dir)
{
    struct settings s = {.data_dir = dir,
                         .queue = "journal",
                         .flushers = 1,
                         .ring_bytes = 32 << 20,
                         .journal_segment_bytes = 64 << 20,
                         .journal_max_bytes = (uint64_t)64 << 30};
    struct queue *q = NULL;

    if (queue_open(&s, 1, stats_new(), &q, &why)) {
        fprintf(stderr, "%.*s\n", STR_ARG(why.text));
        exit(1);
    }
    return q;
}

static void fill(const char *dir, uint64_t bytes)
{
    static struct point points[POINTS];
    struct queue *q = open_queue(dir);
    pos_t start = queue_appended(q), end = start;

    for (int64_t step = 0; end - start < bytes; step++) {
        struct batch b = {.experiment_id = 1, .npoints = POINTS, .points = points};
        char id[LIMIT_RUN_ID + 1];

        snprintf(id, sizeof(id), "%032" PRIx64, (uint64_t)step % 1000);
        check(run_id_set(&b.run, str_of(id)));
        for (uint32_t i = 0; i < POINTS; i++)
            points[i] = (struct point){.key = i % 2 ? STR("loss") : STR("accuracy"),
                                       .value = (double)(step * POINTS + i) / 7,
                                       .timestamp = 1700000000000 + step,
                                       .step = step * POINTS + i};
        while (queue_append(q, 0, &b, &end, &why) == ERR_BUSY)
            usleep(1000);
    }
    queue_stop(q);
    queue_close(q);
}

/* Every segment: read from end to end, or forgotten by the kernel. All are forgotten together, as a
 * replay leaves them in the cache together: memory that was just freed is much quicker to fill. */
static uint64_t visit(const char *dir, bool reads)
{
    static char buffer[256 << 10];
    pos_t *bases = NULL;
    size_t count = 0;
    uint64_t bytes = 0;
    int journal = -1;

    check(journal_dir_open(dir, false, &journal, &why) == OK);
    check(segment_list(journal, &bases, &count, &why) == OK);
    for (size_t i = 0; i < count; i++) {
        char name[SEGMENT_NAME];

        segment_name(bases[i], name);
        int fd = openat(journal, name, O_RDONLY | O_CLOEXEC);

        check(fd >= 0);
        for (ssize_t n = 1; reads && n > 0; bytes += (uint64_t)n)
            n = read(fd, buffer, sizeof(buffer));
        if (!reads)
            check(fsync(fd) == 0 && posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0);
        close(fd);
    }
    free(bases);
    close(journal);
    return bytes;
}

/* By the clock and by the processor: other programs take their share of a machine. */
struct stopwatch {
    uint64_t begin_us;
    double begin_cpu_s;
    double s;
    double cpu_s;
};

static double cpu_seconds(void)
{
    struct rusage r;

    check(getrusage(RUSAGE_SELF, &r) == 0);
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
           (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

static void watch_start(struct stopwatch *w)
{
    w->begin_us = clock_us();
    w->begin_cpu_s = cpu_seconds();
}

static void watch_stop(struct stopwatch *w)
{
    w->s = (double)(clock_us() - w->begin_us) / 1e6;
    w->cpu_s = cpu_seconds() - w->begin_cpu_s;
}

static void watch_print(const char *what, const struct stopwatch *w, double gb)
{
    printf("  %-20s %6.2f s, %5.2f s/GB, %5.2f s/GB of processor\n", what, w->s, w->s / gb,
           w->cpu_s / gb);
}

static void read_back(const char *dir)
{
    pos_t from[QUEUE_PARTITIONS] = {0};
    struct take take = {.has_more = true};
    struct queue_reader *r = NULL;
    uint64_t taken = 0, points = 0;

    struct stopwatch first, replay, taking, last;

    visit(dir, false);
    watch_start(&first);
    visit(dir, true);
    watch_stop(&first);
    visit(dir, false);
    watch_start(&replay);
    struct queue *q = open_queue(dir);

    watch_stop(&replay);
    points = queue_backlog_points(q);
    visit(dir, false);
    watch_start(&taking);
    check(queue_reader_open(q, (1 << QUEUE_PARTITIONS) - 1, from, &r, &why) == OK);
    while (take.has_more) {
        check(queue_take(r, take_until(50000, clock_us()), &take, &why) == OK);
        for (size_t i = 0; i < take.count; i++)
            taken += take.entries[i].payload.n;
    }
    watch_stop(&taking);
    queue_reader_close(r);
    visit(dir, false);
    watch_start(&last);
    double gb = (double)visit(dir, true) / 1e9;

    watch_stop(&last);
    printf("%.2f GB of segments, %.2f GB of payload, %" PRIu64 " points, cold each time\n", gb,
           (double)taken / 1e9, points);
    watch_print("plain read()", &first, gb);
    watch_print("replay", &replay, gb);
    watch_print("taking all entries", &taking, gb);
    watch_print("plain read() again", &last, gb);
    queue_stop(q);
    queue_close(q);
}

int main(int argc, char **argv)
{
    fail_init(&why, NULL);
    log_set_level(LOG_WARN);
    if (argc == 4 && strcmp(argv[1], "fill") == 0) {
        fill(argv[2], strtoull(argv[3], NULL, 10) << 20);
    } else if (argc == 3 && strcmp(argv[1], "read") == 0) {
        read_back(argv[2]);
    } else {
        fputs("usage: backlog fill DIR MEBIBYTES | backlog read DIR\n", stderr);
        return 2;
    }
    return 0;
}
