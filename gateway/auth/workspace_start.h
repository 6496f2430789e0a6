/*
 * workspace_start: what must hold before a server runs with workspaces, and before one runs without.
 *
 * MLflow refuses to start where it does not, in the same words. Blocking; the main thread, before others.
 */
#ifndef GATEWAY_WORKSPACE_START_H
#define GATEWAY_WORKSPACE_START_H

#include <libpq-fe.h>

#include "base/arena.h"
#include "base/fail.h"
#include "schema/settings.h"

/* Of the settings and the environment alone; root: settings_artifact_root's. */
must_check err_t workspace_start_check(const struct settings *s, struct str root, struct fail *f);
/* Of a database with MLflow's tables. */
must_check err_t workspace_start_look(PGconn *c, bool are_on, struct fail *f);
/* Where artifacts of the workspace lie that has no root of its own. */
struct str workspace_root(struct arena *a, struct str root, struct str name);
/* Where those of the first experiment of a new database lie. */
const char *workspace_first_root(struct arena *a, const struct settings *s, struct str root);

#endif
