/*
 * `sluice deadletter ls` prints a line for each letter, `sluice deadletter show ID...` the whole
 * letter as JSON with its points. The file format stands in schema/deadletter.c.
 *
 * A letter that was written twice around a crash is shown once: its id leaves out the time. Bytes
 * that are no letter are skipped, and said so on standard error. Keys that are not UTF-8 (one
 * reason to be here) appear with U+FFFD; the file keeps them as they were.
 */
#include "gateway/cmd_deadletter.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/idmap.h"
#include "base/json.h"
#include "schema/deadletter.h"
#include "schema/record.h"

static const char deadletter_usage[] =
    "usage: sluice deadletter ls            one line for each refused write\n"
    "       sluice deadletter show ID...    all of it, as JSON\n";

enum { ID_DIGITS = 16, TIME_TEXT = 32 };

/* What one run of the command carries along. */
struct visit {
    struct idmap seen;  /* ids */
    struct arena arena; /* of seen's keys */
    int nwanted;        /* ids asked for; 0 = ls */
    char **wanted;
    uint64_t found;
    bool has_trouble;
};

static void show_time(int64_t ms, char out[TIME_TEXT])
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;

    out[0] = 0;
    if (gmtime_r(&seconds, &tm))
        strftime(out, TIME_TEXT, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

static void list_letter(uint64_t id, const struct deadletter *d)
{
    char when[TIME_TEXT];

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

static void show_letter(uint64_t id, const struct deadletter *d)
{
    char id_text[ID_DIGITS + 1], when[TIME_TEXT];
    struct json j;
    struct buf out;

    snprintf(id_text, sizeof(id_text), "%016" PRIx64, id);
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
    json_pair_i64(&j, "points", d->points);
    show_points(&j, d);
    json_close(&j);
    buf_add_byte(&out, '\n');
    fwrite(buf_str(&out).p, 1, buf_len(&out), stdout);
    buf_fini(&out);
}

static bool visit_wants(const struct visit *v, uint64_t id)
{
    char text[ID_DIGITS + 1];

    snprintf(text, sizeof(text), "%016" PRIx64, id);
    for (int i = 0; i < v->nwanted; i++) {
        if (strcmp(v->wanted[i], text) == 0)
            return true;
    }
    return false;
}

static void visit_letter(struct visit *v, const struct deadletter *d)
{
    uint64_t id = deadletter_id(d);
    bool is_new;

    idmap_put(&v->seen, arena_dup(&v->arena, (struct str){(const char *)&id, sizeof(id)}), &is_new);
    if (!is_new || (v->nwanted && !visit_wants(v, id)))
        return;
    v->found++;
    if (v->nwanted)
        show_letter(id, d);
    else
        list_letter(id, d);
}

static void visit_trouble(struct visit *v, const char *path, const char *why)
{
    fprintf(stderr, "sluice: %s: %s\n", path, why);
    v->has_trouble = true;
}

static void visit_file(struct visit *v, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t skipped = 0;
    struct deadletter d;
    struct str bytes;
    struct stat st;
    void *map;

    if (fd < 0 || fstat(fd, &st) < 0) {
        visit_trouble(v, path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return;
    }
    map = st.st_size ? mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;
    close(fd);
    if (map == MAP_FAILED) {
        visit_trouble(v, path, strerror(errno));
        return;
    }
    bytes = (struct str){map, (size_t)st.st_size};
    while (deadletter_read(&bytes, &d, &skipped))
        visit_letter(v, &d);
    if (skipped)
        fprintf(stderr, "sluice: %s: %zu bytes are no letters (torn by a crash), skipped\n", path,
                skipped);
    if (map)
        munmap(map, (size_t)st.st_size);
}

/* Every dead-letter file, in the order of their names. No folder means no letters. */
static void visit_folder(struct visit *v, const char *folder)
{
    struct dirent **names;
    int count = scandir(folder, &names, NULL, alphasort);

    if (count < 0) {
        if (errno != ENOENT)
            visit_trouble(v, folder, strerror(errno));
        return;
    }
    for (int i = 0; i < count; i++) {
        char path[4096 + NAME_MAX + 2];

        snprintf(path, sizeof(path), "%s/%s", folder, names[i]->d_name);
        if (str_ends(str_of(names[i]->d_name), STR(DEADLETTER_SUFFIX)))
            visit_file(v, path);
        free(names[i]);
    }
    free(names);
}

int cmd_deadletter(int argc, char **argv, const struct settings *s)
{
    bool is_list = argc == 1 && strcmp(argv[0], "ls") == 0;
    bool is_show = argc > 1 && strcmp(argv[0], "show") == 0;
    struct visit v = {.nwanted = is_show ? argc - 1 : 0, .wanted = argv + 1};
    char folder[4096];

    if (!is_list && !is_show) {
        fputs(deadletter_usage, stderr);
        return 2;
    }
    snprintf(folder, sizeof(folder), "%s/%s", s->data_dir, DEADLETTER_FOLDER);
    idmap_init(&v.seen);
    arena_init(&v.arena, 4096);
    if (is_list)
        printf("%-16s  %-20s  %8s  %-32s  %-8s  %s\n", "ID", "TIME", "POINTS", "RUN", "SQLSTATE",
               "REASON");
    visit_folder(&v, folder);
    idmap_fini(&v.seen);
    arena_fini(&v.arena);
    if (is_show && v.found < (uint64_t)v.nwanted) {
        fprintf(stderr, "sluice: %" PRIu64 " of %d letters found in %s\n", v.found, v.nwanted,
                folder);
        return 1;
    }
    return v.has_trouble ? 1 : 0;
}
