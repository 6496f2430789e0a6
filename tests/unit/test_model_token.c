/* model_token: tokens of stock servers are read, ours are theirs; each message was heard there. */
#include "gateway/search/model_token.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static const struct str ids[] = {STR_INIT("7")};
static const struct model_order by_name[] = {{.field = STR_INIT("name")}};
static const struct model_token plain = {.experiment_ids = ids, .ids_count = 1};
static const struct model_token filtered = {
    .experiment_ids = ids, .ids_count = 1, .filter = STR_INIT("name = 'B'")};
static const struct model_token ordered = {
    .experiment_ids = ids, .ids_count = 1, .orders = by_name, .orders_count = 1};

#define REST ", \"filter_string\": null, \"order_by\": null, \"offset\": 0}"
#define IDS  "{\"experiment_ids\": [\"7\"]"
#define IDS_DIFFER(found)                                                                    \
    "Experiment IDs in the page token do not match the requested experiment IDs. Expected: " \
    "['7']. Found: " found
#define ORDER                                                                            \
    "{'field_name': 'name', 'ascending': True, 'dataset_name': None, 'dataset_digest': " \
    "None}"

static const struct {
    const struct model_token *request;
    struct str json;
    err_t err;
    int64_t offset;
    const char *error;
} rows[] = {
    {&plain, STR_INIT(IDS REST), OK, 0, NULL},
    {&plain, STR_INIT(IDS ", \"offset\": 5}"), OK, 5, NULL},
    {&plain, STR_INIT(IDS ", \"offset\": \" 1_0\"}"), OK, 10, NULL},
    {&plain, STR_INIT(IDS ", \"offset\": 1.7}"), OK, 1, NULL},
    {&plain, STR_INIT(IDS ", \"offset\": true}"), OK, 1, NULL},
    {&plain, STR_INIT(IDS ", \"offset\": []}"), OK, 0, NULL},
    {&plain, STR_INIT(IDS ", \"offset\": 1, \"offset\": 2}"), OK, 2, NULL},
    {&plain, STR_INIT(IDS ", \"filter_string\": \"\", \"order_by\": []}"), OK, 0, NULL},
    {&plain, STR_INIT(IDS ", \"offset\": -1}"), ERR_BAD_REQUEST, 0,
     "(psycopg.errors.InvalidRowCountInResultOffsetClause) OFFSET must not be negative"},
    {&plain, STR_INIT(IDS ", \"offset\": 9223372036854775808}"), ERR_BAD_REQUEST, 0,
     "(psycopg.errors.NumericValueOutOfRange) bigint out of range"},
    {&plain, STR_INIT(IDS ", \"offset\": 1180591620717411303424}"), ERR_BAD_REQUEST, 0,
     "(psycopg.errors.NumericValueOutOfRange) bigint out of range"},
    {&plain, STR_INIT(IDS ", \"offset\": \"x\"}"), ERR_INTERNAL, 0,
     "invalid literal for int() with base 10: 'x'"},
    {&plain, STR_INIT(IDS ", \"offset\": NaN}"), ERR_INTERNAL, 0,
     "cannot convert float NaN to integer"},
    {&plain, STR_INIT(IDS ", \"offset\": [1]}"), ERR_INTERNAL, 0,
     "int() argument must be a string, a bytes-like object or a real number, not 'list'"},
    {&plain, STR_INIT("{}"), ERR_BAD_PARAM, 0, IDS_DIFFER("None")},
    {&plain, STR_INIT("{\"experiment_ids\": [7]}"), ERR_BAD_PARAM, 0, IDS_DIFFER("[7]")},
    {&plain, STR_INIT("{\"experiment_ids\": \"7\"}"), ERR_BAD_PARAM, 0, IDS_DIFFER("7")},
    {&plain, STR_INIT("{\"experiment_ids\": [\"it's\", true, 1.5, null, {\"a\": []}]}"),
     ERR_BAD_PARAM, 0, IDS_DIFFER("[\"it's\", True, 1.5, None, {'a': []}]")},
    {&filtered, STR_INIT(IDS ", \"filter_string\": \"name = 'A'\"}"), ERR_BAD_PARAM, 0,
     "Filter string in the page token does not match the requested filter string. Expected: "
     "name = 'B'. Found: name = 'A'"},
    {&filtered, STR_INIT(IDS "}"), ERR_BAD_PARAM, 0,
     "Filter string in the page token does not match the requested filter string. Expected: "
     "name = 'B'. Found: None"},
    {&ordered, STR_INIT(IDS REST), ERR_BAD_PARAM, 0,
     "Order by in the page token does not match the requested order by. Expected: [" ORDER
     "]. Found: None"},
    {&plain, STR_INIT(IDS ", \"order_by\": \"x\"}"), ERR_BAD_PARAM, 0,
     "Order by in the page token does not match the requested order by. Expected: None. Found: "
     "x"},
    {&ordered,
     STR_INIT(IDS ", \"order_by\": [{\"field_name\": \"name\", \"ascending\": true, "
                  "\"dataset_name\": null, \"dataset_digest\": null}], \"offset\": 3}"),
     OK, 3, NULL},
};

static void test_tokens_belong_to_their_search(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        int64_t offset = -1;
        struct arena a;
        struct fail f;

        arena_init(&a, 1024);
        fail_init(&f, &a);
        assert_int_equal(
            model_token_read(&a, base64_encode(&a, rows[i].json), rows[i].request, &offset, &f),
            rows[i].err);
        if (rows[i].err)
            assert_string_equal(arena_cstr(&a, f.text), rows[i].error);
        else
            assert_int_equal(offset, rows[i].offset);
        arena_fini(&a);
    }
}

static void test_what_we_make_is_jsons_dumps(void **state)
{
    static const struct model_order orders[] = {{.field = STR_INIT("metrics.acc"),
                                                 .is_descending = true,
                                                 .dataset_name = STR_INIT("ds"),
                                                 .dataset_digest = STR_INIT("\xC3\xA9")}};
    const struct model_token t = {.experiment_ids = ids,
                                  .ids_count = 1,
                                  .filter = STR_INIT("name != '\xC3\xA9'"),
                                  .orders = orders,
                                  .orders_count = 1};
    struct arena a;
    struct fail f;
    struct str text;
    int64_t offset;

    (void)state;
    arena_init(&a, 1024);
    fail_init(&f, &a);
    assert_true(base64_decode(&a, model_token_make(&a, &t, 1), &text));
    assert_true(str_eq(
        text, STR("{\"experiment_ids\": [\"7\"], \"filter_string\": \"name != '\\u00e9'\", "
                  "\"order_by\": [{\"field_name\": \"metrics.acc\", \"ascending\": false, "
                  "\"dataset_name\": \"ds\", \"dataset_digest\": \"\\u00e9\"}], \"offset\": 1}")));
    assert_int_equal(model_token_read(&a, model_token_make(&a, &t, 77), &t, &offset, &f), OK);
    assert_int_equal(offset, 77);
    arena_fini(&a);
}

static void test_texts_that_are_no_tokens(void **state)
{
    static const struct {
        struct str text;
        const char *error;
    } texts[] = {
        {STR_INIT("!!!"), "Invalid page token: !!!. Expecting value: line 1 column 1 (char 0)"},
        {STR_INIT("eyJhIjox"),
         "Invalid page token: eyJhIjox. Expecting ',' delimiter: line 1 column 7 (char 6)"},
        {STR_INIT("\xC3\xA9"),
         "Invalid page token: \xC3\xA9. Expecting value: line 1 column 1 (char 0)"},
        {STR_INIT("abc"), "Invalid page token: abc. Incorrect padding"},
        {STR_INIT("W10="), "Invalid page token: W10=. It holds no object"},
    };
    struct arena a;
    struct fail f;
    int64_t offset;

    (void)state;
    arena_init(&a, 1024);
    fail_init(&f, &a);
    for (size_t i = 0; i < array_len(texts); i++) {
        assert_int_equal(model_token_read(&a, texts[i].text, &plain, &offset, &f), ERR_BAD_PARAM);
        assert_string_equal(arena_cstr(&a, f.text), texts[i].error);
    }
    assert_int_equal(model_token_read(&a, STR(""), &plain, &offset, &f), OK);
    assert_int_equal(offset, 0);
    arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokens_belong_to_their_search),
        cmocka_unit_test(test_what_we_make_is_jsons_dumps),
        cmocka_unit_test(test_texts_that_are_no_tokens),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
