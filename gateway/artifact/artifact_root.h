/*
 * artifact_root: where a run, a logged model or a version of a registered model keeps its artifacts, as
 * PostgreSQL has it. Steps as in gateway/req.h.
 */
#ifndef GATEWAY_ARTIFACT_ROOT_H
#define GATEWAY_ARTIFACT_ROOT_H

#include "gateway/req.h"

/* next follows with *uri, in the arena; what is not there ends in ERR_NOT_FOUND, in MLflow's words. */
must_check err_t artifact_root_of_run(struct req *r, struct str id, struct str *uri, req_step next);
must_check err_t artifact_root_of_model(struct req *r, struct str id, struct str *uri,
                                        req_step next);
/* Also what is wrong with name or version. */
must_check err_t artifact_root_of_version(struct req *r, struct str name, struct str version,
                                          struct str *uri, req_step next);

#endif
