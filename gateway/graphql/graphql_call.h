/*
 * graphql_call: one GraphQL request on its way, shared by the files that answer its root fields.
 *
 * api_graphql.c reads the document, then calls graphql_answer() for one root field after the other.
 * That, and every step it goes on with, either begins a wait or writes the field's value, or fails
 * before it wrote anything of it, and returns through graphql_end(). In the request's arena; its
 * worker's thread.
 */
#ifndef GATEWAY_GRAPHQL_CALL_H
#define GATEWAY_GRAPHQL_CALL_H

#include "gateway/api/history.h"
#include "gateway/graphql/graphql_errors.h"
#include "gateway/graphql/graphql_input.h"
#include "gateway/graphql/graphql_parse.h"
#include "gateway/graphql/graphql_plan.h"
#include "gateway/graphql/graphql_write.h"
#include "gateway/req.h"
#include "gateway/search/search_page.h"

struct graphql_extra;

/* What is shown with runs but does not stand in their rows, as JSON. */
struct graphql_extras {
    struct graphql_extra *experiments; /* by their ids */
    size_t nexperiments;
    struct graphql_extra *versions; /* by the ids of their runs */
    size_t nversions;
};

struct graphql_call {
    struct graphql_document document;
    struct graphql_errors errors;
    struct graphql_bindings bindings;
    const struct graphql_plan *plan;
    size_t next; /* of plan's items */
    bool is_looping;
    struct json json;

    /* of the root field that is being answered */
    const struct graphql_plan *root;
    struct graphql_argument argument;
    struct str run_id;
    struct str uri, path; /* of artifacts */
    bool has_path;
    struct str ids;           /* an array, as SQL takes it */
    struct search_page *page; /* of a search, else NULL */
    struct graphql_extras extras;
    struct str values[5];
    struct list_str run_ids;
    struct history_range range;
    size_t item; /* of root's */
    size_t run;
    int32_t experiment;
};

/* Ends a step: an error that is the client's becomes an error of the field, whose value is null, and
 * when the value is there the next root field follows. */
must_check err_t graphql_end(struct req *r, err_t e, struct fail *f);

/* Answers c->root, whose argument is in c->argument. */
must_check err_t graphql_answer(struct req *r, struct fail *f);
/* The same, of who may see it; null otherwise. */
must_check err_t graphql_judge(struct req *r, struct fail *f);
/* Answers it to anybody. */
must_check err_t graphql_answer_root(struct req *r, struct fail *f);
/* Those that show runs: GetRun, SearchRuns. */
must_check err_t graphql_get_run(struct req *r, struct fail *f);
must_check err_t graphql_search_runs(struct req *r, struct fail *f);

/* A text of the argument that PostgreSQL can take; empty when it is not set. */
must_check err_t graphql_text(const struct graphql_call *c, struct str name, struct str *out,
                              struct fail *f);
/* runId, or else runUuid. */
must_check err_t graphql_run_id(struct graphql_call *c, struct fail *f);

#endif
