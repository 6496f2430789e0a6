/*
 * grant_write: what becomes of permissions when things are made, renamed and deleted.
 *
 * Who makes a thing may manage it. Where the users stand in the same database the grant is a step of the
 * same transaction (grant_own_step), else it is written behind it (grant_own). Both do nothing when nobody
 * was asked who it is. The worker's thread.
 */
#ifndef GATEWAY_GRANT_WRITE_H
#define GATEWAY_GRANT_WRITE_H

#include "gateway/auth/grant.h"
#include "gateway/req.h"

/* A step behind those that make the thing; 0 = none. An id whose p is NULL is that of the experiment made
 * in this transaction. */
unsigned grant_own_step(struct req *r, enum grant_type type, struct str id, struct sql_step *step);
/* The thing is made: next follows when its maker may manage it. */
must_check err_t grant_own(struct req *r, enum grant_type type, struct str id, req_step next);
/* A step behind those that delete a registered model or prompt; 0 = none. */
unsigned grant_sweep_step(struct req *r, struct str name, struct sql_step *step);
/* It is deleted, or renamed from a name to another: next follows when the permissions are. */
must_check err_t grant_sweep(struct req *r, struct str name, req_step next);
must_check err_t grant_rename(struct req *r, struct str from, struct str to, req_step next);

/* The same for what another server has made, or deleted, in a transaction of its own. */
must_check err_t grant_own_now(struct req *r, enum grant_type type, struct str id, req_step next);
/* Unless somebody else was granted it so before; what he was granted on it already stays. */
must_check err_t grant_own_first(struct req *r, enum grant_type type, struct str id, req_step next);
must_check err_t grant_gone(struct req *r, enum grant_type type, struct str id, req_step next);

/* A workspace is made: the roles that MLflow gives each. It is gone: so are its roles, and who had them. */
unsigned grant_workspace_made_step(struct req *r, struct str name, struct sql_step *step);
unsigned grant_workspace_gone_step(struct req *r, struct str name, struct sql_step *step);
must_check err_t grant_workspace_made(struct req *r, struct str name, req_step next);
must_check err_t grant_workspace_gone(struct req *r, struct str name, req_step next);

#endif
