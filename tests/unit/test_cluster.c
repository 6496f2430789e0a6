/*
 * cluster: made, started, found again, adopted, supervised, stopped; and what it says when it
 * cannot. Real initdb and postgres.
 */
#include "schema/cluster.c"

#include <pwd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#undef fail /* cmocka has a macro of that name */

#define DEADLINE_US (60 * SECOND_US)

static char work_dir[] = "/tmp/sluice-cluster-XXXXXX";
static char data_dir[64]; /* work_dir/var: has a cluster, stopped between the tests */
static struct fail why;

static bool says(const char *part)
{
    char text[512];

    str_to_cstr(why.text, text, sizeof(text));
    return strstr(text, part) != NULL;
}

static struct cluster *open_ok(const char *dir)
{
    struct cluster *c = NULL;

    fail_init(&why, NULL);
    if (cluster_open(dir, getenv("SLUICE_PG_BIN_DIR"), &c, &why))
        print_error("%.*s\n", STR_ARG(why.text));
    assert_non_null(c);
    return c;
}

/* The only value of a query, as text. */
static const char *ask(const struct cluster *c, const char *sql)
{
    static char value[256];
    PGconn *conn = PQconnectdb(cluster_uri(c));
    PGresult *r = PQexec(conn, sql);

    if (PQresultStatus(r) != PGRES_TUPLES_OK)
        print_error("%s: %s", sql, PQerrorMessage(conn));
    assert_int_equal(PQntuples(r), 1);
    snprintf(value, sizeof(value), "%s", PQgetvalue(r, 0, 0));
    PQclear(r);
    PQfinish(conn);
    return value;
}

static void shell(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void shell(const char *fmt, ...)
{
    char command[8192];
    va_list args;

    va_start(args, fmt);
    vsnprintf(command, sizeof(command), fmt, args);
    va_end(args);
    assert_int_equal(system(command), 0);
}

static int make_work_dir(void **state)
{
    (void)state;
    /* mkdtemp's 0700 would keep the user postgres out, which one test wants and the others not. */
    if (!mkdtemp(work_dir) || chmod(work_dir, 0755) != 0)
        return -1;
    snprintf(data_dir, sizeof(data_dir), "%s/var", work_dir);
    cluster_close(open_ok(data_dir));
    return 0;
}

static int remove_work_dir(void **state)
{
    (void)state;
    shell("rm -rf %s", work_dir);
    return 0;
}

static void test_open_gives_a_database_on_a_unix_socket_only(void **state)
{
    struct cluster *c = open_ok(data_dir);
    char proc[32];
    struct stat st;
    pid_t pid = cluster_pid(c);

    (void)state;
    assert_string_equal(ask(c, "SELECT current_user || ' ' || current_database() || ' ' || "
                               "current_setting('search_path')"),
                        "sluice sluice public");
    assert_string_equal(ask(c, "SELECT concat_ws('|', current_setting('listen_addresses'), "
                               "current_setting('unix_socket_permissions'), "
                               "current_setting('max_connections'), "
                               "current_setting('synchronous_commit'), current_setting('fsync'), "
                               "current_setting('server_encoding'))"),
                        "|0700|200|on|on|UTF8");
    assert_string_equal(ask(c, "SELECT string_agg(type || auth_method, ',') FROM "
                               "pg_hba_file_rules"),
                        "localtrust");
    snprintf(proc, sizeof(proc), "/proc/%d", (int)pid);
    assert_int_equal(stat(proc, &st), 0);
    assert_int_not_equal(st.st_uid, 0);
    /* A session of its own: Ctrl-C at our terminal does not reach it. */
    assert_int_equal(getsid(pid), pid);
    cluster_close(c);
    assert_int_equal(kill(pid, 0), -1);
}

static void test_second_open_finds_the_data(void **state)
{
    struct cluster *c = open_ok(data_dir);

    (void)state;
    assert_string_equal(ask(c, "CREATE TABLE kept AS SELECT 42 AS n; SELECT n FROM kept"), "42");
    cluster_close(c);
    c = open_ok(data_dir);
    assert_string_equal(ask(c, "SELECT n FROM kept"), "42");
    cluster_close(c);
}

static void test_second_owner_is_refused(void **state)
{
    struct cluster *c = open_ok(data_dir);
    struct cluster *other;

    (void)state;
    assert_int_equal(cluster_open(data_dir, NULL, &other, &why), ERR_LOCKED);
    assert_null(other);
    assert_true(says(data_dir));
    assert_string_equal(ask(c, "SELECT 1"), "1");
    cluster_close(c);
}

/* A sluice killed by kill -9 leaves its postmaster to the next one. */
static void test_orphan_is_adopted_and_stopped(void **state)
{
    static struct cluster_info info;
    struct cluster *c;
    pid_t child = fork();
    int status;

    (void)state;
    if (child == 0) {
        if (cluster_open(data_dir, getenv("SLUICE_PG_BIN_DIR"), &c, NULL) == OK)
            kill(getpid(), SIGKILL);
        _exit(1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    fail_init(&why, NULL);
    assert_int_equal(cluster_locate(data_dir, &info, &why), OK);
    assert_true(info.pid > 1);
    c = open_ok(data_dir);
    assert_int_equal(cluster_pid(c), info.pid);
    assert_false(c->is_child);
    assert_string_equal(cluster_uri(c), info.uri);
    assert_string_equal(ask(c, "SELECT 1"), "1");
    cluster_tend(c);
    assert_int_equal(cluster_pid(c), info.pid);
    cluster_close(c);
    assert_int_equal(cluster_locate(data_dir, &info, &why), OK);
    assert_int_equal(info.pid, 0);
}

static void test_locate_starts_nothing(void **state)
{
    static struct cluster_info info;

    (void)state;
    fail_init(&why, NULL);
    assert_int_equal(cluster_locate(work_dir, &info, &why), ERR_SETTING);
    assert_true(says("No private PostgreSQL"));
    assert_int_equal(cluster_locate("/nonexistent", &info, &why), ERR_SETTING);
    assert_int_equal(cluster_locate(data_dir, &info, &why), OK);
    assert_int_equal(info.pid, 0);
    assert_true(strstr(info.uri, "postgresql://sluice@") == info.uri);
    assert_int_equal(access(info.dir, F_OK), 0);
}

static void test_dead_postmaster_is_started_again(void **state)
{
    struct cluster *c = open_ok(data_dir);
    uint64_t deadline = clock_us() + DEADLINE_US;
    pid_t pid = cluster_pid(c);

    (void)state;
    assert_int_equal(kill(pid, SIGKILL), 0);
    while (cluster_pid(c) == pid || process_ping(c->sock, c->port) != PQPING_OK) {
        cluster_tend(c);
        process_pause();
        assert_true(clock_us() < deadline);
    }
    assert_string_equal(ask(c, "SELECT 1"), "1");
    cluster_close(c);
}

static void test_failed_start_gives_postgresqls_reason(void **state)
{
    char conf[CLUSTER_PATH_MAX];
    struct cluster *c;

    (void)state;
    fail_init(&why, NULL);
    snprintf(conf, sizeof(conf), "%s/pg/postgresql.auto.conf", data_dir);
    shell("echo 'no_such_setting = 1' >> %s", conf);
    assert_int_equal(cluster_open(data_dir, getenv("SLUICE_PG_BIN_DIR"), &c, &why), ERR_PG);
    assert_null(c);
    assert_true(says("PostgreSQL does not start") && says("FATAL"));
    shell("sed -i /no_such_setting/d %s", conf);
    cluster_close(open_ok(data_dir));
}

static void test_failed_initdb_gives_its_reason(void **state)
{
    char dir[128];
    char fresh[128];
    struct cluster *c;

    (void)state;
    snprintf(dir, sizeof(dir), "%s/fake", work_dir);
    shell("mkdir -p %s/bin && cd %s/bin && touch postgres && chmod 755 postgres && "
          "printf '#!/bin/sh\\necho initdb: error: no such luck\\nexit 1\\n' > initdb && "
          "chmod 755 initdb",
          dir, dir);
    snprintf(dir + strlen(dir), sizeof(dir) - strlen(dir), "/bin");
    fail_init(&why, NULL);
    snprintf(fresh, sizeof(fresh), "%s/fresh", work_dir);
    assert_int_equal(cluster_open(fresh, dir, &c, &why), ERR_PG);
    assert_true(says("initdb failed: initdb: error: no such luck"));
    assert_int_equal(cluster_open(fresh, work_dir, &c, &why), ERR_SETTING);
    assert_true(says("pg_bin_dir"));
    /* What the failed attempt left, and more, does not hinder the next. */
    shell("mkdir -p %s/pg.new.1/base && touch %s/pg.new.1/base/half", fresh, fresh);
    c = open_ok(fresh);
    cluster_close(c);
    shell("test \"$(ls %s | xargs)\" = 'pg pg.lock'", fresh);
}

/* Root's clone in a directory that the user postgres cannot enter. */
static void test_closed_directory_gets_its_cluster_elsewhere(void **state)
{
    static struct cluster_info info;
    char closed[128];
    char moved[128];
    struct cluster *c;

    (void)state;
    if (geteuid() != 0)
        skip(); /* a folder of one's own is not closed to oneself */
    snprintf(closed, sizeof(closed), "%s/closed/var", work_dir);
    snprintf(moved, sizeof(moved), "%s/closed/moved", work_dir);
    shell("mkdir -p -m 700 %s/closed", work_dir);
    c = open_ok(closed);
    assert_true(c->place.is_elsewhere);
    assert_string_equal(ask(c, "CREATE TABLE kept AS SELECT 43 AS n; SELECT n FROM kept"), "43");
    cluster_close(c);
    /* The link keeps a directory that is moved with its cluster. */
    assert_int_equal(rename(closed, moved), 0);
    c = open_ok(moved);
    assert_string_equal(ask(c, "SELECT n FROM kept"), "43");
    cluster_close(c);
    assert_int_equal(cluster_locate(moved, &info, &why), OK);
    assert_true(strstr(info.dir, "/var/lib/sluice/") == info.dir);
    shell("rm -rf '%.*s'", (int)(strrchr(info.dir, '/') - info.dir), info.dir);
}

/* Without root nobody is changed into: the cluster is one's own. */
static void test_ordinary_user_runs_it_as_oneself(void **state)
{
    struct passwd *user = getpwnam("postgres");
    char own[64];
    pid_t child;
    int status;

    (void)state;
    if (geteuid() != 0 || !user)
        skip(); /* then all the tests above have shown it */
    snprintf(own, sizeof(own), "%s/own", work_dir);
    shell("mkdir %s && chown postgres %s", own, own);
    if ((child = fork()) == 0) {
        struct cluster *c = NULL;
        char ok[] = "1";
        bool is_fine = setgid(user->pw_gid) == 0 && setuid(user->pw_uid) == 0 &&
                       cluster_open(own, getenv("SLUICE_PG_BIN_DIR"), &c, NULL) == OK &&
                       strcmp(ask(c, "SELECT 1"), ok) == 0;
        if (c)
            cluster_close(c);
        _exit(is_fine ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open_gives_a_database_on_a_unix_socket_only),
        cmocka_unit_test(test_second_open_finds_the_data),
        cmocka_unit_test(test_second_owner_is_refused),
        cmocka_unit_test(test_orphan_is_adopted_and_stopped),
        cmocka_unit_test(test_locate_starts_nothing),
        cmocka_unit_test(test_dead_postmaster_is_started_again),
        cmocka_unit_test(test_failed_start_gives_postgresqls_reason),
        cmocka_unit_test(test_failed_initdb_gives_its_reason),
        cmocka_unit_test(test_closed_directory_gets_its_cluster_elsewhere),
        cmocka_unit_test(test_ordinary_user_runs_it_as_oneself),
    };

    return cmocka_run_group_tests(tests, make_work_dir, remove_work_dir);
}
