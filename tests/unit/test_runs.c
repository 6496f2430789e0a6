/* runs: what is known is dated and bounded, and no run's position is ever understated. */
#include "ingest/runs.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

enum { TTL = 1000000 };

static const struct run active = {.is_active = true, .experiment_id = 3, .workspace = 7};
static const struct run deleted = {.is_active = false, .experiment_id = 3};

static struct run_id id_of(unsigned n)
{
    struct run_id id = {.n = LIMIT_RUN_ID};
    char text[LIMIT_RUN_ID + 1];

    snprintf(text, sizeof(text), "%032u", n);
    memcpy(id.text, text, LIMIT_RUN_ID);
    return id;
}

static void test_what_was_put_is_got_until_it_is_old(void **state)
{
    (void)state;
    struct runs *t = runs_new(1000);
    struct run_id id = id_of(1);
    struct run_id shorter = id_of(1);
    struct run out = {0};
    uint64_t now = clock_us();

    shorter.n--;
    assert_false(runs_get(t, &id, now, TTL, &out));
    runs_put(t, &id, now, &active);
    assert_true(runs_get(t, &id, now, TTL, &out));
    assert_true(out.is_active);
    assert_int_equal(out.experiment_id, 3);
    assert_int_equal(out.workspace, 7);
    assert_true(runs_get(t, &id, now + TTL - 1, TTL, &out));
    assert_false(runs_get(t, &id, now + TTL, TTL, &out));
    assert_false(runs_get(t, &id, now, 0, &out));
    assert_false(runs_get(t, &shorter, now, TTL, &out));
    assert_int_equal(runs_count(t), 1);
    runs_free(t);
}

static void test_a_clock_reading_of_another_thread_may_be_ahead(void **state)
{
    (void)state;
    struct runs *t = runs_new(1000);
    struct run_id id = id_of(1);
    struct run out = {0};
    uint64_t now = clock_us();

    runs_put(t, &id, now + 50, &active);
    assert_true(runs_get(t, &id, now, TTL, &out));
    runs_free(t);
}

static void test_older_knowledge_does_not_replace_newer(void **state)
{
    (void)state;
    struct runs *t = runs_new(1000);
    struct run_id id = id_of(1);
    struct run out = {0};
    uint64_t now = clock_us();

    runs_put(t, &id, now, &deleted);
    runs_put(t, &id, now - 10, &active);
    assert_true(runs_get(t, &id, now, TTL, &out));
    assert_false(out.is_active);
    runs_put(t, &id, now, &active);
    assert_true(runs_get(t, &id, now, TTL, &out));
    assert_true(out.is_active);
    runs_free(t);
}

static void test_forgetting_keeps_the_position(void **state)
{
    (void)state;
    struct runs *t = runs_new(1000);
    struct run_id id = id_of(1);
    struct run_id other = id_of(2);
    struct run out = {0};
    uint64_t now = clock_us();

    runs_put(t, &id, now, &active);
    runs_put(t, &other, now, &active);
    runs_appended(t, &id, 4096);
    runs_forget(t, &id);
    assert_false(runs_get(t, &id, now, TTL, &out));
    assert_true(runs_get(t, &other, now, TTL, &out));
    assert_int_equal(runs_position(t, &id), 4096);
    /* An answer that was asked for before the forgetting says nothing. */
    runs_put(t, &id, now - 1, &active);
    assert_false(runs_get(t, &id, now, TTL, &out));
    runs_put(t, &id, clock_us() + 1, &active);
    assert_true(runs_get(t, &id, clock_us(), TTL, &out));
    runs_free(t);
}

static void test_forgetting_all_forgets_all(void **state)
{
    (void)state;
    struct runs *t = runs_new(1000);
    struct run out = {0};
    uint64_t now = clock_us();

    for (unsigned i = 0; i < 100; i++) {
        struct run_id id = id_of(i);

        runs_put(t, &id, now, &active);
        runs_appended(t, &id, i + 1);
    }
    runs_forget_all(t);
    for (unsigned i = 0; i < 100; i++) {
        struct run_id id = id_of(i);

        assert_false(runs_get(t, &id, now, TTL, &out));
        runs_put(t, &id, now, &active);
        assert_false(runs_get(t, &id, now, TTL, &out));
        assert_int_equal(runs_position(t, &id), i + 1);
        runs_put(t, &id, clock_us() + 1, &active);
        assert_true(runs_get(t, &id, clock_us(), TTL, &out));
    }
    runs_free(t);
}

static void test_positions_only_rise(void **state)
{
    (void)state;
    struct runs *t = runs_new(1000);
    struct run_id id = id_of(1);
    struct run_id other = id_of(2);

    assert_int_equal(runs_position(t, &id), 0);
    runs_appended(t, &id, 100);
    runs_appended(t, &id, 90);
    assert_int_equal(runs_position(t, &id), 100);
    assert_int_equal(runs_position(t, &other), 0);
    runs_raise_floor(t, 95);
    assert_int_equal(runs_position(t, &id), 100);
    assert_int_equal(runs_position(t, &other), 95);
    runs_raise_floor(t, 200);
    assert_int_equal(runs_position(t, &id), 200);
    runs_raise_floor(t, 50);
    assert_int_equal(runs_position(t, &other), 200);
    runs_free(t);
}

static void test_the_table_is_bounded_and_no_position_is_understated(void **state)
{
    (void)state;
    enum { MAX = 640, RUNS = 20000 };
    static pos_t newest[RUNS];
    struct runs *t = runs_new(MAX);
    unsigned seed = 12345;
    pos_t end = 0;
    struct run out = {0};

    memset(newest, 0, sizeof(newest));
    for (unsigned i = 0; i < 200000; i++) {
        seed = seed * 1103515245u + 12345u;
        unsigned n = (seed >> 8) % RUNS;
        struct run_id id = id_of(n);

        if (i % 3 == 0) {
            newest[n] = end += 64;
            runs_appended(t, &id, end);
        } else if (i % 3 == 1) {
            runs_put(t, &id, i + 1, &active);
            assert_true(runs_get(t, &id, i + 1, TTL, &out));
        }
        assert_true(runs_position(t, &id) >= newest[n]);
        assert_true(runs_position(t, &id) <= end);
    }
    assert_true(runs_count(t) <= MAX);
    assert_true(runs_count(t) > MAX / 2);
    for (unsigned n = 0; n < RUNS; n++) {
        struct run_id id = id_of(n);

        assert_true(runs_position(t, &id) >= newest[n]);
    }
    runs_free(t);
}

static void test_the_clock_keeps_what_is_used(void **state)
{
    (void)state;
    struct runs *t = runs_new(640);
    struct run_id hot = id_of(0);
    struct run out = {0};

    runs_put(t, &hot, 1000, &active);
    for (unsigned n = 1; n < 10000; n++) {
        struct run_id id = id_of(n);

        runs_put(t, &id, 1000, &active);
        assert_true(runs_get(t, &hot, 1000, TTL, &out));
    }
    runs_free(t);
}

static void *hammer(void *data)
{
    struct runs *t = data;
    struct run out;

    for (unsigned i = 0; i < 20000; i++) {
        struct run_id id = id_of(i % 500);

        runs_put(t, &id, clock_us(), &active);
        runs_appended(t, &id, i);
        (void)runs_get(t, &id, clock_us(), TTL, &out);
        (void)runs_position(t, &id);
        if (i % 1000 == 0)
            runs_forget_all(t);
        if (i % 100 == 0)
            runs_forget(t, &id);
    }
    return NULL;
}

static void test_threads_may_share_it(void **state)
{
    (void)state;
    struct runs *t = runs_new(320);
    pthread_t threads[4];

    for (unsigned i = 0; i < array_len(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, t), 0);
    for (unsigned i = 0; i < array_len(threads); i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_true(runs_count(t) <= 320);
    for (unsigned i = 0; i < 500; i++) {
        struct run_id id = id_of(i);

        assert_true(runs_position(t, &id) >= 19500 + i);
    }
    runs_free(t);
}

static void test_the_first_client_is_remembered_with_its_run(void **state)
{
    const uint8_t first[RUNS_CLIENT] = {[15] = 1};
    struct runs *t = runs_new(1000);
    struct run_id id, other;
    uint8_t got[RUNS_CLIENT];

    (void)state;
    assert_true(run_id_set(&id, STR("one")) && run_id_set(&other, STR("two")));
    runs_set_client(t, &id, first); /* of a run that nothing was appended for: not kept */
    assert_false(runs_get_client(t, &id, got));
    assert_false(runs_appended(t, &id, 8));
    runs_set_client(t, &id, first);
    assert_true(runs_appended(t, &id, 16));
    assert_true(runs_get_client(t, &id, got));
    assert_memory_equal(got, first, sizeof(got));
    assert_false(runs_appended(t, &other, 24));
    runs_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_client_is_remembered_with_its_run),
        cmocka_unit_test(test_what_was_put_is_got_until_it_is_old),
        cmocka_unit_test(test_a_clock_reading_of_another_thread_may_be_ahead),
        cmocka_unit_test(test_older_knowledge_does_not_replace_newer),
        cmocka_unit_test(test_forgetting_keeps_the_position),
        cmocka_unit_test(test_forgetting_all_forgets_all),
        cmocka_unit_test(test_positions_only_rise),
        cmocka_unit_test(test_the_table_is_bounded_and_no_position_is_understated),
        cmocka_unit_test(test_the_clock_keeps_what_is_used),
        cmocka_unit_test(test_threads_may_share_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
