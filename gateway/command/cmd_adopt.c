/*
 * cmd_adopt: what a pod would do that comes back, done by somebody else.
 *
 *   look    the directory's lock, the queue's id, the database's positions of that queue, what waits
 *   flush   the queue is opened as its owner opens it, and flushers of the usual kind run until
 *           every partition is committed up to where this start would begin to append
 *   mark    journal/adopted says so, and the segments go
 *
 * Exactly once, whenever it is killed, for the reason that a server is: positions move in the transaction
 * of the rows, under the row's lock. Said again it goes on where it was. The directory stays a journal
 * of the same queue: an owner that comes back finds nothing to replay and appends behind all positions
 * (journal.c), so it needs no mark to be right; the mark is for people.
 *
 * The lock of the directory is held from the opening to the end. It is flock's, of this machine: a volume
 * that two machines may mount at once must not be adopted while the owner may live on the other. Were
 * it done all the same, the owner's flushers find positions that are not theirs and hold (link.c).
 *
 * A database that has no positions of this queue is another one, or the pod died before its first
 * connection: refused, unless --unseen says that it is the right one. A position beyond the journal's end
 * means that this directory is an older copy: refused as well.
 *
 * Dead letters stay in the directory, beside those that the owner left; the exit code says so, so
 * that a script removes a volume after 0 alone. A command must end: when nothing moves for
 * ADOPT_STALL_US it gives up, which loses nothing.
 */
#include "gateway/command/cmd_adopt.h"

#include <inttypes.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "flush/flusher.h"
#include "gateway/command/journal_backlog.h"
#include "ingest/journal_dir.h"
#include "ingest/segment.h"
#include "schema/errors.h"
#include "schema/letterbox.h"
#include "schema/migrate.h"
#include "schema/pg_connect.h"

static const char adopt_usage[] =
    "usage: sluice journal adopt DIR [--dry-run] [--unseen] --pg-uri ...\n"
    "DIR: data_dir of a pod that is gone for good. --dry-run: says what waits, changes nothing.\n"
    "--unseen: this database is the right one, though it has no positions of this journal.\n";

enum { ADOPT_FLUSHERS = 16, ADOPT_DONE = 0, ADOPT_FAILED = 1, ADOPT_USAGE = 2, ADOPT_LOOK = 3 };

#define ADOPT_STALL_US    ((uint64_t)60 * 1000 * 1000)
#define ADOPT_PROGRESS_US ((uint64_t)2 * 1000 * 1000)

struct adoption {
    struct settings settings; /* the caller's, with another data_dir */
    bool is_dry;
    bool may_be_unseen;
    char id[QUEUE_ID_BYTES + 1];
    size_t segments;
    struct journal_backlog backlog; /* before anything was done */
    struct stats *sealer_stats;
    struct queue *queue;
    struct stats *stats[ADOPT_FLUSHERS];
    struct flusher *flushers[ADOPT_FLUSHERS];
    unsigned count;
    struct stats_view sum; /* as last added up */
};

/* -- look -------------------------------------------------------------------------------------- */

/* The queue's name: the file id, or what the newest readable segment says (journal.c's rule). */
static err_t adopt_see_id(struct adoption *a, int dir, struct fail *f)
{
    pos_t *bases = NULL;
    err_t e = segment_list(dir, &bases, &a->segments, f);

    if (!e && journal_dir_read_id(dir, a->id) == JOURNAL_ID_NONE) {
        for (size_t i = a->segments; i > 0 && !a->id[0]; i--) {
            struct segment_head h;

            if (!segment_head_load(dir, bases[i - 1], &h, NULL))
                memcpy(a->id, h.queue_id, sizeof(a->id));
        }
    }
    free(bases);
    if (!e && !a->id[0])
        e = fail(f, ERR_NOT_FOUND, "%s holds no journal", a->settings.data_dir);
    return e;
}

static err_t adopt_ask(struct adoption *a, int dir, struct fail *f)
{
    struct pg_terms terms = pg_terms_of(a->settings.pg_uri, &a->settings);
    PGconn *c = pg_connect_wait(&terms, "sluice journal adopt");
    err_t e;

    if (!c || PQstatus(c) != CONNECTION_OK) {
        struct str words = str_trim(str_of(c ? PQerrorMessage(c) : ""));

        e = fail(f, ERR_PG, "cannot connect to PostgreSQL: %.*s", STR_ARG(str_cut(&words, '\n')));
    } else if (!(e = migrate_check(c, f)) &&
               !(e = journal_backlog_positions(c, a->id, &a->backlog, f))) {
        journal_backlog_count(&a->backlog, dir, UINT64_MAX);
    }
    PQfinish(c);
    if (!e && !a->backlog.is_known && a->segments && !a->may_be_unseen)
        e = fail(f, ERR_SCHEMA,
                 "this database has never seen journal %s: is it another one? If it is the right "
                 "one and the pod died before its first connection, say --unseen",
                 a->id);
    return e;
}

/* Under the lock, which the opening of the queue takes anew. */
static err_t adopt_look(struct adoption *a, struct fail *f)
{
    int dir = -1, lock = -1;
    err_t e;

    if (!(e = journal_dir_open(a->settings.data_dir, false, &dir, f)) &&
        !(e = adopt_see_id(a, dir, f)) &&
        !(e = journal_dir_lock(dir, a->settings.data_dir, &lock, f)))
        e = adopt_ask(a, dir, f);
    if (lock >= 0)
        close(lock);
    if (dir >= 0)
        close(dir);
    return e;
}

/* -- flush ------------------------------------------------------------------------------------- */

static err_t adopt_open(struct adoption *a, struct fail *f)
{
    err_t e;

    a->sealer_stats = stats_new();
    if ((e = queue_open(&a->settings, 0, a->sealer_stats, &a->queue, f)))
        return e;
    if (strcmp(queue_id(a->queue), a->id) != 0)
        return fail(f, ERR_CORRUPT, "the journal was %s a moment ago and is %s now", a->id,
                    queue_id(a->queue));
    for (unsigned p = 0; p < QUEUE_PARTITIONS; p++) {
        if (a->backlog.positions[p] > queue_appended(a->queue))
            return fail(f, ERR_SCHEMA,
                        "position %" PRIu64 " in the database is ahead of this journal: it is an "
                        "older copy of the one that was flushed",
                        a->backlog.positions[p]);
    }
    return OK;
}

static err_t adopt_start(struct adoption *a, struct fail *f)
{
    unsigned want = (unsigned)a->settings.flushers;

    for (unsigned i = 0; i < want; i++) {
        struct flusher_config c = {.queue = a->queue,
                                   .settings = &a->settings,
                                   .pg_uri = a->settings.pg_uri,
                                   .stats = a->stats[i] = stats_new(),
                                   .index = i,
                                   .count = want};
        err_t e = flusher_start(&c, &a->flushers[i], f);

        if (e)
            return e;
        a->count++;
    }
    return OK;
}

static void adopt_add_up(struct adoption *a)
{
    memset(&a->sum, 0, sizeof(a->sum));
    stats_sum(a->sealer_stats, &a->sum);
    for (unsigned i = 0; i < a->count; i++)
        stats_sum(a->stats[i], &a->sum);
}

/* In PostgreSQL, or in a letter. */
static uint64_t adopt_moved(const struct adoption *a)
{
    return a->sum.applied_points + a->sum.deadletter_points;
}

/* Until everything is committed, or nothing has moved for too long. */
static err_t adopt_await(struct adoption *a, struct fail *f)
{
    static const struct timespec moment = {.tv_nsec = 20000000};
    uint64_t moved_us = clock_us(), shown_us = moved_us, moved = 0;

    while (queue_committed_all(a->queue) < queue_appended(a->queue)) {
        nanosleep(&moment, NULL);
        adopt_add_up(a);
        if (adopt_moved(a) != moved) {
            moved = adopt_moved(a);
            moved_us = clock_us();
        }
        if (clock_us() - shown_us >= ADOPT_PROGRESS_US) {
            shown_us = clock_us();
            printf("%" PRIu64 " of %" PRIu64 " points\n", moved, a->backlog.points);
            fflush(stdout);
        }
        if (clock_us() - moved_us >= ADOPT_STALL_US)
            return fail(f, ERR_UNAVAILABLE,
                        "nothing has moved for a minute: %" PRIu64 " of %" PRIu64
                        " points so far. Nothing is lost, say it again",
                        moved, a->backlog.points);
    }
    adopt_add_up(a);
    return OK;
}

static void adopt_stop(struct adoption *a)
{
    if (a->queue)
        queue_stop(a->queue);
    for (unsigned i = 0; i < a->count; i++)
        flusher_stop(a->flushers[i], clock_us() + a->settings.drain_timeout);
    for (unsigned i = 0; i < a->count; i++)
        flusher_join(a->flushers[i]);
}

static void adopt_free(struct adoption *a)
{
    queue_close(a->queue);
    for (unsigned i = 0; i < ADOPT_FLUSHERS; i++)
        stats_free(a->stats[i]);
    stats_free(a->sealer_stats);
}

/* -- mark -------------------------------------------------------------------------------------- */

static err_t adopt_mark(const struct adoption *a, struct fail *f)
{
    char text[JOURNAL_ADOPTED], host[64] = "", when[32] = "";
    time_t now = (time_t)(clock_wall_ms() / 1000);
    struct tm tm;
    int dir;
    err_t e;

    if (gmtime_r(&now, &tm))
        strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
    gethostname(host, sizeof(host) - 1);
    snprintf(text, sizeof(text), "%s by process %ld of %s, %" PRIu64 " points\n", when,
             (long)getpid(), host, adopt_moved(a));
    fault_point("adopt_before_mark");
    if ((e = journal_dir_open(a->settings.data_dir, false, &dir, f)))
        return e;
    e = journal_dir_mark_adopted(dir, text, f);
    close(dir);
    fault_point("adopt_after_mark");
    return e;
}

/* Files of dead letters in the directory, the owner's own included. */
static bool adopt_has_letters(const struct adoption *a)
{
    char folder[LETTERBOX_PATH];

    return letterbox_folder(a->settings.data_dir, folder, NULL) == OK &&
           letterbox_bytes(folder) > 0;
}

static int adopt_report(const struct adoption *a)
{
    const char *dir = a->settings.data_dir;
    int code = ADOPT_DONE;

    printf("%" PRIu64 " points are in PostgreSQL, %" PRIu64 " of them were before\n",
           a->sum.applied_points, a->sum.repeated_points);
    if (a->sum.journal_quarantined_bytes) {
        printf("%" PRIu64 " bytes of the journal are damaged: look at *.bad in %s/journal\n",
               a->sum.journal_quarantined_bytes, dir);
        code = ADOPT_LOOK;
    }
    if (adopt_has_letters(a)) {
        printf("there are dead letters (%" PRIu64 " points of them new): "
               "sluice deadletter ls --data-dir %s\n",
               a->sum.deadletter_points, dir);
        code = ADOPT_LOOK;
    }
    return code;
}

/* -- the whole --------------------------------------------------------------------------------- */

static int adopt_run(struct adoption *a, struct fail *f)
{
    err_t e;

    if ((e = adopt_look(a, f)) == OK) {
        printf("journal %s: %" PRIu64 " points in %" PRIu64 " entries wait, %zu segments\n", a->id,
               a->backlog.points, a->backlog.entries, a->segments);
        fflush(stdout);
        if (a->is_dry || a->segments == 0)
            return ADOPT_DONE;
        if (!(e = adopt_open(a, f)) && !(e = adopt_start(a, f)))
            e = adopt_await(a, f);
    }
    adopt_stop(a);
    if (!e)
        e = adopt_mark(a, f);
    if (!e)
        return adopt_report(a);
    fprintf(stderr, "sluice: %.*s\n", STR_ARG(f->text));
    return ADOPT_FAILED;
}

int cmd_adopt(int argc, char **argv, const struct settings *s)
{
    struct adoption a = {.settings = *s};
    struct fail f;
    int code;

    fail_init(&f, NULL);
    a.settings.data_dir = NULL;
    a.settings.queue = "journal";
    if (a.settings.flushers == 0) /* meant for a front end, perhaps */
        a.settings.flushers = 1;
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--dry-run") == 0)
            a.is_dry = true;
        else if (strcmp(argv[i], "--unseen") == 0)
            a.may_be_unseen = true;
        else if (i == 0)
            a.settings.data_dir = argv[i];
        else
            a.settings.data_dir = NULL;
    }
    if (!a.settings.data_dir) {
        fputs(adopt_usage, stderr);
        return ADOPT_USAGE;
    }
    if (s->pg_uri[0] == '\0') {
        fputs("sluice: adopting wants pg_uri: the database that the pod wrote to\n", stderr);
        return ADOPT_FAILED;
    }
    log_set_level(LOG_WARN);
    code = adopt_run(&a, &f);
    adopt_free(&a);
    return fflush(stdout) == 0 ? code : ADOPT_FAILED;
}
