/*
 * states: power loss at any moment of a recorded run; the real recovery must find what was acked.
 *
 *     states [--states N] [--seed S] [--only I] LEDGER TRACE...
 *
 * The traces (record.c) are the lives of one program on one directory. N moments are chosen, half of
 * them anywhere, half close to a sync or a change of names. For each, disk.c makes one of the
 * directories that a power cut there could have left, and a child opens it as the program does at
 * its start: queue_open, then a reader of all partitions takes what is there. Then the oracle asks:
 *
 *   - every answered point is handed out exactly once, or lies before what PostgreSQL is known to
 *     have: the end of the newest segment that the program gave back (the other suites ask
 *     PostgreSQL whether it was right to)
 *   - nothing is handed out that no client sent, and nothing twice
 *   - the queue has its name, and the start neither fails, dies nor hangs
 *
 * For one moment in four the recovery itself is recorded, cut anywhere, and its disk picked again:
 * a crash in the middle of the start after a crash. The same oracle asks then.
 *
 * The ledger says what clients sent: lines `life port id:points id:points ...`, for each connection
 * in order. The n-th answer to a port in the trace is that of its n-th request. A request's points
 * all follow from its id, so that a changed byte cannot pass.
 *
 * Every state follows from the traces, the seed and its number: --only I makes that one again. The
 * last line says how many states there were and how many were bad; the exit code is 1 for any.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "ingest/frame.h"
#include "ingest/queue.h"
#include "ingest/segment.h"
#include "schema/record.h"
#include "tests/crash/disk.h"

enum { PORTS = 65536, FOUND_MAX = 1 << 17, BAD_MAX = 5, SECONDS_MAX = 60, NEAR = 3 };

/* What clients sent, by id. */
struct sent {
    uint32_t points; /* 0 = nobody sent it */
    pos_t pos;       /* where the program put it; 0 = nowhere yet */
    bool is_acked;
};

/* The requests of one connection, in order. */
struct line {
    unsigned life;
    unsigned port;
    uint32_t *ids;
    size_t count, cap;
    size_t answered;
};

/* One operation of a trace, and where its bytes lie. */
struct step {
    const struct trace_op *op;
    const char *bytes;
    unsigned life;
};

/* A file of the trace that is a segment: where its bytes belong. */
struct place {
    uint64_t number;
    pos_t base;
    pos_t end; /* of its last frame, 0 = none */
    char name[44];
};

/* What a recovery found, written by the child. */
struct found {
    uint32_t count;
    bool is_done;
    char id[QUEUE_ID_BYTES + 1];
    char why[256];
    struct {
        pos_t pos;
        uint32_t id;
        uint32_t points;
        bool is_sound;
    } entries[FOUND_MAX];
};

static struct sent *sent;
static size_t sent_count;
static struct line *lines;
static size_t line_count;
static struct step *steps;
static size_t step_count, step_cap;
static struct place *places;
static size_t place_count, place_cap;
static uint32_t *acked; /* ids, in order */
static size_t acked_count;
static pos_t committed; /* PostgreSQL has everything before */
static char queue_name[QUEUE_ID_BYTES + 1];

static struct found *found;
static char folder[64];
static int journal_dir = -1;
static unsigned bad;

/* -- reading ----------------------------------------------------------------------------------- */

static void read_ledger(const char *path)
{
    FILE *f = fopen(path, "r");
    char *text = NULL;
    size_t cap = 0;

    check(f);
    while (getline(&text, &cap, f) > 0) {
        char *at = text;
        struct line l = {.life = (unsigned)strtoul(at, &at, 10)};

        l.port = (unsigned)strtoul(at, &at, 10);
        while (*at == ' ') {
            uint32_t id = (uint32_t)strtoul(at, &at, 10);

            check(*at == ':');
            if (l.count == l.cap) {
                l.cap = l.cap ? 2 * l.cap : 64;
                l.ids = realloc(l.ids, l.cap * sizeof(*l.ids));
                check(l.ids);
            }
            l.ids[l.count++] = id;
            if (id >= sent_count) {
                sent = realloc(sent, (2 * (size_t)id + 64) * sizeof(*sent));
                check(sent);
                memset(sent + sent_count, 0, (2 * (size_t)id + 64 - sent_count) * sizeof(*sent));
                sent_count = 2 * (size_t)id + 64;
            }
            sent[id].points = (uint32_t)strtoul(at + 1, &at, 10);
        }
        lines = realloc(lines, (line_count + 1) * sizeof(*lines));
        check(lines);
        lines[line_count++] = l;
    }
    free(text);
    fclose(f);
    acked = calloc(sent_count + 1, sizeof(*acked));
    check(acked);
}

/* The steps of bytes that a recorder wrote; the last may be cut. */
static size_t read_steps(const char *bytes, size_t n, unsigned life, struct step **out,
                         size_t *count, size_t *cap)
{
    size_t at = 0;

    while (n - at >= sizeof(struct trace_op)) {
        const struct trace_op *op = (const struct trace_op *)(const void *)(bytes + at);
        size_t len = op->kind == TRACE_WRITE ? op->len : 0;
        size_t whole = (sizeof(*op) + len + 7) / 8 * 8;

        check(op->kind > 0 && op->kind < TRACE_KINDS);
        if (n - at < whole)
            break;
        if (*count == *cap) {
            *cap = *cap ? 2 * *cap : 1024;
            *out = realloc(*out, *cap * sizeof(**out));
            check(*out);
        }
        (*out)[(*count)++] = (struct step){op, bytes + at + sizeof(*op), life};
        at += whole;
    }
    return at;
}

static char *read_whole(int fd, size_t *n)
{
    struct stat st;

    check(fd >= 0 && fstat(fd, &st) == 0);
    *n = (size_t)st.st_size;
    if (*n == 0)
        return NULL;
    char *bytes = mmap(NULL, *n, PROT_READ, MAP_PRIVATE, fd, 0);

    check(bytes != MAP_FAILED);
    return bytes;
}

/* -- what the steps mean ----------------------------------------------------------------------- */

static struct place *place_of(uint64_t number)
{
    for (size_t i = place_count; i-- > 0;)
        if (places[i].number == number)
            return &places[i];
    return NULL;
}

/* Frames that the program writes: who was put where. */
static void learn_frames(struct place *p, const struct step *s)
{
    pos_t pos = p->base + s->op->offset - SEGMENT_HEAD;
    uint64_t at = 0;
    struct entry e;
    struct arena a;
    struct batch b;
    struct fail f;

    fail_init(&f, NULL);
    arena_init(&a, 64 << 10);
    while (at + FRAME_HEAD <= s->op->len && frame_head_read(s->bytes + at, pos + at, &e)) {
        e.payload.p = s->bytes + at + FRAME_HEAD;
        if (e.end - pos > s->op->len)
            break;
        check(record_decode(e.payload, e.version, &a, &b, &f) == OK && b.npoints > 0);
        check((size_t)b.points[0].step < sent_count);
        sent[b.points[0].step].pos = e.pos;
        p->end = e.end;
        at = e.end - pos;
        arena_reset(&a);
    }
    check(at == s->op->len); /* the program writes whole frames */
    arena_fini(&a);
}

static void learn_write(const struct step *s)
{
    struct place *p = place_of(s->op->file);
    struct segment_head h;
    struct fail f;

    fail_init(&f, NULL);
    if (!p)
        return;
    if (s->op->offset == 0 && s->op->len == SEGMENT_HEAD &&
        segment_head_read(s->bytes, &h, &f) == OK) {
        p->base = h.base;
        p->end = 0;
        memcpy(queue_name, h.queue_id, sizeof(queue_name));
    } else if (p->base && s->op->offset >= SEGMENT_HEAD) {
        learn_frames(p, s);
    }
}

/* A segment with frames in it is given back: PostgreSQL has them, says the program. */
static void learn_end(const char *name)
{
    pos_t base;

    if (!segment_parse_name(name, &base))
        return;
    for (size_t i = place_count; i-- > 0;)
        if (places[i].base == base && places[i].end > committed)
            committed = places[i].end;
}

static void learn_answer(const struct step *s)
{
    for (size_t i = 0; i < line_count; i++) {
        struct line *l = &lines[i];

        if (l->life != s->life || l->port != s->op->port || l->answered == l->count)
            continue;
        uint32_t id = l->ids[l->answered++];

        if (s->op->status == 200 && !sent[id].is_acked) {
            sent[id].is_acked = true;
            acked[acked_count++] = id;
        }
        return;
    }
}

static void learn(const struct step *s)
{
    pos_t base;

    switch (s->op->kind) {
    case TRACE_CREATE:
        if (place_count == place_cap) {
            place_cap = place_cap ? 2 * place_cap : 64;
            places = realloc(places, place_cap * sizeof(*places));
            check(places);
        }
        places[place_count++] = (struct place){.number = s->op->file};
        break;
    case TRACE_WRITE: learn_write(s); break;
    case TRACE_UNLINK: learn_end(s->op->name); break;
    case TRACE_RENAME:
        if (!segment_parse_name(s->op->to, &base) && strstr(s->op->to, "spare"))
            learn_end(s->op->name);
        break;
    case TRACE_ANSWER: learn_answer(s); break;
    default: break;
    }
}

/* -- recovery ---------------------------------------------------------------------------------- */

static bool is_as_sent(const struct batch *b)
{
    int64_t id = b->npoints > 0 ? b->points[0].step : 0;

    for (uint32_t i = 0; i < b->npoints; i++) {
        const struct point *p = &b->points[i];

        if (p->step != id || p->timestamp != 1700000000000 + i || !str_eq(p->key, STR("loss")) ||
            p->value != (double)id / 8 + i || p->is_nan || p->model_id.n > 0)
            return false;
    }
    return b->npoints > 0;
}

static err_t recover_entries(struct queue *q, struct queue_reader *r, struct fail *f)
{
    struct take take = {.has_more = true};
    struct arena a;
    struct batch b;
    err_t e = OK;

    arena_init(&a, 64 << 10);
    while (take.has_more || take.count > 0 || take.cursor < queue_durable(q)) {
        if ((e = queue_take(r, take_until(100000, clock_us()), &take, f)))
            break;
        for (size_t i = 0; i < take.count; i++) {
            const struct entry *entry = &take.entries[i];
            bool is_record = record_decode(entry->payload, entry->version, &a, &b, f) == OK;
            uint32_t n = found->count++;

            check(n < FOUND_MAX);
            found->entries[n].pos = entry->pos;
            found->entries[n].is_sound = is_record && is_as_sent(&b) &&
                                         entry->partition == queue_partition(run_id_str(&b.run));
            found->entries[n].id = is_record && b.npoints ? (uint32_t)b.points[0].step : 0;
            found->entries[n].points = is_record ? b.npoints : 0;
            arena_reset(&a);
        }
    }
    arena_fini(&a);
    return e;
}

/* As the program starts. In the child; its result is in *found. trace: where it is recorded, -1 = not. */
static void recover(int trace)
{
    struct settings s = {.data_dir = folder,
                         .queue = "journal",
                         .flushers = 1,
                         .ring_bytes = 1 << 20,
                         .journal_segment_bytes = 1 << 20,
                         .journal_max_bytes = 64 << 20};
    struct queue *q = NULL;
    struct queue_reader *r = NULL;
    pos_t from[QUEUE_PARTITIONS];
    struct fail f;
    err_t e;

    alarm(SECONDS_MAX);
    log_set_level((enum log_level)(LOG_ERROR - 1)); /* damage is what it is all about */
    fail_init(&f, NULL);
    for (unsigned p = 0; p < QUEUE_PARTITIONS; p++)
        from[p] = committed;
    record_to(trace);
    e = queue_open(&s, 1, stats_new(), &q, &f);
    if (!e) {
        memcpy(found->id, queue_id(q), sizeof(found->id));
        e = queue_reader_open(q, (1 << QUEUE_PARTITIONS) - 1, from, &r, &f);
    }
    if (!e)
        e = recover_entries(q, r, &f);
    if (!e) {
        queue_reader_close(r);
        queue_stop(q);
        queue_close(q);
    }
    snprintf(found->why, sizeof(found->why), "%.*s", STR_ARG(f.text));
    found->is_done = !e;
    _exit(0);
}

static void run_recovery(int trace)
{
    int status = 0;

    memset(found, 0, offsetof(struct found, entries));
    pid_t child = fork();

    check(child >= 0);
    if (child == 0)
        recover(trace);
    check(waitpid(child, &status, 0) == child);
    if (WIFSIGNALED(status))
        snprintf(found->why, sizeof(found->why), "the start died by signal %d%s", WTERMSIG(status),
                 WTERMSIG(status) == SIGALRM ? ": it does not end" : "");
    else if (WEXITSTATUS(status) != 0)
        snprintf(found->why, sizeof(found->why), "the start died with code %d",
                 WEXITSTATUS(status));
}

/* -- the oracle -------------------------------------------------------------------------------- */

/* What is wrong with what was found, in words; false = nothing. */
static bool is_bad(char *words, size_t cap)
{
    static unsigned char *seen;
    pos_t last = 0;

    if (!seen)
        seen = malloc(sent_count);
    check(seen);
    memset(seen, 0, sent_count);
    if (!found->is_done)
        return snprintf(words, cap, "no start: %s", found->why) > 0;
    if (acked_count > 0 && strcmp(found->id, queue_name) != 0)
        return snprintf(words, cap, "the queue is now called %s", found->id) > 0;
    for (uint32_t i = 0; i < found->count; i++) {
        uint32_t id = found->entries[i].id;

        if (!found->entries[i].is_sound || id >= sent_count ||
            found->entries[i].points != sent[id].points)
            return snprintf(words, cap, "an entry at %" PRIu64 " that nobody sent",
                            found->entries[i].pos) > 0;
        if (seen[id]++ || found->entries[i].pos <= last || found->entries[i].pos < committed)
            return snprintf(words, cap, "request %u was handed out twice", id) > 0;
        last = found->entries[i].pos;
    }
    for (size_t i = 0; i < acked_count; i++)
        if (!seen[acked[i]] && (sent[acked[i]].pos == 0 || sent[acked[i]].pos >= committed))
            return snprintf(words, cap, "request %u was answered and is gone, %u points", acked[i],
                            sent[acked[i]].points) > 0;
    return false;
}

static void judge(size_t number, size_t at, const char *what, const char *words)
{
    char why[256];

    if (!is_bad(why, sizeof(why)))
        return;
    bad++;
    printf("bad: state %zu, behind operation %zu of %zu, %s: %s\n     disk: %s\n", number, at,
           step_count, what, why, words);
    fflush(stdout);
}

/* -- states ------------------------------------------------------------------------------------ */

/* The start after the crash is cut as well. */
static void crash_again(size_t number, size_t at, struct dice *r, const char *first)
{
    struct disk *d = disk_new();
    int trace = memfd_create("trace", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    struct step *more = NULL;
    size_t count = 0, cap = 0, n = 0;
    char words[1024];

    check(trace >= 0 && fcntl(trace, F_SETFL, O_APPEND) == 0);
    disk_load(d, journal_dir);
    run_recovery(trace);
    judge(number, at, "at the first start", first);
    char *bytes = read_whole(trace, &n);

    read_steps(bytes, n, 0, &more, &count, &cap);
    size_t cut = dice_roll(r, (unsigned)count + 1);

    for (size_t i = 0; i < cut; i++)
        disk_apply(d, more[i].op, more[i].bytes);
    disk_wipe(journal_dir);
    disk_pick(d, r, journal_dir, words, sizeof(words));
    run_recovery(-1);
    judge(number, at, "at the start after a crash during the first one", words);
    disk_free(d);
    free(more);
    if (bytes)
        munmap(bytes, n);
    close(trace);
}

static bool try_state(const struct disk *d, uint64_t seed, size_t number, size_t at)
{
    struct dice r;
    char words[1024];
    bool is_second;

    dice_begin(&r, seed, number);
    is_second = dice_roll(&r, 4) == 0;
    disk_wipe(journal_dir);
    disk_pick(d, &r, journal_dir, words, sizeof(words));
    if (is_second) {
        crash_again(number, at, &r, words);
    } else {
        run_recovery(-1);
        judge(number, at, "at the start", words);
    }
    return is_second;
}

static int compare_sizes(const void *a, const void *b)
{
    size_t x = *(const size_t *)a;
    size_t y = *(const size_t *)b;

    return (x > y) - (x < y);
}

static bool is_turning_point(const struct step *s)
{
    return s->op->kind != TRACE_WRITE && s->op->kind != TRACE_ZERO && s->op->kind != TRACE_ANSWER;
}

/* Numbers of steps behind which the power goes, rising. */
static size_t *choose_moments(size_t count, uint64_t seed)
{
    size_t *moments = malloc((count + 1) * sizeof(*moments));
    size_t *turns = malloc((step_count + 1) * sizeof(*turns));
    size_t nturns = 0;
    struct dice r;

    check(moments && turns && step_count > 0);
    dice_begin(&r, seed, UINT64_MAX / 2);
    for (size_t i = 0; i < step_count; i++)
        if (is_turning_point(&steps[i]))
            turns[nturns++] = i;
    for (size_t i = 0; i < count; i++) {
        if (i % 2 == 0 || nturns == 0) {
            moments[i] = dice_roll(&r, (unsigned)step_count + 1);
        } else {
            moments[i] = turns[dice_roll(&r, (unsigned)nturns)] + dice_roll(&r, 2 * NEAR);
            moments[i] = moments[i] < NEAR ? 0 : moments[i] - NEAR;
            moments[i] = moments[i] > step_count ? step_count : moments[i];
        }
    }
    qsort(moments, count, sizeof(*moments), compare_sizes);
    free(turns);
    return moments;
}

static void folder_make(void)
{
    char path[128];

    snprintf(folder, sizeof(folder), "%s/crash-states-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    check(mkdtemp(folder) != NULL);
    snprintf(path, sizeof(path), "%s/journal", folder);
    check(mkdir(path, 0700) == 0);
    journal_dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    check(journal_dir >= 0);
    found = mmap(NULL, sizeof(*found), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    check(found != MAP_FAILED);
}

static void folder_remove(void)
{
    char path[128];

    disk_wipe(journal_dir);
    close(journal_dir);
    snprintf(path, sizeof(path), "%s/journal", folder);
    check(rmdir(path) == 0 && rmdir(folder) == 0);
}

int main(int argc, char **argv)
{
    size_t count = 500, only = SIZE_MAX, seconds = 0, tried = 0, next = 0;
    uint64_t seed = 1, begin_us = clock_us();
    struct disk *d = disk_new();
    int at = 1;

    for (; at + 1 < argc && argv[at][0] == '-'; at += 2) {
        uint64_t value = strtoull(argv[at + 1], NULL, 10);

        if (strcmp(argv[at], "--states") == 0)
            count = value;
        else if (strcmp(argv[at], "--seed") == 0)
            seed = value;
        else if (strcmp(argv[at], "--only") == 0)
            only = value;
    }
    if (at + 1 >= argc) {
        fputs("usage: states [--states N] [--seed S] [--only I] LEDGER TRACE...\n", stderr);
        return 2;
    }
    read_ledger(argv[at]);
    for (int i = at + 1; i < argc; i++) {
        size_t n = 0;
        int fd = open(argv[i], O_RDONLY | O_CLOEXEC);
        char *bytes = read_whole(fd, &n);

        read_steps(bytes, n, (unsigned)(i - at - 1), &steps, &step_count, &step_cap);
        close(fd);
    }
    folder_make();
    size_t *moments = choose_moments(count, seed);

    for (size_t i = 0; i <= step_count && bad < BAD_MAX; i++) {
        for (; next < count && moments[next] == i; next++) {
            if ((only != SIZE_MAX && only != next) || bad >= BAD_MAX)
                continue;
            seconds += try_state(d, seed, next, i);
            tried++;
        }
        if (i < step_count) {
            learn(&steps[i]);
            disk_apply(d, steps[i].op, steps[i].bytes);
        }
    }
    folder_remove();
    double took_s = (double)(clock_us() - begin_us) / 1e6;

    printf(
        "%zu states (%zu of them cut again at the start), %zu operations, %zu requests answered, "
        "%zu segments, %u bad, %.1f s, seed %" PRIu64 "\n",
        tried, seconds, step_count, acked_count, place_count, bad, took_s, seed);
    return bad > 0;
}
