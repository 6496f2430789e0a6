/*
 * Letters are on disk before the window that skips their points commits: a crash in between writes
 * them again (their id tells), the other order would lose them.
 *
 * The file is only appended to, with one write and one fdatasync for all letters of an attempt. A
 * failed fdatasync says nothing about what is on disk, and a second one proves nothing either, so
 * the descriptor is given up and the letters are written once more through a new one; readers see
 * twins at worst. A torn write leaves bytes that readers skip.
 */
#include "flush/quarantine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "schema/errors.h"

err_t quarantine_open(struct quarantine *q, const char *data_dir, unsigned index, struct fail *f)
{
    int n;

    *q = (struct quarantine){.fd = -1};
    n = snprintf(q->path, sizeof(q->path), "%s/%s/flusher-%u%s", data_dir, DEADLETTER_FOLDER, index,
                 DEADLETTER_SUFFIX);
    if (n < 0 || (size_t)n >= sizeof(q->path))
        return fail(f, ERR_SETTING, "data_dir is too long");
    buf_init(&q->pending);
    idmap_init(&q->seen);
    arena_init(&q->arena, 4096);
    return OK;
}

void quarantine_close(struct quarantine *q)
{
    if (q->fd >= 0)
        close(q->fd);
    q->fd = -1;
    buf_fini(&q->pending);
    idmap_fini(&q->seen);
    arena_fini(&q->arena);
}

void quarantine_begin(struct quarantine *q)
{
    buf_reset(&q->pending);
    idmap_reset(&q->seen);
    arena_reset(&q->arena);
}

bool quarantine_add(struct quarantine *q, const struct deadletter *d)
{
    uint64_t id = deadletter_id(d);
    struct str key = arena_dup(&q->arena, (struct str){(const char *)&id, sizeof(id)});
    bool is_new;

    idmap_put(&q->seen, key, &is_new);
    if (is_new)
        deadletter_write(d, &q->pending);
    return is_new;
}

/* Makes a name in a directory last. */
static int sync_folder(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int result;

    if (fd < 0)
        return -1;
    result = fsync(fd);
    close(fd);
    return result;
}

/* Creates folder and file where they are missing. */
static err_t quarantine_create(struct quarantine *q, struct fail *f)
{
    char folder[sizeof(q->path)], parent[sizeof(q->path)];

    if (q->fd >= 0)
        return OK;
    snprintf(folder, sizeof(folder), "%s", q->path);
    *strrchr(folder, '/') = 0;
    snprintf(parent, sizeof(parent), "%s", folder);
    *strrchr(parent, '/') = 0;
    if (mkdir(folder, 0700) < 0 && errno != EEXIST)
        return fail(f, ERR_DISK, "%s: %s", folder, strerror(errno));
    q->fd = open(q->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (q->fd < 0)
        return fail(f, ERR_DISK, "%s: %s", q->path, strerror(errno));
    if (sync_folder(folder) < 0 || sync_folder(parent) < 0) {
        int error = errno;

        close(q->fd);
        q->fd = -1;
        return fail(f, ERR_DISK, "%s: %s", folder, strerror(error));
    }
    return OK;
}

err_t quarantine_sync(struct quarantine *q, struct fail *f)
{
    struct str rest = buf_str(&q->pending);
    err_t e;

    if (rest.n == 0)
        return OK;
    if ((e = quarantine_create(q, f)))
        return e;
    while (rest.n) {
        ssize_t n = write(q->fd, rest.p, rest.n);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            break;
        rest = str_skip(rest, (size_t)n);
    }
    if (rest.n || fdatasync(q->fd) < 0) {
        int error = errno;

        close(q->fd);
        q->fd = -1;
        return fail(f, ERR_DISK, "%s: %s", q->path, strerror(error));
    }
    buf_reset(&q->pending);
    return OK;
}
