/* auth_cache: what was put in is found, the longest unused goes, what is under way stays. */
#include "gateway/auth/auth_cache.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { MOST = 16 };

static unsigned char key[AUTH_DIGEST_BYTES];

static const unsigned char *key_of(unsigned i)
{
    memset(key, 0, sizeof(key));
    key[0] = (unsigned char)(i % 3); /* many in one bucket */
    key[20] = (unsigned char)i;
    return key;
}

static struct auth_entry *add(struct auth_cache *c, unsigned i, enum auth_verdict verdict)
{
    struct auth_entry *e = auth_cache_add(c, key_of(i), STR("name"));

    if (e) {
        e->verdict = verdict;
        e->name_hash = i % 2;
    }
    return e;
}

static void test_the_longest_unused_goes(void **state)
{
    struct auth_cache *c = auth_cache_new(MOST);

    (void)state;
    for (unsigned i = 0; i < MOST; i++)
        assert_non_null(add(c, i, AUTH_GOOD));
    assert_non_null(auth_cache_find(c, key_of(0)));
    assert_non_null(add(c, 100, AUTH_GOOD));
    assert_int_equal(auth_cache_count(c), MOST);
    assert_null(auth_cache_find(c, key_of(1)));
    assert_non_null(auth_cache_find(c, key_of(0)));
    assert_true(str_eq(auth_entry_name(auth_cache_find(c, key_of(100))), STR("name")));
    auth_cache_free(c);
}

static void test_what_is_under_way_is_not_evicted(void **state)
{
    struct auth_cache *c = auth_cache_new(MOST);
    struct auth_entry *first;

    (void)state;
    first = add(c, 0, AUTH_ASKED);
    assert_int_equal(first->verdict, AUTH_ASKED);
    for (unsigned i = 1; i < MOST; i++)
        add(c, i, AUTH_GOOD)->is_asked_again = true;
    assert_null(add(c, 100, AUTH_GOOD));
    auth_cache_find(c, key_of(5))->is_asked_again = false;
    assert_non_null(add(c, 100, AUTH_GOOD));
    assert_null(auth_cache_find(c, key_of(5)));
    assert_ptr_equal(auth_cache_find(c, key_of(0)), first);
    auth_cache_free(c);
}

static void test_a_name_is_forgotten_whatever_is_known_of_it(void **state)
{
    struct auth_cache *c = auth_cache_new(MOST);

    (void)state;
    for (unsigned i = 0; i < 8; i++)
        add(c, i, i < 4 ? AUTH_GOOD : i < 6 ? AUTH_BAD : AUTH_ASKED);
    auth_cache_forget(c, 1);
    assert_int_equal(auth_cache_count(c), 5);
    assert_null(auth_cache_find(c, key_of(1)));
    assert_null(auth_cache_find(c, key_of(5)));
    assert_true(auth_cache_find(c, key_of(7))->is_void);
    assert_false(auth_cache_find(c, key_of(6))->is_void);
    auth_cache_free(c);
}

static void test_doubt_makes_old_what_is_good_and_forgets_the_rest(void **state)
{
    struct auth_cache *c = auth_cache_new(MOST);

    (void)state;
    add(c, 1, AUTH_GOOD)->seen_us = 500;
    add(c, 2, AUTH_GOOD)->seen_us = 50;
    add(c, 3, AUTH_BAD);
    add(c, 4, AUTH_ASKED);
    auth_cache_doubt(c, 100);
    assert_int_equal(auth_cache_find(c, key_of(1))->seen_us, 100);
    assert_int_equal(auth_cache_find(c, key_of(2))->seen_us, 50);
    assert_null(auth_cache_find(c, key_of(3)));
    assert_non_null(auth_cache_find(c, key_of(4)));
    auth_cache_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_longest_unused_goes),
        cmocka_unit_test(test_what_is_under_way_is_not_evicted),
        cmocka_unit_test(test_doubt_makes_old_what_is_good_and_forgets_the_rest),
        cmocka_unit_test(test_a_name_is_forgotten_whatever_is_known_of_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
