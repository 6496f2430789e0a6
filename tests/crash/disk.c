/*
 * disk: a model of a file system that keeps only what it must.
 *
 * For each file: the bytes that a sync has made durable, and the changes since, in order. For the
 * directory the same. At a crash, of the changes since
 *
 *   writes     are there or not, each one, each 4 KiB page or each 512-byte sector on its own (torn
 *              and reordered: the page cache is written back in any order and at any time)
 *   size       is the old one, or what the writes that are there need, or the newest, with zeros in it
 *   names      are all there, none, the first few (as a file system with a journal has it), or any of
 *              them (harsher than any file system of today; the journal must not need the order)
 *
 * The dice choose a way for each file and for the names, and then each piece. What was synced is
 * there in every state; that is the only thing the model takes from a sync.
 */
#define _GNU_SOURCE
#include "tests/crash/disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"

enum { SECTOR = 512, PAGE = 4096, NAME = 44 };

enum keep { KEEP_ALL, KEEP_NONE, KEEP_SOME, KEEP_LAST, KEEP_TORN, KEEP_PAGES, KEEP_SECTORS, KEEPS };

static const char *const keep_words[KEEPS] = {"all writes",     "no write",   "some writes",
                                              "the last write", "a torn one", "some pages",
                                              "some sectors"};

struct change {
    enum trace_kind kind;
    uint64_t offset;
    uint64_t len;
    const char *bytes; /* NULL = zeros */
};

struct file {
    uint64_t number;
    char *bytes; /* durable */
    uint64_t size;
    struct change *changes;
    size_t count, cap;
};

struct name {
    char text[NAME];
    struct file *file;
};

struct naming {
    enum trace_kind kind;
    char name[NAME];
    char to[NAME];
    struct file *file;
};

struct disk {
    struct file **files;
    size_t nfiles, files_cap;
    struct name *names; /* durable */
    size_t nnames, names_cap;
    struct naming *namings;
    size_t nnamings, namings_cap;
};

#define GROW(array, count, cap)                                   \
    do {                                                          \
        if ((count) == (cap)) {                                   \
            (cap) = (cap) ? 2 * (cap) : 16;                       \
            (array) = realloc((array), (cap) * sizeof(*(array))); \
            check(array);                                         \
        }                                                         \
    } while (0)

void dice_begin(struct dice *r, uint64_t seed, uint64_t number)
{
    r->state = (seed * 0x9e3779b97f4a7c15u) ^ ((number + 1) * 0xbf58476d1ce4e5b9u);
    for (int i = 0; i < 8 || r->state == 0; i++) {
        r->state += r->state == 0;
        (void)dice_roll(r, 2);
    }
}

unsigned dice_roll(struct dice *r, unsigned sides)
{
    r->state ^= r->state << 13;
    r->state ^= r->state >> 7;
    r->state ^= r->state << 17;
    return (unsigned)((r->state >> 32) % sides);
}

struct disk *disk_new(void)
{
    struct disk *d = calloc(1, sizeof(*d));

    check(d);
    return d;
}

void disk_free(struct disk *d)
{
    for (size_t i = 0; i < d->nfiles; i++) {
        free(d->files[i]->bytes);
        free(d->files[i]->changes);
        free(d->files[i]);
    }
    free(d->files);
    free(d->names);
    free(d->namings);
    free(d);
}

static struct file *disk_add_file(struct disk *d, uint64_t number)
{
    struct file *f = calloc(1, sizeof(*f));

    check(f);
    f->number = number;
    GROW(d->files, d->nfiles, d->files_cap);
    d->files[d->nfiles++] = f;
    return f;
}

/* The newest with this number: a number is used again when its file is gone. */
static struct file *disk_file(const struct disk *d, uint64_t number)
{
    for (size_t i = d->nfiles; i-- > 0;)
        if (d->files[i]->number == number)
            return d->files[i];
    fprintf(stderr, "a file that the trace has never seen: inode %llu\n",
            (unsigned long long)number);
    abort();
}

/* -- names ------------------------------------------------------------------------------------- */

static size_t name_find(const struct name *names, size_t count, const char *text)
{
    size_t i = 0;

    while (i < count && strcmp(names[i].text, text) != 0)
        i++;
    return i;
}

static void name_put(struct name **names, size_t *count, size_t *cap, const char *text,
                     struct file *file)
{
    size_t i = name_find(*names, *count, text);

    if (i == *count) {
        GROW(*names, *count, *cap);
        snprintf((*names)[(*count)++].text, NAME, "%s", text);
    }
    (*names)[i].file = file;
}

static void name_drop(struct name *names, size_t *count, const char *text)
{
    size_t i = name_find(names, *count, text);

    if (i < *count)
        names[i] = names[--*count];
}

/* One change of names. With others missing, its source may be missing too: n->file says what it was. */
static void naming_do(const struct naming *n, struct name **names, size_t *count, size_t *cap)
{
    if (n->kind == TRACE_CREATE)
        name_put(names, count, cap, n->name, n->file);
    if (n->kind == TRACE_UNLINK || n->kind == TRACE_RENAME)
        name_drop(*names, count, n->name);
    if ((n->kind == TRACE_RENAME || n->kind == TRACE_LINK) && n->file)
        name_put(names, count, cap, n->to, n->file);
}

static void disk_add_naming(struct disk *d, const struct trace_op *op, struct file *file)
{
    struct naming n = {.kind = op->kind, .file = file};

    snprintf(n.name, NAME, "%s", op->name);
    snprintf(n.to, NAME, "%s", op->to);
    if (!n.file) {
        /* Which file has the name now? */
        for (size_t i = d->nnamings; i-- > 0 && !n.file;) {
            const struct naming *o = &d->namings[i];

            if (strcmp(o->kind == TRACE_CREATE ? o->name : o->to, n.name) == 0)
                n.file = o->file;
        }
        size_t i = name_find(d->names, d->nnames, n.name);

        if (!n.file && i < d->nnames)
            n.file = d->names[i].file;
    }
    GROW(d->namings, d->nnamings, d->namings_cap);
    d->namings[d->nnamings++] = n;
}

static void disk_sync_names(struct disk *d)
{
    for (size_t i = 0; i < d->nnamings; i++)
        naming_do(&d->namings[i], &d->names, &d->nnames, &d->names_cap);
    d->nnamings = 0;
}

/* -- bytes ------------------------------------------------------------------------------------- */

static void image_resize(char **bytes, uint64_t *size, uint64_t to)
{
    *bytes = realloc(*bytes, to + 1);
    check(*bytes);
    if (to > *size)
        memset(*bytes + *size, 0, to - *size);
    *size = to;
}

static void image_put(char **bytes, uint64_t *size, const struct change *c, uint64_t from,
                      uint64_t to)
{
    if (to > *size)
        image_resize(bytes, size, to);
    if (c->bytes)
        memcpy(*bytes + from, c->bytes + (from - c->offset), to - from);
    else
        memset(*bytes + from, 0, to - from);
}

static void file_sync(struct file *f)
{
    for (size_t i = 0; i < f->count; i++) {
        const struct change *c = &f->changes[i];

        if (c->kind == TRACE_SIZE || (c->kind == TRACE_ALLOC && c->offset > f->size))
            image_resize(&f->bytes, &f->size, c->offset);
        else if (c->kind == TRACE_WRITE)
            image_put(&f->bytes, &f->size, c, c->offset, c->offset + c->len);
    }
    f->count = 0;
}

void disk_apply(struct disk *d, const struct trace_op *op, const char *bytes)
{
    struct file *f;

    switch (op->kind) {
    case TRACE_CREATE: disk_add_naming(d, op, disk_add_file(d, op->file)); return;
    case TRACE_RENAME:
    case TRACE_LINK:
    case TRACE_UNLINK: disk_add_naming(d, op, NULL); return;
    case TRACE_DIR_SYNC: disk_sync_names(d); return;
    case TRACE_SYNC: file_sync(disk_file(d, op->file)); return;
    case TRACE_WRITE:
    case TRACE_ZERO:
    case TRACE_SIZE:
    case TRACE_ALLOC: break;
    default: return;
    }
    f = disk_file(d, op->file);
    GROW(f->changes, f->count, f->cap);
    f->changes[f->count++] = (struct change){
        .kind = op->kind == TRACE_ZERO ? TRACE_WRITE : op->kind,
        .offset = op->offset,
        .len = op->len,
        .bytes = op->kind == TRACE_WRITE ? bytes : NULL,
    };
}

/* -- a state ----------------------------------------------------------------------------------- */

static void pick_write(const struct change *c, enum keep how, bool is_last, struct dice *r,
                       char **bytes, uint64_t *size)
{
    uint64_t end = c->offset + c->len;
    uint64_t step = how == KEEP_PAGES ? PAGE : SECTOR;

    if (how == KEEP_ALL || (how == KEEP_SOME && dice_roll(r, 2)) || (how == KEEP_LAST && is_last) ||
        (how == KEEP_TORN && !is_last)) {
        image_put(bytes, size, c, c->offset, end);
    } else if (how == KEEP_TORN) {
        /* Its first sectors, in part of the cases up to the middle of a frame's head. */
        uint64_t sectors = c->len / SECTOR + 1;
        uint64_t to = (c->offset / SECTOR + dice_roll(r, (unsigned)sectors)) * SECTOR;

        if (to > c->offset)
            image_put(bytes, size, c, c->offset, to < end ? to : end);
    } else if (how == KEEP_PAGES || how == KEEP_SECTORS) {
        for (uint64_t at = c->offset; at < end;) {
            uint64_t next = (at / step + 1) * step;

            next = next < end ? next : end;
            if (dice_roll(r, 2))
                image_put(bytes, size, c, at, next);
            at = next;
        }
    }
}

/* The file's bytes in this state; to be freed. */
static char *pick_bytes(const struct file *f, struct dice *r, uint64_t *size, enum keep *how)
{
    char *bytes = NULL;
    uint64_t largest = f->size;
    bool has_size;

    *size = 0;
    image_resize(&bytes, size, f->size);
    if (f->size > 0)
        memcpy(bytes, f->bytes, f->size);
    *how = f->count > 0 ? (enum keep)dice_roll(r, KEEPS) : KEEP_ALL;
    has_size = *how == KEEP_ALL || dice_roll(r, 2);
    for (size_t i = 0; i < f->count; i++) {
        const struct change *c = &f->changes[i];
        bool is_kept = *how == KEEP_ALL || (*how != KEEP_NONE && dice_roll(r, 2));

        if (c->kind == TRACE_WRITE) {
            pick_write(c, *how, i + 1 == f->count, r, &bytes, size);
            largest = c->offset + c->len > largest ? c->offset + c->len : largest;
        } else if (c->kind == TRACE_SIZE && is_kept) {
            image_resize(&bytes, size, c->offset);
            largest = c->offset;
        } else if (c->kind == TRACE_ALLOC && c->offset > *size && is_kept) {
            image_resize(&bytes, size, c->offset);
        }
    }
    if (has_size && largest > *size)
        image_resize(&bytes, size, largest);
    return bytes;
}

static void write_file(int dir, const char *name, const char *bytes, uint64_t size)
{
    static const char zeros[PAGE];
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    check(fd >= 0);
    for (uint64_t at = 0; at < size;) {
        uint64_t n = size - at < PAGE ? size - at : PAGE;
        uint64_t end = at;

        /* Holes for zeros; one call for what lies between. */
        while (end < size && (n = size - end < PAGE ? size - end : PAGE) > 0 &&
               memcmp(bytes + end, zeros, n) != 0)
            end += n;
        if (end > at)
            check(pwrite(fd, bytes + at, end - at, (off_t)at) == (ssize_t)(end - at));
        at = end < size ? end + n : end;
    }
    check(ftruncate(fd, (off_t)size) == 0);
    close(fd);
}

static bool is_kept_aside(const char *name)
{
    size_t n = strlen(name);

    return n > 4 && strcmp(name + n - 4, ".bad") == 0;
}

void disk_pick(const struct disk *d, struct dice *r, int dir, char *words, size_t cap)
{
    static const char *const way_words[] = {"all names", "no new name", "the first names",
                                            "some names"};
    size_t count = d->nnames, names_cap = d->nnames + 1, used = 0;
    struct name *names = malloc(names_cap * sizeof(*names));
    unsigned way = d->nnamings > 0 ? dice_roll(r, 4) : 0;
    size_t first = way == 2 ? dice_roll(r, (unsigned)d->nnamings + 1) : d->nnamings;

    check(names);
    if (count > 0)
        memcpy(names, d->names, count * sizeof(*names));
    for (size_t i = 0; i < first && way != 1; i++)
        if (way != 3 || dice_roll(r, 2))
            naming_do(&d->namings[i], &names, &count, &names_cap);
    used = (size_t)snprintf(words, cap, "%s", way_words[way]);
    for (size_t i = 0; i < count; i++) {
        enum keep how;
        uint64_t size;
        char *bytes;

        if (is_kept_aside(names[i].text))
            continue;
        bytes = pick_bytes(names[i].file, r, &size, &how);
        write_file(dir, names[i].text, bytes, size);
        free(bytes);
        if (names[i].file->count > 0 && used < cap)
            used += (size_t)snprintf(words + used, cap - used, "; %s: %s", names[i].text,
                                     keep_words[how]);
    }
    free(names);
}

void disk_load(struct disk *d, int dir)
{
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = fdopendir(fd);

    check(list);
    for (struct dirent *item = readdir(list); item; item = readdir(list)) {
        int in = item->d_name[0] == '.' ? -1 : openat(dir, item->d_name, O_RDONLY | O_CLOEXEC);
        struct stat st;

        if (in < 0)
            continue;
        check(fstat(in, &st) == 0);
        struct file *f = disk_add_file(d, st.st_ino);

        image_resize(&f->bytes, &f->size, (uint64_t)st.st_size);
        check(pread(in, f->bytes, f->size, 0) == st.st_size);
        close(in);
        name_put(&d->names, &d->nnames, &d->names_cap, item->d_name, f);
    }
    closedir(list);
}

void disk_wipe(int dir)
{
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = fdopendir(fd);

    check(list);
    for (struct dirent *item = readdir(list); item; item = readdir(list))
        if (strcmp(item->d_name, ".") != 0 && strcmp(item->d_name, "..") != 0)
            check(unlinkat(dir, item->d_name, 0) == 0);
    closedir(list);
}
