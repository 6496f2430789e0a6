/* settings_reload: settings that may change do, others keep the value that is in use. */
#include "schema/settings_reload.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void set(struct settings *s, const char *name, const char *value)
{
    assert_int_equal(settings_set(s, str_of(name), str_of(value), NULL), OK);
}

static void test_only_reload_settings_change(void **state)
{
    struct settings *old = settings_new(), *s = settings_new();
    struct buf changed, kept;

    (void)state;
    buf_init(&changed);
    buf_init(&kept);
    set(old, "listen", "127.0.0.1:7");
    set(old, "pg_uri", "postgresql://one/db");
    set(s, "pg_uri", "postgresql://two/db");
    set(s, "workers", "3");
    set(s, "serve_artifacts", "false");
    set(s, "flush_rows", "77");
    set(s, "allowed_hosts", "here");
    set(s, "truncate_long_values", "false");
    settings_follow(s, old, &changed, &kept);
    assert_true(str_eq(buf_str(&changed), STR("flush_rows,allowed_hosts,truncate_long_values")));
    assert_true(str_eq(buf_str(&kept), STR("listen,pg_uri,workers,serve_artifacts")));
    settings_free(old); /* what was kept does not depend on it */
    assert_string_equal(s->listen, "127.0.0.1:7");
    assert_string_equal(s->pg_uri, "postgresql://one/db");
    assert_int_equal(s->workers, 0);
    assert_true(s->serve_artifacts);
    assert_int_equal(s->flush_rows, 77);
    assert_string_equal(s->allowed_hosts, "here");
    assert_false(s->truncate_long_values);
    settings_free(s);
    buf_fini(&changed);
    buf_fini(&kept);
}

static void test_the_same_settings_change_nothing(void **state)
{
    struct settings *old = settings_new(), *s = settings_new();
    struct buf changed, kept;

    (void)state;
    buf_init(&changed);
    buf_init(&kept);
    settings_follow(s, old, &changed, &kept);
    assert_int_equal(buf_len(&changed) + buf_len(&kept), 0);
    settings_free(old);
    settings_free(s);
    buf_fini(&changed);
    buf_fini(&kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_reload_settings_change),
        cmocka_unit_test(test_the_same_settings_change_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
