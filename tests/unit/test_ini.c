/* ini: the values that Python's configparser finds, and its errors. */
#include "gateway/auth/ini.c"

#include "tests/unit/arena_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static err_t get(const char *text, const char *section, const char *name, struct str *out)
{
    struct ini ini;
    err_t e;

    fail_init(&why, &arena);
    if ((e = ini_read(&ini, str_of(text), &arena, &why)))
        return e;
    return ini_get(&ini, str_of(section), str_of(name), out, &why);
}

static const struct {
    const char *text;
    const char *value; /* of [mlflow] key; NULL = there is none */
} rows[] = {
    {"[mlflow]\nkey = value\n", "value"},
    {"[mlflow]\nKEY:value", "value"},
    {"[mlflow]\nkey=a = b : c\n", "a = b : c"},
    {"[mlflow]\r\nkey = value \r\n", "value"},
    {"[mlflow]\nkey =\n", ""},
    {"[mlflow]\nkey = one\n  two\n\tthree\nother = x\n", "one\ntwo\nthree"},
    {"[mlflow]\nkey = one\n\n  two\n", "one\n\ntwo"},
    {"[mlflow]\nkey = one\n\n\nother = 1\n", "one"},
    {"[mlflow]\nkey = a # b ; c\n", "a # b ; c"},
    {"# c\n; c\n[mlflow]\n  # c\nkey = v\n", "v"},
    {"[mlflow]\nkey = p%%40%%25\n", "p%40%25"},
    {"[mlflow]\nhost = h\nkey = x%(host)sy%(HOST)s\n", "xhyh"},
    {"[DEFAULT]\nkey = d\n[mlflow]\n", "d"},
    {"[DEFAULT]\nkey = d\n[mlflow]\nkey = own\n", "own"},
    {"[other]\nkey = o\n[mlflow]\n", NULL},
    {"[mlflow]\n[other]\nkey = o\n", NULL},
    {"  [mlflow]\n  key = v\n  more = w\n", "v"},
};

static void test_values(void **state)
{
    struct str value;

    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        assert_int_equal(get(rows[i].text, "mlflow", "key", &value), OK);
        assert_int_equal(value.p != NULL, rows[i].value != NULL);
        if (rows[i].value)
            assert_true(str_eq(value, str_of(rows[i].value)));
    }
}

static void test_errors(void **state)
{
    static const char *const bad[] = {
        "key = value\n",
        "[mlflow]\nkey\n",
        "[mlflow]\n= value\n",
        "[mlflow]\nkey = 1\nkey = 2\n",
        "[mlflow]\nkey = 1\nKEY = 2\n",
        "[mlflow]\n[mlflow]\n",
        "[mlflow\n",
        "[]\n",
        "[mlflow]\nkey = 100%\n",
        "[mlflow]\nkey = %(gone)s\n",
        "[mlflow]\nkey = %(key)s\n",
        "[mlflow]\nkey = %(key\n",
        "\xef\xbb\xbf[mlflow]\nkey = 1\n",
    };
    struct str value;

    (void)state;
    for (size_t i = 0; i < array_len(bad); i++)
        assert_int_equal(get(bad[i], "mlflow", "key", &value), ERR_SETTING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_errors),
    };

    return cmocka_run_group_tests(tests, arena_begin, arena_end);
}
