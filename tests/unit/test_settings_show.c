/* settings_show: what is dumped reads back, help and page name every setting. */
#include "schema/settings_show.c"

#include "schema/errors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#undef fail /* cmocka has a macro of that name */

static bool has(const struct buf *b, const char *text)
{
    struct str s = buf_str(b);

    for (; s.n; s = str_skip(s, 1)) {
        if (str_starts(s, str_of(text)))
            return true;
    }
    return false;
}

static void test_dump_reads_back_as_the_same_settings(void **state)
{
    struct settings *s = settings_new();
    struct settings *again = settings_new();
    struct buf out;
    struct buf second;

    (void)state;
    buf_init(&out);
    buf_init(&second);
    assert_int_equal(settings_set(s, STR("ring_bytes"), STR("1537KiB"), NULL), OK);
    assert_int_equal(settings_set(s, STR("flush_interval"), STR("1500us"), NULL), OK);
    assert_int_equal(settings_set(s, STR("serve_artifacts"), STR("off"), NULL), OK);
    assert_int_equal(settings_set(s, STR("allowed_hosts"), STR("a, b"), NULL), OK);
    settings_dump(s, &out);
    for (struct str text = buf_str(&out); text.n;) {
        struct str line = str_cut(&text, '\n');
        struct str name = str_trim(str_cut(&line, '='));

        assert_int_equal(settings_set(again, name, str_trim(line), NULL), OK);
    }
    settings_dump(again, &second);
    assert_true(str_eq(buf_str(&out), buf_str(&second)));
    assert_true(has(&out, "\nring_bytes = 1537KiB\n"));
    assert_true(has(&out, "\npg_uri =\n"));
    buf_fini(&out);
    buf_fini(&second);
    settings_free(s);
    settings_free(again);
}

static void test_dump_hides_secrets(void **state)
{
    struct settings *s = settings_new();
    struct buf out;

    (void)state;
    buf_init(&out);
    assert_int_equal(settings_set(s, STR("pg_uri"), STR("postgresql://u:hunter2@h/d"), NULL), OK);
    settings_dump(s, &out);
    assert_true(has(&out, "\npg_uri = ***\n"));
    assert_false(has(&out, "hunter2"));
    buf_fini(&out);
    settings_free(s);
}

static void test_help_is_wrapped_and_complete(void **state)
{
    struct buf out;

    (void)state;
    buf_init(&out);
    settings_help(&out);
    for (struct str text = buf_str(&out); text.n;)
        assert_true(str_cut(&text, '\n').n <= HELP_COLUMNS);
    assert_true(has(&out, "  --ring-bytes SIZE\n"
                          "      Memory for the newest part of the journal; rounded up to a power "
                          "of two.\n"
                          "      Default: 32MiB; from 1MiB to 16GiB.\n"));
    assert_true(has(&out, "  --serve-artifacts, --no-serve-artifacts\n"));
    assert_true(has(&out, "  --pg-uri TEXT, --pg-uri-file PATH\n"));
    assert_true(has(&out, "  --config FILE\n"));
    assert_true(has(&out, "  --log-level TEXT\n"
                          "      Least level that is logged. Default: info; one of error, warn, "
                          "info,\n      debug.\n"));
    buf_fini(&out);
}

static void test_page_has_a_row_for_each_setting(void **state)
{
    struct buf out;

    (void)state;
    buf_init(&out);
    settings_doc(&out);
    for (int i = 0; i < SETTING_COUNT; i++) {
        char head[SETTING_NAME_MAX + 8];

        snprintf(head, sizeof(head), "\n| `%s` | ", setting_rows[i].name);
        assert_true(has(&out, head));
    }
    assert_true(has(&out, "| `ring_bytes` | size | `32MiB` | from 1MiB to 16GiB | restart | "));
    assert_true(has(&out, "| `MLFLOW_BACKEND_STORE_URI` | `pg_uri` |"));
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dump_reads_back_as_the_same_settings),
        cmocka_unit_test(test_dump_hides_secrets),
        cmocka_unit_test(test_help_is_wrapped_and_complete),
        cmocka_unit_test(test_page_has_a_row_for_each_setting),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
