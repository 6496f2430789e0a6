/* auth_hash: what werkzeug wrote is read, and what is read wrong matches nothing. */
#include "gateway/auth/auth_hash.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Of werkzeug 3.1: generate_password_hash. */
#define ALICE                                                                              \
    "scrypt:32768:8:1$OXsp2lDU7UxZwpi5$"                                                   \
    "2aaf3bcaaa7351d1e75ed71800ae4c5460becb4b563565208b45e66ab09ee0a6d97cd59aa22545599184" \
    "e89e190d9c02768bab0c1501cfdfd43cfe10288e2723"
#define PASSWORD "alicepass12345"

static bool matches(const char *hash, const char *password)
{
    return auth_hash_matches(str_of(hash), str_of(password));
}

static void test_the_password_of_a_hash_matches_and_no_other(void **state)
{
    (void)state;
    assert_true(matches(ALICE, PASSWORD));
    assert_false(matches(ALICE, "alicepass12346"));
    assert_false(matches(ALICE, ""));
}

static void test_pbkdf2_of_every_digest(void **state)
{
    static const char *const hashes[] = {
        "pbkdf2:sha256:10$salt$a7c6550d6076554714927a330c15317e7629d4c20a79742ab398a6d16b025963",
        "pbkdf2:sha1:10$salt$e5105d1ed283264363f65795b926944e09a420cc",
        "pbkdf2:sha512:10$salt$531fa9435b84b52b4422920e51f0e13590079b0eabb2f7f507b2fe9300626dbf"
        "76aa498218689e933ba7ec27900f332e8e829df74803ca7357f75d72cc6c5579",
        "pbkdf2:sha224:10$salt$531bf5dbf7fcbe4695c6960c112ef8ad392713ec8efcef0d0ca39775",
        "pbkdf2:sha384:10$salt$2e15e2a3a243e60e2875ed69cc332a8f133ff89d3a9c2bf55274bcfcc5dfaea5"
        "a42bf22e7181fab7df9e1b63c35daa72"};

    (void)state;
    for (size_t i = 0; i < array_len(hashes); i++) {
        assert_true(matches(hashes[i], "pässwörd"));
        assert_false(matches(hashes[i], "passwort"));
    }
}

static void test_a_hash_of_no_known_form_matches_nothing(void **state)
{
    static const char *const bad[] = {
        "",
        "$",
        "$$",
        "plain",
        ("plain$salt$" PASSWORD),
        "md5$salt$0",
        "scrypt$salt",
        "scrypt:32768:8$salt$00",
        "scrypt:32768:8:1:2$salt$00",
        "scrypt:x:8:1$salt$00",
        "scrypt:0:8:1$salt$00",
        "scrypt:3:8:1$salt$00",
        "scrypt:-2:8:1$salt$00",
        "scrypt:18446744073709551615:8:1$salt$00",
        "scrypt:1073741824:8:1$salt$00",
        "scrypt:32768:4294967295:1$salt$00",
        "scrypt:32768:8:4294967295$salt$00",
        "pbkdf2:sha256:0$salt$00",
        "pbkdf2:sha256:4294967297$salt$00",
        "pbkdf2:sha256:ten$salt$00",
        "pbkdf2:rot13:10$salt$00",
        "pbkdf2:sha256:10:10$salt$00",
        "pbkdf2:sha256:10$salt$",
    };

    (void)state;
    for (size_t i = 0; i < array_len(bad); i++)
        assert_false(matches(bad[i], PASSWORD));
    assert_false(auth_hash_matches(auth_hash_of_nobody, STR(PASSWORD)));
}

/* The work for nobody is the work for a user: the hash is refused for its result alone. */
static void test_nobody_costs_what_a_user_costs(void **state)
{
    unsigned char bytes[HASH_MAX];
    size_t n = 0;

    (void)state;
    assert_true(hash_scrypt(STR("32768:8:1"), STR("nobodyhasthissal"), STR("x"), bytes, &n));
    assert_int_equal(n, 64);
    assert_int_equal(auth_hash_of_nobody.n, AUTH_HASH_BYTES);
}

static void test_a_new_hash_is_of_its_password_and_of_no_other_hash(void **state)
{
    char one[AUTH_HASH_BYTES + 1], two[AUTH_HASH_BYTES + 1];

    (void)state;
    assert_true(auth_hash_make(STR(PASSWORD), one) && auth_hash_make(STR(PASSWORD), two));
    assert_int_equal(strlen(one), AUTH_HASH_BYTES);
    assert_memory_equal(one, "scrypt:32768:8:1$", 17);
    assert_string_not_equal(one, two);
    assert_true(matches(one, PASSWORD));
    assert_false(matches(one, PASSWORD "x"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_password_of_a_hash_matches_and_no_other),
        cmocka_unit_test(test_pbkdf2_of_every_digest),
        cmocka_unit_test(test_a_hash_of_no_known_form_matches_nothing),
        cmocka_unit_test(test_nobody_costs_what_a_user_costs),
        cmocka_unit_test(test_a_new_hash_is_of_its_password_and_of_no_other_hash),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
