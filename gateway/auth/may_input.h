/*
 * may_input: what a request says of the things it is about, as MLflow's checks read it.
 *
 * may_input first. Texts live in the request's arena. The worker's thread.
 */
#ifndef GATEWAY_MAY_INPUT_H
#define GATEWAY_MAY_INPUT_H

#include "base/fail.h"
#include "gateway/auth/grant.h"

struct may;
struct yyjson_val;

void may_input(struct may *m);
/* As MLflow's _get_request_param: a parameter that must be there, as text. */
must_check err_t may_param(struct may *m, const char *name, struct str *out, struct fail *f);
/* A field of the message that the handler reads, by either spelling; NULL there, and false, when unset. */
bool may_field(struct may *m, const char *name, struct str *out);
/* Is that message the query? */
bool may_from_query(const struct may *m);
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

/* Values of the statement about people: role, role permission, user's name. */
must_check err_t may_people_ask(struct may *m, struct str values[3], struct fail *f);
/* MLflow's words on resource types, for these checks and for the calls behind them. */
must_check err_t may_no_workspace(struct str type, struct fail *f);
must_check err_t may_type_check(struct str text, enum grant_type *type, struct fail *f);
must_check err_t may_type_single(enum grant_type type, struct str id, struct fail *f);

#endif
