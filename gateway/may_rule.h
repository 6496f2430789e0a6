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

#include "gateway/grant.h"
#include "gateway/grant_cache.h"
#include "gateway/may_path.h"
#include "gateway/req.h"
#include "ingest/input.h"

enum may_find_kind {
    FIND_RUN, /* experiment */
    FIND_LOGGED,
    FIND_TRACE,
    FIND_ISSUE,
    FIND_SCHEMA,
    FIND_QUEUE,           /* .., its owner, kind, members ("," around each) */
    FIND_QUEUE_NAME,      /* "experiment/name": the same */
    FIND_DATASET,         /* several rows */
    FIND_SCORING,         /* of a scorer; several rows */
    FIND_EXPERIMENT_NAME, /* experiment */
    FIND_MODEL,           /* extra[0] "t": a prompt */
    FIND_ENDPOINT,        /* its experiment, or "" */
    FIND_ENDPOINT_NAME,   /* extra[0]: its id */
    FIND_GUARDRAIL,       /* the experiment of its scorer; extra[0]: the scorer's name */
    FIND_JOB,             /* extra[0]: who made it */
    FIND_SERVER,
    FIND_KINDS
};

enum { FIND_EXTRAS = 3 };

/* Something looked up by its id; rows of the same one hang behind each other. */
struct may_find {
    enum may_find_kind kind;
    struct str id;
    bool is_found, is_looked_up;
    struct str experiment;
    struct str extra[FIND_EXTRAS];
    struct may_find *more; /* the next row */
    struct may_find *next; /* the next one asked for */
};

/* What a rule's rows speak of. */
enum may_what {
    IT_NOTHING,
    IT_EXPERIMENT, /* each of m->experiments */
    IT_RUN,        /* all of the kind, from here on */
    IT_TRACE,
    IT_ASSESSMENT,
    IT_LOGGED,
    IT_QUEUE,
    IT_SCORERS,
    IT_SCORER_VERSION,
    IT_MODEL,   /* m->container, m->name */
    IT_VERSION, /* all versions of its kind */
    IT_SCORER,  /* m->scorer */
    IT_SECRET,  /* m->id, from here on */
    IT_ENDPOINT,
    IT_DEFINITION
};

struct may_template {
    enum may_what what;
    enum grant_action action;
    enum may_what otherwise; /* where nothing is granted on what */
    enum grant_action otherwise_action;
};

enum { MAY_TEMPLATES = 9 };

struct may;
typedef err_t (*may_step)(struct may *m, struct fail *f);

struct may_rule_row {
    may_step ask, settle;
    struct may_template rows[MAY_TEMPLATES]; /* for settle */
};

struct may {
    struct req *r;
    req_step next;
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
    struct need *needs;
    size_t nneeds, most_needs;
};

extern const struct may_rule_row may_rules[MAY_RULES];

/* -- what was sent; may_input.c ---------------------------------------------------------------- */
void may_input(struct may *m);
/* As MLflow's _get_request_param: a parameter that must be there, as text. */
must_check err_t may_param(struct may *m, const char *name, struct str *out, struct fail *f);
/* A field of the message that the handler reads, by either spelling; NULL there, and false, when unset. */
bool may_field(struct may *m, const char *name, struct str *out);
struct yyjson_val *may_value(struct may *m, const char *name);
bool may_flag(struct may *m, const char *name, bool *out);
/* All values of a list, in the arena. */
size_t may_list(struct may *m, const char *name, struct str **out);
/* The member of an object by either spelling; NULL = unset. */
struct yyjson_val *may_member(struct may *m, struct yyjson_val *obj, const char *name);
struct str may_text(struct may *m, struct yyjson_val *v);
/* The first value in the query, whatever the method. */
bool may_query(struct may *m, const char *name, struct str *out);
/* The caller's name; a header field, empty when absent. */
struct str may_user(const struct may *m);
struct str may_header(const struct may *m, const char *name);
size_t may_query_all(struct may *m, const char *name, struct str **out);

/* -- what it is about, and needs; may_rule.c ---------------------------------------------------- */
struct may_find *may_find(struct may *m, enum may_find_kind kind, struct str id);
void may_about(struct may *m, struct str experiment);
/* Does nobody but admins know such a thing: m->is_refused. */
void may_refuse(struct may *m);
void may_need(struct may *m, enum grant_type type, struct str id, enum grant_action action);
void may_need_or(struct may *m, enum grant_type type, enum grant_action action,
                 enum grant_type otherwise, struct str id, enum grant_action otherwise_action);
bool may_met(const struct may *m, enum grant_type type, struct str id, enum grant_action action);
/* Experiments of all that was found; what was not found refuses. */
void may_found(struct may *m);
/* The container that was looked up, else a registered model of that name; false = not found. */
bool may_container(struct may *m);
void may_need_rows(struct may *m);
/* Are all things of the type readable, so that MLflow would take none of them out of an answer? */
bool may_reads_all(const struct may *m, enum grant_type type);
/* Is the kind denied as such? */
bool may_denied(const struct may *m, enum grant_type type);
struct str may_scorer(struct may *m, struct str experiment, struct str name);

/* -- people; may_people.c ------------------------------------------------------------------------- */
/* Values of the statement about people: role, role permission, user's name. */
must_check err_t may_people_ask(struct may *m, struct str values[3], struct fail *f);
/* MLflow's words on resource types, for these checks and for the calls behind them. */
must_check err_t may_no_workspace(struct str type, struct fail *f);
must_check err_t may_type_check(struct str text, enum grant_type *type, struct fail *f);
must_check err_t may_type_single(enum grant_type type, struct str id, struct fail *f);

/* Asks and settles that several files name; those of may_rules.def. */
#define RULE(name, ask, settle, ...)                    \
    err_t may_ask_##ask(struct may *m, struct fail *f); \
    err_t may_settle_##settle(struct may *m, struct fail *f);
#include "gateway/may_rules.def"
#undef RULE

#endif
