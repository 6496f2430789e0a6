/*
 * route: a hash table of paths, built once from routes.def.
 *
 * Several rows may share a path under different methods; they hang in one chain. A path is hashed
 * whole (XXH3), so a look-up costs the same however many rows there are, and a path that differs
 * in one byte (letter case, a slash at its end) is another path: that is MLflow's rule too.
 *
 * With a static prefix every path stands under it and nowhere else, but /metrics and our own
 * paths, which are for machines that do not come through the reverse proxy.
 */
#include "gateway/route.h"

#include <string.h>
#include <xxhash.h>

#include "base/arena.h"
#include "gateway/api.h"

/* The first half of MLflow's paths. */
#define API_MLFLOW  "/api/2.0/mlflow"
#define AJAX_MLFLOW "/ajax-api/2.0/mlflow"

#define GET    HTTP_M_GET
#define POST   HTTP_M_POST
#define PATCH  HTTP_M_PATCH
#define DELETE HTTP_M_DELETE

static const struct route rows[] = {
#define ROUTE(methods, path, handler, body, may, where) \
    {(methods), path, false, handler, body, may, where, path},
#define MLFLOW(methods, path, handler, body, may) \
    {(methods), API_MLFLOW path, true, handler, body, may, ON_CLIENT, path},
#include "gateway/routes.def"
#undef ROUTE
#undef MLFLOW
};

#undef GET
#undef POST
#undef PATCH
#undef DELETE

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
    struct route_slot *s = route_slot_of(path);

    if (s->row) {
        struct route_slot *more = &chained[chained_count++];

        *more = (struct route_slot){path, row, s->other};
        s->other = more;
        return;
    }
    *s = (struct route_slot){path, row, NULL};
}

/* /metrics, /livez, /readyz and /sluice/... are not MLflow's: no prefix. */
static bool route_is_own(const char *path)
{
    return strncmp(path, "/sluice/", 8) == 0 || strcmp(path, "/metrics") == 0 ||
           strcmp(path, "/livez") == 0 || strcmp(path, "/readyz") == 0;
}

void route_init(const char *static_prefix)
{
    arena_fini(&paths);
    arena_init(&paths, 8192);
    memset(slots, 0, sizeof(slots));
    chained_count = 0;
    for (size_t i = 0; i < ROW_COUNT; i++) {
        const char *prefix = route_is_own(rows[i].path) ? "" : static_prefix;

        route_put(arena_printf(&paths, "%s%s", prefix, rows[i].path), &rows[i]);
        if (rows[i].has_ajax)
            route_put(arena_printf(&paths, "%s" AJAX_MLFLOW "%s", prefix, rows[i].label), &rows[i]);
    }
}

/* The methods a row answers: HEAD comes with GET, OPTIONS with all. */
static unsigned route_methods(const struct route *row)
{
    return row->methods | (row->methods & HTTP_M_GET ? HTTP_M_HEAD : 0) | HTTP_M_OPTIONS;
}

const struct route *route_find(unsigned method, struct str path, enum route_where where,
                               unsigned *allowed)
{
    const struct route *found = NULL;

    *allowed = 0;
    if (path.n == 0)
        return NULL;
    for (const struct route_slot *s = route_slot_of(path); s && s->row; s = s->other) {
        if (!(s->row->where & where))
            continue;
        *allowed |= route_methods(s->row);
        if (route_methods(s->row) & method & ~(unsigned)HTTP_M_OPTIONS)
            found = s->row;
    }
    return found;
}

const struct route *route_rows(size_t *count)
{
    *count = ROW_COUNT;
    return rows;
}

unsigned route_index(const struct route *route)
{
    return (unsigned)(route - rows);
}
