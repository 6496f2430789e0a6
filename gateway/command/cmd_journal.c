/*
 * `sluice journal ls` prints a line for each segment, `verify` checks every frame and says where
 * damage is, `dump [RUN_ID...]` prints entries as JSON, one a line, with their points as
 * [key, value, timestamp, step] and, for points of a model, the three names behind.
 *
 * The files' formats stand in ingest/segment.c and ingest/frame.c; what counts as damage is what a
 * start would count: bytes in front of a valid frame, an end that stops short of the next segment,
 * a header that is none. Bytes behind the last frame of a segment are unused room, not damage.
 * `ls` names the files that were kept because of damage (journal.c) as well, and who adopted it. To look into one, copy
 * it as X/journal/<the same digits>.seg and run `sluice journal dump --data-dir X`.
 *
 * While a server runs, its newest segment may end in the middle of a write; that looks the same.
 */
#include "gateway/command/cmd_journal.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/json.h"
#include "ingest/journal_dir.h"
#include "ingest/segment.h"
#include "schema/record.h"

static const char journal_usage[] =
    "usage: sluice journal ls                 one line for each segment\n"
    "       sluice journal verify             checks every entry; exit code 1 when some is "
    "damaged\n"
    "       sluice journal dump [RUN_ID...]   entries as JSON, one a line\n"
    "       sluice journal adopt DIR          flushes the journal of a pod that is gone\n";

enum journal_verb { JOURNAL_LS, JOURNAL_VERIFY, JOURNAL_DUMP };

/* What one run of the command carries along. */
struct look {
    enum journal_verb verb;
    int dir;
    int nwanted; /* run ids asked for; 0 = all */
    char **wanted;
    struct arena arena; /* of one record */
    uint64_t segments;
    uint64_t entries;
    uint64_t points;
    uint64_t damaged_bytes;
    bool has_trouble;
};

static bool look_wants(const struct look *l, struct str run)
{
    for (int i = 0; i < l->nwanted; i++)
        if (str_eq(str_of(l->wanted[i]), run))
            return true;
    return l->nwanted == 0;
}

static void dump_point(struct json *j, const struct point *p)
{
    json_open_list(j);
    json_str(j, p->key);
    if (p->is_nan)
        json_str(j, STR("NaN"));
    else
        json_double(j, p->value);
    json_i64(j, p->timestamp);
    json_i64(j, p->step);
    if (p->model_id.n + p->dataset_name.n + p->dataset_digest.n > 0) {
        json_str(j, p->model_id);
        json_str(j, p->dataset_name);
        json_str(j, p->dataset_digest);
    }
    json_close_list(j);
}

static void dump_entry(struct look *l, const struct entry *e)
{
    struct batch b;
    struct buf out;
    struct json j;

    arena_reset(&l->arena);
    bool is_record = record_decode(e->payload, e->version, &l->arena, &b, NULL) == OK;

    if (!look_wants(l, is_record ? run_id_str(&b.run) : STR("")))
        return;
    buf_init(&out);
    json_init(&j, &out, JSON_LINE);
    json_open(&j);
    json_key(&j, "position");
    json_u64(&j, e->pos);
    json_pair_i64(&j, "partition", e->partition);
    json_pair_i64(&j, "version", e->version);
    if (is_record) {
        json_pair_str(&j, "run_id", run_id_str(&b.run));
        json_pair_i64(&j, "experiment_id", b.experiment_id);
        json_key(&j, "metrics");
        json_open_list(&j);
        for (uint32_t i = 0; i < b.npoints; i++)
            dump_point(&j, &b.points[i]);
        json_close_list(&j);
    }
    json_close(&j);
    buf_add_byte(&out, '\n');
    fwrite(buf_str(&out).p, 1, buf_len(&out), stdout);
    buf_fini(&out);
}

static void look_trouble(struct look *l, const char *name, struct str why)
{
    fprintf(stderr, "sluice: journal segment %s: %.*s\n", name, STR_ARG(why));
    l->has_trouble = true;
}

static void show_time(uint64_t ms, char *out, size_t cap)
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;

    out[0] = '\0';
    if (gmtime_r(&seconds, &tm))
        strftime(out, cap, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

/* One segment; next: where the one behind it begins, UINT64_MAX = it is the newest. */
static void look_segment(struct look *l, pos_t base, pos_t next)
{
    struct segment_cursor c;
    struct fail why;
    struct entry e;
    char name[SEGMENT_NAME];
    char when[32];
    uint64_t entries = 0;
    uint64_t points = 0;

    fail_init(&why, NULL);
    segment_name(base, name);
    if (segment_cursor_open(&c, l->dir, base, &why)) {
        look_trouble(l, name, why.text);
        return;
    }
    while (segment_cursor_next(&c, next, &e)) {
        entries++;
        points += record_points(e.payload, e.version);
        if (l->verb == JOURNAL_DUMP)
            dump_entry(l, &e);
    }
    uint64_t damaged = c.skipped_bytes + c.unreadable_bytes;

    if (next > c.at && next - base <= c.file_bytes - SEGMENT_HEAD)
        damaged += next - c.at;
    show_time(c.head.created_ms, when, sizeof(when));
    if (l->verb == JOURNAL_LS)
        printf("%-20s  %-20s  %12" PRIu64 "  %12" PRIu64 "  %8" PRIu64 "  %10" PRIu64 "\n", name,
               when, c.file_bytes, c.at - base, entries, points);
    else if (l->verb == JOURNAL_VERIFY)
        printf("%s: %" PRIu64 " entries, %" PRIu64 " points, %" PRIu64 " damaged bytes\n", name,
               entries, points, damaged);
    l->segments++;
    l->entries += entries;
    l->points += points;
    l->damaged_bytes += damaged;
    segment_cursor_close(&c);
}

/* The files that a start or a reader kept for whoever wants to look. */
static void look_kept(const struct look *l)
{
    int fd = openat(l->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct stat st;

    for (struct dirent *item = d ? readdir(d) : NULL; item; item = readdir(d)) {
        if (str_ends(str_of(item->d_name), STR(".bad")) &&
            fstatat(l->dir, item->d_name, &st, 0) == 0)
            printf("%-20s  kept because it is damaged, %" PRIu64 " bytes\n", item->d_name,
                   (uint64_t)st.st_size);
    }
    if (d)
        closedir(d);
    else if (fd >= 0)
        close(fd);
}

static int look_all(struct look *l)
{
    char id[QUEUE_ID_BYTES + 1];
    char adopted[JOURNAL_ADOPTED];
    struct fail why;
    pos_t *bases = NULL;
    size_t count = 0;

    fail_init(&why, NULL);
    if (segment_list(l->dir, &bases, &count, &why)) {
        fprintf(stderr, "sluice: %.*s\n", STR_ARG(why.text));
        return 1;
    }
    if (l->verb != JOURNAL_DUMP)
        printf("queue %s\n", journal_dir_read_id(l->dir, id) ? id : "without a readable id");
    journal_dir_adopted(l->dir, adopted);
    if (l->verb == JOURNAL_LS && adopted[0])
        printf("adopted %s\n", adopted);
    if (l->verb == JOURNAL_LS)
        printf("%-20s  %-20s  %12s  %12s  %8s  %10s\n", "SEGMENT", "CREATED", "FILE BYTES",
               "USED BYTES", "ENTRIES", "POINTS");
    for (size_t i = 0; i < count; i++)
        look_segment(l, bases[i], i + 1 < count ? bases[i + 1] : UINT64_MAX);
    free(bases);
    if (l->verb == JOURNAL_LS)
        look_kept(l);
    if (l->verb != JOURNAL_DUMP)
        printf("%" PRIu64 " segments, %" PRIu64 " entries, %" PRIu64 " points, %" PRIu64
               " damaged bytes\n",
               l->segments, l->entries, l->points, l->damaged_bytes);
    return l->has_trouble || (l->verb == JOURNAL_VERIFY && l->damaged_bytes > 0) ? 1 : 0;
}

int cmd_journal(int argc, char **argv, const struct settings *s)
{
    struct look l = {.dir = -1};
    struct fail why;

    fail_init(&why, NULL);
    if (argc == 1 && strcmp(argv[0], "ls") == 0) {
        l.verb = JOURNAL_LS;
    } else if (argc == 1 && strcmp(argv[0], "verify") == 0) {
        l.verb = JOURNAL_VERIFY;
    } else if (argc >= 1 && strcmp(argv[0], "dump") == 0) {
        l.verb = JOURNAL_DUMP;
        l.nwanted = argc - 1;
        l.wanted = argv + 1;
    } else {
        fputs(journal_usage, stderr);
        return 2;
    }
    if (journal_dir_open(s->data_dir, false, &l.dir, &why)) {
        fprintf(stderr, "sluice: %.*s\n", STR_ARG(why.text));
        return 1;
    }
    arena_init(&l.arena, 64 << 10);
    int code = look_all(&l);

    arena_fini(&l.arena);
    close(l.dir);
    return code;
}
