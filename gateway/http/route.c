/*
 * route: a hash table of paths and a list of patterns, built once from routes.def.
 *
 * Several rows may share a path under different methods; they hang in one chain. A path is hashed
 * whole (XXH3), so a look-up costs the same however many rows there are, and a path that differs
 * in one byte (letter case, a slash at its end) is another path: that is MLflow's rule too.
 *
 * A path with placeholders is a pattern: each placeholder, "{name}", stands for one segment that is
 * not empty. Paths were decoded before they come here, so a segment holds no slash, encoded or not.
 * A pattern answers only what no constant path does, method by method: POST to
 * logged-models/search is a search, GET asks for the model of that name. That is MLflow's rule too.
 * There are few patterns, and nothing else costs a look at them than paths that are not constant.
 *
 * "{name*}" ends a pattern and stands for all that is left, slashes and nothing included, but no line
 * feed: MLflow's routers do not let one through.
 *
 * What a placeholder stood for is found by counting segments from the end of the path, where row and
 * path agree under every prefix.
 *
 * With a static prefix every path stands under it and nowhere else, but /metrics and our own
 * paths, which are for machines that do not come through the reverse proxy.
 */
#include "gateway/http/route.h"

#include <string.h>
#include <xxhash.h>

#include "base/arena.h"
#include "gateway/api/api.h"
#include "ingest/python.h"

/* The first half of MLflow's paths. */
#define API_MLFLOW    "/api/2.0/mlflow"
#define API_ARTIFACTS "/api/2.0/mlflow-artifacts"
#define AJAX          "/ajax-api" /* in place of "/api" */

#define GET    HTTP_M_GET
#define POST   HTTP_M_POST
#define PUT    HTTP_M_PUT
#define PATCH  HTTP_M_PATCH
#define DELETE HTTP_M_DELETE
#define ALL    (GET | POST | PATCH | DELETE | HTTP_M_HEAD | HTTP_M_PUT | HTTP_M_OPTIONS)

static const struct route rows[] = {
#define ROUTE(methods, path, handler, body, may, where) \
    {(methods), path, false, handler, body, may, where, path},
#define MLFLOW(methods, path, handler, body, may) \
    {(methods), API_MLFLOW path, true, handler, body, may, ON_CLIENT, path},
#define ARTIFACTS(methods, path, handler, body, may) \
    {(methods), API_ARTIFACTS path, true, handler, body, may, ON_CLIENT, "/mlflow-artifacts" path},
#define USERS(methods, path, handler, body, may) \
    {(methods), API_MLFLOW path, true, handler, body, may, ON_USERS, path},
#define USERS_3(methods, path, handler, body, may)                                  \
    {(methods), "/api/3.0/mlflow" path, false, handler, body, may, ON_USERS, path}, \
        {(methods), "/ajax-api/3.0/mlflow" path, false, handler, body, may, ON_USERS, path},
#define MLFLOW_3(methods, path, handler, body, may)                                  \
    {(methods), "/api/3.0/mlflow" path, false, handler, body, may, ON_CLIENT, path}, \
        {(methods), "/ajax-api/3.0/mlflow" path, false, handler, body, may, ON_CLIENT, path},
#include "gateway/http/routes.def"
#undef ROUTE
#undef MLFLOW
#undef MLFLOW_3
#undef USERS
#undef USERS_3
};

#undef GET
#undef POST
#undef PUT
#undef PATCH
#undef DELETE
#undef ALL

const struct route route_unknown = {.path = "", .handler = api_unknown, .where = ON_EITHER};
const struct route route_asked = {
    .path = "", .handler = api_unknown, .body = BODY_SMALL, .where = ON_EITHER};

enum { ROW_COUNT = array_len(rows), SLOT_COUNT = 512 /* power of two, several times the paths */ };

/* One path; open addressing. */
struct route_slot {
    struct str path;
    const struct route *row;
    struct route_slot *other; /* same path, other methods */
};

static struct route_slot slots[SLOT_COUNT];
static struct route_slot chained[ROW_COUNT * 2];
static size_t chained_count;
static struct route_slot patterns[ROW_COUNT * 2];
static size_t patterns_count;
static const struct route *upstream_row; /* "(upstream)", which is no path */
static struct route upstream_whole;
static struct arena paths; /* lives as long as the program */

static struct route_slot *route_slot_of(struct str path)
{
    size_t i = XXH3_64bits(path.p, path.n) & (SLOT_COUNT - 1);

    while (slots[i].row && !str_eq(slots[i].path, path))
        i = (i + 1) & (SLOT_COUNT - 1);
    return &slots[i];
}

static void route_put(struct str path, const struct route *row)
{
    struct route_slot *s;

    if (str_find(path, '{') < path.n) {
        patterns[patterns_count++] = (struct route_slot){path, row, NULL};
        return;
    }
    s = route_slot_of(path);
    if (s->row) {
        struct route_slot *more = &chained[chained_count++];

        *more = (struct route_slot){path, row, s->other};
        s->other = more;
        return;
    }
    *s = (struct route_slot){path, row, NULL};
}

/* /metrics, /livez, /readyz and /sluice/... are not MLflow's: no prefix. Nor has /signup one there. */
bool route_is_own(struct str path)
{
    return str_starts(path, STR("/sluice/")) || str_eq(path, STR("/metrics")) ||
           str_eq(path, STR("/livez")) || str_eq(path, STR("/readyz")) ||
           str_eq(path, STR("/signup"));
}

/* Is it there only when there is a UI to serve? Without one, such paths are somebody else's. */
static bool route_is_ui(const struct route *row)
{
    return row->handler == api_ui_page || row->handler == api_ui_file;
}

void route_init(const char *static_prefix, bool has_ui, bool has_users)
{
    arena_fini(&paths);
    arena_init(&paths, 8192);
    memset(slots, 0, sizeof(slots));
    chained_count = 0;
    patterns_count = 0;
    for (size_t i = 0; i < ROW_COUNT; i++) {
        const char *prefix = route_is_own(str_of(rows[i].path)) ? "" : static_prefix;

        if (rows[i].path[0] == '(') {
            upstream_row = &rows[i];
            upstream_whole = rows[i];
            upstream_whole.body = BODY_WHOLE;
            continue;
        }
        if (route_is_ui(&rows[i]) && !has_ui)
            continue;
        if (rows[i].handler == api_ui_page && *prefix)
            route_put(str_of(prefix), &rows[i]); /* it sends a browser on to the slash */
        if (rows[i].where == ON_USERS && !has_users)
            continue;
        route_put(arena_printf(&paths, "%s%s", prefix, rows[i].path), &rows[i]);
        if (rows[i].has_ajax)
            route_put(arena_printf(&paths, "%s" AJAX "%s", prefix, rows[i].path + strlen("/api")),
                      &rows[i]);
    }
}

/* The methods a row answers: HEAD comes with GET, OPTIONS with all. */
static unsigned route_methods(const struct route *row)
{
    return row->methods | (row->methods & HTTP_M_GET ? HTTP_M_HEAD : 0) | HTTP_M_OPTIONS;
}

/* Is what is left of a pattern "{name*}"? */
static bool route_is_rest(struct str pattern)
{
    return pattern.n > 0 && pattern.p[0] == '{' && str_ends(pattern, STR("*}"));
}

static bool route_matches(struct str pattern, struct str path)
{
    if (pattern.n == 0 || path.n == 0)
        return false;
    while (pattern.n && path.n) {
        if (route_is_rest(pattern))
            return str_find(path, '\n') == path.n;
        bool is_last = str_find(pattern, '/') == pattern.n;
        struct str want, got;

        if (is_last != (str_find(path, '/') == path.n))
            return false;
        want = str_cut(&pattern, '/');
        got = str_cut(&path, '/');
        if (want.n && want.p[0] == '{' ? got.n == 0 : !str_eq(want, got))
            return false;
    }
    return path.n == 0 && (pattern.n == 0 || route_is_rest(pattern));
}

/* Does the row answer? Its methods are added to those of the path. */
static bool route_answers(const struct route *row, unsigned method, enum route_where where,
                          unsigned *allowed)
{
    if (!(row->where & where))
        return false;
    *allowed |= route_methods(row);
    return (route_methods(row) & method & ~(unsigned)HTTP_M_OPTIONS) != 0;
}

const struct route *route_find(unsigned method, struct str path, enum route_where where,
                               unsigned *allowed)
{
    *allowed = 0;
    if (path.n == 0)
        return NULL;
    for (const struct route_slot *s = route_slot_of(path); s && s->row; s = s->other) {
        if (route_answers(s->row, method, where, allowed))
            return s->row;
    }
    for (size_t i = 0; i < patterns_count; i++) {
        if (route_matches(patterns[i].path, path) &&
            route_answers(patterns[i].row, method, where, allowed))
            return patterns[i].row;
    }
    return NULL;
}

const struct route *route_upstream_whole(void)
{
    return &upstream_whole;
}

const struct route *route_upstream(void)
{
    return upstream_row;
}

/* The last segment of *path, which is cut off. */
static struct str route_cut_last(struct str *path)
{
    size_t at = path->n;
    struct str last;

    while (at > 0 && path->p[at - 1] != '/')
        at--;
    last = str_skip(*path, at);
    *path = str_head(*path, at ? at - 1 : 0);
    return last;
}

struct str route_arg(struct req *r, const char *name)
{
    struct str pattern = str_of(r->route->path), path = r->head->path;
    struct str wanted = str_of(name);

    while (pattern.n) {
        struct str want = route_cut_last(&pattern), got = route_cut_last(&path);

        if (want.n == wanted.n + 2 && want.p[0] == '{' &&
            str_eq(str_head(str_skip(want, 1), wanted.n), wanted))
            return python_decode(&r->arena, got);
    }
    check(!"a placeholder of the row");
    return STR("");
}

struct str route_rest(const struct req *r)
{
    struct str pattern = str_of(r->route->path), path = r->head->path;
    struct str fixed = str_skip(str_head(pattern, str_find(pattern, '{')), strlen("/api"));

    /* What stands before it is a prefix of ours, which does not hold it. */
    while (path.n && !str_starts(path, fixed))
        path = str_skip(path, 1);
    return str_skip(path, fixed.n);
}

const struct route *route_rows(size_t *count)
{
    *count = ROW_COUNT;
    return rows;
}

unsigned route_index(const struct route *route)
{
    if (route == &route_unknown || route == &route_asked)
        return ROW_COUNT;
    return (unsigned)((route == &upstream_whole ? upstream_row : route) - rows);
}
