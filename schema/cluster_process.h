/*
 * cluster_process: the processes of the private PostgreSQL: starting one as the cluster's user,
 * finding the one that runs, asking whether it answers. For schema/cluster.c.
 *
 * Main thread. process_spawn forks and may be called while other threads run: between fork and
 * exec the child does only what is async-signal-safe.
 */
#ifndef SCHEMA_CLUSTER_PROCESS_H
#define SCHEMA_CLUSTER_PROCESS_H

#include <stddef.h>
#include <sys/types.h>

#include <libpq-fe.h>

#include "schema/cluster_place.h"

/* A postmaster, as its postmaster.pid describes it. */
struct postmaster {
    pid_t pid;
    int port;                    /* 0 while it starts */
    char sock[CLUSTER_PATH_MAX]; /* "" while it starts */
};

/* Starts argv[0] in cwd as p's user, in a session of its own, output appended to log_path. */
must_check err_t process_spawn(const struct cluster_place *p, char *const *argv, const char *cwd,
                               const char *log_path, pid_t *out, struct fail *f);
/* Has this child of ours ended? *status is waitpid's. Also true when somebody else reaped it. */
bool process_ended(pid_t pid, int *status);
/* The last thing said in a log: its last line with FATAL or error:, else its last line. */
void process_log_tail(const char *log_path, char *out, size_t cap);
/* Is there a postmaster on p->dir? Fills *run when there is. */
bool process_find_postmaster(const struct cluster_place *p, struct postmaster *run);
/* One ping, at most two seconds. */
PGPing process_ping(const char *sock, int port);
/* The pause between two looks of a wait: 20 ms. */
void process_pause(void);

#endif
