/* s3_keys: which keys are below a path, and what S3 is asked about them. */
#include "gateway/s3/s3_keys.c"

#include "tests/unit/arena_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#undef fail /* cmocka has a macro of that name */

static void test_only_the_path_and_what_is_below_it(void **state)
{
    (void)state;
    assert_true(s3_keys_is_within(STR("foo"), STR("foo")));
    assert_true(s3_keys_is_within(STR("foo/"), STR("foo")));
    assert_true(s3_keys_is_within(STR("foo/a/b"), STR("foo")));
    assert_false(s3_keys_is_within(STR("foobar"), STR("foo")));
    assert_false(s3_keys_is_within(STR("fo"), STR("foo")));
    assert_false(s3_keys_is_within(STR("/a"), STR("")));
    assert_false(s3_keys_is_within(STR("a"), STR("")));
}

static void test_parameters_stand_in_the_order_of_their_names(void **state)
{
    struct s3_keys k = {.prefix = STR("p/"), .token = STR("t"), .is_flat = false, .most = "1"};
    struct s3_param params[S3_KEYS_PARAMS];
    struct s3_request q;

    (void)state;
    s3_keys_ask(&k, STR("bkt"), params, &q);
    assert_int_equal(q.param_count, S3_KEYS_PARAMS);
    for (size_t i = 1; i < q.param_count; i++)
        assert_true(str_cmp(params[i - 1].name, params[i].name) < 0);
    k = (struct s3_keys){.prefix = STR("p/"), .is_flat = true};
    s3_keys_ask(&k, STR("bkt"), params, &q);
    assert_int_equal(q.param_count, 2);
}

static void test_the_next_page_only_when_there_is_one(void **state)
{
    (void)state;
    assert_true(str_eq(s3_keys_next(&arena, STR("<L><IsTruncated>true</IsTruncated>"
                                                "<NextContinuationToken>x&amp;y"
                                                "</NextContinuationToken></L>")),
                       STR("x&y")));
    assert_int_equal(
        s3_keys_next(&arena, STR("<L><IsTruncated>false</IsTruncated>"
                                 "<NextContinuationToken>x</NextContinuationToken></L>"))
            .n,
        0);
}

static void test_keys_to_delete_are_escaped_and_signed(void **state)
{
    struct s3_header headers[2];
    struct s3_request q;
    struct buf objects;

    (void)state;
    buf_init(&objects);
    s3_keys_add(&objects, &arena, STR("a<&b"));
    s3_keys_delete(&arena, buf_str(&objects), STR("bkt"), headers, &q);
    assert_true(
        str_eq(q.body, STR("<Delete><Quiet>true</Quiet><Object><Key>a&lt;&amp;b</Key></Object>"
                           "</Delete>")));
    assert_true(str_eq(headers[0].name, STR("content-md5")));
    assert_int_equal(headers[0].value.n, 24);
    buf_fini(&objects);
}

static void test_a_key_that_stayed_is_a_failure(void **state)
{
    struct fail f;

    (void)state;
    fail_init(&f, &arena);
    assert_int_equal(s3_keys_deleted(&arena, 200, STR("<DeleteResult/>"), &f), OK);
    assert_int_equal(s3_keys_deleted(&arena, 200,
                                     STR("<DeleteResult><Error><Key>k</Key><Message>no</Message>"
                                         "</Error></DeleteResult>"),
                                     &f),
                     ERR_STORAGE);
    assert_true(str_eq(f.text, STR("Failed to delete artifacts: no")));
    assert_int_equal(s3_keys_deleted(&arena, 403, STR(""), &f), ERR_DENIED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_the_path_and_what_is_below_it),
        cmocka_unit_test(test_parameters_stand_in_the_order_of_their_names),
        cmocka_unit_test(test_the_next_page_only_when_there_is_one),
        cmocka_unit_test(test_keys_to_delete_are_escaped_and_signed),
        cmocka_unit_test(test_a_key_that_stayed_is_a_failure),
    };

    return cmocka_run_group_tests(tests, arena_begin, arena_end);
}
