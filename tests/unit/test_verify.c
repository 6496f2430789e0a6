/* verify: rows that are right, lost, altered, doubled; latest_metrics that is not; COPY's bytes. */
#include "loadtest/verify.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static struct ledger ledger;
static struct verdict verdict;
static struct verify verify;
static char names[7 + SYSTEM_KEYS][KEY_MAX];

static int setup(void **state)
{
    struct call c = {.run = 1, .count = 100};

    (void)state;
    memset(&verdict, 0, sizeof(verdict));
    ledger_init(&ledger, 2, 7, 100, 5, 0.2);
    ledger_take(&ledger, 1, 100);
    ledger_sent(&ledger, &c);
    verify = (struct verify){.ledger = &ledger, .verdict = &verdict, .run = 1};
    verify.best = calloc(7 + SYSTEM_KEYS, sizeof(*verify.best));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(verify.best);
    bits_fini(&verify.seen[0]);
    bits_fini(&verify.seen[1]);
    ledger_fini(&ledger);
    return 0;
}

/* The row in which PostgreSQL holds the point at index of a row of the ledger. */
static struct stored row_in(uint32_t at, uint64_t index)
{
    struct point p = ledger_point(&ledger, at, index);

    return (struct stored){{names[p.key], ledger_key(&ledger, p.key, names[p.key])},
                           point_stored(&p),
                           p.timestamp,
                           p.step,
                           p.class == POINT_NAN};
}

static struct stored row_of(uint64_t index)
{
    return row_in(1, index);
}

/* What is logged of the machine is a series of its own, with keys and books of its own. */
static void test_system_metrics_beside_the_others(void **state)
{
    struct call c = {.kind = CALL_SYSTEM_METRICS, .count = SYSTEM_KEYS};
    struct stored row;

    (void)state;
    ledger_add_system(&ledger);
    c.run = 3; /* run 1 */
    ledger_take(&ledger, 3, SYSTEM_KEYS);
    ledger_sent(&ledger, &c);
    ledger_acked(&ledger, &c);
    for (uint64_t i = 0; i < SYSTEM_KEYS - 1; i++) {
        row = row_in(3, i);
        assert_true(str_starts(row.key, STR("system/")));
        on_metric(&verify, &row);
        on_latest(&verify, &row);
    }
    assert_true(verdict_is_clean(&verdict));
    assert_int_equal(bits_count(&verify.seen[0]), 0);
    verify_lost(&verify);
    assert_int_equal(verdict.lost, 1);
    row = row_in(3, SYSTEM_KEYS); /* step 1 */
    on_metric(&verify, &row);
    assert_int_equal(verdict.invented, 1);
    row = row_in(3, 0);
    on_metric(&verify, &row);
    assert_int_equal(verdict.doubled, 1);
}

static void test_what_was_sent_is_known_again(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 100; i++) {
        struct stored row = row_of(i);

        on_metric(&verify, &row);
    }
    assert_int_equal(verdict.rows, 100);
    assert_int_equal(bits_count(&verify.seen[0]), 100);
    assert_true(verdict_is_clean(&verdict));
    assert_string_equal(verdict.first, "");
}

static void expect_invented(struct stored row)
{
    uint64_t before = verdict.invented;

    on_metric(&verify, &row);
    assert_int_equal(verdict.invented, before + 1);
}

static void test_what_was_not_sent_is_invented(void **state)
{
    struct stored row;

    (void)state;
    expect_invented(row_of(100));
    row = row_of(50);
    row.timestamp++;
    expect_invented(row);
    row = row_of(50);
    row.step++;
    expect_invented(row);
    row = row_of(50);
    row.value = row.value * (1 + 1e-15) + 1e-18;
    expect_invented(row);
    row = row_of(50);
    row.is_nan = !row.is_nan;
    expect_invented(row);
    row = row_of(50);
    row.key = STR("load/m7");
    expect_invented(row);
    row.key = STR("other");
    expect_invented(row);
    row = row_of(50);
    row.step = -1;
    expect_invented(row);
    assert_non_null(strstr(verdict.first, "stored but never sent"));
}

static void test_twice_is_doubled(void **state)
{
    struct stored row = row_of(3);

    (void)state;
    on_metric(&verify, &row);
    on_metric(&verify, &row);
    assert_int_equal(verdict.doubled, 1);
    assert_false(verdict_is_clean(&verdict));
}

static void test_latest(void **state)
{
    struct stored row;

    (void)state;
    for (uint64_t i = 0; i < 100; i++) {
        row = row_of(i);
        on_metric(&verify, &row);
    }
    row = row_of(98); /* 98 = 14 * 7: the greatest step of key 0 */
    on_latest(&verify, &row);
    assert_int_equal(verdict.latest_wrong, 0);
    on_latest(&verify, &row); /* a second row of the key */
    assert_int_equal(verdict.latest_wrong, 1);
    row = row_of(92); /* key 1 has 99 */
    on_latest(&verify, &row);
    assert_int_equal(verdict.latest_wrong, 2);
    row.key = STR("load/m9");
    on_latest(&verify, &row);
    assert_int_equal(verdict.latest_wrong, 3);
}

static size_t put_row(char *out, const struct stored *row, bool has_header)
{
    struct buf b;
    struct str text;
    uint64_t value;
    size_t n;

    buf_init(&b);
    if (has_header)
        buf_add(&b, "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0", 19);
    buf_add_be16(&b, 5);
    buf_add_be32(&b, (uint32_t)row->key.n);
    buf_add_str(&b, row->key);
    memcpy(&value, &row->value, 8);
    buf_add_be32(&b, 8);
    buf_add_be64(&b, value);
    buf_add_be32(&b, 8);
    buf_add_be64(&b, (uint64_t)row->timestamp);
    buf_add_be32(&b, 8);
    buf_add_be64(&b, (uint64_t)row->step);
    buf_add_be32(&b, 1);
    buf_add_byte(&b, row->is_nan ? 1 : 0);
    text = buf_str(&b);
    n = text.n;
    memcpy(out, text.p, n);
    buf_fini(&b);
    return n;
}

static void test_bytes_of_copy(void **state)
{
    struct stored row = row_of(11);
    struct stored back;
    char bytes[256];
    bool is_row;

    (void)state;
    for (int has_header = 0; has_header < 2; has_header++) {
        size_t n = put_row(bytes, &row, has_header);

        assert_true(take_row((struct str){bytes, n}, &back, &is_row));
        assert_true(is_row);
        assert_true(str_eq(back.key, row.key));
        assert_true(is_same(back.value, row.value));
        assert_true(back.step == row.step && back.timestamp == row.timestamp);
        assert_int_equal(back.is_nan, row.is_nan);
        for (size_t cut = has_header ? 22 : 3; cut < n; cut++)
            assert_false(take_row((struct str){bytes, cut}, &back, &is_row));
    }
    assert_true(take_row((struct str){"\377\377", 2}, &back, &is_row)); /* the trailer */
    assert_false(is_row);
}

static void test_answers_of_the_api(void **state)
{
    char text[8192] = "[";
    yyjson_doc *doc;
    yyjson_val *list;

    (void)state;
    for (uint64_t i = 0; i < 100; i++) {
        struct stored row = row_of(i);

        on_metric(&verify, &row);
        if (i % 7 == 2) {
            size_t n = strlen(text);

            snprintf(
                text + n, sizeof(text) - n,
                "%s{\"key\": \"load/m2\", \"value\": %s%.17g%s, \"timestamp\": %lld, \"step\": "
                "%lld}",
                i > 2 ? "," : "", row.is_nan ? "\"NaN\", \"x\": " : "", row.value, "",
                (long long)row.timestamp, (long long)row.step);
        }
    }
    strcat(text, "]");
    doc = yyjson_read(text, strlen(text), 0);
    list = yyjson_doc_get_root(doc);
    assert_non_null(doc);
    assert_int_equal(yyjson_arr_size(list), 14);
    assert_int_equal(api_history(&verify, list, 2), 0);
    assert_int_equal(api_history(&verify, list, 3), 28); /* none of these, and none of its own */
    assert_int_equal(api_latest(&verify, list), 13); /* one is the latest, six keys are absent: */
    yyjson_doc_free(doc);                            /* but there are more rows than keys */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_system_metrics_beside_the_others, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_was_sent_is_known_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_was_not_sent_is_invented, setup, teardown),
        cmocka_unit_test_setup_teardown(test_twice_is_doubled, setup, teardown),
        cmocka_unit_test_setup_teardown(test_latest, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bytes_of_copy, setup, teardown),
        cmocka_unit_test_setup_teardown(test_answers_of_the_api, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
