/*
 * artifact_uri: what is checked before a location is stored still holds for what is made of it.
 *
 * Input: the location a client names, a line; the server's own root, a line; a path to append.
 */
#include "gateway/artifact/artifact_uri.c"

#include "tests/fuzz/fuzz.h"

/* Appending and making absolute must not lead to another host than the one that was looked at. */
static void check_same_target(struct arena *a, struct str before, struct str after)
{
    struct target x = target_of(a, before), y = target_of(a, after);

    check(x.is_host_addressed == y.is_host_addressed);
    if (!x.is_host_addressed)
        return;
    check(str_eq(x.family, y.family) && str_eq(x.host, y.host));
    check(x.ports[0] == y.ports[0] && x.ports[1] == y.ports[1]);
}

static void fuzz_one(struct arena *a, struct str in)
{
    struct str uri = fuzz_line(&in), root = fuzz_line(&in);
    struct str path = str_eq(in, STR("")) ? STR("7/artifacts") : in;
    struct str absolute, again, longer;
    struct fail f;
    err_t e;

    /* A NUL is refused before. */
    if ((uri.n && memchr(uri.p, '\0', uri.n)) || (root.n && memchr(root.p, '\0', root.n)) ||
        (path.n && memchr(path.p, '\0', path.n)))
        return;
    fail_init(&f, a);
    if ((e = artifact_uri_check(a, uri, root, "artifact_location", &f))) {
        fuzz_check_refusal(e, &f);
        return;
    }
    check(names_length(uri) <= LIMIT_ARTIFACT_LOCATION);
    longer = artifact_uri_append(a, uri, STR("7/artifacts"));
    check(str_starts(artifact_uri_append(a, longer, path), STR("")));
    check_same_target(a, uri, longer);
    if ((e = artifact_uri_make_absolute(a, uri, &absolute, &f))) {
        fuzz_check_refusal(e, &f);
        return;
    }
    check_same_target(a, uri, absolute);
    check(artifact_uri_make_absolute(a, absolute, &again, &f) == OK);
    check(str_eq(again, absolute));
}
