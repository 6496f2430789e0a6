/*
 * Tests of gateway/auth/csrf.c: which forms are taken, and the words for the others.
 */
#include "gateway/auth/csrf.c"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#define SECRET STR("a secret")
#define NOW    1700000000u

static struct arena a;

static struct csrf made(const char *cookies, uint64_t now_s)
{
    struct csrf c;

    assert_true(csrf_make(&a, SECRET, str_of(cookies), now_s, &c));
    return c;
}

static struct str cookie_of(const struct csrf *c)
{
    return arena_printf(&a, "other=1; session=%.*s", STR_ARG(c->session));
}

static void test_the_page_s_own_form_is_taken(void **state)
{
    struct csrf c = made("", NOW), again;

    (void)state;
    assert_null(csrf_refusal(SECRET, cookie_of(&c), c.token, NOW));
    assert_null(csrf_refusal(SECRET, cookie_of(&c), c.token, NOW + 3600));
    /* A second page of the same browser keeps its session: the first page's form is still good. */
    again = made(arena_cstr(&a, cookie_of(&c)), NOW + 5);
    assert_true(str_eq(again.session, c.session));
    assert_null(csrf_refusal(SECRET, cookie_of(&again), c.token, NOW + 5));
    assert_false(str_eq(made("session=foreign", NOW).session, STR("foreign")));
}

static void test_others_are_refused(void **state)
{
    struct csrf c = made("", NOW), other = made("", NOW);
    struct str cookies = cookie_of(&c);
    char *bent = arena_cstr(&a, c.token);

    (void)state;
    assert_string_equal(csrf_refusal(SECRET, cookies, STR(""), NOW), "The CSRF token is missing.");
    assert_string_equal(csrf_refusal(SECRET, STR(""), c.token, NOW),
                        "The CSRF session token is missing.");
    assert_string_equal(csrf_refusal(SECRET, STR("session=x"), c.token, NOW),
                        "The CSRF session token is missing.");
    assert_string_equal(csrf_refusal(SECRET, cookies, c.token, NOW + 3601),
                        "The CSRF token has expired.");
    assert_string_equal(csrf_refusal(SECRET, cookies, other.token, NOW),
                        "The CSRF tokens do not match.");
    assert_string_equal(csrf_refusal(SECRET, cookies, c.session, NOW),
                        "The CSRF token is invalid.");
    assert_string_equal(csrf_refusal(STR("another"), cookies, c.token, NOW),
                        "The CSRF session token is missing.");
    for (size_t i = 0; i < c.token.n; i++) {
        char was = bent[i];

        bent[i] = was == '0' ? '1' : '0';
        assert_string_equal(csrf_refusal(SECRET, cookies, str_of(bent), NOW),
                            "The CSRF token is invalid.");
        bent[i] = was;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_page_s_own_form_is_taken),
        cmocka_unit_test(test_others_are_refused),
    };
    int failed;

    arena_init(&a, 4096);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_fini(&a);
    return failed;
}
