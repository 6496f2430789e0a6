/*
 * api: the handlers, one file per MLflow noun; each has the shape that gateway/req.h describes.
 * The list comes from routes.def.
 */
#ifndef GATEWAY_API_H
#define GATEWAY_API_H

#include "base/fail.h"
#include "gateway/req.h"

#define ROUTE(methods, path, handler, body, may, where) \
    err_t handler(struct req *r, struct fail *f);
#define MLFLOW(methods, path, handler, body, may)    err_t handler(struct req *r, struct fail *f);
#define ARTIFACTS(methods, path, handler, body, may) err_t handler(struct req *r, struct fail *f);
#define USERS(methods, path, handler, body, may)     err_t handler(struct req *r, struct fail *f);
#define USERS_3(methods, path, handler, body, may)   err_t handler(struct req *r, struct fail *f);
#define MLFLOW_3(methods, path, handler, body, may)  err_t handler(struct req *r, struct fail *f);
#include "gateway/http/routes.def"
#undef ROUTE
#undef MLFLOW
#undef MLFLOW_3
#undef ARTIFACTS
#undef USERS
#undef USERS_3

/* There is no row for method and path: an answer to OPTIONS, 405 or 404. */
err_t api_unknown(struct req *r, struct fail *f);

#endif
