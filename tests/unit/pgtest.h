/*
 * pgtest: a throwaway PostgreSQL for one test program.
 *
 * pgtest_start makes a cluster in a temporary directory, Unix socket only, with a template database
 * that holds MLflow's schema and ours; pgtest_database gives a fresh copy of it. It is stopped and
 * removed at exit; should the program die, the server gets SIGQUIT from the kernel. As root, the
 * server runs as user postgres. Static functions in a header, because every unit test is a program
 * of its own.
 */
#ifndef TESTS_UNIT_PGTEST_H
#define TESTS_UNIT_PGTEST_H

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <libpq-fe.h>

#include "schema/migrate.h"
#include "schema/pg_connect.h"
#include "schema/sql_files.h"

#define PGTEST_UNUSED __attribute__((unused))

static struct {
    char dir[64];  /* socket, log */
    char data[80]; /* the cluster */
    char bin[64];
    char uri[256]; /* of the newest database */
    pid_t server;
    pid_t owner; /* children of the test must not clean up */
    unsigned databases;
    PGconn *conn; /* to the newest database */
} pgtest;

/* As the settings have them at first; good until the next call. */
static PGTEST_UNUSED const struct pg_terms *pgtest_terms(const char *uri)
{
    static struct pg_terms terms = {
        .connect_us = 10000000, .silence_us = 8000000, .answer_us = 30000000};

    terms.uri = uri;
    return &terms;
}

static void pgtest_die(const char *what, const char *why)
{
    fprintf(stderr, "pgtest: %s: %s\n", what, why);
    exit(99);
}

/* Newest version installed. */
static void pgtest_find(void)
{
    for (int version = 18; version >= 13; version--) {
        snprintf(pgtest.bin, sizeof(pgtest.bin), "/usr/lib/postgresql/%d/bin", version);
        if (access(pgtest.bin, X_OK) == 0)
            return;
    }
    pgtest_die("no PostgreSQL server", "looked in /usr/lib/postgresql");
}

/* Child: the program with its arguments, as postgres when we are root. */
static void pgtest_exec(const char *program, const char *const *args)
{
    const struct passwd *user = getuid() == 0 ? getpwnam("postgres") : NULL;
    char path[256], log[128];
    int fd;

    snprintf(path, sizeof(path), "%s/%s", pgtest.bin, program);
    snprintf(log, sizeof(log), "%s/log", pgtest.dir);
    if (user && (setgroups(0, NULL) || setgid(user->pw_gid) || setuid(user->pw_uid)))
        _exit(98);
    prctl(PR_SET_PDEATHSIG, SIGQUIT);
    setsid();
    fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    dup2(fd, 1);
    dup2(fd, 2);
    if (chdir(pgtest.dir) == 0)
        execv(path, (char *const *)(uintptr_t)args);
    _exit(97);
}

static PGTEST_UNUSED void pgtest_server_up(void)
{
    const char *const args[] = {"postgres",  "-D", pgtest.data,          "-k",
                                pgtest.dir,  "-c", "listen_addresses=",  "-c",
                                "fsync=off", "-c", "max_wal_size=256MB", NULL};
    char probe[128];

    pgtest.server = fork();
    if (pgtest.server == 0)
        pgtest_exec("postgres", args);
    snprintf(probe, sizeof(probe), "host=%s dbname=postgres user=postgres", pgtest.dir);
    for (int left = 2000; left > 0; left--) {
        const struct timespec tick = {.tv_nsec = 10 * 1000 * 1000};

        if (PQping(probe) == PQPING_OK)
            return;
        if (waitpid(pgtest.server, NULL, WNOHANG) == pgtest.server)
            break;
        nanosleep(&tick, NULL);
    }
    pgtest_die("server does not come up", pgtest.dir);
}

/* At once, as in a power cut; SIGTERM would be the gentle way. */
static PGTEST_UNUSED void pgtest_server_down(void)
{
    if (pgtest.conn)
        PQfinish(pgtest.conn);
    pgtest.conn = NULL;
    if (pgtest.server > 0) {
        kill(pgtest.server, SIGQUIT);
        waitpid(pgtest.server, NULL, 0);
    }
    pgtest.server = 0;
}

static void pgtest_stop(void)
{
    char command[128];

    if (getpid() != pgtest.owner)
        return;
    pgtest_server_down();
    snprintf(command, sizeof(command), "rm -rf '%s'", pgtest.dir);
    if (system(command) != 0)
        fprintf(stderr, "pgtest: %s is left behind\n", pgtest.dir);
}

static PGconn *pgtest_connect(const char *database)
{
    char uri[256];
    PGconn *c;

    snprintf(uri, sizeof(uri), "host=%s dbname=%s user=postgres", pgtest.dir, database);
    c = PQconnectdb(uri);
    if (PQstatus(c) != CONNECTION_OK)
        pgtest_die("cannot connect", PQerrorMessage(c));
    return c;
}

static void pgtest_exec_on(PGconn *c, const char *sql)
{
    PGresult *r = PQexec(c, sql);

    if (PQresultStatus(r) != PGRES_COMMAND_OK && PQresultStatus(r) != PGRES_TUPLES_OK)
        pgtest_die(sql, PQerrorMessage(c));
    PQclear(r);
}

/* Runs statements in the newest database. */
static PGTEST_UNUSED void pgtest_sql(const char *sql)
{
    if (!pgtest.conn)
        pgtest.conn = PQconnectdb(pgtest.uri);
    pgtest_exec_on(pgtest.conn, sql);
}

/* The first field of the first row, as text; "" when there is none. Valid until the next call. */
static PGTEST_UNUSED const char *pgtest_text(const char *sql)
{
    static char text[4096];
    PGresult *r;

    if (!pgtest.conn)
        pgtest.conn = PQconnectdb(pgtest.uri);
    r = PQexec(pgtest.conn, sql);
    if (PQresultStatus(r) != PGRES_TUPLES_OK)
        pgtest_die(sql, PQerrorMessage(pgtest.conn));
    snprintf(text, sizeof(text), "%s", PQntuples(r) ? PQgetvalue(r, 0, 0) : "");
    PQclear(r);
    return text;
}

static PGTEST_UNUSED long pgtest_number(const char *sql)
{
    return strtol(pgtest_text(sql), NULL, 10);
}

/* Drops our connection to the newest database, and makes a fresh one from the template. Returns its
 * connection string. */
static PGTEST_UNUSED const char *pgtest_database(void)
{
    PGconn *c = pgtest_connect("postgres");
    char sql[128];

    if (pgtest.conn)
        PQfinish(pgtest.conn);
    pgtest.conn = NULL;
    pgtest.databases++;
    snprintf(sql, sizeof(sql), "CREATE DATABASE test%u TEMPLATE mlflow", pgtest.databases);
    pgtest_exec_on(c, sql);
    PQfinish(c);
    snprintf(pgtest.uri, sizeof(pgtest.uri), "host=%s dbname=test%u user=postgres", pgtest.dir,
             pgtest.databases);
    return pgtest.uri;
}

static PGTEST_UNUSED void pgtest_template(void)
{
    PGconn *c = pgtest_connect("postgres");

    pgtest_exec_on(c, "CREATE DATABASE mlflow TEMPLATE template0 ENCODING 'UTF8'"
                      " LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8'");
    PQfinish(c);
    c = pgtest_connect("mlflow");
    pgtest_exec_on(c, sql_mlflow);
    for (size_t i = 0; i < sql_file_count; i++)
        pgtest_exec_on(c, sql_files[i].text);
    pgtest_exec_on(c, "INSERT INTO experiments (experiment_id, name, artifact_location,"
                      " lifecycle_stage) VALUES (0, 'Default', 'x', 'active')");
    PQfinish(c);
}

/* Once, before the tests. */
static PGTEST_UNUSED void pgtest_start(void)
{
    const char *const args[] = {"initdb",    "-D",    pgtest.data, "-U",   "postgres",
                                "-A",        "trust", "-E",        "UTF8", "--locale=C.UTF-8",
                                "--no-sync", NULL};
    const struct passwd *user = getpwnam("postgres");
    pid_t child;
    int status;

    pgtest_find();
    snprintf(pgtest.dir, sizeof(pgtest.dir), "/tmp/sluice-pgtest-XXXXXX");
    if (!mkdtemp(pgtest.dir))
        pgtest_die("mkdtemp", pgtest.dir);
    snprintf(pgtest.data, sizeof(pgtest.data), "%s/data", pgtest.dir);
    pgtest.owner = getpid();
    if (getuid() == 0 && (!user || chown(pgtest.dir, user->pw_uid, user->pw_gid)))
        pgtest_die("running as root needs a user postgres", pgtest.dir);
    child = fork();
    if (child == 0)
        pgtest_exec("initdb", args);
    waitpid(child, &status, 0);
    if (status != 0)
        pgtest_die("initdb failed", pgtest.dir);
    atexit(pgtest_stop);
    pgtest_server_up();
    pgtest_template();
}

#endif
