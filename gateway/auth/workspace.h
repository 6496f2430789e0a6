/*
 * workspace: which workspace a request looks at: its header judged, and looked up.
 *
 * With enable_workspaces every request looks at one: the one that X-MLFLOW-WORKSPACE names, else `default`.
 * The worker's thread.
 */
#ifndef GATEWAY_WORKSPACE_H
#define GATEWAY_WORKSPACE_H

#include "gateway/req.h"

enum { WORKSPACE_NAME_MAX = 63 };

/* MLflow's rules on names, in its words. */
must_check err_t workspace_check_name(struct str name, struct fail *f);
/* Of the header alone, before anything else is judged: false when the answer is made already. */
bool workspace_admits_head(struct req *r);
/* The step before those that look at anything: next follows with r->scope set, when the workspace
 * exists. */
must_check err_t workspace_admit(struct req *r, req_step next);
/* It was made, changed or deleted: in every pod it is looked up again. */
void workspace_changed(struct worker *w, struct str name);

#endif
