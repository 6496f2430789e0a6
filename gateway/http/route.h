/*
 * route: (method, path) to a row; the rows stand in routes.def.
 *
 * Read-only after route_init(). Both prefixes, /api and /ajax-api, come from one MLFLOW row.
 * Any thread.
 */
#ifndef GATEWAY_ROUTE_H
#define GATEWAY_ROUTE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "gateway/req.h"

/* How large a body may be, and what the front end does before it is read. */
enum route_body {
    BODY_NONE,  /* a body is read and ignored, up to LIMIT_BODY_SMALL */
    BODY_SMALL, /* LIMIT_BODY_SMALL */
    BODY_LARGE, /* LIMIT_BODY_LARGE */
    BODY_POINT, /* LIMIT_BODY_SMALL; refused at the head when the queue is full */
    BODY_BATCH, /* max_body_bytes; refused likewise */
    BODY_WHOLE, /* max_body_bytes */
    BODY_STREAM /* of any length, and not read: the handler does, gateway/req_body.h */
};

/* What a caller must be allowed to do; the auth table of a later version reads it. */
enum route_may { MAY_ANY, MAY_READ, MAY_EDIT, MAY_DELETE, MAY_MANAGE };

/* Where a route is served. */
enum route_where {
    ON_CLIENT = 1,
    ON_ADMIN = 2,
    ON_EITHER = 3,
    ON_USERS = 5 /* client, and with auth = basic only */
};

struct route {
    unsigned methods; /* enum http_method bits */
    const char
        *path;     /* always with the /api prefix; "{name}" stands for any one segment, "{name*}" at
                       * the end for all that is left */
    bool has_ajax; /* also under /ajax-api */
    err_t (*handler)(struct req *r, struct fail *f);
    enum route_body body;
    enum route_may may;
    enum route_where where;
    const char *label; /* for metrics: the path without prefix */
};

/* Builds the table; static_prefix "" or "/prefix", which must stay. has_ui: ui_dir is set; has_users: auth =
 * basic. Main thread, once. */
void route_init(const char *static_prefix, bool has_ui, bool has_users);
/* The row for method and path; NULL with *allowed = methods the path has (0: no such path). OPTIONS
 * has no row: *allowed is its answer. */
const struct route *route_find(unsigned method, struct str path, enum route_where where,
                               unsigned *allowed);
/* The row of all that goes to the upstream; route_find never gives it. */
const struct route *route_upstream(void);
/* The same, where the body is read before it is passed on. */
const struct route *route_upstream_whole(void);
/* Is the path one of ours, which no MLflow server has? */
bool route_is_own(struct str path);
/* What stands in the request's path for the row's "{name}", in the request's arena; bytes that are no
 * UTF-8 as U+FFFD. */
struct str route_arg(struct req *r, const char *name);
/* What stands there for the row's "{name*}", as it was decoded. */
struct str route_rest(const struct req *r);
/* The row of what has none: its handler says so. In no table; index as the number of rows. */
extern const struct route route_unknown;
/* The same, where its body counts. */
extern const struct route route_asked;
/* All rows. */
const struct route *route_rows(size_t *count);
/* Index of a row, for per-route statistics. */
unsigned route_index(const struct route *route);

#endif
