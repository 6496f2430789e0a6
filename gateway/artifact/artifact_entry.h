/*
 * artifact_entry: what a store says of the artifacts in it.
 *
 * Plain data in a request's arena; any thread.
 */
#ifndef GATEWAY_ARTIFACT_ENTRY_H
#define GATEWAY_ARTIFACT_ENTRY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

struct artifact_entry {
    struct str name; /* UTF-8, without folders */
    uint64_t bytes;
    bool is_directory;
};

struct artifact_list {
    struct artifact_entry *items;
    size_t n;
};

/* A file that is being read. */
struct artifact_content {
    int fd; /* of a local file; -1 = none */
    uint64_t bytes;
    int64_t modified_us; /* since 1970 */
    struct str modified; /* the same as an HTTP date, where the store says it so */
    struct str etag;     /* with its quotes */
    bool is_directory;
};

/* Names that belong to uploads under way: refused, and never listed. */
#define ARTIFACT_TEMP_PREFIX ".artifact.uploading."

#endif
