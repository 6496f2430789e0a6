/* fault: dies at the named place and pass, and nowhere else. */
#include "base/fault.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>

#include <cmocka.h>

enum { PASSES = 5 };

/* Walks through both places PASSES times in a child that has the variable set; returns how many
 * rounds it survived, or -1 when it did not die of SIGKILL. */
static int rounds_until_death(const char *value)
{
    int pipe_fds[2];
    int status = 0;
    int rounds = 0;
    char byte = 0;

    assert_int_equal(pipe(pipe_fds), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (value)
            setenv("SLUICE_TEST_KILL_AT", value, 1);
        for (int i = 0; i < PASSES; i++) {
            fault_point("other_place");
            fault_point("this_place");
            if (write(pipe_fds[1], "x", 1) != 1)
                _exit(2);
        }
        _exit(0);
    }
    close(pipe_fds[1]);
    while (read(pipe_fds[0], &byte, 1) == 1)
        rounds++;
    close(pipe_fds[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return -1;
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGKILL);
    return rounds;
}

static void test_dies_at_the_named_place(void **state)
{
    (void)state;
    assert_int_equal(rounds_until_death("this_place"), 0);
    assert_int_equal(rounds_until_death("this_place:1"), 0);
}

static void test_dies_at_the_named_pass(void **state)
{
    (void)state;
    assert_int_equal(rounds_until_death("this_place:4"), 3);
}

static void test_lives_when_nothing_or_another_name_is_set(void **state)
{
    (void)state;
    assert_int_equal(rounds_until_death(NULL), -1);
    assert_int_equal(rounds_until_death(""), -1);
    assert_int_equal(rounds_until_death("this_plac"), -1);
    assert_int_equal(rounds_until_death("this_place:99"), -1);
}

static void test_is_off_after_the_first_look_when_nothing_is_set(void **state)
{
    (void)state;
    unsetenv("SLUICE_TEST_KILL_AT");
    assert_int_equal(fault_state, FAULT_UNREAD);
    fault_point("this_place");
    assert_int_equal(fault_state, FAULT_OFF);
}

static void test_switch_is_on_only_when_one(void **state)
{
    (void)state;
    unsetenv("SLUICE_TEST_BREAK");
    assert_false(fault_switch("SLUICE_TEST_BREAK"));
    setenv("SLUICE_TEST_BREAK", "0", 1);
    assert_false(fault_switch("SLUICE_TEST_BREAK"));
    setenv("SLUICE_TEST_BREAK", "1", 1);
    assert_true(fault_switch("SLUICE_TEST_BREAK"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dies_at_the_named_place),
        cmocka_unit_test(test_dies_at_the_named_pass),
        cmocka_unit_test(test_lives_when_nothing_or_another_name_is_set),
        cmocka_unit_test(test_is_off_after_the_first_look_when_nothing_is_set),
        cmocka_unit_test(test_switch_is_on_only_when_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
