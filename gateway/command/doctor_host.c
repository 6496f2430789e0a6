/*
 * doctor_host: this machine as a server would find it: directory, disk, limits, memory, ports.
 *
 * What is measured is measured where it counts: fdatasync on a file in data_dir, free bytes of the
 * file system that holds it. The file has no name when the check is over, whatever happens to us.
 * The lock of the journal is looked at by asking for it shared, for a moment.
 */
#define _GNU_SOURCE /* mkostemp */
#include "gateway/command/doctor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/conf.h"
#include "gateway/http/listen.h"
#include "gateway/server.h"
#include "schema/deadletter.h"
#include "schema/letterbox.h"

enum { SYNCS = 16, SYNC_BYTES = 4096, SLOW_SYNC_US = 10000, CONF_TEXT = 32 };

static const char *size_text(uint64_t bytes, char out[CONF_TEXT])
{
    uint64_t unit = bytes >= ((uint64_t)10 << 30) ? (uint64_t)1 << 30
                    : bytes >= (10 << 20)         ? 1 << 20
                                                  : 1 << 10;

    conf_show_size(bytes / unit * unit, out); /* a rounded figure reads better */
    return out;
}

/* -- settings, directory ----------------------------------------------------------------------- */

enum verdict doctor_settings(struct doctor *d)
{
    unsigned count = settings_advise(d->settings, "; ", &d->saw);

    if (count == 0) {
        buf_add_str(&d->saw, STR("fit each other"));
        return DOCTOR_OK;
    }
    buf_add_str(&d->remedy, STR("see docs/config.md"));
    return DOCTOR_WARN;
}

enum verdict doctor_data_dir(struct doctor *d)
{
    const char *dir = d->settings->data_dir;
    struct stat st;

    if (stat(dir, &st) < 0 && errno == ENOENT) {
        buf_printf(&d->saw, "%s is not there yet", dir);
        buf_add_str(&d->remedy, STR("`sluice serve` makes it"));
        return DOCTOR_WARN;
    }
    if (stat(dir, &st) < 0 || !S_ISDIR(st.st_mode) || access(dir, R_OK | W_OK | X_OK) < 0) {
        buf_printf(&d->saw, "%s: %s", dir, errno ? strerror(errno) : "not a directory");
        buf_printf(&d->remedy, "give user %d a directory that it may write to", (int)geteuid());
        return DOCTOR_FAIL;
    }
    d->has_data_dir = true;
    buf_printf(&d->saw, "%s, owner %d, mode %03o", dir, (int)st.st_uid, st.st_mode & 0777);
    if (!(st.st_mode & (S_IWOTH | S_IWGRP)) || (st.st_mode & S_ISVTX))
        return DOCTOR_OK;
    buf_printf(&d->remedy, "others may replace what is in it: chmod go-w %s", dir);
    return DOCTOR_WARN;
}

enum verdict doctor_owner(struct doctor *d)
{
    char path[LETTERBOX_PATH], text[16] = "";
    bool is_owned;
    int fd;

    snprintf(path, sizeof(path), "%s/journal/lock", d->settings->data_dir);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        buf_add_str(&d->saw, STR("no process has the journal"));
        return DOCTOR_OK;
    }
    is_owned = flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
    if (is_owned && read(fd, text, sizeof(text) - 1) > 0)
        d->owner = atoi(text);
    if (is_owned && d->owner <= 0)
        d->owner = -1;
    close(fd);
    if (is_owned)
        buf_printf(&d->saw, "process %d serves from it", d->owner);
    else
        buf_add_str(&d->saw, STR("no process has the journal"));
    return DOCTOR_OK;
}

/* -- disk -------------------------------------------------------------------------------------- */

struct filesystem {
    unsigned long magic; /* statfs(2) */
    const char *name;
    const char *remedy; /* NULL = fit for a journal */
};

static const char in_memory[] = "it is memory: all that was answered is gone with the power";
static const char in_layer[] = "it goes with the container: mount a volume at data_dir";
static const char on_network[] = "locks and fdatasync are the server's there: prefer a local disk";

static const struct filesystem filesystems[] = {
    {0xef53, "ext4", NULL},           {0x58465342, "xfs", NULL},
    {0x9123683e, "btrfs", NULL},      {0x2fc12fc1, "zfs", NULL},
    {0xf2f52010, "f2fs", NULL},       {0x01021994, "tmpfs", in_memory},
    {0x858458f6, "ramfs", in_memory}, {0x794c7630, "overlay", in_layer},
    {0x6969, "nfs", on_network},      {0xff534d42, "cifs", on_network},
    {0xfe534d42, "smb2", on_network}, {0x01021997, "9p", on_network},
    {0x65735546, "fuse", on_network}, {0x00c36400, "ceph", on_network},
};

enum verdict doctor_filesystem(struct doctor *d)
{
    struct statfs st;

    if (!d->has_data_dir || statfs(d->settings->data_dir, &st) < 0) {
        buf_add_str(&d->saw, STR("not looked at: no data_dir"));
        return DOCTOR_WARN;
    }
    for (size_t i = 0; i < array_len(filesystems); i++) {
        const struct filesystem *fs = &filesystems[i];

        if (fs->magic != (unsigned long)st.f_type)
            continue;
        buf_add_str(&d->saw, str_of(fs->name));
        buf_add_str(&d->remedy, str_of(fs->remedy));
        return fs->remedy ? DOCTOR_WARN : DOCTOR_OK;
    }
    buf_printf(&d->saw, "of type 0x%lx, which is not known here", (unsigned long)st.f_type);
    return DOCTOR_OK;
}

/* Bytes of the files in the journal's directory. */
static uint64_t journal_bytes(const struct doctor *d)
{
    char path[LETTERBOX_PATH];
    struct dirent *entry;
    uint64_t sum = 0;
    DIR *dir;

    snprintf(path, sizeof(path), "%s/journal", d->settings->data_dir);
    if ((dir = opendir(path)) == NULL)
        return 0;
    while ((entry = readdir(dir)) != NULL) {
        struct stat st;

        if (fstatat(dirfd(dir), entry->d_name, &st, 0) == 0 && S_ISREG(st.st_mode))
            sum += (uint64_t)st.st_size;
    }
    closedir(dir);
    return sum;
}

enum verdict doctor_disk(struct doctor *d)
{
    const struct settings *s = d->settings;
    char free_text[CONF_TEXT], want_text[CONF_TEXT];
    uint64_t free_bytes, used, want;
    struct statvfs st;

    if (!d->has_data_dir || statvfs(s->data_dir, &st) < 0) {
        buf_add_str(&d->saw, STR("not looked at: no data_dir"));
        return DOCTOR_WARN;
    }
    free_bytes = (uint64_t)st.f_bavail * st.f_frsize;
    used = journal_bytes(d);
    want = s->journal_max_bytes > used ? s->journal_max_bytes - used : 0;
    buf_printf(&d->saw, "%s free, the journal may still grow by %s",
               size_text(free_bytes, free_text), size_text(want, want_text));
    if (free_bytes >= want)
        return DOCTOR_OK;
    if (free_bytes < 2 * s->journal_segment_bytes) {
        buf_add_str(&d->remedy, STR("make room: writes are refused when the disk is full"));
        return DOCTOR_FAIL;
    }
    buf_add_str(&d->remedy,
                STR("lower journal_max_bytes or give more disk: a full disk is answered "
                    "503, a full journal 429"));
    return DOCTOR_WARN;
}

static int by_size(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

/* Writes and syncs; false: errno says why. */
static bool measure_syncs(int fd, uint64_t us[SYNCS])
{
    static const char block[SYNC_BYTES];

    for (int i = 0; i < SYNCS; i++) {
        uint64_t begin;

        if (pwrite(fd, block, sizeof(block), (off_t)i * SYNC_BYTES) != SYNC_BYTES)
            return false;
        begin = clock_us();
        if (fdatasync(fd) < 0)
            return false;
        us[i] = clock_us() - begin;
    }
    qsort(us, SYNCS, sizeof(us[0]), by_size);
    return true;
}

enum verdict doctor_fdatasync(struct doctor *d)
{
    char path[LETTERBOX_PATH];
    uint64_t us[SYNCS];
    bool is_good;
    int fd;

    if (!d->has_data_dir) {
        buf_add_str(&d->saw, STR("not measured: no data_dir"));
        return DOCTOR_WARN;
    }
    snprintf(path, sizeof(path), "%s/doctor-XXXXXX", d->settings->data_dir);
    fd = mkostemp(path, O_CLOEXEC);
    is_good = fd >= 0 && unlink(path) == 0 && measure_syncs(fd, us);
    if (!is_good)
        buf_printf(&d->saw, "%s: %s", d->settings->data_dir, strerror(errno));
    if (fd >= 0)
        close(fd);
    if (!is_good) {
        buf_add_str(&d->remedy, STR("the journal could not be written either"));
        return DOCTOR_FAIL;
    }
    buf_printf(&d->saw, "takes %.2f ms (median of %d), %.2f ms at worst",
               (double)us[SYNCS / 2] / 1000, SYNCS, (double)us[SYNCS - 1] / 1000);
    if (us[SYNCS / 2] < SLOW_SYNC_US)
        return DOCTOR_OK;
    buf_add_str(&d->remedy, STR("each write waits for one: a faster disk answers sooner"));
    return DOCTOR_WARN;
}

/* -- limits ------------------------------------------------------------------------------------ */

enum verdict doctor_files(struct doctor *d)
{
    uint64_t want = server_files(d->settings);
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) {
        buf_add_str(&d->saw, STR("not known"));
        return DOCTOR_WARN;
    }
    buf_printf(&d->saw, "%llu file descriptors allowed, %" PRIu64 " wanted",
               (unsigned long long)limit.rlim_max, want);
    if (limit.rlim_max >= want || geteuid() == 0) /* root raises its limit itself */
        return DOCTOR_OK;
    buf_printf(&d->remedy, "ulimit -Hn %" PRIu64 " (LimitNOFILE), or lower max_connections", want);
    return DOCTOR_WARN;
}

/* A number in a file; UINT64_MAX when there is none ("max" among others). */
static uint64_t number_in(const char *path)
{
    unsigned long long n = 0;
    FILE *file = fopen(path, "re");
    bool is_one = file && fscanf(file, "%llu", &n) == 1;

    if (file)
        fclose(file);
    return is_one ? n : UINT64_MAX;
}

/* The least of the machine's memory and the control groups' limits; of those only what a container
 * sees as its own root is looked at. */
static uint64_t memory_limit(void)
{
    uint64_t limit = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    const uint64_t others[] = {number_in("/sys/fs/cgroup/memory.max"),
                               number_in("/sys/fs/cgroup/memory/memory.limit_in_bytes")};

    for (size_t i = 0; i < array_len(others); i++)
        limit = others[i] < limit ? others[i] : limit;
    return limit;
}

enum verdict doctor_memory(struct doctor *d)
{
    const uint64_t rest = 128 << 20; /* windows, connections, code */
    uint64_t limit = memory_limit(), ring = 1, need;
    char need_text[CONF_TEXT], limit_text[CONF_TEXT];

    while (ring < d->settings->ring_bytes)
        ring *= 2;
    need = ring + d->settings->body_memory_bytes + rest;
    buf_printf(&d->saw, "ring, bodies and the rest may take %s of %s", size_text(need, need_text),
               size_text(limit, limit_text));
    if (need <= limit / 10 * 8)
        return DOCTOR_OK;
    buf_add_str(&d->remedy, STR("lower ring_bytes or body_memory_bytes, or raise the limit"));
    return need <= limit ? DOCTOR_WARN : DOCTOR_FAIL;
}

/* -- ports ------------------------------------------------------------------------------------- */

static enum verdict look_at_port(struct doctor *d, const char *setting, const char *address)
{
    char url[LISTEN_URL_MAX];
    struct fail f;
    int fd;

    fail_init(&f, NULL);
    if (strcmp(address, "none") == 0) {
        buf_add_str(&d->saw, STR("none"));
        return DOCTOR_OK;
    }
    if (listen_open(setting, address, &fd, 1, url, &f) == OK) {
        close(fd);
        buf_printf(&d->saw, "%s is free", address);
        return DOCTOR_OK;
    }
    buf_add_str(&d->saw, f.text);
    if (d->owner) {
        buf_add_str(&d->saw, STR(" (the server that runs, it seems)"));
        return DOCTOR_OK;
    }
    buf_printf(&d->remedy, "end what listens there, or choose another %s", setting);
    return DOCTOR_FAIL;
}

enum verdict doctor_listen(struct doctor *d)
{
    return look_at_port(d, "listen", d->settings->listen);
}

enum verdict doctor_admin_listen(struct doctor *d)
{
    return look_at_port(d, "admin_listen", d->settings->admin_listen);
}

/* -- the rest ---------------------------------------------------------------------------------- */

static void count_letters(const char *path, uint64_t *letters, uint64_t *points)
{
    struct deadletter letter;
    struct str bytes, rest;
    size_t skipped = 0;

    if (letterbox_map(path, &bytes, NULL))
        return;
    rest = bytes;
    while (deadletter_read(&rest, &letter, &skipped)) {
        *points += letter.points;
        ++*letters;
    }
    letterbox_unmap(bytes);
}

enum verdict doctor_deadletters(struct doctor *d)
{
    uint64_t max = d->settings->deadletter_max_bytes, letters = 0, points = 0, bytes;
    char folder[LETTERBOX_PATH], used_text[CONF_TEXT], max_text[CONF_TEXT];
    struct fail f;
    char **paths;
    size_t count;

    fail_init(&f, NULL);
    if (letterbox_folder(d->settings->data_dir, folder, &f) ||
        letterbox_list(folder, &paths, &count, &f)) {
        buf_add_str(&d->saw, f.text);
        return DOCTOR_FAIL;
    }
    for (size_t i = 0; i < count; i++)
        count_letters(paths[i], &letters, &points);
    letterbox_list_free(paths, count);
    bytes = letterbox_bytes(folder);
    if (letters == 0) {
        buf_add_str(&d->saw, STR("none"));
        return DOCTOR_OK;
    }
    buf_printf(&d->saw, "%" PRIu64 " letters with %" PRIu64 " points, %s of %s", letters, points,
               size_text(bytes, used_text), size_text(max, max_text));
    buf_add_str(&d->remedy, STR("`sluice deadletter ls`, then retry or drop"));
    if (bytes < max / 10 * 9)
        return DOCTOR_WARN;
    buf_add_str(&d->remedy, STR("; at deadletter_max_bytes flushing holds"));
    return DOCTOR_FAIL;
}

enum verdict doctor_not_configured(struct doctor *d)
{
    buf_add_str(&d->saw, STR("not configured"));
    return DOCTOR_OK;
}
