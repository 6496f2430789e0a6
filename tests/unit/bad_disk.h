/*
 * A disk that does not give everything: pread() of this program fails with EIO where a test says so.
 * It stands in front of libc's for all files linked into the test. Included once, before the tests.
 */
#ifndef TESTS_UNIT_BAD_DISK_H
#define TESTS_UNIT_BAD_DISK_H

#include <dlfcn.h>
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

/* Bytes [from, to) of the file with this inode; ino 0 = all is well. */
static struct {
    _Atomic ino_t ino;
    off_t from;
    off_t to;
    _Atomic unsigned refused;
} bad_disk;

static inline void bad_disk_begin(int dir, const char *name, off_t from, off_t to)
{
    struct stat st;

    assert_int_equal(fstatat(dir, name, &st, 0), 0);
    bad_disk.from = from;
    bad_disk.to = to;
    bad_disk.refused = 0;
    bad_disk.ino = st.st_ino;
}

static inline void bad_disk_end(void)
{
    assert_true(bad_disk.refused > 0);
    bad_disk.ino = 0;
}

ssize_t pread(int fd, void *out, size_t n, off_t offset)
{
    ssize_t (*real)(int, void *, size_t, off_t) =
        (ssize_t(*)(int, void *, size_t, off_t))dlsym(RTLD_NEXT, "pread");
    struct stat st;

    if (bad_disk.ino && fstat(fd, &st) == 0 && st.st_ino == bad_disk.ino &&
        offset + (off_t)n > bad_disk.from && offset < bad_disk.to) {
        /* As the kernel does: what lies in front of the bad page is given. */
        if (offset >= bad_disk.from) {
            bad_disk.refused++;
            errno = EIO;
            return -1;
        }
        n = (size_t)(bad_disk.from - offset);
    }
    return real(fd, out, n, offset);
}

#endif
