/*
 * Is there openat2 here? Valgrind 3.19, for one, does not know it; without it no link is followed at all
 * (gateway/artifact/beneath.c).
 */
#ifndef TESTS_UNIT_OPENAT2_H
#define TESTS_UNIT_OPENAT2_H

#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool openat2_is_there(void)
{
    struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC};
    long fd = syscall(SYS_openat2, AT_FDCWD, ".", &how, sizeof(how));

    if (fd >= 0)
        close((int)fd);
    return fd >= 0;
}

#endif
