/* model_search: the statement, and MLflow 3.17.2's verdict on order_by. */
#include "gateway/search/model_search.c"
#include "unscoped.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#define HEAD                                                                               \
    "SELECT m.model_id FROM logged_models m WHERE m.experiment_id = ANY ($1::int4[]) AND " \
    "m.lifecycle_stage <> 'deleted'"
#define LATEST(column)                                                                      \
    "(SELECT v.metric_value FROM logged_model_metrics v WHERE v.model_id = m.model_id AND " \
    "v.metric_name = " column " ORDER BY v.metric_timestamp_ms DESC, v.metric_step DESC, "  \
    "v.run_id LIMIT 1)"

struct fixture {
    struct arena a;
    struct fail f;
    struct model_search search;
    struct query query;
};

static int setup(void **state)
{
    struct fixture *x = calloc(1, sizeof(*x));
    static const int64_t ids[] = {3, 5};

    arena_init(&x->a, 4096);
    fail_init(&x->f, &x->a);
    x->search =
        (struct model_search){.experiment_ids = ids, .ids_count = 2, .limit = 11, .offset = 20};
    *state = x;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *x = *state;

    arena_fini(&x->a);
    free(x);
    return 0;
}

static void filter(struct fixture *x, const char *text)
{
    struct model_clause *clauses;

    assert_int_equal(
        model_filter_parse(&x->a, str_of(text), &clauses, &x->search.clauses_count, &x->f), OK);
    assert_int_equal(model_filter_check(&x->a, clauses, x->search.clauses_count, &x->f), OK);
    assert_int_equal(model_filter_fits(clauses, x->search.clauses_count, &x->f), OK);
    x->search.clauses = clauses;
}

static const char *text_of(struct fixture *x)
{
    assert_int_equal(model_search_query(&x->a, &x->search, &x->query, &x->f), OK);
    return unscoped(&x->a, x->query.text);
}

static void test_plain_search(void **state)
{
    struct fixture *x = *state;

    assert_string_equal(text_of(x), HEAD " ORDER BY m.creation_timestamp_ms DESC, m.model_id"
                                         " LIMIT $2::int8 OFFSET $3::int8");
    assert_int_equal(x->query.nvalues, 3);
    assert_string_equal(x->query.values[0].p, "{3,5}");
    assert_string_equal(x->query.values[1].p, "11");
}

static void test_clauses_are_bound(void **state)
{
    struct fixture *x = *state;

    filter(x, "name LIKE 'a%' AND metrics.acc > 0.5 AND params.p = x AND tags.t NOT IN ('u')"
              " AND status IN (1, 2) AND status_message = (None) AND creation_time != 7");
    assert_string_equal(
        text_of(x),
        HEAD " AND m.name LIKE $2::text AND EXISTS (SELECT 1 FROM logged_model_metrics v WHERE "
             "v.model_id = m.model_id AND v.metric_name = $3::text AND v.metric_value > "
             "$4::float8) AND EXISTS (SELECT 1 FROM logged_model_params v WHERE v.model_id = "
             "m.model_id AND v.param_key = $5::text AND v.param_value = $6::text) AND EXISTS "
             "(SELECT 1 FROM logged_model_tags v WHERE v.model_id = m.model_id AND v.tag_key = "
             "$7::text AND v.tag_value <> ALL ($8::text[])) AND m.status = ANY ($9::int4[]) AND "
             "m.status_message IS NULL AND m.creation_timestamp_ms <> $10::float8"
             " ORDER BY m.creation_timestamp_ms DESC, m.model_id LIMIT $11::int8"
             " OFFSET $12::int8");
}

static void test_datasets_bind_once_and_reach_metrics(void **state)
{
    static const struct str names[] = {STR_INIT("a"), STR_INIT("b")};
    static const struct str digests[] = {STR_INIT("1"), {NULL, 0}};
    struct fixture *x = *state;
    const char *text, *first;

    x->search.dataset_names = names;
    x->search.dataset_digests = digests;
    x->search.datasets_count = 2;
    text = text_of(x);
    assert_true(strncmp(text,
                        "WITH sets AS (SELECT name, digest FROM unnest($1::text[], "
                        "$2::text[]) AS t(name, digest)) SELECT m.model_id",
                        80) == 0);
    assert_string_equal(x->query.values[1].p, "{\"1\",NULL}");
    assert_non_null(strstr(text, "EXISTS (SELECT 1 FROM logged_model_metrics v WHERE v.model_id"
                                 " = m.model_id AND EXISTS (SELECT 1 FROM sets"));
    filter(x, "metrics.acc > 0.5 AND metrics.loss < 1 AND params.p = x");
    text = text_of(x);
    first = strstr(text, "FROM sets");
    assert_non_null(first);
    assert_non_null(strstr(first + 1, "FROM sets"));
    assert_null(strstr(strstr(first + 1, "FROM sets") + 1, "FROM sets"));
}

static void test_order_names_its_ties(void **state)
{
    static const struct model_order orders[] = {
        {.field = STR_INIT("metrics.acc"), .is_descending = true},
        {.field = STR_INIT("creation_time")},
        {.field = STR_INIT("model_id"), .is_descending = true},
    };
    static const struct model_order on_dataset[] = {
        {.field = STR_INIT("metrics.a.b"),
         .dataset_name = STR_INIT("ds"),
         .dataset_digest = STR_INIT("d1")},
    };
    struct fixture *x = *state;

    x->search.orders = orders;
    x->search.orders_count = 3;
    assert_string_equal(
        text_of(x),
        HEAD " ORDER BY " LATEST("$2::text") " DESC NULLS LAST, m.creation_timestamp_ms NULLS LAST,"
                                             " m.model_id DESC NULLS LAST LIMIT $3::int8"
                                             " OFFSET $4::int8");
    x->search.orders = on_dataset;
    x->search.orders_count = 1;
    assert_non_null(strstr(text_of(x), "v.metric_name = $2::text AND v.dataset_name = $3::text "
                                       "AND v.dataset_digest = $4::text ORDER BY"));
    assert_string_equal(x->query.values[1].p, "a.b");
}

static void test_order_is_refused_in_mlflows_words(void **state)
{
    static const struct {
        struct str field;
        err_t err;
        const char *error;
    } rows[] = {
        {STR_INIT("metrics."), OK, NULL},
        {STR_INIT("creation_timestamp"), OK, NULL},
        {STR_INIT("status_message"), OK, NULL},
        {STR_INIT(""), ERR_NO_ATTRIBUTE, "Invalid order by field name: "},
        {STR_INIT("Name"), ERR_NO_ATTRIBUTE, "Invalid order by field name: Name"},
        {STR_INIT("`name`"), ERR_NO_ATTRIBUTE, "Invalid order by field name: `name`"},
        {STR_INIT("params.lr"), ERR_BAD_PARAM,
         "Invalid order by field name: params.lr. Only metrics are supported."},
        {STR_INIT(".x"), ERR_BAD_PARAM,
         "Invalid order by field name: .x. Only metrics are supported."},
        {STR_INIT("attributes.name"), ERR_BAD_PARAM,
         "Invalid order by field name: attributes.name. Only metrics are supported."},
    };
    struct fixture *x = *state;

    for (size_t i = 0; i < array_len(rows); i++) {
        struct model_order order = {.field = rows[i].field};

        assert_int_equal(model_search_check_order(&x->a, &order, 1, &x->f), rows[i].err);
        if (rows[i].err)
            assert_string_equal(arena_cstr(&x->a, x->f.text), rows[i].error);
    }
}

static void test_many_clauses_stay_out_of_the_joins(void **state)
{
    struct fixture *x = *state;
    const char *text;
    size_t guarded = 0;

    filter(x, "metrics.a > 1 AND metrics.a > 1 AND metrics.a > 1 AND metrics.a > 1 AND "
              "metrics.a > 1 AND metrics.a > 1 AND metrics.a > 1 AND metrics.a > 1");
    text = text_of(x);
    while ((text = strstr(text, "OFFSET 0)")) != NULL) {
        guarded++;
        text++;
    }
    assert_int_equal(guarded, 2);
}

static void test_a_nul_is_refused(void **state)
{
    struct fixture *x = *state;
    struct model_clause *clauses;

    assert_int_equal(
        model_filter_parse(&x->a, STR("name = 'a\0b'"), &clauses, &x->search.clauses_count, &x->f),
        OK);
    x->search.clauses = clauses;
    assert_int_equal(model_search_query(&x->a, &x->search, &x->query, &x->f), ERR_BAD_REQUEST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_plain_search, setup, teardown),
        cmocka_unit_test_setup_teardown(test_clauses_are_bound, setup, teardown),
        cmocka_unit_test_setup_teardown(test_datasets_bind_once_and_reach_metrics, setup, teardown),
        cmocka_unit_test_setup_teardown(test_order_names_its_ties, setup, teardown),
        cmocka_unit_test_setup_teardown(test_order_is_refused_in_mlflows_words, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_clauses_stay_out_of_the_joins, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_nul_is_refused, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
