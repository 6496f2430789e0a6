/* top: who sends most is found in bounded memory, and nobody is counted too low. */
#include "gateway/status/top.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#define SECOND ((uint64_t)1000000)

static struct batch batch_of(unsigned run, int32_t experiment, uint32_t points)
{
    struct batch b = {.experiment_id = experiment, .npoints = points};
    char text[LIMIT_RUN_ID + 1];
    bool fits;

    snprintf(text, sizeof(text), "run%u", run);
    fits = run_id_set(&b.run, str_of(text));
    check(fits);
    return b;
}

static void note(struct top *t, unsigned run, int32_t experiment, uint32_t points, uint64_t now_us)
{
    struct batch b = batch_of(run, experiment, points);

    top_note(t, &b, now_us);
}

static struct top_list look(struct top *t, uint64_t now_us)
{
    struct top_list l = {0};

    top_gather(&t, 1, now_us, &l);
    return l;
}

static void test_nothing_is_counted_while_nobody_looks(void **state)
{
    struct top t;

    (void)state;
    top_init(&t);
    note(&t, 1, 1, 10, 100 * SECOND);
    assert_int_equal(look(&t, 102 * SECOND).run_count, 0);
    top_watch(&t, 102 * SECOND);
    note(&t, 1, 1, 10, 103 * SECOND);
    assert_int_equal(look(&t, 103 * SECOND).run_count, 0); /* not a second yet */
    assert_int_equal(look(&t, 104 * SECOND).run_count, 1);
    note(&t, 2, 1, 10, 132 * SECOND); /* half a minute later: nobody looks any more */
    assert_int_equal(look(&t, 132 * SECOND).run_count, 0);
    top_fini(&t);
}

static void test_rates_are_those_of_the_last_window(void **state)
{
    struct top t;
    struct top_list l;

    (void)state;
    top_init(&t);
    top_watch(&t, 100 * SECOND);
    for (unsigned i = 0; i < 4; i++) {
        note(&t, 1, 7, 10, (100 + i) * SECOND);
        note(&t, 2, 7, 30, (100 + i) * SECOND);
        note(&t, 3, 8, 5, (100 + i) * SECOND);
    }
    note(&t, 3, 8, 1000, 104 * SECOND); /* of the next window */
    l = look(&t, 105 * SECOND);
    assert_int_equal(l.run_count, 3);
    assert_true(str_eq(run_id_str(&l.runs[0].run), STR("run2")) && l.runs[0].rate == 30);
    assert_true(str_eq(run_id_str(&l.runs[2].run), STR("run3")) && l.runs[2].rate == 5);
    assert_int_equal(l.runs[2].experiment, 8);
    assert_int_equal(l.experiment_count, 2);
    assert_int_equal(l.experiments[0].experiment, 7);
    assert_true(l.experiments[0].rate == 40 && l.experiments[0].excess == 0);
    top_fini(&t);
}

static void test_the_busiest_are_found_among_many(void **state)
{
    struct top t;
    struct top_list l;

    (void)state;
    top_init(&t);
    top_watch(&t, 100 * SECOND);
    for (unsigned i = 0; i < 4000;
         i++) { /* 1000 a second of 1000 runs, and one that sends as much */
        note(&t, 10 + i % 1000, 1, 1, 100 * SECOND + i * 1000);
        note(&t, 5, 2, 1, 100 * SECOND + i * 1000);
    }
    note(&t, 5, 2, 1, 104 * SECOND);
    l = look(&t, 105 * SECOND);
    assert_true(str_eq(run_id_str(&l.runs[0].run), STR("run5")));
    assert_true(l.runs[0].rate >= 1000 && l.runs[0].rate - l.runs[0].excess <= 1000);
    for (unsigned i = 1; i < l.run_count; i++) /* each truly sent one a second */
        assert_true(l.runs[i].rate >= 1 && l.runs[i].rate - l.runs[i].excess <= 1);
    assert_int_equal(l.run_count, TOP_SHOWN);
    top_fini(&t);
}

static void test_a_run_at_two_workers_is_one(void **state)
{
    struct top a, b, *both[] = {&a, &b};
    struct top_list l = {0};

    (void)state;
    top_init(&a);
    top_init(&b);
    top_watch(&a, 100 * SECOND);
    top_watch(&b, 100 * SECOND);
    note(&a, 1, 1, 20, 100 * SECOND);
    note(&b, 1, 1, 20, 100 * SECOND);
    note(&b, 2, 1, 30, 100 * SECOND);
    top_gather(both, 2, 102 * SECOND, &l);
    assert_int_equal(l.run_count, 2);
    assert_true(l.runs[0].rate == 20 && l.experiments[0].rate == 35);
    top_fini(&a);
    top_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_counted_while_nobody_looks),
        cmocka_unit_test(test_rates_are_those_of_the_last_window),
        cmocka_unit_test(test_the_busiest_are_found_among_many),
        cmocka_unit_test(test_a_run_at_two_workers_is_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
