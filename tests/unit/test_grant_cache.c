/*
 * Tests of gateway/auth/grant_cache.c: what is trusted, what a change takes away, what is bounded.
 */
#include "gateway/auth/grant_cache.c"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static struct grants *some(const char *level)
{
    return grants_new(&(struct grant_row){STR("experiment"), STR("7"), str_of(level)}, 1);
}

/* As a worker does: asked at a time, put, and its own hold given back. */
static void learn(struct grant_cache *c, int64_t user, uint64_t asked_us, const char *level)
{
    struct grant_stamp stamp = grant_stamp_now(user, asked_us);
    struct grants *g = some(level);

    grant_cache_put(c, user, 0, &stamp, g);
    grants_put(g);
}

static void test_trust_ends(void **state)
{
    struct grant_cache *c = grant_cache_new(1 << 20);

    (void)state;
    assert_null(grant_cache_recall(c, 1, 0, 100, 1000));
    learn(c, 1, 100, "READ");
    assert_non_null(grant_cache_recall(c, 1, 0, 100, 50));
    assert_non_null(grant_cache_recall(c, 1, 0, 149, 50));
    assert_null(grant_cache_recall(c, 1, 0, 150, 50));
    assert_null(grant_cache_recall(c, 1, 0, 100, 0));
    assert_null(grant_cache_recall(c, 2, 0, 100, 50));
    assert_null(grant_cache_recall(c, 1, 9, 100, 50)); /* in another workspace */
    assert_null(grant_cache_again(c, 2, 0));
    grant_cache_again(c, 1, 0)->is_under_way = true;
    learn(c, 1, 99, "READ"); /* came later, asked before: changes nothing */
    assert_true(grant_cache_again(c, 1, 0)->is_under_way);
    learn(c, 1, 200, "READ");
    assert_int_equal(grant_cache_again(c, 1, 0)->seen_us, 200);
    assert_false(grant_cache_again(c, 1, 0)->is_under_way);
    grant_cache_free(c);
}

/* Nobody knows whose changed: all are asked for anew, and count meanwhile. */
static void test_doubt(void **state)
{
    struct grant_cache *c = grant_cache_new(1 << 20);

    (void)state;
    learn(c, 1, 1000, "READ");
    learn(c, 2, 400, "READ");
    grant_cache_doubt(c, 1100, 500);
    assert_int_equal(grant_cache_again(c, 1, 0)->seen_us, 500);
    assert_int_equal(grant_cache_again(c, 2, 0)->seen_us, 400);
    assert_non_null(grant_cache_recall(c, 1, 0, 1100, 1000));
    learn(c, 3, 1100, "READ"); /* was asked for before the doubt and comes now */
    assert_int_equal(grant_cache_again(c, 3, 0)->seen_us, 500);
    learn(c, 1, 1101, "READ");
    assert_int_equal(grant_cache_again(c, 1, 0)->seen_us, 1101);
    grant_cache_free(c);
}

static void test_changes(void **state)
{
    struct grant_cache *c = grant_cache_new(1 << 20);
    struct grant_stamp before;
    struct grants *g;

    (void)state;
    learn(c, 1, 100, "READ");
    learn(c, 2, 100, "READ");
    grants_changed(1);
    assert_null(grant_cache_recall(c, 1, 0, 101, 1000));
    assert_non_null(grant_cache_recall(c, 2, 0, 101, 1000));
    grants_changed_all();
    assert_null(grant_cache_recall(c, 2, 0, 101, 1000));
    /* a change while the question is on its way: the answer may be of before */
    before = grant_stamp_now(2, 200);
    grants_changed(2);
    g = some("EDIT");
    grant_cache_put(c, 2, 0, &before, g);
    grants_put(g);
    assert_null(grant_cache_recall(c, 2, 0, 201, 1000));
    learn(c, 2, 300, "DENY");
    g = grant_cache_recall(c, 2, 0, 301, 1000);
    assert_int_equal(grants_at(g, GRANT_EXPERIMENT, STR("7")), LEVEL_DENY);
    grant_cache_free(c);
}

static void test_older_answers_do_not_count(void **state)
{
    struct grant_cache *c = grant_cache_new(1 << 20);

    (void)state;
    learn(c, 1, 200, "EDIT");
    learn(c, 1, 100, "READ");
    assert_int_equal(grants_at(grant_cache_recall(c, 1, 0, 201, 1000), GRANT_EXPERIMENT, STR("7")),
                     LEVEL_EDIT);
    grant_cache_free(c);
}

static void test_memory_is_bounded(void **state)
{
    struct grants *one = some("READ"), *kept;
    size_t bytes = grants_bytes(one);
    struct grant_cache *c = grant_cache_new(10 * bytes);

    (void)state;
    grants_put(one);
    for (int64_t user = 1; user <= 100; user++) {
        learn(c, user, 100, "READ");
        (void)grant_cache_recall(c, 1, 0, 100, 1000); /* who calls stays */
        assert_true(grant_cache_count(c) <= 10);
    }
    kept = grants_take(grant_cache_recall(c, 1, 0, 100, 1000));
    assert_non_null(kept);
    assert_null(grant_cache_recall(c, 50, 0, 100, 1000));
    grant_cache_free(c);
    assert_int_equal(grants_at(kept, GRANT_EXPERIMENT, STR("7")), LEVEL_READ);
    grants_put(kept);
    c = grant_cache_new(1); /* less than anybody's */
    learn(c, 1, 100, "READ");
    learn(c, 2, 100, "READ");
    assert_int_equal(grant_cache_count(c), 1);
    grant_cache_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trust_ends),        cmocka_unit_test(test_doubt),
        cmocka_unit_test(test_changes),           cmocka_unit_test(test_older_answers_do_not_count),
        cmocka_unit_test(test_memory_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
