/* workspace_table: what one thread has found all know, and never what was so before the news. */
#include "gateway/auth/workspace_table.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static struct workspace_table *t;

static int setup(void **state)
{
    (void)state;
    t = workspace_table_new();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    workspace_table_free(t);
    return 0;
}

static void test_what_was_found_is_known_until_it_is_not_found(void **state)
{
    (void)state;
    assert_int_equal(workspace_table_find(t, 7), 0);
    workspace_table_note(t, 7, 1000, true);
    assert_int_equal(workspace_table_find(t, 7), 1000);
    assert_int_equal(workspace_table_find(t, 8), 0);
    workspace_table_note(t, 7, 2000, true);
    assert_int_equal(workspace_table_find(t, 7), 2000);
    workspace_table_note(t, 7, 3000, false);
    assert_int_equal(workspace_table_find(t, 7), 0);
}

static void test_of_two_answers_the_one_that_was_asked_for_later_stands(void **state)
{
    (void)state;
    workspace_table_note(t, 7, 2000, true);
    workspace_table_note(t, 7, 1000, true);
    assert_int_equal(workspace_table_find(t, 7), 2000);
    workspace_table_note(t, 7, 1000, false);
    assert_int_equal(workspace_table_find(t, 7), 2000);
}

static void test_another_one_of_the_slot_takes_the_place(void **state)
{
    (void)state;
    workspace_table_note(t, 7, 1000, true);
    workspace_table_note(t, 7 + SLOTS, 500, false);
    assert_int_equal(workspace_table_find(t, 7), 1000);
    workspace_table_note(t, 7 + SLOTS, 500, true);
    assert_int_equal(workspace_table_find(t, 7 + SLOTS), 500);
    assert_int_equal(workspace_table_find(t, 7), 0);
}

static void test_an_answer_of_before_the_news_does_not_count(void **state)
{
    uint64_t one = scope_mark("one"), two = scope_mark("two");
    uint64_t before_us = clock_us(), after_us;

    (void)state;
    workspace_table_note(t, one, before_us, true);
    workspace_table_note(t, two, before_us, true);
    workspace_table_forget(t, STR("one"));
    after_us = clock_us() + 1;
    assert_int_equal(workspace_table_find(t, one), 0);
    if (one % SLOTS != two % SLOTS)
        assert_int_equal(workspace_table_find(t, two), before_us);
    workspace_table_note(t, one, before_us, true); /* it was under way */
    assert_int_equal(workspace_table_find(t, one), 0);
    workspace_table_note(t, one, after_us, true);
    assert_int_equal(workspace_table_find(t, one), after_us);
    /* Whoever has the slot when the news come. */
    workspace_table_note(t, one + SLOTS, after_us, true);
    workspace_table_forget(t, STR("one"));
    assert_int_equal(workspace_table_find(t, one + SLOTS), after_us);
    workspace_table_note(t, one, before_us, true);
    assert_int_equal(workspace_table_find(t, one), 0);
}

static void test_news_of_any_are_of_all(void **state)
{
    uint64_t before_us = clock_us(), after_us;

    (void)state;
    for (uint64_t mark = 1; mark <= SLOTS; mark++)
        workspace_table_note(t, mark, before_us, true);
    workspace_table_forget_all(t);
    after_us = clock_us() + 1;
    for (uint64_t mark = 1; mark <= SLOTS; mark++) {
        assert_int_equal(workspace_table_find(t, mark), 0);
        workspace_table_note(t, mark, before_us, true);
        assert_int_equal(workspace_table_find(t, mark), 0);
        workspace_table_note(t, mark, after_us, true);
        assert_int_equal(workspace_table_find(t, mark), after_us);
    }
}

static void test_where_workspaces_are_off_nothing_is_forgotten(void **state)
{
    (void)state;
    workspace_table_forget(NULL, STR("one"));
    workspace_table_forget_all(NULL);
    workspace_table_free(NULL);
}

/* -- threads --------------------------------------------------------------------------------- */

enum { LOOKS = 500000, FORGETS = 30000, PATIENCE_US = 10000000 };

static _Atomic bool is_over;

/* Two workspaces of one slot, asked for at even times and at odd ones. */
static const uint64_t even = 0x9E3779B97F4A7000u, odd = 0xC2B2AE3D27D4E000u;

static void *replace_each_other(void *arg)
{
    (void)arg;
    for (uint64_t i = 1; !atomic_load(&is_over); i++) {
        workspace_table_note(t, even, 2 * i, true);
        workspace_table_note(t, odd, 2 * i + 1, true);
    }
    return NULL;
}

static void test_words_of_two_writes_are_nobodys(void **state)
{
    uint64_t end_us = clock_us() + PATIENCE_US;
    unsigned was_even = 0, was_odd = 0;
    pthread_t thread;

    (void)state;
    assert_int_equal(even % SLOTS, odd % SLOTS);
    atomic_store(&is_over, false);
    assert_int_equal(pthread_create(&thread, NULL, replace_each_other, NULL), 0);
    for (unsigned i = 0; i < LOOKS || ((!was_even || !was_odd) && clock_us() < end_us); i++) {
        uint64_t even_us = workspace_table_find(t, even);
        uint64_t odd_us = workspace_table_find(t, odd);

        was_even += even_us > 0;
        was_odd += odd_us > 0;
        assert_true(even_us == 0 || even_us % 2 == 0);
        assert_true(odd_us == 0 || (odd_us % 2 == 1 && odd_us > even_us));
    }
    atomic_store(&is_over, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(was_even > 0 && was_odd > 0);
}

static void *find_again_and_again(void *arg)
{
    while (!atomic_load(&is_over))
        workspace_table_note(t, *(const uint64_t *)arg, clock_us(), true);
    return NULL;
}

static void test_who_has_told_knows_nothing_older(void **state)
{
    uint64_t one = scope_mark("one"), end_us = clock_us() + PATIENCE_US;
    unsigned was_known = 0;
    pthread_t threads[2];

    (void)state;
    atomic_store(&is_over, false);
    for (size_t i = 0; i < array_len(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, find_again_and_again, &one), 0);
    for (unsigned i = 0; i < FORGETS || (was_known == 0 && clock_us() < end_us); i++) {
        uint64_t told_us = clock_us(), known_us;

        was_known += workspace_table_find(t, one) > 0;
        if (i % 2)
            workspace_table_forget(t, STR("one"));
        else
            workspace_table_forget_all(t);
        known_us = workspace_table_find(t, one);
        assert_true(known_us == 0 || known_us > told_us);
    }
    atomic_store(&is_over, true);
    for (size_t i = 0; i < array_len(threads); i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_true(was_known > 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_was_found_is_known_until_it_is_not_found),
        TEST(test_of_two_answers_the_one_that_was_asked_for_later_stands),
        TEST(test_another_one_of_the_slot_takes_the_place),
        TEST(test_an_answer_of_before_the_news_does_not_count),
        TEST(test_news_of_any_are_of_all),
        TEST(test_where_workspaces_are_off_nothing_is_forgotten),
        TEST(test_words_of_two_writes_are_nobodys),
        TEST(test_who_has_told_knows_nothing_older),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
