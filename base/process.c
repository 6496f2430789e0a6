/*
 * process: what the kernel says of this process.
 *
 * /proc/self/stat in one read. Its second field is the program's name in parentheses and may hold
 * anything, so fields are counted from the last ')' on. Times there are in ticks since the boot; the
 * boot's own time is the difference of two clocks, which is as right as the wall clock is.
 */
#include "base/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* Numbers of fields as proc(5) counts them, the state being the third. */
enum {
    FIELD_UTIME = 14,
    FIELD_STIME,
    FIELD_THREADS = 20,
    FIELD_START = 22,
    FIELD_VSIZE,
    FIELD_RSS
};

static uint64_t process_clock_us(clockid_t id)
{
    struct timespec t = {0};

    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* Fields 3 to FIELD_RSS of a line of /proc/PID/stat; false when it is not such a line. */
static int process_fields(const char *line, uint64_t fields[FIELD_RSS + 1])
{
    const char *p = strrchr(line, ')');

    if (p == NULL || p[1] != ' ' || p[2] == '\0')
        return 0;
    p += 3; /* behind the state, which is a letter */
    for (int i = 4; i <= FIELD_RSS; i++) {
        char *end;

        fields[i] = (uint64_t)strtoll(p, &end, 10);
        if (end == p)
            return 0;
        p = end;
    }
    return 1;
}

static void process_stat(struct process *out)
{
    uint64_t fields[FIELD_RSS + 1];
    uint64_t ticks = (uint64_t)sysconf(_SC_CLK_TCK);
    int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
    char line[1024];
    ssize_t n;

    if (fd < 0)
        return;
    n = read(fd, line, sizeof(line) - 1);
    close(fd);
    line[n > 0 ? n : 0] = '\0';
    if (!process_fields(line, fields))
        return;
    out->resident_bytes = fields[FIELD_RSS] * (uint64_t)sysconf(_SC_PAGESIZE);
    out->virtual_bytes = fields[FIELD_VSIZE];
    out->cpu_us = (fields[FIELD_UTIME] + fields[FIELD_STIME]) * 1000000 / ticks;
    out->threads = fields[FIELD_THREADS];
    out->started_us = process_clock_us(CLOCK_REALTIME) - process_clock_us(CLOCK_BOOTTIME) +
                      fields[FIELD_START] * 1000000 / ticks;
}

static uint64_t process_count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    const struct dirent *entry;
    uint64_t count = 0;

    if (dir == NULL)
        return 0;
    while ((entry = readdir(dir)) != NULL)
        count += entry->d_name[0] != '.';
    closedir(dir);
    return count ? count - 1 : 0; /* the directory's own */
}

void process_look(struct process *out)
{
    struct rlimit limit = {0};

    *out = (struct process){0};
    process_stat(out);
    out->open_fds = process_count_fds();
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        out->max_fds = limit.rlim_cur;
}
