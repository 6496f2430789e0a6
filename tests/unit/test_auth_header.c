/* auth_header: credentials exactly where werkzeug 3.1 finds them. */
#include "gateway/auth/auth_header.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    const char *header;
    const char *name; /* NULL: none are found */
    const char *password;
} rows[] = {
    {"Basic YWxpY2U6c2VjcmV0", "alice", "secret"},
    {"bAsIc YWxpY2U6c2VjcmV0", "alice", "secret"},
    {"Basic  \t YWxpY2U6c2VjcmV0 \t", "alice", "secret"},
    {"Basic YTpiOmM=", "a", "b:c"},
    {"Basic YTpiOmN=", "a", "b:c"}, /* bits behind the last byte */
    {"Basic Og==", "", ""},
    {"Basic ", "", ""},
    {"Basic YWxpY2U=", "alice", ""},
    {"Basic w6k6w7w=", "\xc3\xa9", "\xc3\xbc"},
    {"", NULL, NULL},
    {"Basic", NULL, NULL},
    {"Basic\tYWxpY2U6c2VjcmV0", NULL, NULL},
    {"BasicYWxpY2U6c2VjcmV0", NULL, NULL},
    {"Bearer YWxpY2U6c2VjcmV0", NULL, NULL},
    {"Digest username=\"alice\", password=\"secret\"", NULL, NULL},
    {"Basic YWxpY2U6c2VjcmV0,Basic YWxpY2U6c2VjcmV0", NULL, NULL},
    {"Basic YWxpY2U6c2VjcmV", NULL, NULL},
    {"Basic YTpiOmM", NULL, NULL},
    {"Basic YTpiOmM==", NULL, NULL},
    {"Basic ====", NULL, NULL},
    {"Basic Q===", NULL, NULL},
    {"Basic QQ==QQ==", NULL, NULL},
    {"Basic QQ=Q", NULL, NULL},
    {"Basic YWxp Y2U6", NULL, NULL},
    {"Basic YWxp-Y2U_", NULL, NULL},
    {"Basic \xc3\xa9\xc3\xa9", NULL, NULL},
    {"Basic //46eA==", NULL, NULL}, /* ff fe: no UTF-8 */
    {"Basic 7aCAOng=", NULL, NULL}, /* a lone surrogate */
};

static void test_headers(void **state)
{
    static struct auth_credentials c;

    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        bool is_read = auth_header_read(str_of(rows[i].header), &c);

        assert_int_equal(is_read, rows[i].name != NULL);
        if (!is_read)
            continue;
        assert_true(str_eq(c.name, str_of(rows[i].name)));
        assert_true(str_eq(c.password, str_of(rows[i].password)));
    }
}

static void test_a_nul_is_a_character(void **state)
{
    static struct auth_credentials c;

    (void)state;
    assert_true(auth_header_read(STR("Basic YQBiOmMAZA=="), &c));
    assert_int_equal(c.name.n, 3);
    assert_int_equal(c.password.n, 3);
}

static void test_the_longest_header_fits_and_a_longer_one_has_none(void **state)
{
    static struct auth_credentials c;
    static char header[AUTH_HEADER_MAX + 5];
    size_t n = 6 + (AUTH_HEADER_MAX - 6) / 4 * 4;

    (void)state;
    memset(header, 'Q', sizeof(header));
    memcpy(header, "Basic ", 6);
    assert_true(auth_header_read((struct str){header, n}, &c));
    assert_int_equal(c.name.n, (n - 6) / 4 * 3);
    assert_false(auth_header_read((struct str){header, n + 4}, &c));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_a_nul_is_a_character),
        cmocka_unit_test(test_the_longest_header_fits_and_a_longer_one_has_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
