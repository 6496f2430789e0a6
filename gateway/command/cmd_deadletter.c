/*
 * The verbs stand in a table. `ls` prints a line for each letter, `show` the whole letter as JSON
 * with its points, `retry` applies letters and takes out those that were, `drop` takes them out.
 * All take the same choice (gateway/artifact/letter_choice.c); ls alone may go without one.
 *
 * A letter that was written twice around a crash is one letter: its id leaves out the time. Bytes
 * that are no letter are skipped, and said so on standard error. Keys that are not UTF-8 (one
 * reason to be here) appear with U+FFFD; the file keeps them as they were.
 *
 * retry goes file by file: apply, then take out what was applied. A kill in between leaves letters
 * whose points are stored already; the next retry stores nothing twice and takes them out. The
 * folder's lock is held for the taking out alone, so a running server waits for milliseconds.
 * A private cluster that does not run is started for as long as it takes.
 */
#include "gateway/command/cmd_deadletter.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/idmap.h"
#include "base/json.h"
#include "flush/redelivery.h"
#include "gateway/artifact/letter_choice.h"
#include "gateway/sql/database.h"
#include "schema/errors.h"
#include "schema/letterbox.h"
#include "schema/record.h"

static const char deadletter_usage[] =
    "usage: sluice deadletter ls [CHOICE]            one line for each refused write\n"
    "       sluice deadletter show CHOICE            all of it, as JSON\n"
    "       sluice deadletter retry CHOICE           applies them once more; what is applied goes\n"
    "       sluice deadletter drop CHOICE --yes      takes them out for good\n"
    "CHOICE: ID...  --run RUN_ID  --reason WORDS|SQLSTATE  --since 2h|2026-01-31T12:00:00Z  --all\n"
    "        (every kind that is given must fit)\n";

enum {
    TIME_TEXT = 32,
    RETRY_LETTERS = 1000, /* in one transaction */
    RETRY_POINTS = 50000,
    LOCK_TRIES = 250, /* 20 ms apart */
};

/* What one run of the command carries along. */
struct visit {
    const struct settings *settings;
    struct letter_choice choice;
    char folder[LETTERBOX_PATH];
    struct idmap seen;  /* ids of the letters that were chosen */
    struct idmap gone;  /* of those that may be taken out */
    struct arena arena; /* of their keys */
    uint64_t letters;   /* chosen */
    uint64_t points;
    struct redelivery_item *items; /* of the file under way; retry */
    size_t item_count;
    size_t item_cap;
    struct redelivery redelivery;
    uint64_t applied_points;
    bool has_trouble;
};

struct verb {
    const char *name;
    bool needs_choice;
    /* Each letter that was chosen, once. */
    void (*letter)(struct visit *v, uint64_t id, const struct deadletter *d);
    /* Each file, behind its letters; NULL = nothing to do. */
    err_t (*file)(struct visit *v, const char *path, struct fail *f);
    int (*run)(struct visit *v, const struct verb *verb);
};

static void visit_trouble(struct visit *v, const struct fail *f)
{
    fprintf(stderr, "sluice: %.*s\n", STR_ARG(f->text));
    v->has_trouble = true;
}

/* -- ls, show ---------------------------------------------------------------------------------- */

static void show_time(int64_t ms, char out[TIME_TEXT])
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;

    out[0] = 0;
    if (gmtime_r(&seconds, &tm))
        strftime(out, TIME_TEXT, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

static void list_letter(struct visit *v, uint64_t id, const struct deadletter *d)
{
    char when[TIME_TEXT];

    (void)v;
    show_time(d->time_ms, when);
    printf("%016" PRIx64 "  %-20s  %8" PRIu32 "  %-32.*s  %-8.*s  %.*s\n", id, when, d->points,
           STR_ARG(d->run_id), STR_ARG(d->sqlstate), STR_ARG(d->reason));
}

static void show_point(struct json *j, const struct point *p)
{
    json_open(j);
    json_pair_str(j, "key", p->key);
    json_key(j, "value");
    if (p->is_nan)
        json_str(j, STR("NaN"));
    else
        json_double(j, p->value);
    json_pair_i64(j, "timestamp", p->timestamp);
    json_pair_i64(j, "step", p->step);
    if (p->model_id.n)
        json_pair_str(j, "model_id", p->model_id);
    if (p->dataset_name.n)
        json_pair_str(j, "dataset_name", p->dataset_name);
    if (p->dataset_digest.n)
        json_pair_str(j, "dataset_digest", p->dataset_digest);
    json_close(j);
}

static void show_points(struct json *j, const struct deadletter *d)
{
    struct arena arena;
    struct batch b;

    arena_init(&arena, 64 << 10);
    json_key(j, "metrics");
    if (record_decode(d->record, d->version, &arena, &b, NULL)) {
        json_null(j); /* the record itself was what could not be read */
    } else {
        json_open_list(j);
        for (uint32_t i = 0; i < b.npoints; i++)
            show_point(j, &b.points[i]);
        json_close_list(j);
    }
    arena_fini(&arena);
}

static void show_letter(struct visit *v, uint64_t id, const struct deadletter *d)
{
    char id_text[LETTER_ID], when[TIME_TEXT];
    struct json j;
    struct buf out;

    (void)v;
    letter_id_text(id, id_text);
    show_time(d->time_ms, when);
    buf_init(&out);
    json_init(&j, &out, JSON_PRETTY);
    json_open(&j);
    json_pair_str(&j, "id", str_of(id_text));
    json_pair_str(&j, "time", str_of(when));
    json_pair_str(&j, "run_id", d->run_id);
    json_pair_str(&j, "sqlstate", d->sqlstate);
    json_pair_str(&j, "reason", d->reason);
    json_pair_str(&j, "queue_id", d->queue_id);
    json_pair_i64(&j, "position", (int64_t)d->pos);
    json_pair_i64(&j, "partition", d->partition);
    json_pair_i64(&j, "window_from", (int64_t)d->window_from);
    json_pair_i64(&j, "window_end", (int64_t)d->window_end);
    json_pair_str(&j, "client", d->client);
    json_pair_i64(&j, "points", d->points);
    show_points(&j, d);
    json_close(&j);
    buf_add_byte(&out, '\n');
    fwrite(buf_str(&out).p, 1, buf_len(&out), stdout);
    buf_fini(&out);
}

/* -- the walk ---------------------------------------------------------------------------------- */

static void visit_note(struct visit *v, struct idmap *ids, uint64_t id, bool *is_new)
{
    idmap_put(ids, arena_dup(&v->arena, (struct str){(const char *)&id, sizeof(id)}), is_new);
}

static void visit_file(struct visit *v, const struct verb *verb, const char *path)
{
    struct deadletter d;
    struct str bytes, rest;
    size_t skipped = 0;
    struct fail f;

    fail_init(&f, NULL);
    if (letterbox_map(path, &bytes, &f)) {
        visit_trouble(v, &f);
        return;
    }
    rest = bytes;
    while (deadletter_read(&rest, &d, &skipped)) {
        bool is_new;

        if (!letter_choice_takes(&v->choice, &d))
            continue;
        visit_note(v, &v->seen, deadletter_id(&d), &is_new);
        if (!is_new)
            continue;
        v->letters++;
        v->points += d.points;
        verb->letter(v, deadletter_id(&d), &d);
    }
    if (skipped)
        fprintf(stderr, "sluice: %s: %zu bytes are no letters (torn by a crash), skipped\n", path,
                skipped);
    if (verb->file && verb->file(v, path, &f))
        visit_trouble(v, &f);
    letterbox_unmap(bytes);
}

/* Every file, in the order of their names. */
static int visit_all(struct visit *v, const struct verb *verb)
{
    size_t count;
    char **paths;
    struct fail f;

    fail_init(&f, NULL);
    if (letterbox_list(v->folder, &paths, &count, &f)) {
        visit_trouble(v, &f);
        return 1;
    }
    for (size_t i = 0; i < count; i++)
        visit_file(v, verb, paths[i]);
    letterbox_list_free(paths, count);
    if (v->letters < (uint64_t)v->choice.id_count) {
        fprintf(stderr, "sluice: %" PRIu64 " of %d letters found in %s\n", v->letters,
                v->choice.id_count, v->folder);
        return 1;
    }
    return v->has_trouble ? 1 : 0;
}

static int visit_list(struct visit *v, const struct verb *verb)
{
    printf("%-16s  %-20s  %8s  %-32s  %-8s  %s\n", "ID", "TIME", "POINTS", "RUN", "SQLSTATE",
           "REASON");
    return visit_all(v, verb);
}

/* Takes the letters of v->gone out of the file; a flusher has the lock for milliseconds only. */
static err_t visit_cut(struct visit *v, const char *path, struct fail *f)
{
    static const struct timespec pause = {.tv_nsec = 20000000};
    size_t count;
    int lock = -1;
    err_t e;

    if (idmap_count(&v->gone) == 0)
        return OK;
    for (unsigned tries = 0; (e = letterbox_lock(v->folder, &lock, f)) == ERR_LOCKED; tries++) {
        if (tries == LOCK_TRIES)
            return e;
        nanosleep(&pause, NULL);
    }
    if (e)
        return e;
    e = letterbox_cut(path, &v->gone, &count, f);
    letterbox_unlock(lock);
    return e;
}

/* -- drop -------------------------------------------------------------------------------------- */

static void drop_letter(struct visit *v, uint64_t id, const struct deadletter *d)
{
    bool is_new;

    (void)d;
    visit_note(v, &v->gone, id, &is_new);
}

static int visit_drop(struct visit *v, const struct verb *verb)
{
    int code;

    if (!v->choice.is_sure) {
        const struct verb look = {.letter = drop_letter};

        code = visit_all(v, &look);
        printf("%" PRIu64 " letters with %" PRIu64
               " points would be gone for good; say --yes to drop them\n",
               v->letters, v->points);
        return code ? code : v->letters > 0;
    }
    code = visit_all(v, verb);
    if (!v->has_trouble)
        printf("dropped %" PRIu64 " letters with %" PRIu64 " points\n", v->letters, v->points);
    return code;
}

/* -- retry ------------------------------------------------------------------------------------- */

static void retry_letter(struct visit *v, uint64_t id, const struct deadletter *d)
{
    (void)id;
    if (v->item_count == v->item_cap) {
        v->item_cap = v->item_cap ? 2 * v->item_cap : 64;
        v->items = realloc(v->items, v->item_cap * sizeof(*v->items));
        check(v->items);
    }
    v->items[v->item_count++] = (struct redelivery_item){.letter = *d};
}

/* What became of letters [from, to). */
static void retry_report(struct visit *v, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        const struct redelivery_item *item = &v->items[i];
        uint64_t id = deadletter_id(&item->letter);
        bool is_new;

        if (item->is_applied) {
            visit_note(v, &v->gone, id, &is_new);
            v->applied_points += item->letter.points;
        } else if (item->reason[0]) {
            printf("%016" PRIx64 " is refused: %s%s%s\n", id, item->sqlstate,
                   item->sqlstate[0] ? " " : "", item->reason);
        }
    }
}

static err_t retry_file(struct visit *v, const char *path, struct fail *f)
{
    size_t from = 0;
    err_t e = OK, cut;

    while (from < v->item_count && !e && !v->has_trouble) {
        size_t to = from;
        uint64_t points = 0;

        while (to < v->item_count && to - from < RETRY_LETTERS && points < RETRY_POINTS)
            points += v->items[to++].letter.points;
        e = redelivery_apply(&v->redelivery, &v->items[from], to - from, f);
        retry_report(v, from, to);
        from = to;
    }
    v->item_count = 0;
    fault_point("retry_before_cut");
    cut = visit_cut(v, path, f);
    return e ? e : cut;
}

static int visit_retry(struct visit *v, const struct verb *verb)
{
    struct pg_terms terms;
    struct database db;
    struct fail f;
    int code = 1;
    uint64_t gone;

    fail_init(&f, NULL);
    if (database_open(v->settings, &db, &f)) {
        visit_trouble(v, &f);
        return 1;
    }
    terms = pg_terms_of(db.uri, v->settings);
    if (redelivery_open(&v->redelivery, &terms, &f))
        visit_trouble(v, &f);
    else
        code = visit_all(v, verb);
    redelivery_close(&v->redelivery);
    database_close(&db);
    gone = idmap_count(&v->gone);
    printf("applied %" PRIu64 " letters with %" PRIu64 " points, %" PRIu64 " stay\n", gone,
           v->applied_points, v->letters - gone);
    return code || gone < v->letters ? 1 : 0;
}

/* -- the table --------------------------------------------------------------------------------- */

static const struct verb verbs[] = {
    {"ls", false, list_letter, NULL, visit_list},
    {"show", true, show_letter, NULL, visit_all},
    {"retry", true, retry_letter, retry_file, visit_retry},
    {"drop", true, drop_letter, visit_cut, visit_drop},
};

static const struct verb *verb_find(const char *name)
{
    for (size_t i = 0; i < array_len(verbs); i++) {
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    }
    return NULL;
}

int cmd_deadletter(int argc, char **argv, const struct settings *s)
{
    const struct verb *verb = argc ? verb_find(argv[0]) : NULL;
    struct visit v = {.settings = s};
    struct fail f;
    int code;

    fail_init(&f, NULL);
    if (verb && letter_choice_parse(&v.choice, argc - 1, argv + 1, clock_wall_ms(), &f)) {
        fprintf(stderr, "sluice: %.*s\n", STR_ARG(f.text));
        verb = NULL;
    }
    if (!verb || (verb->needs_choice && !letter_choice_is_made(&v.choice))) {
        fputs(deadletter_usage, stderr);
        return 2;
    }
    if (letterbox_folder(s->data_dir, v.folder, &f)) {
        fprintf(stderr, "sluice: %.*s\n", STR_ARG(f.text));
        return 1;
    }
    idmap_init(&v.seen);
    idmap_init(&v.gone);
    arena_init(&v.arena, 4096);
    code = verb->run(&v, verb);
    idmap_fini(&v.seen);
    idmap_fini(&v.gone);
    arena_fini(&v.arena);
    free(v.items);
    return fflush(stdout) == 0 ? code : 1;
}
