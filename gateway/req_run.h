/*
 * req_run: what a write goes by when PostgreSQL does not say how its run is.
 *
 * A write to a run that is known does not wait for PostgreSQL. So when that gives no answer, what is
 * known longer than run_cache_ttl counts as well; req_find_run does so by itself, and who looks runs
 * up in another way asks here. The worker's thread.
 */
#ifndef GATEWAY_REQ_RUN_H
#define GATEWAY_REQ_RUN_H

#include "gateway/req.h"

/* Does PostgreSQL give no answer at the moment? */
bool req_lacks_database(const struct req *r);
/* What the run table knows, from whenever. To be asked when PostgreSQL gives no answer. */
must_check bool req_recall_run(struct req *r, const struct run_id *id, struct run *out);
/* The timer: who waits for a run that is known goes on. */
void req_expire_runs(struct worker *w);

#endif
