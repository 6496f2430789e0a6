/*
 * artifact_uri: where artifacts of an experiment and of a run are kept, as MLflow forms the URI.
 *
 * Pure functions over the caller's arena, but for artifact_uri_make_absolute, which asks for the
 * working directory. Any thread.
 */
#ifndef GATEWAY_ARTIFACT_URI_H
#define GATEWAY_ARTIFACT_URI_H

#include "base/arena.h"
#include "base/fail.h"
#include "base/str.h"

/* uri with path appended to its path part; a query or fragment stays at the end. */
struct str artifact_uri_append(struct arena *a, struct str uri, struct str path);
/* May a client name this location for a new experiment? MLflow's checks in MLflow's order and
 * words. root: the server's own artifact root, whose host may be named. */
must_check err_t artifact_uri_check(struct arena *a, struct str uri, struct str root,
                                    const char *field, struct fail *f);
/* The part of it that looks at the host; field is the parameter's name in the message. */
must_check err_t artifact_uri_check_host(struct arena *a, struct str uri, struct str root,
                                         const char *field, struct fail *f);
/* The same when a location that was stored is about to be used. */
must_check err_t artifact_uri_check_use(struct arena *a, struct str uri, struct str root,
                                        struct fail *f);
/* A relative local path against the working directory; everything else as it is. */
must_check err_t artifact_uri_make_absolute(struct arena *a, struct str uri, struct str *out,
                                            struct fail *f);

#endif
