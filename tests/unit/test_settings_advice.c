/* settings_advice: each odd pair is said, and a good set is not talked about. */
#include "schema/settings_advice.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

/* "name=value name=value" on top of the defaults; the advice. */
static const char *advice_on(const char *text)
{
    static char said[4096];
    struct settings *s = settings_new();
    struct str rest = str_of(text);
    struct buf out;

    buf_init(&out);
    while (rest.n) {
        struct str value = str_cut(&rest, ' ');
        struct str name = str_cut(&value, '=');

        assert_int_equal(settings_set(s, name, value, NULL), OK);
    }
    assert_int_equal(settings_check(s, NULL), OK); /* odd, not wrong */
    settings_advise(s, " | ", &out);
    str_to_cstr(buf_str(&out), said, sizeof(said));
    buf_fini(&out);
    settings_free(s);
    return said;
}

static void test_defaults_fit_each_other(void **state)
{
    (void)state;
    assert_string_equal(advice_on(""), "");
}

static void test_each_rule_applies_where_it_should(void **state)
{
    static const struct {
        const char *settings;
        const char *says;
    } rows[] = {
        {"ring_bytes=16GiB", "ring_bytes is above journal_max_bytes"},
        {"max_body_bytes=1GiB body_memory_bytes=1MiB", "above body_memory_bytes"},
        {"max_body_bytes=64MiB", "above ring_bytes"},
        {"journal_segment_bytes=1GiB journal_max_bytes=3GiB", "a quarter of journal_max_bytes"},
        {"flushers=0", "flushers = 0"},
        {"listen=none", "listen = none"},
        {"admin_listen=none", "admin_listen = none"},
        {"flush_interval=20s", "flush_interval is above sql_timeout"},
        {"drain_timeout=0s", "drain_timeout is below flush_interval"},
        {"drain_timeout=5s", "drain_timeout is below sql_timeout"},
        {"read_wait=0s", "read_wait = 0"},
        {"max_head_bytes=4KiB", "max_head_bytes is below 8KiB"},
        {"deadletter_max_bytes=9GiB", "deadletter_max_bytes is above"},
        {"artifacts_destination=gs://b/c", "artifacts_destination is neither a directory nor S3"},
    };

    (void)state;
    assert_int_equal(array_len(rows), array_len(rules));
    for (size_t i = 0; i < array_len(rows); i++) {
        if (!strstr(advice_on(rows[i].settings), rows[i].says))
            fail_msg("%s: %s", rows[i].settings, advice_on(rows[i].settings));
    }
    assert_non_null(strstr(advice_on("flushers=0 read_wait=0s"), " | "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults_fit_each_other),
        cmocka_unit_test(test_each_rule_applies_where_it_should),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
