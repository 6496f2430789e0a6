/*
 * grant: what a user was granted, and whether that is enough.
 *
 * MLflow keeps grants on roles: rows of (type, pattern, level), where the pattern is `*` or one id. A
 * user holds the rows of all roles assigned to him, of those in the workspace that is asked about;
 * here they are folded once, when they were read, into one level a (type, pattern), sorted:
 *
 *   (workspace, *, MANAGE) makes a chief: every question about him is answered MANAGE, also where
 *       he is denied.
 *   Within a thing: what is granted on it and on `*` of its type. DENY among them wins, else the
 *       highest. Nothing at all is silence, which is no answer.
 *   A need names a thing and an action, and may name another thing for the case of silence. The first
 *       that is not silent decides, downward as well as upward: (run, *, READ) takes from the owner of
 *       an experiment the right to change its runs.
 *   The default permission is the floor of what was granted, but not of DENY. So a grant of READ takes
 *       nothing away where everybody may EDIT; only DENY does.
 *   Where all is silent, the default decides, or nothing, in a workspace that is not for everybody.
 *
 * An experiment's id counts as the number it comes to, because calls take " 02" for 2.
 *
 * A look-up is a binary search; a user who made 10 000 experiments holds as many rows.
 */
#include "gateway/auth/grant.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "gateway/api/experiment_id.h"

struct grant {
    enum grant_type type;
    struct str pattern;
    enum grant_level level; /* the highest, or NONE of none */
    bool is_denied;
};

struct grants {
    struct arena memory; /* holds all else */
    struct grant *items; /* by type, then pattern */
    size_t n;
    bool is_chief;
    unsigned holders;
};

static const struct {
    const char *name;
    bool has_ids;
} types[GRANT_TYPES] = {
#define GRANT_TYPE(name, text, has_ids) {text, has_ids},
#include "gateway/auth/grants.def"
#undef GRANT_TYPE
};

static const char *const levels[] = {
    [LEVEL_SILENT] = "",      [LEVEL_DENY] = "DENY", [LEVEL_NONE] = "NO_PERMISSIONS",
    [LEVEL_READ] = "READ",    [LEVEL_USE] = "USE",   [LEVEL_EDIT] = "EDIT",
    [LEVEL_MANAGE] = "MANAGE"};

bool grant_type_of(struct str text, enum grant_type *out)
{
    for (int i = 0; i < GRANT_TYPES; i++) {
        if (str_eq(text, str_of(types[i].name))) {
            *out = (enum grant_type)i;
            return true;
        }
    }
    return false;
}

const char *grant_type_name(enum grant_type type)
{
    return types[type].name;
}

bool grant_type_has_ids(enum grant_type type)
{
    return types[type].has_ids;
}

bool grant_level_of(struct str text, enum grant_level *out)
{
    for (enum grant_level l = LEVEL_DENY; l <= LEVEL_MANAGE; l++) {
        if (str_eq(text, str_of(levels[l]))) {
            *out = l;
            return true;
        }
    }
    return false;
}

const char *grant_level_name(enum grant_level level)
{
    return levels[level];
}

bool grant_allows(enum grant_level level, enum grant_action action)
{
    switch (action) {
    case DO_READ: return level >= LEVEL_READ;
    case DO_USE: return level >= LEVEL_USE;
    case DO_UPDATE: return level >= LEVEL_EDIT;
    case DO_DELETE:
    case DO_MANAGE: return level >= LEVEL_MANAGE;
    default: return level != LEVEL_DENY;
    }
}

/* -- a user's grants -------------------------------------------------------------------------- */

static int grant_cmp(const void *a, const void *b)
{
    const struct grant *x = a, *y = b;

    return x->type != y->type ? (x->type < y->type ? -1 : 1) : str_cmp(x->pattern, y->pattern);
}

/* Rows of the same thing become one. */
static void grants_fold(struct grants *g)
{
    size_t n = 0;

    if (g->n)
        qsort(g->items, g->n, sizeof(*g->items), grant_cmp);
    for (size_t i = 0; i < g->n; i++) {
        if (n == 0 || grant_cmp(&g->items[n - 1], &g->items[i]) != 0) {
            g->items[n++] = g->items[i];
            continue;
        }
        g->items[n - 1].is_denied |= g->items[i].is_denied;
        if (g->items[i].level > g->items[n - 1].level)
            g->items[n - 1].level = g->items[i].level;
    }
    g->n = n;
}

struct grants *grants_new(const struct grant_row *rows, size_t n)
{
    struct grants *g = calloc(1, sizeof(*g));

    check(g != NULL);
    g->holders = 1;
    arena_init(&g->memory, 256);
    g->items = arena_array(&g->memory, n, sizeof(*g->items));
    for (size_t i = 0; i < n; i++) {
        struct grant *item = &g->items[g->n];
        enum grant_level level;

        if (!grant_type_of(rows[i].type, &item->type))
            continue;
        if (!grant_level_of(rows[i].level, &level))
            level = LEVEL_DENY;
        item->pattern = arena_dup(&g->memory, rows[i].pattern);
        item->is_denied = level == LEVEL_DENY;
        item->level = item->is_denied ? LEVEL_SILENT : level;
        g->is_chief |= item->type == GRANT_WORKSPACE && level == LEVEL_MANAGE &&
                       str_eq(item->pattern, STR("*"));
        g->n++;
    }
    grants_fold(g);
    return g;
}

struct grants *grants_take(struct grants *g)
{
    if (g)
        g->holders++;
    return g;
}

void grants_put(struct grants *g)
{
    if (!g || --g->holders > 0)
        return;
    arena_fini(&g->memory);
    free(g);
}

size_t grants_bytes(const struct grants *g)
{
    return sizeof(*g) + arena_used(&g->memory);
}

/* -- questions --------------------------------------------------------------------------------- */

bool grants_is_chief(const struct grants *g)
{
    return g->is_chief;
}

static const struct grant *grants_find(const struct grants *g, enum grant_type type, struct str id)
{
    struct grant key = {.type = type, .pattern = id};

    return g->n ? bsearch(&key, g->items, g->n, sizeof(key), grant_cmp) : NULL;
}

static void grant_add(const struct grant *item, enum grant_level *best, bool *is_denied)
{
    if (!item)
        return;
    *is_denied |= item->is_denied;
    if (item->level > *best)
        *best = item->level;
}

enum grant_level grants_at(const struct grants *g, enum grant_type type, struct str id)
{
    enum grant_level best = LEVEL_SILENT;
    char room[EXPERIMENT_ID_ROOM];
    bool is_denied = false;

    if (g->is_chief)
        return LEVEL_MANAGE;
    if (type == GRANT_EXPERIMENT)
        id = experiment_id_settle(id, room);
    grant_add(grants_find(g, type, STR("*")), &best, &is_denied);
    if (id.n && types[type].has_ids && !str_eq(id, STR("*")))
        grant_add(grants_find(g, type, id), &best, &is_denied);
    return is_denied ? LEVEL_DENY : best;
}

bool grants_any(const struct grants *g, enum grant_type type, enum grant_level level)
{
    for (size_t i = 0; i < g->n; i++) {
        if (g->items[i].type == type &&
            (level == LEVEL_DENY ? g->items[i].is_denied : g->items[i].level >= level))
            return true;
    }
    return false;
}

static enum grant_level grant_floor(enum grant_level level, enum grant_level fallback)
{
    return level > LEVEL_NONE && fallback > level ? fallback : level;
}

enum grant_level grants_govern(const struct grants *g, const struct need *need,
                               enum grant_level fallback, enum grant_level absent,
                               enum grant_action *action)
{
    enum grant_level level = grants_at(g, need->type, need->id);

    *action = need->action;
    if (level == LEVEL_SILENT && need->has_otherwise) {
        level = grants_at(g, need->otherwise, need->otherwise_id);
        *action = need->otherwise_action;
    }
    return grant_floor(level == LEVEL_SILENT ? absent : level, fallback);
}

bool grants_meet(const struct grants *g, const struct need *need, enum grant_level fallback,
                 enum grant_level absent)
{
    enum grant_action action;
    enum grant_level level = grants_govern(g, need, fallback, absent, &action);

    return grant_allows(level, action);
}
