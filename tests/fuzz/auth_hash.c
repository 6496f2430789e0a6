/*
 * auth_hash: a stored hash of a password, as a row or a file may hold it.
 *
 * Input: the hash, a line feed, the password. Nothing but a hash of the password's own matches, and no
 * hash costs more than it may: numbers that would take long are made short before, those out of all
 * proportion are left as they are.
 */
#include "gateway/auth/auth_hash.h"

#include "tests/fuzz/fuzz.h"

/* Would be slow, and be right to be: more than two digits of a cost that is allowed. */
static bool is_slow(struct str hash)
{
    struct str method = str_cut(&hash, '$');
    uint64_t product = 1, n;

    if (str_eq(method, STR("scrypt")) || str_eq(method, STR("pbkdf2")) ||
        str_starts(method, STR("pbkdf2:")) || str_starts(method, STR("scrypt:"))) {
        if (str_find(method, ':') == method.n ||
            (str_starts(method, STR("pbkdf2:")) &&
             str_find(str_skip(method, 7), ':') + 7 == method.n))
            return true; /* the defaults */
        while (method.n) {
            if (str_to_u64(str_cut(&method, ':'), &n) && n < 100000000 && product < 100000000)
                product *= n ? n : 1;
        }
    }
    return product > 4096 && product <= ((uint64_t)1 << 40);
}

static void fuzz_one(struct arena *a, struct str in)
{
    char *copy = fuzz_copy(in);
    struct str password = {copy, in.n}, hash = fuzz_line(&password);

    (void)a;
    if (!is_slow(hash)) {
        bool is_right = auth_hash_matches(hash, password);

        /* What matches has two '$' at least, and an even number of hex digits behind them. */
        if (is_right) {
            struct str rest = hash;

            str_cut(&rest, '$');
            check(rest.n && str_find(rest, '$') < rest.n);
            str_cut(&rest, '$');
            check(rest.n >= 40 && rest.n % 2 == 0);
        }
        check(auth_hash_matches(hash, password) == is_right);
    }
    free(copy);
}
