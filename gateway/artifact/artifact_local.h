/*
 * artifact_local: artifacts as files of a directory.
 *
 * root is the directory's absolute path; paths are relative to it and have passed
 * artifact_path_check. Nothing outside the directory is read, made or removed, whatever links lie in
 * it. All calls wait for the disk: for the file threads, never for a worker. Results live in the
 * caller's arena.
 */
#ifndef GATEWAY_ARTIFACT_LOCAL_H
#define GATEWAY_ARTIFACT_LOCAL_H

#include "base/arena.h"
#include "base/fail.h"
#include "base/str.h"
#include "gateway/artifact/artifact_entry.h"

/* What stands directly in the directory at path, by name; nothing for a file or what is not there. */
must_check err_t artifact_local_list(struct arena *a, struct str root, struct str path,
                                     struct artifact_list *out, struct fail *f);
/* A file to read: the caller closes out->fd. A directory has is_directory and no descriptor. */
must_check err_t artifact_local_open(struct arena *a, struct str root, struct str path,
                                     struct artifact_content *out, struct fail *f);
/* Removes the file, or the directory with all that is in it; OK when there is nothing. */
must_check err_t artifact_local_remove(struct arena *a, struct str root, struct str path,
                                       struct fail *f);

/* A file on its way in. begin, write as often as wanted, then publish or abandon, once; one thread
 * at a time. Nobody sees it before publish, and nothing of it is left when the process dies. */
struct artifact_upload {
    /* private */
    int folder, fd; /* -1 = none */
    struct str folder_path, name;
    uint64_t written_bytes, started_bytes;
    char temp[48]; /* its name until it is published; "" = it has none */
};

must_check err_t artifact_local_begin(struct arena *a, struct str root, struct str path,
                                      struct artifact_upload *u, struct fail *f);
must_check err_t artifact_local_write(struct arena *a, struct artifact_upload *u, struct str bytes,
                                      struct fail *f);
/* Durable, and in place of what stood there. Ends it, also when it fails. */
must_check err_t artifact_local_publish(struct arena *a, struct artifact_upload *u, struct fail *f);
void artifact_local_abandon(struct artifact_upload *u);

#endif
