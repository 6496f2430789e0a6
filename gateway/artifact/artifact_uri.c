/*
 * artifact_uri: MLflow's handling of artifact locations, which is that of Python's urllib.parse.
 *
 * Appending. A URI without a scheme is a path and gets the parts joined with one slash. One whose
 * path begins with '/' is taken apart, its path extended, and put together again, which writes
 * "file:/a" as "file:///a". One whose path does not begin so ("s3://b", "dbfs:a") is extended
 * behind its scheme: "s3://b/7".
 *
 * Checking. An experiment's location is where a server and its clients connect later, so a client
 * may not name a host: the schemes in host_schemes are refused unless scheme family, host and port
 * are those of the server's own root.
 */
#include "gateway/artifact/artifact_uri.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/artifact/uri.h"
#include "ingest/names.h"
#include "schema/errors.h"
#include "schema/limits.h"

enum { LOOKED_AT_MAX = 64 << 10 };

static const struct str host_schemes[] = {
    STR_INIT("ftp"),    STR_INIT("sftp"),  STR_INIT("hdfs"),
    STR_INIT("http"),   STR_INIT("https"), STR_INIT("mlflow-artifacts"),
    STR_INIT("r2"),     STR_INIT("b2"),    STR_INIT("abfss"),
    STR_INIT("viewfs"),
};

static bool is_listed(struct str s, const struct str *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(s, list[i]))
            return true;
    return false;
}

/* posixpath.join, where path never counts as absolute. */
static struct str join(struct arena *a, struct str prefix, struct str path)
{
    while (path.n && path.p[0] == '/')
        path = str_skip(path, 1);
    if (prefix.n == 0)
        return path;
    return arena_printf(a, "%.*s%s%.*s", STR_ARG(prefix), str_ends(prefix, STR("/")) ? "" : "/",
                        STR_ARG(path));
}

struct str artifact_uri_append(struct arena *a, struct str uri, struct str path)
{
    struct uri u = uri_parse(a, uri);
    struct str prefix = {"", 0};
    struct str rest;

    if (u.scheme.n == 0)
        return join(a, uri, path);
    if (!str_starts(u.path, STR("/"))) {
        prefix = arena_printf(a, "%.*s:", STR_ARG(u.scheme));
        u.scheme = STR("");
    }
    u.path = join(a, u.path, path);
    rest = uri_unparse(a, &u);
    return arena_printf(a, "%.*s%.*s", STR_ARG(prefix), STR_ARG(rest));
}

/* -- may a client name it? -------------------------------------------------------------------- */

static bool has_dots(struct str s)
{
    for (size_t i = 1; i < s.n; i++)
        if (s.p[i - 1] == '.' && s.p[i] == '.')
            return true;
    return false;
}

static err_t check_query(struct arena *a, struct str query, struct fail *f)
{
    return has_dots(uri_decode_fully(a, query)) ? fail(f, ERR_BAD_PARAM, "Invalid query string")
                                                : OK;
}

/* Whom a URI makes a server connect to. An omitted port is the well-known one; of mlflow-artifacts
 * that is either of two. -1 = unknown, equal to itself only. */
struct target {
    bool is_host_addressed;
    bool is_malformed;
    struct str family;
    struct str host;
    int ports[2];
};

static void target_default_ports(struct str scheme, int ports[2])
{
    bool is_tls = !str_eq(scheme, STR("ftp")) && !str_eq(scheme, STR("http"));

    ports[0] = ports[1] = -1;
    if (str_eq(scheme, STR("ftp")))
        ports[0] = 21;
    else if (str_eq(scheme, STR("sftp")))
        ports[0] = 22;
    else if (str_eq(scheme, STR("http")))
        ports[0] = 80;
    else if (is_tls && !str_eq(scheme, STR("hdfs")) && !str_eq(scheme, STR("viewfs")))
        ports[0] = 443;
    ports[1] = str_eq(scheme, STR("mlflow-artifacts")) ? 80 : ports[0];
}

static struct target target_of(struct arena *a, struct str uri)
{
    struct uri u = uri_parse(a, uri);
    struct target t = {.family = u.scheme};
    struct str host = u.netloc;
    int64_t port;
    size_t at;

    t.is_host_addressed = is_listed(u.scheme, host_schemes, array_len(host_schemes)) &&
                          (u.netloc.n > 0 || !str_eq(u.scheme, STR("mlflow-artifacts")));
    for (size_t i = 0; i < host.n; i++)
        t.is_malformed |= host.p[i] == '\\' || (unsigned char)host.p[i] <= ' ';
    while ((at = str_find(host, '@')) < host.n)
        host = str_skip(host, at + 1);
    target_default_ports(u.scheme, t.ports);
    at = host.n;
    while (at > 0 && host.p[at - 1] != ':' && host.p[at - 1] != ']')
        at--;
    if (at > 0 && host.p[at - 1] == ':') {
        struct str text = str_skip(host, at);

        host = str_head(host, at - 1);
        if (text.n) {
            t.is_malformed |= !str_to_i64(text, &port) || port < 0 || port > 65535;
            t.ports[0] = t.ports[1] = t.is_malformed ? -1 : (int)port;
        }
    }
    t.host = uri_to_lower(a, host);
    if (str_eq(u.scheme, STR("viewfs")))
        t.family = STR("hdfs");
    if (str_eq(u.scheme, STR("https")) || str_eq(u.scheme, STR("mlflow-artifacts")))
        t.family = STR("http");
    return t;
}

static bool target_eq(const struct target *a, const struct target *b)
{
    if (!b->is_host_addressed || a->is_malformed || b->is_malformed)
        return false;
    return str_eq(a->family, b->family) && str_eq(a->host, b->host) &&
           (a->ports[0] == b->ports[0] || a->ports[0] == b->ports[1] ||
            a->ports[1] == b->ports[0] || a->ports[1] == b->ports[1]);
}

#define OTHER_HOST                                                                                \
    "the '%.*s' scheme addresses a host other than the tracking server's configured artifact"     \
    " storage, so the server would connect to the host named in the URI. Set the"                 \
    " MLFLOW_ALLOWED_HOST_ADDRESSED_ARTIFACT_SCHEMES environment variable on the server to allow" \
    " it."

/* Does the operator let servers connect to whatever host URIs of this scheme name? */
static bool is_allowed(struct arena *a, struct str scheme)
{
    struct str list = str_of(getenv("MLFLOW_ALLOWED_HOST_ADDRESSED_ARTIFACT_SCHEMES"));

    while (list.n) {
        if (str_eq(uri_to_lower(a, str_trim(str_cut(&list, ','))), scheme))
            return true;
    }
    return false;
}

static bool is_other_host(struct arena *a, struct str uri, struct str root)
{
    struct target target = target_of(a, uri), own = target_of(a, root);

    return target.is_host_addressed && !target_eq(&target, &own) &&
           !is_allowed(a, uri_parse(a, uri).scheme);
}

err_t artifact_uri_check_host(struct arena *a, struct str uri, struct str root, const char *field,
                              struct fail *f)
{
    struct str scheme = uri_parse(a, uri).scheme;

    if (!is_other_host(a, uri, root))
        return OK;
    return fail(f, ERR_BAD_PARAM, "'%s' cannot use the '%.*s' scheme: " OTHER_HOST, field,
                STR_ARG(scheme), STR_ARG(scheme));
}

err_t artifact_uri_check_use(struct arena *a, struct str uri, struct str root, struct fail *f)
{
    struct str scheme = uri_parse(a, uri).scheme;

    if (!is_other_host(a, uri, root))
        return OK;
    return fail(f, ERR_BAD_PARAM,
                "The tracking server does not connect to artifact location '%.*s': " OTHER_HOST,
                STR_ARG(uri), STR_ARG(scheme));
}

static err_t too_long(struct fail *f)
{
    return fail(f, ERR_BAD_PARAM,
                "Invalid artifact path length. The length of the artifact path cannot be"
                " greater than %d characters. To configure this limit, please set the"
                " MLFLOW_ARTIFACT_LOCATION_MAX_LENGTH environment variable.",
                LIMIT_ARTIFACT_LOCATION);
}

err_t artifact_uri_check(struct arena *a, struct str uri, struct str root, const char *field,
                         struct fail *f)
{
    struct uri u;
    err_t e;

    if (uri.n > LOOKED_AT_MAX) /* MLflow looks at all of it first, and says what it found */
        return too_long(f);
    u = uri_parse(a, uri);
    if (u.fragment.n || u.has_params)
        return fail(f, ERR_BAD_PARAM, "'%s' URL can't include fragments or params.", field);
    if ((e = check_query(a, u.query, f)))
        return e;
    if ((e = artifact_uri_check_host(a, uri, root, field, f)))
        return e;
    if (str_starts(uri, STR("runs:")))
        return fail(f, ERR_BAD_PARAM, "Artifact location cannot be a runs:/ URI. Given: '%.*s'",
                    STR_ARG(str_head(uri, NAMES_QUOTE_MAX)));
    if (names_length(uri) > LIMIT_ARTIFACT_LOCATION)
        return too_long(f);
    return OK;
}

/* -- relative paths ----------------------------------------------------------------------------- */

/* pathlib's cwd / path: one slash between parts, no "." parts; ".." stays. */
static struct str below_cwd(struct arena *a, struct str path)
{
    char cwd[4096];
    struct str out = str_of(getcwd(cwd, sizeof(cwd)) ? cwd : "");

    while (path.n) {
        struct str part = str_cut(&path, '/');

        if (part.n && !str_eq(part, STR(".")))
            out = join(a, out, part);
    }
    return arena_dup(a, out);
}

err_t artifact_uri_make_absolute(struct arena *a, struct str uri, struct str *out, struct fail *f)
{
    struct uri u = uri_parse(a, uri);
    struct str host = target_of(a, uri).host;
    struct str path;

    *out = uri;
    if (u.scheme.n > 0 && !str_eq(u.scheme, STR("file")))
        return OK;
    if (u.scheme.n > 0 && !uri_is_local_host(host))
        return fail(f, ERR_INTERNAL,
                    "%.*s is not a valid remote uri. For remote access on windows, please consider"
                    " using a different scheme such as SMB (e.g. smb://<hostname>/<path>).",
                    STR_ARG(uri));
    path = uri_decode(a, u.scheme.n ? u.path : uri);
    if (str_starts(path, STR("/")))
        return OK;
    u.path = below_cwd(a, path);
    u.netloc = STR("");
    *out = u.scheme.n ? uri_unparse(a, &u) : u.path;
    return OK;
}
