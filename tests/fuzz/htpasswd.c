/*
 * htpasswd: a file of names and hashes as bytes of a disk.
 *
 * Input: a password, a line end, the file. A file that is read has, for every line that is one, the hash of
 * the first line of that name. Hashes that are cheap are tried; those of crypt(3) cost what they say.
 */
#include "gateway/auth/htpasswd.c"

#include "tests/fuzz/fuzz.h"

static struct htpasswd *fuzz_parse(struct str text, struct fail *f)
{
    struct htpasswd *h = calloc(1, sizeof(*h));

    check(h != NULL);
    h->path = "fuzzed";
    arena_init(&h->arena, 256);
    idmap_init(&h->names);
    if (htpasswd_parse(h, text, f)) {
        fuzz_check_refusal(ERR_SETTING, f);
        htpasswd_close(h);
        h = NULL;
    }
    return h;
}

static void fuzz_line_is_found(const struct htpasswd *h, struct str line, struct str whole,
                               struct str password)
{
    struct str name = str_head(line, str_find(line, ':')), hash = htpasswd_find(h, name);

    check(hash.p != NULL && hash.n > 0 && fuzz_is_within(hash, whole));
    check(str_find(hash, ':') == hash.n && str_find(hash, '\0') == hash.n);
    if (str_starts(hash, STR("{SHA}")) || str_starts(hash, STR("$apr1$")))
        (void)!htpasswd_matches(hash, password);
}

static void fuzz_one(struct arena *a, struct str in)
{
    struct str password = fuzz_line(&in);
    char *copy = fuzz_copy(in);
    struct str whole = {copy, in.n}, rest = whole;
    struct htpasswd *h;
    struct fail f;

    fail_init(&f, a);
    h = fuzz_parse(whole, &f);
    while (h && rest.n) {
        struct str line = str_trim(str_cut(&rest, '\n'));

        if (line.n && line.p[0] != '#')
            fuzz_line_is_found(h, line, whole, password);
    }
    htpasswd_close(h);
    free(copy);
}
