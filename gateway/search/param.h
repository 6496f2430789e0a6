/*
 * param: one parameter of a call that is Flask's own, no protobuf message: users, roles, permissions.
 *
 * MLflow's _get_request_param: the query of a GET, the JSON object of a POST or PATCH, either of a DELETE.
 * The worker's thread.
 */
#ifndef GATEWAY_PARAM_H
#define GATEWAY_PARAM_H

#include "gateway/req.h"
#include "ingest/document.h"

/* Is the body said to be JSON, in werkzeug's sense? */
bool param_is_json(const struct req *r);
/* A parameter; a text of the query as a string. ERR_BAD_PARAM when there is none. */
must_check err_t param_get(struct req *r, const char *name, yyjson_val **out, struct fail *f);
/* A member of the JSON object in the body; NULL when there is none. */
yyjson_val *param_of_body(struct req *r, const char *name);
/* Is it what Python calls false: null, false, 0, "", [] or {}? NULL is. */
bool param_is_false(yyjson_val *v);

#endif
