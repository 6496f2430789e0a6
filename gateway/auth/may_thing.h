/*
 * may_thing: the things that questions of who may are about. Plain data.
 */
#ifndef GATEWAY_MAY_THING_H
#define GATEWAY_MAY_THING_H

#include <stdbool.h>

#include "base/str.h"
#include "gateway/auth/grant.h"

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
    FIND_EXPERIMENT,      /* itself, as it is written: is it in the workspace? */
    FIND_MODEL,           /* extra[0] "t": a prompt */
    FIND_ENDPOINT,        /* its experiment, or "" */
    FIND_ENDPOINT_NAME,   /* extra[0]: its id */
    FIND_ENDPOINTS,       /* id "*": all of them; .., their names in place of an experiment */
    FIND_GUARDRAIL,       /* the experiment of its scorer; extra[0]: the scorer's name */
    FIND_JOB,             /* extra[0]: who made it */
    FIND_SERVER,
    FIND_KINDS
};

/* As many endpoints are looked through for a list of models. */
enum { FIND_EXTRAS = 3, MAY_ENDPOINTS = 1000 };

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

#endif
