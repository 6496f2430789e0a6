/*
 * artifacts: what the calls about artifacts need for the life of a server.
 *
 * Order of calls: artifacts_open before the workers, artifacts_close behind them; main thread. In
 * between everything is read-only, any thread.
 */
#ifndef GATEWAY_ARTIFACTS_H
#define GATEWAY_ARTIFACTS_H

#include "gateway/artifact/artifact_store.h"
#include "gateway/s3/s3_conf.h"
#include "schema/settings.h"

enum { ARTIFACT_THREADS_MAX = 64, ARTIFACT_FILES = 3 /* descriptors of one transfer, at most */ };

struct helper;

struct artifacts {
    struct artifact_place destination; /* of what is served; ops NULL: none of ours */
    struct s3_conf s3;
    struct helper *threads[ARTIFACT_THREADS_MAX]; /* that wait for disks */
    unsigned thread_count;
};

must_check err_t artifacts_open(struct artifacts *x, struct arena *a, const struct settings *s,
                                struct fail *f);
/* Also after artifacts_open failed, or was not called on a zeroed struct. */
void artifacts_close(struct artifacts *x);

#endif
