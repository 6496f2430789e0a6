/*
 * artifact_place: which store keeps the artifacts of a URI, and where in it.
 *
 * The destination is resolved once, at the start (main thread); the rest are pure functions over the
 * caller's arena, any thread.
 */
#ifndef GATEWAY_ARTIFACT_PLACE_H
#define GATEWAY_ARTIFACT_PLACE_H

#include "gateway/artifact/artifact_store.h"
#include "schema/settings.h"

/* What --artifacts-destination names, "./mlartifacts" when it is empty. ops NULL: a kind of store that
 * is none of ours. */
void artifact_place_destination(struct arena *a, const struct settings *s,
                                struct artifact_place *out);
/* A path of the mlflow-artifacts API, as the HTTP layer decoded it. */
must_check err_t artifact_place_proxied(struct req *r, struct str sent, struct artifact_place *out,
                                        struct fail *f);
/* Where relative, which has been checked, stands below what uri names: the location of a run or a
 * model. is_bare: there is no relative path, not even an empty one. */
must_check err_t artifact_place_of(struct req *r, struct str uri, struct str relative, bool is_bare,
                                   struct artifact_place *out, struct fail *f);
/* The store of a URI that no server serves, and where it begins; false when there is none here. */
must_check bool artifact_place_store(struct arena *a, struct str uri, struct artifact_place *out);
/* The path of a proxied URI in the destination. */
must_check err_t artifact_place_proxied_path(struct arena *a, struct str uri, struct str *path,
                                             struct fail *f);
/* Where path, which has been checked, lies in the destination for a workspace: below workspaces/NAME. What
 * was there before there were workspaces is the default one's, and stays where it is. */
must_check err_t artifact_place_scoped(struct arena *a, struct str path, struct str workspace,
                                       struct str *out, struct fail *f);
/* Is it one of those that this server serves, or would? http, https, mlflow-artifacts. */
bool artifact_place_is_proxied(struct arena *a, struct str uri, struct str *scheme);

#endif
