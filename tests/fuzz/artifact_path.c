/*
 * artifact_path: what is let through names nothing outside its root, and is not changed any more.
 *
 * Input: a path, as the HTTP layer decoded it.
 */
#include "gateway/artifact/artifact_path.c"

#include "tests/fuzz/fuzz.h"

static void fuzz_one(struct arena *a, struct str in)
{
    struct str path, again, rest;
    struct fail f;
    err_t e;

    fail_init(&f, a);
    if ((e = artifact_path_check(a, in, &path, &f))) {
        fuzz_check_refusal(e, &f);
        return;
    }
    check(fuzz_is_utf8(path));
    for (size_t i = 0; i < path.n; i++)
        check((unsigned char)path.p[i] >= 0x20 && path.p[i] != 0x7f && path.p[i] != '#');
    check(!str_starts(path, STR("/")));
    for (rest = path; rest.n;)
        check(!str_eq(str_cut(&rest, '/'), STR("..")));
    /* MLflow checks some paths twice; the second look must not find another path, but for what is left
     * to decode of a file: URI, which this checks as strictly. */
    if (artifact_path_check(a, path, &again, &f) == OK)
        check(!str_starts(again, STR("/")));
    check(artifact_path_norm(a, path).n <= path.n);
    check(artifact_path_dir(path).n + artifact_path_base(path).n <= path.n);
}
