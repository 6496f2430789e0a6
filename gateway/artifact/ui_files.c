/*
 * ui_files: a hash table of names, and one descriptor of the folder.
 *
 * The tree is walked once, when the program starts: regular files only, links are not followed. What a
 * request asks for is looked up among those names as it is, so nothing that a path can spell (dots,
 * slashes, encoded or not) reaches the file system. A file is opened when it is asked for and sent by the
 * kernel from its cache; nothing of it is in this process. The folder belongs to whoever runs the
 * program: who can write there can serve what he likes.
 *
 * Types are those that stock MLflow sends for what its build holds.
 */
#include "gateway/artifact/ui_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/arena.h"
#include "schema/errors.h"

enum {
    SLOTS = 8192, /* power of two */
    FILES_MAX = SLOTS / 2,
    DEPTH_MAX = 16
};

struct ui_files {
    int dir;
    size_t count;
    struct arena names;
    struct ui_file slots[SLOTS]; /* open addressing; name.p NULL = free */
};

static const struct {
    const char *ending;
    const char *type;
} types[] = {
    {".js", "text/javascript; charset=utf-8"},
    {".mjs", "text/javascript; charset=utf-8"},
    {".css", "text/css; charset=utf-8"},
    {".html", "text/html; charset=utf-8"},
    {".txt", "text/plain; charset=utf-8"},
    {".json", "application/json"},
    {".svg", "image/svg+xml; charset=utf-8"},
    {".png", "image/png"},
    {".ico", "image/vnd.microsoft.icon"},
    {".ttf", "font/ttf"},
    {".woff", "font/woff"},
    {".woff2", "font/woff2"},
    {".eot", "application/vnd.ms-fontobject"},
};

static const char *ui_type_of(struct str name)
{
    for (size_t i = 0; i < array_len(types); i++) {
        if (str_ends(name, str_of(types[i].ending)))
            return types[i].type;
    }
    return "application/octet-stream";
}

static struct ui_file *ui_slot_of(const struct ui_files *u, struct str name)
{
    size_t i = XXH3_64bits(name.p, name.n) & (SLOTS - 1);

    while (u->slots[i].name.p && !str_eq(u->slots[i].name, name))
        i = (i + 1) & (SLOTS - 1);
    return (struct ui_file *)(uintptr_t)&u->slots[i];
}

static err_t ui_put(struct ui_files *u, const char *below, const char *name, struct fail *f)
{
    struct str path = arena_printf(&u->names, "%s%s", below, name);
    struct ui_file *slot;

    if (u->count == FILES_MAX)
        return fail(f, ERR_SETTING, "more than %d files", FILES_MAX);
    slot = ui_slot_of(u, path);
    *slot = (struct ui_file){path, ui_type_of(path)};
    u->count++;
    return OK;
}

/* Takes fd over. below is "" or ends with a slash. */
static err_t ui_walk(struct ui_files *u, int fd, const char *below, unsigned depth, struct fail *f)
{
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    err_t e = OK;

    if (dir == NULL || depth > DEPTH_MAX) {
        if (fd >= 0 && dir == NULL)
            close(fd);
        if (dir)
            closedir(dir);
        return fail(f, ERR_SETTING, "%s: %s", below, dir ? "too deep" : strerror(errno));
    }
    while (!e && (entry = readdir(dir)) != NULL) {
        struct stat s;

        if (entry->d_name[0] == '.' ||
            fstatat(dirfd(dir), entry->d_name, &s, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        if (S_ISREG(s.st_mode))
            e = ui_put(u, below, entry->d_name, f);
        else if (S_ISDIR(s.st_mode))
            e = ui_walk(
                u,
                openat(dirfd(dir), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC),
                arena_printf(&u->names, "%s%s/", below, entry->d_name).p, depth + 1, f);
    }
    closedir(dir);
    return e;
}

err_t ui_files_open(const char *dir, struct ui_files **out, struct fail *f)
{
    struct ui_files *u = calloc(1, sizeof(*u));
    struct fail why;
    err_t e;

    check(u != NULL);
    arena_init(&u->names, 65536);
    fail_init(&why, &u->names);
    u->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (u->dir < 0)
        e = fail(&why, ERR_SETTING, "%s", strerror(errno));
    else
        e = ui_walk(u, openat(u->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), "", 0, &why);
    if (!e && ui_files_find(u, STR("index.html")) == NULL)
        e = fail(&why, ERR_SETTING, "no index.html there; `sluice ui-fetch %s` gets one", dir);
    if (e) {
        e = fail(f, e, "cannot serve %s (setting ui_dir): %.*s", dir, STR_ARG(why.text));
        ui_files_close(u);
        return e;
    }
    *out = u;
    return OK;
}

void ui_files_close(struct ui_files *u)
{
    if (u == NULL)
        return;
    if (u->dir >= 0)
        close(u->dir);
    arena_fini(&u->names);
    free(u);
}

const struct ui_file *ui_files_find(const struct ui_files *u, struct str name)
{
    const struct ui_file *slot = name.n ? ui_slot_of(u, name) : NULL;

    return slot && slot->name.p ? slot : NULL;
}

int ui_files_read(const struct ui_files *u, const struct ui_file *file)
{
    int fd;

again:
    fd = openat(u->dir, file->name.p, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 && errno == EINTR)
        goto again;
    return fd;
}

size_t ui_files_count(const struct ui_files *u)
{
    return u->count;
}
