/*
 * The life of the private PostgreSQL; cluster_place.c says where it lives and as whom.
 *
 *     lock -> (no cluster: initdb in pg.new, rename to pg) -> adopt or start -> answers -> database
 *
 * Making: initdb writes into pg.new.<pid>, which becomes pg by rename once everything in it is
 * synced, so that a directory named pg is a whole cluster. What killed attempts have left is
 * removed; the pid keeps an initdb that outlived its sluice from writing into ours.
 *
 * Settings: what must be so for the scheme to hold (no TCP, socket directory, its mode, where the
 * log goes) is given on the command line at every start and cannot be overridden. What is only good
 * for our load stands at the end of postgresql.conf, written once, for the operator to change.
 *
 * Running: the postmaster is our child, or one that an earlier sluice left behind (kill -9), which
 * is adopted and stopped like our own. cluster_process.c has the processes.
 *
 * Waiting is polling with a deadline: the events in question (a socket that begins to answer, the
 * end of a process that is not our child) have no common thing to wait for.
 */
#define _GNU_SOURCE /* nftw */
#include "schema/cluster.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <libpq-fe.h>

#include "base/clock.h"
#include "base/log.h"
#include "schema/cluster_process.h"
#include "schema/errors.h"

#define SECOND_US UINT64_C(1000000)
/* initdb takes 1-5 s; on a slow disk its final sync may take a minute. */
#define CLUSTER_INITDB_US (180 * SECOND_US)
/* Crash recovery replays at most max_wal_size (4 GB), minutes on a slow disk. */
#define CLUSTER_START_US (600 * SECOND_US)
/* A postmaster that dies at once is tried again for this long: backends of one that was killed
 * need a moment to notice, and PostgreSQL refuses to start beside them. */
#define CLUSTER_RETRY_US (3 * SECOND_US)
/* Fast shutdown writes one checkpoint: shared_buffers, 256 MB, on a slow disk. */
#define CLUSTER_STOP_US (60 * SECOND_US)
/* Immediate shutdown: the postmaster itself kills what is left after 5 s. */
#define CLUSTER_QUIT_US (15 * SECOND_US)
/* Longest pause between two attempts of cluster_tend. */
#define CLUSTER_PAUSE_MAX_US (30 * SECOND_US)
/* A log beyond this is set aside at the start, once: postgres.log.1. */
#define CLUSTER_LOG_MAX (16 << 20)

struct cluster {
    struct cluster_place place;
    char bin[CLUSTER_PATH_MAX];
    char uri[CLUSTER_URI_MAX];
    char sock[CLUSTER_PATH_MAX]; /* place.sock, or that of an adopted postmaster */
    int port;
    int lock_fd;
    pid_t pid;          /* 0 = not running */
    bool is_child;      /* started by us: reaped with waitpid */
    uint64_t next_us;   /* cluster_tend: no attempt before */
    uint64_t pause_us;  /* cluster_tend: pause after the next attempt */
    uint64_t tended_us; /* cluster_tend: last start */
};

/* What is good for our load; appended to initdb's postgresql.conf. */
static const char cluster_conf[] =
    "\n# Written by sluice when it made this cluster; change it as you like.\n"
    "max_connections = 200\n"
    "shared_buffers = 256MB\n"
    "jit = off\n" /* needs memory that is writable and executable, which the unit forbids */
    "# Windows of points are written sequentially: fewer, larger checkpoints, compressed pages.\n"
    "wal_compression = on\n"
    "max_wal_size = 4GB\n"
    "checkpoint_timeout = 15min\n"
    "random_page_cost = 1.1\n"
    "# synchronous_commit stays on: a reply after commit promises that the commit is on disk.\n"
    "log_line_prefix = '%m [%p] '\n"
    "log_checkpoints = off\n";

/* Who cannot enter the socket's directory cannot connect; who can, may. */
static const char cluster_hba[] = "local all all trust\n";

/* --- making ------------------------------------------------------------------------------------ */

static int cluster_remove_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

/* Removes what attempts that were killed have left. */
static void cluster_remove_attempts(const char *base)
{
    char path[CLUSTER_PATH_MAX];
    DIR *dir = opendir(base);
    struct dirent *entry;

    while (dir && (entry = readdir(dir)))
        if (str_starts(str_of(entry->d_name), STR("pg.new.")) &&
            cluster_path(path, NULL, "%s/%s", base, entry->d_name) == OK)
            nftw(path, cluster_remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    if (dir)
        closedir(dir);
}

/* Both sort by code point, which is fast and never changes with the C library; C.UTF-8 also knows
 * the letters beyond ASCII (upper, ILIKE), but not every system has it. */
static const char *cluster_locale(void)
{
    locale_t probe = newlocale(LC_CTYPE_MASK | LC_COLLATE_MASK, "C.UTF-8", (locale_t)0);

    if (probe == (locale_t)0)
        return "C";
    freelocale(probe);
    return "C.UTF-8";
}

static err_t cluster_initdb(const struct cluster *c, const char *dir, struct fail *f)
{
    char initdb[CLUSTER_PATH_MAX];
    char log_path[CLUSTER_PATH_MAX];
    char arg_d[] = "-D", arg_u[] = "-U", user[] = "sluice", arg_e[] = "-E", encoding[] = "UTF8";
    char locale[32], arg_a[] = "-A", trust[] = "trust";
    char tail[160];
    char *target = strdup(dir);
    char *argv[] = {initdb,   arg_d,  target, arg_u, user, arg_e,
                    encoding, locale, arg_a,  trust, NULL};
    uint64_t deadline = clock_us() + CLUSTER_INITDB_US;
    pid_t pid;
    int status = 0;
    err_t e;

    check(target);
    snprintf(locale, sizeof(locale), "--locale=%s", cluster_locale());
    if ((e = cluster_path(initdb, f, "%s/initdb", c->bin)) ||
        (e = cluster_path(log_path, f, "%s/pg.initdb.log", c->place.base)) ||
        (e = process_spawn(&c->place, argv, dir, log_path, &pid, f)))
        goto out;
    while (!process_ended(pid, &status)) {
        if (clock_us() > deadline) {
            kill(-pid, SIGKILL); /* its whole session, which is ours alone */
            waitpid(pid, &status, 0);
            e = fail(f, ERR_PG, "initdb did not end within %d s; see %s",
                     (int)(CLUSTER_INITDB_US / SECOND_US), log_path);
            goto out;
        }
        process_pause();
    }
    if (status != 0) {
        process_log_tail(log_path, tail, sizeof(tail));
        e = fail(f, ERR_PG, "initdb failed: %s", tail);
        goto out;
    }
    unlink(log_path);
out:
    free(target);
    return e;
}

/* Writes text to the end (or in place) of a file that initdb has made, and syncs it. */
static err_t cluster_write(const char *dir, const char *name, const char *text, int how,
                           struct fail *f)
{
    char path[CLUSTER_PATH_MAX];
    size_t len = strlen(text);
    err_t e;
    int fd;

    if ((e = cluster_path(path, f, "%s/%s", dir, name)))
        return e;
    fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | how);
    if (fd < 0 || write(fd, text, len) != (ssize_t)len || fsync(fd) != 0)
        e = fail(f, ERR_PG, "%s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return e;
}

static void cluster_sync_dir(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd >= 0) {
        (void)fsync(fd); /* not every file system can; then the rename is as durable as it gets */
        close(fd);
    }
}

static err_t cluster_make(const struct cluster *c, struct fail *f)
{
    const struct cluster_place *p = &c->place;
    char fresh[CLUSTER_PATH_MAX];
    err_t e;

    log_info("", "creating the private PostgreSQL", "dir=%s user_id=%u", p->dir, (unsigned)p->uid);
    if ((e = cluster_path(fresh, f, "%s/pg.new.%d", p->base, (int)getpid())))
        return e;
    cluster_remove_attempts(p->base);
    if (mkdir(fresh, 0700) != 0 || (p->drops_user && lchown(fresh, p->uid, p->gid) != 0))
        return fail(f, ERR_PG, "%s: %s", fresh, strerror(errno));
    if ((e = cluster_initdb(c, fresh, f)) ||
        (e = cluster_write(fresh, "postgresql.conf", cluster_conf, O_APPEND, f)) ||
        (e = cluster_write(fresh, "pg_hba.conf", cluster_hba, O_TRUNC, f)))
        return e;
    if (rename(fresh, p->dir) != 0)
        return fail(f, ERR_PG, "%s: %s", p->dir, strerror(errno));
    cluster_sync_dir(p->base);
    return OK;
}

/* The pointer from data_dir to a cluster elsewhere. */
static void cluster_link(const struct cluster_place *p)
{
    char link[CLUSTER_PATH_MAX];

    if (!p->is_elsewhere || cluster_path(link, NULL, "%s/pg", p->data_dir))
        return;
    if (symlink(p->dir, link) != 0 && errno != EEXIST)
        log_warn("", "no link to the private PostgreSQL", "link=%s error=%s", link,
                 strerror(errno));
}

/* --- starting -------------------------------------------------------------------------------- */

/* Takes over a postmaster that an earlier sluice left running. One that is just stopping is waited
 * for. *found tells whether there is one to use. */
static err_t cluster_adopt(struct cluster *c, bool *found, struct fail *f)
{
    uint64_t deadline = clock_us() + CLUSTER_START_US;
    struct postmaster run;

    *found = false;
    while (process_find_postmaster(&c->place, &run)) {
        if (run.sock[0] && run.port && process_ping(run.sock, run.port) == PQPING_OK) {
            c->pid = run.pid;
            c->is_child = false;
            c->port = run.port;
            memcpy(c->sock, run.sock, sizeof(run.sock));
            *found = true;
            log_info("", "adopted a private PostgreSQL that was running", "pid=%d", (int)run.pid);
            return OK;
        }
        if (clock_us() > deadline)
            return fail(f, ERR_PG,
                        "A PostgreSQL (process %d) runs in %s but does not answer: stop it with "
                        "pg_ctl or look at its log.",
                        (int)run.pid, c->place.dir);
        process_pause();
    }
    return OK;
}

static err_t cluster_log_path(const struct cluster *c, char *out, struct fail *f)
{
    return cluster_path(out, f, "%s/postgres.log", c->place.dir);
}

/* Runs the postmaster; returns at once. */
static err_t cluster_start(struct cluster *c, struct fail *f)
{
    enum { SETTINGS = 5 };
    char program[CLUSTER_PATH_MAX];
    char dir[CLUSTER_PATH_MAX];
    char log_path[CLUSTER_PATH_MAX];
    char settings[SETTINGS][CLUSTER_PATH_MAX];
    char arg_c[] = "-c", arg_d[] = "-D";
    char *argv[3 + 2 * SETTINGS + 1] = {program, arg_d, dir};
    struct stat st;
    err_t e;

    /* The quotes keep a path with a comma or a blank one item of the list. */
    if ((e = cluster_path(program, f, "%s/postgres", c->bin)) ||
        (e = cluster_path(dir, f, "%s", c->place.dir)) || (e = cluster_log_path(c, log_path, f)) ||
        (e = cluster_path(settings[0], f, "unix_socket_directories=\"%s\"", c->place.sock)) ||
        (e = cluster_path(settings[1], f, "unix_socket_permissions=0700")) ||
        (e = cluster_path(settings[2], f, "listen_addresses=")) ||
        (e = cluster_path(settings[3], f, "port=%d", CLUSTER_PORT)) ||
        (e = cluster_path(settings[4], f, "logging_collector=off")))
        return e;
    for (int i = 0; i < SETTINGS; i++) {
        argv[3 + 2 * i] = arg_c;
        argv[4 + 2 * i] = settings[i];
    }
    if (stat(log_path, &st) == 0 && st.st_size > CLUSTER_LOG_MAX) {
        char old[CLUSTER_PATH_MAX];
        if (cluster_path(old, NULL, "%s.1", log_path) == OK)
            (void)rename(log_path, old);
    }
    if ((e = process_spawn(&c->place, argv, c->place.dir, log_path, &c->pid, f)))
        return e;
    c->is_child = true;
    c->port = CLUSTER_PORT;
    memcpy(c->sock, c->place.sock, sizeof(c->sock));
    c->tended_us = clock_us();
    return OK;
}

/* Starts it and waits until it answers. */
static err_t cluster_start_wait(struct cluster *c, struct fail *f)
{
    uint64_t begin = clock_us();
    char log_path[CLUSTER_PATH_MAX];
    char tail[160];
    int status;
    err_t e;

    if ((e = cluster_log_path(c, log_path, f)) || (e = cluster_start(c, f)))
        return e;
    for (;;) {
        if (process_ended(c->pid, &status)) {
            bool found;

            c->pid = 0;
            /* It may have lost to one that a killed sluice had just started. */
            if ((e = cluster_adopt(c, &found, f)) || found)
                return e;
            if (clock_us() - begin > CLUSTER_RETRY_US) {
                process_log_tail(log_path, tail, sizeof(tail));
                return fail(f, ERR_PG, "PostgreSQL does not start: %s", tail);
            }
            process_pause();
            if ((e = cluster_start(c, f)))
                return e;
        }
        /* Only an OK counts: while it recovers it answers that it does not take anybody yet. */
        if (process_ping(c->sock, c->port) == PQPING_OK)
            return OK;
        if (clock_us() - begin > CLUSTER_START_US)
            return fail(f, ERR_PG, "PostgreSQL did not begin to answer within %d s; see %s",
                        (int)(CLUSTER_START_US / SECOND_US), log_path);
        process_pause();
    }
}

static err_t cluster_sql(PGconn *conn, const char *sql, ExecStatusType want, int *rows,
                         struct fail *f)
{
    PGresult *r = PQexec(conn, sql);
    err_t e = OK;

    if (PQresultStatus(r) != want) {
        struct str why = str_trim(str_of(PQerrorMessage(conn)));
        e = fail(f, ERR_PG, "private PostgreSQL: %.*s", STR_ARG(why));
    } else {
        *rows = PQntuples(r);
    }
    PQclear(r);
    return e;
}

/* Creates database sluice unless it exists. */
static err_t cluster_make_database(const struct cluster *c, struct fail *f)
{
    char port[16];
    const char *const names[] = {"host", "port", "user", "dbname", "options", "connect_timeout",
                                 NULL};
    const char *const values[] = {c->sock, port, "sluice", "postgres", "-c statement_timeout=60s",
                                  "10",    NULL};
    uint64_t deadline = clock_us() + CLUSTER_RETRY_US;
    PGconn *conn;
    int rows = 0;
    err_t e;

    snprintf(port, sizeof(port), "%d", c->port);
    conn = PQconnectdbParams(names, values, 0);
    if (PQstatus(conn) != CONNECTION_OK) {
        struct str why = str_trim(str_of(PQerrorMessage(conn)));
        e = fail(f, ERR_PG, "private PostgreSQL: %.*s", STR_ARG(why));
        goto out;
    }
    for (;;) {
        if ((e = cluster_sql(conn, "SELECT 1 FROM pg_database WHERE datname = 'sluice'",
                             PGRES_TUPLES_OK, &rows, f)) ||
            rows > 0)
            break;
        /* The role has the name of our schema: without this, "$user" would lead MLflow into it
         * (see migrate.c). Before the database, so that a database that exists has it. */
        e = cluster_sql(conn, "ALTER ROLE sluice SET search_path = public", PGRES_COMMAND_OK, &rows,
                        f);
        if (!e)
            e = cluster_sql(conn, "CREATE DATABASE sluice", PGRES_COMMAND_OK, &rows, f);
        /* A backend that a killed sluice has left may be doing the very same: look again. */
        if (!e || clock_us() > deadline)
            break;
        process_pause();
    }
out:
    PQfinish(conn);
    return e;
}

/* --- the calls --------------------------------------------------------------------------------------- */

static err_t cluster_lock(struct cluster *c, struct fail *f)
{
    char path[CLUSTER_PATH_MAX];
    err_t e;

    if ((e = cluster_path(path, f, "%s/pg.lock", c->place.base)))
        return e;
    c->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (c->lock_fd < 0)
        return fail(f, ERR_SETTING, "%s: %s", path, strerror(errno));
    if (flock(c->lock_fd, LOCK_EX | LOCK_NB) != 0)
        return fail(f, ERR_LOCKED, "Another sluice owns the private PostgreSQL in %s.",
                    c->place.base);
    return OK;
}

static void cluster_free(struct cluster *c)
{
    if (c->lock_fd >= 0)
        close(c->lock_fd);
    free(c);
}

/* Everything but starting. */
static err_t cluster_settle(struct cluster *c, const char *data_dir, const char *bin_dir,
                            struct fail *f)
{
    err_t e;

    if (mkdir(data_dir, 0755) != 0 && errno != EEXIST)
        return fail(f, ERR_SETTING, "data_dir: %s: %s", data_dir, strerror(errno));
    if ((e = cluster_place_find(data_dir, &c->place, f)) ||
        (e = cluster_place_bin(&c->place, bin_dir, c->bin, f)) ||
        (e = cluster_place_make(&c->place, f)) || (e = cluster_lock(c, f)))
        return e;
    /* Now that we are alone: another sluice may have made it while we looked. */
    if ((e = cluster_place_find(data_dir, &c->place, f)))
        return e;
    if (!c->place.has_cluster && (e = cluster_make(c, f)))
        return e;
    cluster_link(&c->place);
    return OK;
}

err_t cluster_open(const char *data_dir, const char *bin_dir, struct cluster **out, struct fail *f)
{
    struct cluster *c = calloc(1, sizeof(*c));
    bool found = false;
    err_t e;

    *out = NULL;
    check(c);
    c->lock_fd = -1;
    if ((e = cluster_settle(c, data_dir, bin_dir, f)) || (e = cluster_adopt(c, &found, f))) {
        cluster_free(c);
        return e;
    }
    if ((!found && (e = cluster_start_wait(c, f))) || (e = cluster_make_database(c, f))) {
        cluster_close(c);
        return e;
    }
    cluster_place_uri(c->sock, c->port, c->uri);
    log_info("", "private PostgreSQL runs", "dir=%s pid=%d", c->place.dir, (int)c->pid);
    *out = c;
    return OK;
}

const char *cluster_uri(const struct cluster *c)
{
    return c->uri;
}

const char *cluster_dir(const struct cluster *c)
{
    return c->place.dir;
}

pid_t cluster_pid(const struct cluster *c)
{
    return c->pid;
}

/* Has the postmaster ended? */
static bool cluster_ended(struct cluster *c)
{
    struct postmaster run;
    int status;

    if (c->pid == 0)
        return true;
    if (c->is_child)
        return process_ended(c->pid, &status);
    return !process_find_postmaster(&c->place, &run) || run.pid != c->pid;
}

void cluster_tend(struct cluster *c)
{
    uint64_t now = clock_us();
    struct fail why;

    if (!cluster_ended(c)) {
        if (now - c->tended_us > CLUSTER_PAUSE_MAX_US)
            c->pause_us = SECOND_US; /* it has held for a while: trust it again */
        return;
    }
    if (c->pid != 0) {
        log_error("", "the private PostgreSQL has died", "pid=%d log=%s/postgres.log", (int)c->pid,
                  c->place.dir);
        c->pid = 0;
    }
    if (now < c->next_us)
        return;
    c->pause_us = c->pause_us ? c->pause_us : SECOND_US;
    c->next_us = now + c->pause_us;
    c->pause_us = c->pause_us * 2 < CLUSTER_PAUSE_MAX_US ? c->pause_us * 2 : CLUSTER_PAUSE_MAX_US;
    fail_init(&why, NULL);
    if (cluster_start(c, &why))
        log_error("", "the private PostgreSQL could not be started", "error=%.*s",
                  STR_ARG(why.text));
    else
        log_info("", "the private PostgreSQL was started again", "pid=%d", (int)c->pid);
}

static bool cluster_stop(struct cluster *c, int sig, uint64_t wait_us)
{
    uint64_t deadline = clock_us() + wait_us;

    if (cluster_ended(c))
        return true;
    check(c->pid > 1);
    kill(c->pid, sig);
    while (!cluster_ended(c)) {
        if (clock_us() > deadline)
            return false;
        process_pause();
    }
    return true;
}

void cluster_close(struct cluster *c)
{
    pid_t pid = c->pid;

    if (cluster_stop(c, SIGINT, CLUSTER_STOP_US)) {
        if (pid != 0)
            log_info("", "private PostgreSQL stopped", "pid=%d", (int)pid);
        if (strcmp(c->place.sock, c->place.dir) != 0)
            (void)rmdir(c->place.sock); /* made again at the next start */
    } else {
        log_warn("", "private PostgreSQL did not stop, insisting", "pid=%d", (int)pid);
        if (!cluster_stop(c, SIGQUIT, CLUSTER_QUIT_US))
            log_error("", "private PostgreSQL goes on running", "pid=%d", (int)pid);
    }
    cluster_free(c);
}

err_t cluster_locate(const char *data_dir, struct cluster_info *info, struct fail *f)
{
    struct cluster_place *p = malloc(sizeof(*p));
    struct postmaster run;
    err_t e;

    check(p);
    memset(info, 0, sizeof(*info));
    if ((e = cluster_place_find(data_dir, p, f)))
        goto out;
    if (!p->has_cluster) {
        e = fail(f, ERR_SETTING, "No private PostgreSQL in %s yet: `sluice serve` makes it.",
                 p->base);
        goto out;
    }
    memcpy(info->dir, p->dir, sizeof(info->dir));
    if (process_find_postmaster(p, &run) && run.sock[0]) {
        info->pid = run.pid;
        cluster_place_uri(run.sock, run.port, info->uri);
    } else {
        cluster_place_uri(p->sock, CLUSTER_PORT, info->uri);
    }
out:
    free(p);
    return e;
}
