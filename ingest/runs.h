/*
 * runs: what is known of runs, shared by all workers.
 *
 * A sharded, bounded map from run id to stage, experiment and the end of the newest entry that was
 * appended for it here. Filled from PostgreSQL on a miss, trusted for a time (ttl), updated at once
 * by calls that pass through. Any thread; a call holds one shard's mutex and calls nobody.
 * What is known only negatively (no such run) is not kept.
 *
 * Order of calls: runs_new, runs_raise_floor, then any of the others.
 */
#ifndef INGEST_RUNS_H
#define INGEST_RUNS_H

#include <stdbool.h>
#include <stdint.h>

#include "ingest/queue.h"
#include "schema/batch.h"

struct runs;

struct run {
    bool is_active; /* lifecycle_stage is 'active' */
    int32_t experiment_id;
    uint64_t workspace; /* stands for its workspace, which the caller knows; 0 = there are none */
};

enum { RUNS_CLIENT = 16 }; /* bytes of an IPv6 address; IPv4 as ::ffff:a.b.c.d */

/* max_entries bounds the memory. */
struct runs *runs_new(uint64_t max_entries);
void runs_free(struct runs *t);
/* True and *out when the run is known and was learnt less than ttl_us ago. */
bool runs_get(struct runs *t, const struct run_id *id, uint64_t now_us, uint64_t ttl_us,
              struct run *out);
/* What PostgreSQL or a call that passed through said. now_us: when it was asked, so that an answer
 * that was on its way while something newer was learnt or forgotten does not replace it. */
void runs_put(struct runs *t, const struct run_id *id, uint64_t now_us, const struct run *run);
/* Forgets what is known of the run's state (not its position): the next look-up asks PostgreSQL. */
void runs_forget(struct runs *t, const struct run_id *id);
/* Forgets the state of every run: an experiment was deleted or restored. */
void runs_forget_all(struct runs *t);
/* The entry that ends there was appended for the run. False: who writes to it is not known yet,
 * and runs_set_client may tell. */
bool runs_appended(struct runs *t, const struct run_id *id, pos_t end);
/* Who writes to the run, for whom looks at what went wrong; forgotten with the run. */
void runs_set_client(struct runs *t, const struct run_id *id, const uint8_t address[RUNS_CLIENT]);
bool runs_get_client(struct runs *t, const struct run_id *id, uint8_t address[RUNS_CLIENT]);
/* Entries before pos may belong to any run (they were replayed): reads of every run wait for it.
 * After queue_open, with queue_appended, before the workers start. */
void runs_raise_floor(struct runs *t, pos_t pos);
/* The position a read of this run must wait for; 0 = nothing was ever appended here. At least the
 * newest entry of the run; more when the run's own position was evicted. */
pos_t runs_position(struct runs *t, const struct run_id *id);
uint64_t runs_count(struct runs *t);

#endif
