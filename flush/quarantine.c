/*
 * Letters are on disk before the window that skips their points commits: a crash in between writes
 * them again (their id tells), the other order would lose them.
 *
 * The file is appended to, with one write and one fdatasync for all letters of an attempt, under
 * the folder's lock, through a descriptor of that moment: `sluice deadletter` may have put another
 * file in its place since, and died before the name was synced: so the folder is synced each time,
 * before the letters count. Refusals are rare, so a few more system calls each do not count. A
 * failed fdatasync says nothing about what is on disk, and a second one proves nothing either, so
 * the letters are written once more through a new descriptor; readers see twins at worst. A torn
 * write leaves bytes that readers skip.
 *
 * At the limit nothing is written and the window waits: points are refused a place on disk, never
 * dropped. Empty files take any letters, so that one take larger than the limit does not hold for
 * ever.
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
    err_t e;

    atomic_init(&q->max_bytes, UINT64_MAX);
    q->has_folder = false;
    buf_init(&q->pending);
    idmap_init(&q->seen);
    arena_init(&q->arena, 4096);
    if ((e = letterbox_folder(data_dir, q->folder, f)))
        return e;
    snprintf(q->data_dir, sizeof(q->data_dir), "%s", data_dir);
    snprintf(q->path, sizeof(q->path), "%s/flusher-%u%s", q->folder, index, DEADLETTER_SUFFIX);
    return OK;
}

void quarantine_close(struct quarantine *q)
{
    buf_fini(&q->pending);
    idmap_fini(&q->seen);
    arena_fini(&q->arena);
}

void quarantine_limit(struct quarantine *q, uint64_t max_bytes)
{
    atomic_store(&q->max_bytes, max_bytes);
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

static err_t quarantine_append(struct quarantine *q, struct fail *f)
{
    struct str rest = buf_str(&q->pending);
    int fd = open(q->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    bool is_good;

    if (fd < 0)
        return fail(f, ERR_DISK, "%s: %s", q->path, strerror(errno));
    while (rest.n) {
        ssize_t n = write(fd, rest.p, rest.n);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            break;
        rest = str_skip(rest, (size_t)n);
    }
    is_good = rest.n == 0 && fdatasync(fd) == 0 && sync_folder(q->folder) == 0;
    if (!is_good)
        (void)fail(f, ERR_DISK, "%s: %s", q->path, strerror(errno));
    close(fd);
    if (!is_good)
        return ERR_DISK;
    buf_reset(&q->pending);
    return OK;
}

/* Is there room for what is pending? */
static err_t quarantine_judge(struct quarantine *q, struct fail *f)
{
    uint64_t max = atomic_load(&q->max_bytes);
    uint64_t used = letterbox_bytes(q->folder);

    if (used == 0 || used + buf_len(&q->pending) <= max)
        return OK;
    return fail(
        f, ERR_DISK,
        "the dead letters take %llu bytes, %zu more would pass deadletter_max_bytes (%llu); "
        "make room with `sluice deadletter retry` or `drop`",
        (unsigned long long)used, buf_len(&q->pending), (unsigned long long)max);
}

/* Is there, with a name that lasts; an earlier start may have been killed before it did. */
static err_t quarantine_make_folder(struct quarantine *q, struct fail *f)
{
    if (mkdir(q->folder, 0700) == 0)
        q->has_folder = false;
    else if (errno != EEXIST)
        return fail(f, ERR_DISK, "%s: %s", q->folder, strerror(errno));
    if (!q->has_folder && sync_folder(q->data_dir) < 0)
        return fail(f, ERR_DISK, "%s: %s", q->data_dir, strerror(errno));
    q->has_folder = true;
    return OK;
}

err_t quarantine_sync(struct quarantine *q, struct fail *f)
{
    int lock;
    err_t e;

    if (buf_len(&q->pending) == 0)
        return OK;
    if ((e = quarantine_make_folder(q, f)))
        return e;
    if ((e = letterbox_lock(q->folder, &lock, f)))
        return e;
    if (!(e = quarantine_judge(q, f)))
        e = quarantine_append(q, f);
    letterbox_unlock(lock);
    return e;
}
