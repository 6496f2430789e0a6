/*
 * role_json: MLflow's Role, RolePermission and UserRoleAssignment as JSON, and the forms of answers that
 * calls about people have in common. The worker's thread.
 */
#ifndef GATEWAY_ROLE_JSON_H
#define GATEWAY_ROLE_JSON_H

#include "base/json.h"
#include "gateway/auth/may_rule.h"

/* Columns of `roles r LEFT JOIN role_permissions p` that role_json reads, and their order. */
#define ROLE_COLUMNS                                                                    \
    "r.id, r.name, r.workspace, r.description, p.id, p.permission, p.resource_pattern," \
    " p.resource_type"
#define ROLE_ORDER " ORDER BY r.id, p.id"

/* What was sent, for handlers: as in may_input.c. */
struct may *role_input(struct req *r);
/* A parameter that must be there and must be a text; a whole number. */
must_check err_t role_text(struct may *m, const char *name, struct str *out, struct fail *f);
must_check err_t role_int(struct may *m, const char *name, struct str *out, struct fail *f);

void role_json_begin(struct req *r, struct json *j);
err_t role_json_end(struct req *r, struct json *j);
/* {} */
err_t role_done(struct req *r);
/* The role that begins at a row, its columns from that one on; those before, of whom it is shown for, begin
 * with an id. Returns the row behind it. */
int role_json(struct json *j, const PGresult *res, int row, int column);
/* Do both rows say the same in the column? */
bool role_is_same(const PGresult *res, int a, int b, int column);
/* The same of all rows, as the list of that name; then the answer is complete. */
err_t role_json_list(struct req *r, const PGresult *res);
/* id, permission, pattern, type from that column on. */
void role_permission_json(struct json *j, const PGresult *res, int row, int column, int64_t role);

err_t role_missing(struct str id, struct fail *f);
err_t role_user_missing(struct str name, struct fail *f);
/* Is the level one that the type takes, and the pattern? In MLflow's order and words. */
must_check err_t role_check_grant(struct str level, struct str type, struct fail *f);
must_check err_t role_check_pattern(struct str pattern, struct str type, struct fail *f);

#endif
