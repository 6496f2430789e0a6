/*
 * grant: what a user was granted, and whether that is enough.
 *
 * grants_new from the rows of a user's roles; then grant_meets for each need of a call, all of which
 * must hold. Read-only once made, but for the
 * count of its holders. Pure; any thread. grant.c tells the rules.
 */
#ifndef GATEWAY_GRANT_H
#define GATEWAY_GRANT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

enum grant_type {
#define GRANT_TYPE(name, text, has_ids) GRANT_##name,
#include "gateway/auth/grants.def"
#undef GRANT_TYPE
    GRANT_TYPES
};

/* In the order of how much they allow. */
enum grant_level {
    LEVEL_SILENT, /* no grant at all */
    LEVEL_DENY,
    LEVEL_NONE, /* NO_PERMISSIONS: a default only */
    LEVEL_READ,
    LEVEL_USE,
    LEVEL_EDIT,
    LEVEL_MANAGE
};

enum grant_action { DO_READ, DO_USE, DO_UPDATE, DO_DELETE, DO_MANAGE, DO_NOT_DENIED };

/* What a call needs: an action on a thing. When nothing is granted on it, what was granted on
 * otherwise counts. */
struct need {
    enum grant_type type;
    struct str id; /* empty = `*` */
    enum grant_action action;
    bool has_otherwise;
    enum grant_type otherwise;
    struct str otherwise_id;
    enum grant_action otherwise_action;
};

struct grant_row {
    struct str type, pattern, level;
};

struct grants;

/* From the rows of one user in one workspace, in any order; unknown types are left out, an unknown
 * level denies. Held by the caller. */
struct grants *grants_new(const struct grant_row *rows, size_t n);
/* One more holder, one less; the last one frees it. Of one thread; NULL is fine. */
struct grants *grants_take(struct grants *g);
void grants_put(struct grants *g);
/* Memory it takes. */
size_t grants_bytes(const struct grants *g);

/* May manage all of the workspace. */
bool grants_is_chief(const struct grants *g);
/* What was granted on a thing; an empty id is `*`. */
enum grant_level grants_at(const struct grants *g, enum grant_type type, struct str id);
/* Does the user hold a grant of this level, at least, on any thing of the type? */
bool grants_any(const struct grants *g, enum grant_type type, enum grant_level level);
/* The level that decides a need, and the action it must allow. absent: where nothing is granted. */
enum grant_level grants_govern(const struct grants *g, const struct need *need,
                               enum grant_level fallback, enum grant_level absent,
                               enum grant_action *action);
bool grants_meet(const struct grants *g, const struct need *need, enum grant_level fallback,
                 enum grant_level absent);
bool grant_allows(enum grant_level level, enum grant_action action);

/* "READ"; false = no such level. */
bool grant_level_of(struct str text, enum grant_level *out);
const char *grant_level_name(enum grant_level level);
bool grant_type_of(struct str text, enum grant_type *out);
const char *grant_type_name(enum grant_type type);
bool grant_type_has_ids(enum grant_type type);

#endif
