/*
 * may_rule: one question of who may, on its way to an answer; shared by the files may*.c.
 *
 * A rule has two functions. ask reads the request: which things is it about (may_find, may_about..).
 * When those were looked up and the user's grants are known, settle says what the call needs
 * (may_need..), or m->is_refused. All needs must be met. An error of either is the answer, in place of
 * 403. All lives in the request's arena; the worker's thread.
 */
#ifndef GATEWAY_MAY_RULE_H
#define GATEWAY_MAY_RULE_H

#include "gateway/auth/grant.h"
#include "gateway/auth/grant_cache.h"
#include "gateway/auth/may_path.h"
#include "gateway/auth/may_thing.h"
#include "gateway/req.h"
#include "ingest/input.h"

struct may;
typedef err_t (*may_step)(struct may *m, struct fail *f);

struct may_rule_row {
    may_step ask, settle;
    struct may_template rows[MAY_TEMPLATES]; /* for settle */
};

struct may {
    struct req *r;
    req_step next;
    void *writing; /* grant_write.c's own */
    void *behind;  /* grant_behind.c's own */
    struct may_path path;
    const struct may_rule_row *rule;
    bool is_refused;

    /* the request's parameters */
    bool is_get, has_json;
    struct yyjson_val *body; /* an object, or NULL */
    struct input_pair *query;
    size_t nquery;

    /* what it is about */
    struct may_find *finds, **last_find;
    struct str *experiments;
    size_t nexperiments, most_experiments;
    enum grant_type container; /* GRANT_REGISTERED_MODEL or GRANT_PROMPT */
    struct str name, scorer, id;
    bool asks_people;
    struct input_pair
        *people; /* "chief", "present", "target" of a workspace; "role" in one; "user" */
    size_t npeople;

    struct may_find *only_run; /* the run table is asked for it */
    enum may_find_kind kinds[SQL_STEPS_MAX];
    unsigned nkinds;

    /* what it needs */
    struct grants *grants; /* held until the request is over */
    struct grant_stamp stamp;
    enum grant_level fallback; /* default_permission */
    enum grant_level absent;   /* where nothing is granted */
    struct need *needs;
    size_t nneeds, most_needs;
};

extern const struct may_rule_row may_rules[MAY_RULES];

/* The rule of the request's path, which nobody looks up for an admin; may.c. */
void may_find_path(struct may *m);

/* -- what it is about, and needs; may_rule.c ---------------------------------------------------- */
struct may_find *may_find(struct may *m, enum may_find_kind kind, struct str id);
void may_about(struct may *m, struct str experiment);
void may_find_all(struct may *m, enum may_find_kind kind, const struct str *ids, size_t n);
void may_about_all(struct may *m, const struct str *experiments, size_t n);
/* Does nobody but admins know such a thing: m->is_refused. */
void may_refuse(struct may *m);
void may_need(struct may *m, enum grant_type type, struct str id, enum grant_action action);
void may_need_or(struct may *m, enum grant_type type, enum grant_action action,
                 enum grant_type otherwise, struct str id, enum grant_action otherwise_action);
/* A place in the workspace, for what is to be made in it. */
void may_need_place(struct may *m);
bool may_met(const struct may *m, enum grant_type type, struct str id, enum grant_action action);
/* Experiments of all that was found; what was not found refuses. */
void may_found(struct may *m);
/* The container that was looked up, else a registered model of that name; false = not found. */
bool may_container(struct may *m);
void may_need_rows(struct may *m);
/* Is the kind denied as such? */
bool may_denied(const struct may *m, enum grant_type type);
struct str may_scorer(struct arena *a, struct str experiment, struct str name);
/* What the caller may do with review queues of the experiment. */
enum grant_level may_queue_level(const struct may *m, struct str experiment);
/* A user's name as queues keep it. */
struct str may_lowered(struct arena *a, struct str text);

/* A path behind "mcp-servers/": of a server, as space/slug, and what of it; or server empty: what of all. */
struct mcp_path {
    struct str server, part, rest;
};
void may_mcp_path(const struct may *m, struct mcp_path *out);

/* Asks and settles that several files name; those of may_rules.def. */
#define RULE(name, ask, settle, ...)                    \
    err_t may_ask_##ask(struct may *m, struct fail *f); \
    err_t may_settle_##settle(struct may *m, struct fail *f);
#include "gateway/auth/may_rules.def"
#undef RULE

#endif
