/* order: MLflow 3.17.2's verdict on order_by; each row was tried on it. */
#include "gateway/search/order.c"

#include "tests/unit/verdict.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#define PARSED(item) "Invalid order_by clause '" item "'. Could not be parsed."

static const struct verdict rows[] = {
    YES(RUNS, "metrics.acc", "1 acc"),
    YES(RUNS, "metrics.acc DESC|params.lr asc", "1 acc desc|2 lr"),
    YES(RUNS, "status|start_time ASC", "0 status|0 start_time"),
    YES(RUNS, "Created  desc", "0 start_time desc"),
    YES(RUNS, "params.`p q`|tags.`p q` desc", "2 p q|3 p q desc"),
    YES(RUNS, "`run_id` desc", "0 run_id desc"),
    NO(RUNS, "created|start_time",
       "`order_by` contains duplicate fields: ['created', 'start_time']"),
    NO(RUNS, "metrics.acc DESC NULLS LAST", PARSED("metrics.acc DESC NULLS LAST")),
    NO(RUNS, " start_time", PARSED(" start_time")),
    NO(RUNS, "|a", PARSED("")),
    NO(RUNS, "status,run_id", PARSED("status,run_id")),
    NO(RUNS, "status asc asc", PARSED("status asc asc")),
    NO(RUNS, "status;", PARSED("status;")),
    NO(RUNS, "1 desc",
       "Invalid attribute key '1' specified. Valid keys are '{'artifact_uri', "
       "'end_time', 'run_id', 'run_name', 'start_time', 'status', 'user_id', "
       "'created', 'Created'}'"),
    NO(RUNS, "metrics.a b", "Invalid ordering key in order_by clause 'metrics.a b'."),
    NO(RUNS,
       "status de\xC5\xBF"
       "c",
       "Invalid ordering key in order_by clause 'status de\xC5\xBF"
       "c'."),
    NO(RUNS, "dataset.name", "Invalid identifier type 'dataset'"),
    NO(RUNS, "dataset.x",
       "Invalid dataset key 'x' specified. Valid keys are '{'name', 'digest', 'context'}'"),
    NO(RUNS, "foo.bar",
       "Invalid entity type 'foo'. Valid values are ['metric', 'parameter', "
       "'tag', 'attribute', 'dataset']"),
    NO(RUNS, "params.`a\"b`", "No closing quotation"),
    YES(EXPERIMENTS, "name|attribute.creation_time desc|name",
        "0 name|0 creation_time desc|0 name"),
    NO(EXPERIMENTS, "tags.a", "Invalid order_by entity: tag"),
    NO(EXPERIMENTS, "metrics.a",
       "Invalid entity type 'metrics'. Valid entity types are ('attribute', 'tag', 'tags')"),
    YES(MODELS, "timestamp  DESC|name", "0 last_updated_timestamp desc|0 name"),
    YES(MODELS, "timestamp|`name` desc", "0 last_updated_timestamp|0 name desc"),
    NO(MODELS, "timestamp|last_updated_timestamp",
       "`order_by` contains duplicate fields: ['timestamp', 'last_updated_timestamp']"),
    NO(MODELS, "creation_timestamp",
       "Invalid order by key 'creation_timestamp' specified. Valid "
       "keys are '{'name', 'timestamp'}'"),
    YES(VERSIONS, "version_number|tags.name desc", "0 version_number|0 name desc"),
    NO(VERSIONS, "tag.x",
       "Invalid order by key 'x' specified. Valid keys are {'name', "
       "'version_number', 'creation_timestamp', 'last_updated_timestamp'}"),
    NO(VERSIONS, "name|attribute.name",
       "`order_by` contains duplicate fields: ['name', 'attribute.name']"),
};

static void test_verdicts_are_mlflows(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        struct str rest = str_of(rows[i].text);
        struct str items[4];
        struct order *orders;
        struct arena a;
        struct fail f;
        size_t n = 0, count, len = 0;
        char got[256] = "";
        err_t e;

        arena_init(&a, 4096);
        fail_init(&f, &a);
        do
            items[n++] = str_cut(&rest, '|');
        while (rest.n);
        e = order_parse(&a, rows[i].dialect, items, n, &orders, &count, &f);
        for (size_t k = 0; e == OK && k < count; k++)
            len += (size_t)snprintf(got + len, sizeof(got) - len, "%s%d %.*s%s", k ? "|" : "",
                                    (int)orders[k].entity, STR_ARG(orders[k].key),
                                    orders[k].is_descending ? " desc" : "");
        assert_int_equal(e == OK, rows[i].error == NULL);
        if (e == OK)
            assert_string_equal(got, rows[i].parsed);
        else
            assert_string_equal(SAY_TEXT(&a, f.text).p, rows[i].error);
        arena_fini(&a);
    }
}

static void test_keys_are_bounded(void **state)
{
    struct str items[ORDER_MAX + 1];
    struct order *orders;
    struct arena a;
    struct fail f;
    size_t count;

    (void)state;
    arena_init(&a, 4096);
    fail_init(&f, &a);
    for (size_t i = 0; i < array_len(items); i++)
        items[i] = arena_printf(&a, "metrics.m%zu", i);
    assert_int_equal(order_parse(&a, FILTER_RUNS, items, ORDER_MAX, &orders, &count, &f), OK);
    assert_int_equal(count, ORDER_MAX);
    assert_int_equal(order_parse(&a, FILTER_RUNS, items, ORDER_MAX + 1, &orders, &count, &f),
                     ERR_INTERNAL);
    assert_int_equal(order_parse(&a, FILTER_RUNS, items, 0, &orders, &count, &f), OK);
    assert_int_equal(count, 0);
    arena_fini(&a);
}

static void test_words_are_shlexs(void **state)
{
    static const struct {
        const char *text;
        size_t count;
        const char *first, *error;
    } words[] = {
        {"a b", 2, "a", NULL},
        {"'a b' c", 2, "a b", NULL},
        {"\"a\\\"b\" c", 2, "a\"b", NULL},
        {"\"a\\nb\"", 1, "a\\nb", NULL},
        {"a\\ b", 1, "a b", NULL},
        {"`a b`", 1, "a b", NULL},
        {"''", 1, "", NULL},
        {" \t\r\n", 0, NULL, NULL},
        {"a b c", 3, "a", NULL},
        {"'a", 0, NULL, "No closing quotation"},
        {"a\\", 0, NULL, "No escaped character"},
        {"'a\\'b", 1, "a\\b", NULL},
    };

    (void)state;
    for (size_t i = 0; i < array_len(words); i++) {
        struct str got[2];
        const char *error;
        struct arena a;
        size_t count;

        arena_init(&a, 4096);
        error = order_words(&a, str_of(words[i].text), got, &count);
        assert_int_equal(error != NULL, words[i].error != NULL);
        if (error) {
            assert_string_equal(error, words[i].error);
        } else {
            assert_int_equal(count, words[i].count);
            if (count)
                assert_true(str_eq(got[0], str_of(words[i].first)));
        }
        arena_fini(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verdicts_are_mlflows),
        cmocka_unit_test(test_keys_are_bounded),
        cmocka_unit_test(test_words_are_shlexs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
