/*
 * local_path: where a local URI points.
 *
 * Resolving is pathlib's resolve(): one part after the other, ".." removes one, a symbolic link is
 * replaced by its target, what does not exist stays as it is named. Who asks whether one path lies
 * in another must ask the file system, or a link in a run's folder would lead out of it. After
 * LINKS_MAX links the rest is taken by its name; so is what is longer than a path can be: the
 * number of questions is bounded.
 */
#include "gateway/artifact/local_path.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "gateway/artifact/uri.h"
#include "ingest/names.h"
#include "schema/errors.h"

enum { LINKS_MAX = 40 };

err_t local_path_is_local(struct arena *a, struct str uri, bool *is_local, struct fail *f)
{
    struct uri u = uri_parse(a, uri);

    *is_local = u.scheme.n == 0 ? !str_eq(uri, STR("databricks")) : str_eq(u.scheme, STR("file"));
    if (*is_local && u.scheme.n && !uri_is_local_host(uri_host(a, &u)))
        return fail(f, ERR_INTERNAL,
                    "%.*s is not a valid remote uri. For remote access on windows, please consider"
                    " using a different scheme such as SMB (e.g. smb://<hostname>/<path>).",
                    STR_ARG(names_cut(uri, NAMES_QUOTE_MAX)));
    return OK;
}

/* The resolved part of a path, without a slash at its end; terminated. */
struct resolved {
    char *p;
    size_t n;
};

static void resolved_pop(struct resolved *to)
{
    while (to->n > 0 && to->p[--to->n] != '/')
        ;
}

/* The target of the link that to names now; empty when it is none. */
static struct str read_target(struct arena *a, const struct resolved *to)
{
    char target[PATH_MAX];
    ssize_t n = to->n < PATH_MAX ? readlink(to->p, target, sizeof(target)) : -1;

    return n > 0 ? arena_dup(a, (struct str){target, (size_t)n}) : STR("");
}

struct str local_path_resolve(struct arena *a, struct str uri)
{
    struct uri u = uri_parse(a, uri);
    struct str rest = uri_decode(a, str_starts(uri, STR("file:")) ? u.path : uri);
    struct resolved to = {.n = 0};
    char cwd[PATH_MAX];
    int links = 0;

    if (!str_starts(rest, STR("/")))
        rest = arena_printf(a, "%s/%.*s", getcwd(cwd, sizeof(cwd)) ? cwd : "", STR_ARG(rest));
    to.p = arena_alloc(a, rest.n + LINKS_MAX * (size_t)PATH_MAX + 2);
    while (rest.n) {
        struct str part = str_cut(&rest, '/');
        struct str target;

        if (part.n == 0 || str_eq(part, STR(".")))
            continue;
        if (str_eq(part, STR(".."))) {
            resolved_pop(&to);
            continue;
        }
        to.p[to.n++] = '/';
        memcpy(to.p + to.n, part.p, part.n);
        to.n += part.n;
        to.p[to.n] = 0;
        if (links == LINKS_MAX || (target = read_target(a, &to)).n == 0)
            continue;
        links++;
        resolved_pop(&to);
        if (target.p[0] == '/')
            to.n = 0;
        rest = arena_printf(a, "%.*s/%.*s", STR_ARG(target), STR_ARG(rest));
    }
    return to.n ? (struct str){to.p, to.n} : STR("/");
}

bool local_path_is_within(struct str path, struct str folder)
{
    if (str_eq(folder, STR("/")))
        return true;
    return str_starts(path, folder) && (path.n == folder.n || path.p[folder.n] == '/');
}
