/* cluster_process: children are clean, a pid in a file is not a process, a log tells why. */
#include "schema/cluster_process.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#undef fail /* cmocka has a macro of that name */

static char work_dir[] = "/tmp/sluice-process-XXXXXX";
static struct cluster_place place;

static void write_file(const char *name, const char *text)
{
    char path[128];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", work_dir, name);
    assert_non_null(file = fopen(path, "we"));
    fputs(text, file);
    fclose(file);
}

static int make_work_dir(void **state)
{
    (void)state;
    if (!mkdtemp(work_dir))
        return -1;
    place.uid = geteuid();
    snprintf(place.dir, sizeof(place.dir), "%s", work_dir);
    return 0;
}

static int remove_work_dir(void **state)
{
    char command[64];

    (void)state;
    snprintf(command, sizeof(command), "rm -rf %s", work_dir);
    return system(command);
}

static int finish(pid_t pid)
{
    int status;
    int again;

    while (!process_ended(pid, &status))
        process_pause();
    assert_true(process_ended(pid, &again)); /* asking once more is allowed */
    return status;
}

/* The server must not inherit what we ignore or block, our files, or our environment. */
/* What glibc keeps for itself (signals 32 and 33) no program can set: whoever started us may have
 * left them ignored. */
static unsigned long long ignored_by_libc(void)
{
    FILE *file = fopen("/proc/self/status", "re");
    unsigned long long bits = 0;
    char line[256];

    assert_non_null(file);
    while (fgets(line, sizeof(line), file))
        if (sscanf(line, "SigIgn: %llx", &bits) == 1)
            break;
    fclose(file);
    return bits & 0x180000000ULL;
}

static void test_child_inherits_nothing(void **state)
{
    char sh[] = "/bin/sh", arg[] = "-c";
    char script[] = "pwd; echo ${PGPORT-unset}; umask; grep -E 'Sig(Blk|Ign)' /proc/self/status;"
                    "test -e /proc/self/fd/77 && echo leaked; echo done >&2";
    char *argv[] = {sh, arg, script, NULL};
    char log_path[128];
    char got[512] = "";
    char want[512];
    sigset_t some, before;
    pid_t pid;
    FILE *file;

    (void)state;
    snprintf(log_path, sizeof(log_path), "%s/child.log", work_dir);
    setenv("PGPORT", "1", 1);
    assert_int_equal(dup2(2, 77), 77);
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&some);
    sigaddset(&some, SIGTERM);
    sigprocmask(SIG_BLOCK, &some, &before);
    assert_int_equal(process_spawn(&place, argv, work_dir, log_path, &pid, NULL), OK);
    sigprocmask(SIG_SETMASK, &before, NULL);
    signal(SIGPIPE, SIG_DFL);
    close(77);
    unsetenv("PGPORT");
    assert_int_equal(finish(pid), 0);
    assert_non_null(file = fopen(log_path, "re"));
    assert_true(fread(got, 1, sizeof(got) - 1, file) > 0);
    fclose(file);
    snprintf(want, sizeof(want),
             "%s\nunset\n0077\nSigBlk:\t0000000000000000\nSigIgn:\t%016llx\ndone\n", work_dir,
             ignored_by_libc());
    assert_string_equal(got, want);
}

static void test_missing_program_ends_the_child(void **state)
{
    char program[] = "/nonexistent/postgres";
    char *argv[] = {program, NULL};
    char log_path[128];
    char tail[64];
    pid_t pid = 0;

    (void)state;
    snprintf(log_path, sizeof(log_path), "%s/none.log", work_dir);
    assert_int_equal(process_spawn(&place, argv, work_dir, log_path, &pid, NULL), OK);
    assert_int_equal(WEXITSTATUS(finish(pid)), 127);
    process_log_tail(log_path, tail, sizeof(tail));
    assert_string_equal(tail, "error: the program could not be run");
    pid = 0;
    assert_int_equal(process_spawn(&place, argv, work_dir, "/nonexistent/log", &pid, NULL), ERR_PG);
    assert_int_equal(pid, 0);
}

static void test_pid_of_another_process_is_no_postmaster(void **state)
{
    static struct postmaster run;
    char text[128];

    (void)state;
    assert_false(process_find_postmaster(&place, &run)); /* no file */
    write_file("postmaster.pid", "");
    assert_false(process_find_postmaster(&place, &run));
    /* This very process: right user, wrong directory. */
    snprintf(text, sizeof(text), "%d\n/x\n1\n5432\n/sock\n", (int)getpid());
    write_file("postmaster.pid", text);
    assert_false(process_find_postmaster(&place, &run));
    place.uid++;
    assert_false(process_find_postmaster(&place, &run)); /* wrong user */
    place.uid--;
    /* Negative and absurd numbers must never reach kill(). */
    write_file("postmaster.pid", "-1\n/x\n1\n5432\n/sock\n");
    assert_false(process_find_postmaster(&place, &run));
    write_file("postmaster.pid", "nonsense\n");
    assert_false(process_find_postmaster(&place, &run));
}

static void test_process_in_the_directory_counts(void **state)
{
    char sleeper[] = "/bin/sleep", arg[] = "600", log_path[128], text[128];
    char *argv[] = {sleeper, arg, NULL};
    static struct postmaster run;
    pid_t pid;

    (void)state;
    snprintf(log_path, sizeof(log_path), "%s/sleep.log", work_dir);
    assert_int_equal(process_spawn(&place, argv, work_dir, log_path, &pid, NULL), OK);
    snprintf(text, sizeof(text), "%d\n%s\n1\n5433\n/sock dir\n", (int)pid, work_dir);
    write_file("postmaster.pid", text);
    while (!process_find_postmaster(&place, &run)) /* the child has yet to change directory */
        process_pause();
    assert_int_equal(run.pid, pid);
    assert_int_equal(run.port, 5433);
    assert_string_equal(run.sock, "/sock dir");
    kill(pid, SIGKILL);
    finish(pid);
    assert_false(process_find_postmaster(&place, &run));
}

static void test_log_tail_prefers_the_reason(void **state)
{
    char path[128];
    char tail[64];

    (void)state;
    snprintf(path, sizeof(path), "%s/some.log", work_dir);
    write_file("some.log", "LOG:  starting\nFATAL:  no room\nLOG:  shut down\n\n");
    process_log_tail(path, tail, sizeof(tail));
    assert_string_equal(tail, "FATAL:  no room");
    write_file("some.log", "LOG:  starting\nLOG:  stopped");
    process_log_tail(path, tail, sizeof(tail));
    assert_string_equal(tail, "LOG:  stopped");
    write_file("some.log", "");
    process_log_tail(path, tail, sizeof(tail));
    assert_string_equal(tail, "no message");
    process_log_tail("/nonexistent/log", tail, sizeof(tail));
    assert_string_equal(tail, "no message");
}

static void test_ping_of_nothing_says_so(void **state)
{
    (void)state;
    assert_int_equal(process_ping(work_dir, 5432), PQPING_NO_RESPONSE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_child_inherits_nothing),
        cmocka_unit_test(test_missing_program_ends_the_child),
        cmocka_unit_test(test_pid_of_another_process_is_no_postmaster),
        cmocka_unit_test(test_process_in_the_directory_counts),
        cmocka_unit_test(test_log_tail_prefers_the_reason),
        cmocka_unit_test(test_ping_of_nothing_says_so),
    };

    return cmocka_run_group_tests(tests, make_work_dir, remove_work_dir);
}
