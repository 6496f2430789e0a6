/*
 * letterbox: the folder of dead-letter files: locked, listed, measured, read, and rid of letters.
 *
 * A flusher appends to its file, `sluice deadletter` takes letters out, perhaps at the same time
 * and perhaps with no server running. Both hold the lock for as long as they change a file, and
 * only then; readers need none. One thread.
 */
#ifndef SCHEMA_LETTERBOX_H
#define SCHEMA_LETTERBOX_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fail.h"
#include "base/idmap.h"
#include "base/str.h"

enum { LETTERBOX_PATH = PATH_MAX };

/* <data_dir>/deadletter; ERR_SETTING when that is too long. */
must_check err_t letterbox_folder(const char *data_dir, char out[LETTERBOX_PATH], struct fail *f);
/* Takes the lock; *lock is for letterbox_unlock. ERR_LOCKED: somebody else has it. Never waits. */
must_check err_t letterbox_lock(const char *folder, int *lock, struct fail *f);
void letterbox_unlock(int lock);

/* Paths of the files in the order of their names, on the heap; none when there is no folder. */
must_check err_t letterbox_list(const char *folder, char ***paths, size_t *count, struct fail *f);
void letterbox_list_free(char **paths, size_t count);
/* Bytes of all files; 0 when there is no folder. */
uint64_t letterbox_bytes(const char *folder);

/* The bytes of one file as they are now; they stay readable whatever happens to the file. */
must_check err_t letterbox_map(const char *path, struct str *bytes, struct fail *f);
void letterbox_unmap(struct str bytes);

/* Takes the letters with these ids (keys of 8 bytes, as deadletter_id gives them) out of one file,
 * durably; everything else stays byte for byte. The caller holds the lock. *count: how many. */
must_check err_t letterbox_cut(const char *path, const struct idmap *ids, size_t *count,
                               struct fail *f);

#endif
