/*
 * Children get their own session, so that the terminal's Ctrl-C reaches us and not the database,
 * which is stopped last. When we are killed the postmaster goes on; the next start finds it through
 * postmaster.pid, which holds pid, port and socket directory. A number in a file is not a process,
 * so it counts only when the process belongs to the cluster's user and, where /proc lets us see,
 * works in the cluster's directory. We never touch postmaster.pid: it is PostgreSQL's guard against
 * two servers on one directory, and PostgreSQL judges a stale one.
 */
#define _GNU_SOURCE /* close_range, memmem */
#include "schema/cluster_process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/str.h"
#include "schema/errors.h"

#define PROCESS_POLL_NS 20000000

void process_pause(void)
{
    const struct timespec t = {.tv_nsec = PROCESS_POLL_NS};

    nanosleep(&t, NULL);
}

/* --- children -------------------------------------------------------------------------------- */

/* In the child, between fork and exec: async-signal-safe calls only. */
static void process_exec(const struct cluster_place *p, char *const *argv, const char *cwd,
                         int log_fd) __attribute__((noreturn));
static void process_exec(const struct cluster_place *p, char *const *argv, const char *cwd,
                         int log_fd)
{
    /* Nothing of ours: PGPORT, PGOPTIONS and the like would change what the server does. */
    static char path[] = "PATH=/usr/local/bin:/usr/bin:/bin";
    static char locale[] = "LC_ALL=C";
    static char zone[] = "TZ=UTC";
    static const char excuse[] = "error: the program could not be run\n";
    char *const envp[] = {path, locale, zone, NULL};
    sigset_t none;
    int null_fd;

    setsid();
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (int sig = 1; sig < NSIG; sig++)
        signal(sig, SIG_DFL); /* an ignored signal would stay ignored across exec */
    null_fd = open("/dev/null", O_RDONLY);
    if (null_fd < 0 || dup2(null_fd, 0) < 0 || dup2(log_fd, 1) < 0 || dup2(log_fd, 2) < 0)
        _exit(126);
    close_range(3, ~0U, 0);
    umask(077);
    if (cluster_place_become(p) && chdir(cwd) == 0)
        execve(argv[0], argv, envp);
    _exit(write(2, excuse, sizeof(excuse) - 1) > 0 ? 127 : 126);
}

/* Starts argv[0] as the cluster's user in cwd, output appended to log_path. */
err_t process_spawn(const struct cluster_place *p, char *const *argv, const char *cwd,
                    const char *log_path, pid_t *out, struct fail *f)
{
    int fd = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    pid_t pid;

    if (fd < 0 || (p->drops_user && fchown(fd, p->uid, p->gid) != 0)) {
        err_t e = fail(f, ERR_PG, "%s: %s", log_path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return e;
    }
    pid = fork();
    if (pid == 0)
        process_exec(p, argv, cwd, fd);
    close(fd);
    if (pid < 0)
        return fail(f, ERR_PG, "fork: %s", strerror(errno));
    *out = pid; /* never -1: somebody might kill() it */
    return OK;
}

/* The last thing said in a log: its last line with FATAL or error, else its last line. */
void process_log_tail(const char *log_path, char *out, size_t cap)
{
    char bytes[2048];
    FILE *file = fopen(log_path, "re");
    struct str rest;
    struct str best = STR("no message");
    bool is_error = false;

    if (file) {
        if (fseek(file, -(long)sizeof(bytes), SEEK_END) != 0)
            rewind(file);
        rest = (struct str){bytes, fread(bytes, 1, sizeof(bytes), file)};
        fclose(file);
        while (rest.n > 0) {
            struct str line = str_trim(str_cut(&rest, '\n'));
            bool says_why =
                memmem(line.p, line.n, "FATAL", 5) || memmem(line.p, line.n, "error:", 6);

            if (line.n == 0 || (is_error && !says_why))
                continue;
            best = line;
            is_error = says_why;
        }
    }
    str_to_cstr(best, out, cap);
}

/* Has the child ended? Also true when somebody else has reaped it. */
bool process_ended(pid_t pid, int *status)
{
    pid_t got;

    *status = 0;
    do
        got = waitpid(pid, status, WNOHANG);
    while (got < 0 && errno == EINTR);
    return got != 0;
}

/* --- a postmaster that runs --------------------------------------------------------------------- */

/* Is pid a process of the cluster's user that, as far as we may see, works in dir? */
static bool process_is_postmaster(const struct cluster_place *p, pid_t pid)
{
    char path[64];
    char cwd[CLUSTER_PATH_MAX];
    struct stat st;
    ssize_t n;

    if (kill(pid, 0) != 0 && errno != EPERM)
        return false;
    snprintf(path, sizeof(path), "/proc/%d", (int)pid);
    if (stat(path, &st) != 0)
        return true; /* no /proc: then the file and the ping decide */
    if (st.st_uid != p->uid)
        return false;
    snprintf(path, sizeof(path), "/proc/%d/cwd", (int)pid);
    n = readlink(path, cwd, sizeof(cwd) - 1);
    if (n < 0)
        return errno != ENOENT; /* a zombie is nowhere; in a container root may not look */
    cwd[n] = '\0';
    return strcmp(cwd, p->dir) == 0;
}

/* Reads postmaster.pid: pid, directory, start time, port, socket directory, one to a line. */
bool process_find_postmaster(const struct cluster_place *p, struct postmaster *run)
{
    char path[CLUSTER_PATH_MAX];
    char line[CLUSTER_PATH_MAX];
    FILE *file;

    memset(run, 0, sizeof(*run));
    if (cluster_path(path, NULL, "%s/postmaster.pid", p->dir) || !(file = fopen(path, "re")))
        return false;
    for (int i = 1; i <= 5 && fgets(line, sizeof(line), file); i++) {
        line[strcspn(line, "\n")] = '\0';
        if (i == 1)
            run->pid = (pid_t)strtol(line, NULL, 10);
        else if (i == 4)
            run->port = (int)strtol(line, NULL, 10);
        else if (i == 5)
            memcpy(run->sock, line, strlen(line) + 1);
    }
    fclose(file);
    return run->pid > 1 && process_is_postmaster(p, run->pid);
}

/* One ping; bounded by libpq's least connect_timeout. */
PGPing process_ping(const char *sock, int port)
{
    char port_text[16];
    const char *const names[] = {"host", "port", "user", "dbname", "connect_timeout", NULL};
    const char *const values[] = {sock, port_text, "sluice", "postgres", "2", NULL};

    snprintf(port_text, sizeof(port_text), "%d", port);
    return PQpingParams(names, values, 0);
}
