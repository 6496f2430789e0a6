/*
 * may_path: (method, path) to the rule that says who may call it.
 *
 * A path is where it is served (under /api, under /ajax-api, or neither) and what follows. The rows of
 * may.def are found by what follows, and say where they count. Constant paths are hashed whole; a path
 * that is none of them, or not with this method, is compared with the patterns one by one, of which there
 * are few. Paths are MLflow's to the byte: another letter case or a slash at the end is another path, and
 * nobody's.
 */
#include "gateway/auth/may_path.h"

#include <string.h>
#include <xxhash.h>

#include "gateway/http/http.h"

enum may_where { AT_ROOT = 1, UNDER_API = 2, UNDER_AJAX = 4 };

struct may_row {
    unsigned methods;
    struct str path; /* what follows */
    unsigned where;
    enum may_rule rule;
    const struct may_row *next; /* the same path, other methods or places */
};

#define GET    HTTP_M_GET
#define POST   HTTP_M_POST
#define PUT    HTTP_M_PUT
#define PATCH  HTTP_M_PATCH
#define DELETE HTTP_M_DELETE
#define EVERY  (~0u)

static struct may_row rows[] = {
#define MAY(methods, path, rule) {(methods), STR_INIT(path), AT_ROOT, MAY_RULE_##rule, NULL},
#define BOTH(methods, path, rule) \
    {(methods), STR_INIT(path), UNDER_API | UNDER_AJAX, MAY_RULE_##rule, NULL},
#define AJAX(methods, path, rule) {(methods), STR_INIT(path), UNDER_AJAX, MAY_RULE_##rule, NULL},
#include "gateway/auth/may.def"
#undef MAY
#undef BOTH
#undef AJAX
};

#undef GET
#undef POST
#undef PUT
#undef PATCH
#undef DELETE
#undef EVERY

enum { ROWS = array_len(rows), SLOTS = 1024 /* power of two, several times the rows */ };

static const struct may_row *slots[SLOTS];
static const struct may_row *patterns[ROWS];
static size_t patterns_count;

static const struct may_row **slot_of(struct str path)
{
    size_t i = XXH3_64bits(path.p, path.n) & (SLOTS - 1);

    while (slots[i] && !str_eq(slots[i]->path, path))
        i = (i + 1) & (SLOTS - 1);
    return &slots[i];
}

void may_path_init(void)
{
    memset(slots, 0, sizeof(slots));
    patterns_count = 0;
    for (size_t i = 0; i < ROWS; i++) {
        const struct may_row **slot;

        if (str_find(rows[i].path, '{') < rows[i].path.n) {
            patterns[patterns_count++] = &rows[i];
            continue;
        }
        slot = slot_of(rows[i].path);
        rows[i].next = *slot;
        *slot = &rows[i];
    }
}

/* Where the path is; *path becomes what follows. */
static enum may_where path_cut(struct str *path)
{
    static const struct str api = STR_INIT("/api"), ajax = STR_INIT("/ajax-api");

    if (str_starts(*path, STR("/api/"))) {
        *path = str_skip(*path, api.n);
        return UNDER_API;
    }
    if (str_starts(*path, STR("/ajax-api/"))) {
        *path = str_skip(*path, ajax.n);
        return UNDER_AJAX;
    }
    return AT_ROOT;
}

/* Does the path fit? Its arguments, then. */
static bool row_matches(const struct may_row *row, struct str path, struct may_path *out)
{
    struct str pattern = row->path;

    out->nargs = 0;
    while (pattern.n) {
        struct str want = str_cut(&pattern, '/'), got;
        bool is_arg = want.n > 2 && want.p[0] == '{';

        if (is_arg && str_eq(want, STR("{rest}"))) {
            got = path;
            path = STR("");
        } else {
            if (pattern.n == 0 && str_find(path, '/') < path.n)
                return false;
            got = str_cut(&path, '/');
        }
        if (is_arg ? got.n == 0 : !str_eq(want, got))
            return false;
        if (is_arg) {
            out->names[out->nargs] = str_head(str_skip(want, 1), want.n - 2);
            out->values[out->nargs++] = got;
        }
        if (pattern.n && path.n == 0)
            return false;
    }
    return path.n == 0;
}

void may_path_find(unsigned method, struct str path, struct may_path *out)
{
    enum may_where where = path_cut(&path);

    out->rule = MAY_RULE_NONE;
    out->nargs = 0;
    for (const struct may_row *row = *slot_of(path); row; row = row->next) {
        if ((row->methods & method) && (row->where & where)) {
            out->rule = row->rule;
            return;
        }
    }
    for (size_t i = 0; i < patterns_count; i++) {
        const struct may_row *row = patterns[i];

        if ((row->methods & method) && (row->where & where) && row_matches(row, path, out)) {
            out->rule = row->rule;
            return;
        }
    }
    out->nargs = 0;
}

bool may_path_is_native(unsigned method, struct str path)
{
    static const struct str begins[] = {STR_INIT("/gateway/"), STR_INIT("/v1/traces"),
                                        STR_INIT("/ajax-api/3.0/jobs"),
                                        STR_INIT("/ajax-api/3.0/mlflow/assistant")};
    static const struct str servers = STR_INIT("/3.0/mlflow/mcp-servers");
    struct str rest = path;

    for (size_t i = 0; i < array_len(begins); i++) {
        if (str_starts(path, begins[i]))
            return true;
    }
    if (path_cut(&rest) == AT_ROOT)
        return false;
    if (str_starts(rest, STR("/2.0/mlflow-artifacts/artifacts/")))
        return method & (HTTP_M_GET | HTTP_M_PUT);
    return str_starts(rest, servers) && (rest.n == servers.n || rest.p[servers.n] == '/');
}

/* What the path names is not looked for in the body; three rules ask for more than that. */
bool may_path_reads_body(const struct may_path *found)
{
    switch (found->rule) {
    case MAY_RULE_NONE:
    case MAY_RULE_ANY:
    case MAY_RULE_NATIVE_ANY:
    case MAY_RULE_JOBS_SEARCH:
    case MAY_RULE_SECRETS_CONFIG:
    case MAY_RULE_OTEL:
    case MAY_RULE_ARTIFACTS: return false;
    case MAY_RULE_DATASET_ADD:
    case MAY_RULE_MCP_SERVER:
    case MAY_RULE_GATEWAY_CALL: return true;
    default: return found->nargs == 0;
    }
}
