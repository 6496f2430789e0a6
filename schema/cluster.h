/*
 * cluster: the private PostgreSQL that `sluice serve` brings along when no pg_uri is given.
 *
 * One directory, one owner: cluster_open takes a lock on it and refuses while another sluice holds
 * it. Unix socket only, never as root, superuser role and database both named sluice. The server
 * survives us when we are killed; the next cluster_open finds it running and adopts it.
 *
 * Main thread. Order of calls: cluster_open, before any other thread starts; then cluster_tend now
 * and then; cluster_close after the last connection is closed. cluster_locate stands alone.
 */
#ifndef SCHEMA_CLUSTER_H
#define SCHEMA_CLUSTER_H

#include <sys/types.h>

#include "schema/cluster_place.h"

struct cluster;

struct cluster_info {
    char dir[CLUSTER_PATH_MAX]; /* where the cluster is */
    char uri[CLUSTER_URI_MAX];  /* how to connect when it runs */
    pid_t pid;                  /* of its postmaster; 0 = it does not run */
};

/* Creates data_dir and the cluster when they are missing, starts it when it does not run, and
 * returns once it answers and database sluice exists. bin_dir: where initdb and postgres are,
 * NULL or "" = search. ERR_LOCKED when another sluice owns it, ERR_SETTING, ERR_PG. */
must_check err_t cluster_open(const char *data_dir, const char *bin_dir, struct cluster **out,
                              struct fail *f);
/* For libpq, psql and (with a driver suffix) SQLAlchemy; valid until cluster_close. */
const char *cluster_uri(const struct cluster *c);
/* The cluster's directory; valid until cluster_close. */
const char *cluster_dir(const struct cluster *c);
/* The postmaster. */
pid_t cluster_pid(const struct cluster *c);
/* Supervision: starts a postmaster that has died again, with growing pauses; never waits. Cheap,
 * call it about once a second. */
void cluster_tend(struct cluster *c);
/* Fast shutdown, adopted or not; waits for it within a deadline, then insists. Frees c. */
void cluster_close(struct cluster *c);

/* Where the cluster of data_dir is and whether it runs; starts and changes nothing. ERR_SETTING
 * when there is none. */
must_check err_t cluster_locate(const char *data_dir, struct cluster_info *info, struct fail *f);

#endif
