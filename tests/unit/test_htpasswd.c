/* htpasswd: every kind of hash that Apache writes is read, and the file is read whole or not at all. */
#include "gateway/auth/htpasswd.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

/* Of `htpasswd -nb`, `openssl passwd` and Python's crypt; the password of all of them is "secret:1". */
static const char *const hashes[] = {
    "$2y$05$abcdefghijklmnopqrstuuc2RWYCqD8uiz/VvbUhjnWVTN2gpX.p2",
    "$2b$04$abcdefghijklmnopqrstuuLdY4wmx4VwIImgTn2NDEazUN2VZO2Da",
    "$apr1$saltsalt$R4GM8LGvR.l3a0DtDkzgC.",
    "{SHA}APR/ifNk16V/9R8mTkNNRxenxK8=",
    "$6$saltsalt$KcjcDUR61iNBbNoAGcLCyjViS3rqv0y13j.UlwQuJIDKEwbGTOep9u9C0u73fkofPCwnrZnbxXjokI/"
    "VFPL7l0",
    "$5$saltsalt$mURkFLRQnDkYAFvZSmFYZmNuyyl3JaUxV6xzspKqhgB",
    "$1$saltsalt$05g4ZA1bf8QzulTjOxMg1/",
    "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$wgS17D0FeqMDsi4gwkHIVYIirlQP6635Dnmfg/Gt/z.",
    "abYb2wFs1JAl.",
    "$6$rounds=1000$saltsalt$5QR/uhhXiVwSi5RPl5.MPwHWn9FGSixTnuTfI3iVJbRK0/SQhKgeu/"
    "IIeVETmGUfdWsSs.Pq8o3PC1.tLB5z/1",
};

static void test_every_kind_matches_its_password_and_no_other(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_len(hashes); i++) {
        assert_true(htpasswd_matches(str_of(hashes[i]), STR("secret:1")));
        assert_false(htpasswd_matches(str_of(hashes[i]), STR("secret:2")));
        assert_false(htpasswd_matches(str_of(hashes[i]), STR("")));
        assert_false(
            htpasswd_matches(str_head(str_of(hashes[i]), strlen(hashes[i]) - 1), STR("secret:1")));
    }
}

static void test_apr1_of_passwords_of_every_length(void **state)
{
    static const struct {
        const char *password;
        const char *hash;
    } rows[] = {
        {"a", "$apr1$ss$2CTFlB8IRMtOL.PyPYWi4."},
        {"ab", "$apr1$sss$PwhBHvyVW2T0dJtdmxYZB1"},
        {"0123456789abcdef", "$apr1$s$99/wCzDQ8ebx8gmkheR350"},
        {"0123456789abcdef0", "$apr1$ss$TNtuc86reIJYOGxzBsu7L0"},
        {"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "$apr1$ss$KkdoMh8GkiUZ0m1FrQxOF1"},
        {"päss", "$apr1$sssss$4gGc5vBPO4rZUxzbVJcUE/"},
    };

    (void)state;
    for (size_t i = 0; i < array_len(rows); i++)
        assert_true(htpasswd_matches(str_of(rows[i].hash), str_of(rows[i].password)));
}

static void test_what_is_none_or_costs_too_much_matches_nothing(void **state)
{
    static const char *const bad[] = {
        "",
        "secret:1",
        "*",
        "!",
        "$2y$31$abcdefghijklmnopqrstuuXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX",
        "$2y$",
        "$6$rounds=999999999$salt$x",
        "$6$rounds=99999999999999999999$salt$x",
        "$y$jFT$salt$x",
        "$7$x",
        "$apr1$",
        "$apr1$salt",
        "{SHA}",
        "{SSHA}abc",
    };

    (void)state;
    for (size_t i = 0; i < array_len(bad); i++)
        assert_false(htpasswd_matches(str_of(bad[i]), STR("secret:1")));
    assert_false(htpasswd_matches(str_of(hashes[0]), STR("secret:1\0")));
}

static char path[] = "/tmp/test_htpasswd.XXXXXX";

static void write_file(const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void test_a_file_is_read_whole_or_not_at_all(void **state)
{
    struct htpasswd *h;
    struct fail f;

    (void)state;
    fail_init(&f, NULL);
    write_file("# people\n\nalice:{SHA}one\r\nbob:two:a comment\nalice:three\n");
    assert_int_equal(htpasswd_open(path, &h, &f), OK);
    assert_true(str_eq(htpasswd_find(h, STR("alice")), STR("{SHA}one")));
    assert_true(str_eq(htpasswd_find(h, STR("bob")), STR("two")));
    assert_null(htpasswd_find(h, STR("Alice")).p);
    assert_null(htpasswd_find(NULL, STR("alice")).p);
    assert_false(htpasswd_is_old(h));
    write_file("alice:{SHA}other\n");
    assert_true(htpasswd_is_old(h));
    htpasswd_close(h);
    write_file("alice:{SHA}one\nnonsense\n");
    assert_int_equal(htpasswd_open(path, &h, &f), ERR_SETTING);
    assert_null(h);
    assert_int_equal(htpasswd_open("/nowhere/at/all", &h, &f), ERR_SETTING);
    assert_int_equal(htpasswd_open("/dev/zero", &h, &f), ERR_SETTING);
}

static int begin(void **state)
{
    int fd = mkstemp(path);

    (void)state;
    return fd < 0 ? -1 : close(fd);
}

static int end(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_kind_matches_its_password_and_no_other),
        cmocka_unit_test(test_apr1_of_passwords_of_every_length),
        cmocka_unit_test(test_what_is_none_or_costs_too_much_matches_nothing),
        cmocka_unit_test(test_a_file_is_read_whole_or_not_at_all),
    };

    return cmocka_run_group_tests(tests, begin, end);
}
