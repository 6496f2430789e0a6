/* version_tag: the list that grows, as MLflow's json.dumps writes it. */
#include "gateway/api/version_tag.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

static void test_adding(void **state)
{
    static const struct {
        const char *before, *after; /* NULL = no tag; refused */
    } rows[] = {
        {NULL, "[{\"name\": \"m\\u00e9\", \"version\": 1}]"},
        {"", "[{\"name\": \"m\\u00e9\", \"version\": 1}]"},
        {"[]", "[{\"name\": \"m\\u00e9\", \"version\": 1}]"},
        {"[{\"name\":\"x\",\"version\":\"1\"}, 5]",
         "[{\"name\": \"x\", \"version\": \"1\"}, 5, {\"name\": \"m\\u00e9\", \"version\": 1}]"},
        /* it is there: MLflow forgets the others */
        {"[{\"name\":\"x\",\"version\":1},{\"version\":1.0,\"name\":\"m\\u00e9\"}]",
         "[{\"name\": \"m\\u00e9\", \"version\": 1}]"},
        {"[{\"version\":true,\"name\":\"m\\u00e9\"}]",
         "[{\"name\": \"m\\u00e9\", \"version\": 1}]"},
        {"[{\"name\":\"m\\u00e9\",\"version\":\"1\"}]",
         "[{\"name\": \"m\\u00e9\", \"version\": \"1\"},"
         " {\"name\": \"m\\u00e9\", \"version\": 1}]"},
        {"{}", NULL},
        {"5", NULL},
        {"[", NULL},
        {"null", NULL},
    };
    struct arena arena;
    struct str out;

    (void)state;
    arena_init(&arena, 1024);
    for (size_t i = 0; i < array_len(rows); i++) {
        err_t e = version_tag_add(&arena, str_of(rows[i].before), STR("m\xC3\xA9"), 1, &out, NULL);

        assert_int_equal(e, rows[i].after ? OK : ERR_INTERNAL);
        if (rows[i].after && !str_eq(out, str_of(rows[i].after)))
            fail_msg("%s gave %.*s", rows[i].before, STR_ARG(out));
    }
    arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_adding)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
