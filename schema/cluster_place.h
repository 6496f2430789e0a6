/*
 * cluster_place: where the private PostgreSQL lives, which user it runs as, which programs it is.
 *
 * Only looks, but for cluster_place_make. Main thread or command line, before other threads
 * start: it forks to find out what another user may enter. For schema/cluster.c.
 *
 * Order of calls: cluster_place_find, then cluster_place_bin, cluster_place_make.
 */
#ifndef SCHEMA_CLUSTER_PLACE_H
#define SCHEMA_CLUSTER_PLACE_H

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/fail.h"

enum {
    CLUSTER_PATH_MAX = PATH_MAX,
    CLUSTER_URI_MAX = 3 * PATH_MAX, /* each byte of a path may become %XX */
    CLUSTER_GROUPS_MAX = 64,
    CLUSTER_PORT = 5432, /* names the socket file; no TCP port is opened */
};

struct cluster_place {
    char data_dir[CLUSTER_PATH_MAX]; /* as given, made absolute */
    char base[CLUSTER_PATH_MAX];     /* directory of the cluster's directory, its lock and logs */
    char dir[CLUSTER_PATH_MAX];      /* the cluster: base/pg */
    char sock[CLUSTER_PATH_MAX];     /* directory of the Unix socket */
    bool has_cluster;                /* dir holds one already */
    bool is_elsewhere;               /* base is not data_dir */
    bool drops_user;                 /* we are root: the cluster runs as uid, gid, groups */
    uid_t uid;
    gid_t gid;
    gid_t groups[CLUSTER_GROUPS_MAX];
    int group_count;
};

/* Decides; data_dir must exist. ERR_SETTING says what is in the way. */
must_check err_t cluster_place_find(const char *data_dir, struct cluster_place *p, struct fail *f);
/* Directory of initdb and postgres: bin_dir when not empty, else that of the cluster's own
 * version, PATH, the newest installed. out has CLUSTER_PATH_MAX bytes. */
must_check err_t cluster_place_bin(const struct cluster_place *p, const char *bin_dir, char *out,
                                   struct fail *f);
/* Creates base and the socket directory where they are missing; refuses ones of somebody else. */
must_check err_t cluster_place_make(const struct cluster_place *p, struct fail *f);
/* In a child of ours: becomes the cluster's user for good. Async-signal-safe. */
must_check bool cluster_place_become(const struct cluster_place *p);
/* The connection string for psql and, with its driver suffix, SQLAlchemy; out has CLUSTER_URI_MAX
 * bytes. */
void cluster_place_uri(const char *sock, int port, char *out);
/* snprintf into CLUSTER_PATH_MAX bytes; ERR_SETTING when it does not fit. */
must_check err_t cluster_path(char *out, struct fail *f, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
