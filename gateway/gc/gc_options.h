/*
 * gc_options: what a person asks of `sluice gc`, in the words of `mlflow gc`.
 *
 * Main thread.
 */
#ifndef GATEWAY_GC_OPTIONS_H
#define GATEWAY_GC_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/fail.h"
#include "base/str.h"

/* A list of ids. items NULL: none was given, which means all of them. */
struct gc_ids {
    struct str *items;
    size_t n;
};

struct gc_options {
    const char *older_than; /* as it was written; NULL or "" = any age */
    int64_t age_ms;
    struct gc_ids runs, experiments, models, jobs;
    bool with_jobs; /* --jobs or --job-ids */
    bool all_workspaces;
    bool is_dry;
    const char *workspace;    /* NULL = the default one */
    const char *tracking_uri; /* NULL = not said */
    const char *store_uri;    /* --backend-store-uri; NULL = as the settings say */
};

/* words: those behind `gc`, each flag with its value behind it. get: the environment (getenv). */
must_check err_t gc_options_parse(struct gc_options *o, int count, char **words,
                                  char *(*get)(const char *name), struct arena *a, struct fail *f);
/* #d#h#m#s in that order, each of them optional, as milliseconds. */
must_check err_t gc_options_age(struct str text, int64_t *out_ms, struct fail *f);

#endif
