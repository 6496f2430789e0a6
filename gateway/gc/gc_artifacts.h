/*
 * gc_artifacts: all artifacts of a run or a logged model removed, wherever its URI says they are.
 *
 * One owner, one thread, which waits for disks and servers. Order of calls: gc_artifacts_open; for each
 * batch gc_artifacts_remove as often as wanted and gc_artifacts_finish once, before its rows go;
 * gc_artifacts_close. A removal may be repeated: what is not there is removed.
 */
#ifndef GATEWAY_GC_ARTIFACTS_H
#define GATEWAY_GC_ARTIFACTS_H

#include "base/buf.h"
#include "gateway/artifact/artifact_place.h"
#include "gateway/gc/gc_tracking.h"
#include "gateway/s3/s3_wait.h"

enum gc_fate {
    GC_REMOVED,      /* nothing is left, once gc_artifacts_finish was OK */
    GC_UNRESOLVABLE, /* its URL is none: bypassed, as MLflow does */
    GC_FOREIGN       /* a kind of store that is not built here: nothing was touched */
};

struct gc_artifacts {
    struct artifact_place destination; /* of what the mlflow-artifacts API serves */
    struct gc_tracking tracking;
    bool asks_server;     /* the mlflow-artifacts API is asked, the destination left alone */
    struct str workspace; /* of what comes next; empty: nobody named one */
    /* private */
    bool is_chosen; /* the destination was named, not guessed */
    struct s3_conf conf;
    struct s3_wait s3;
    struct arena arena; /* of one removal */
    struct buf objects; /* keys to delete, not yet asked for */
    unsigned object_count;
    struct str bucket; /* of objects; in `names` */
    struct arena names;
};

/* tracking_uri: as given on the command line, or NULL. Reads the environment. */
must_check err_t gc_artifacts_open(struct gc_artifacts *g, struct arena *a,
                                   const struct settings *s, const char *tracking_uri,
                                   struct fail *f);
/* parts: of the end of the URI's path that are its own, below its experiment's location. ERR_BAD_PARAM: the
 * URI is at fault, and others go on; whatever else is wrong is so for others, too. */
must_check err_t gc_artifacts_remove(struct gc_artifacts *g, struct str uri, unsigned parts,
                                     enum gc_fate *fate, struct fail *f);
/* Nothing of what was removed so far waits any more. */
must_check err_t gc_artifacts_finish(struct gc_artifacts *g, struct fail *f);
/* Also of a zeroed one. */
void gc_artifacts_close(struct gc_artifacts *g);

#endif
