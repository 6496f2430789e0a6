/* check: a false condition ends the process by SIGABRT and says where. */
#include "base/check.c"

#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

/* Runs check(is_true) in a child; returns its wait status and what it wrote to stderr. */
static int run_check(bool is_true, char *out, size_t cap)
{
    int ends[2];
    int status;
    ssize_t n;
    pid_t child;

    assert_int_equal(pipe(ends), 0);
    child = fork();
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        dup2(ends[1], STDERR_FILENO);
        check(is_true);
        _exit(0);
    }
    close(ends[1]);
    n = read(ends[0], out, cap - 1);
    out[n > 0 ? n : 0] = '\0';
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void test_false_aborts_and_says_where(void **state)
{
    char out[256];
    int status = run_check(false, out, sizeof(out));

    (void)state;
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    assert_non_null(strstr(out, "check failed: is_true at "));
    assert_non_null(strstr(out, "test_check.c:"));
}

static void test_true_goes_on(void **state)
{
    char out[256];

    (void)state;
    assert_int_equal(run_check(true, out, sizeof(out)), 0);
    assert_string_equal(out, "");
}

static void test_heavy_check_evaluates_nothing_without_the_flag(void **state)
{
    int calls = 0;

    (void)state;
#ifndef HEAVY_CHECKS
    heavy_check(++calls == 0);
    assert_int_equal(calls, 0);
#else
    heavy_check(++calls == 1);
    assert_int_equal(calls, 1);
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_false_aborts_and_says_where),
        cmocka_unit_test(test_true_goes_on),
        cmocka_unit_test(test_heavy_check_evaluates_nothing_without_the_flag),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
