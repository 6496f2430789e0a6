/*
 * quarantine: where points go that PostgreSQL refuses.
 *
 * Each flusher appends to a dead-letter file of its own below data_dir/deadletter; the bytes are
 * schema/deadletter.h's, the folder is schema/letterbox.h's. One owner, one thread, but for
 * quarantine_limit.
 *
 * Order of calls: quarantine_open; per take quarantine_begin, quarantine_add for each refusal and
 * quarantine_sync before the transaction that skips those points; quarantine_close.
 */
#ifndef FLUSH_QUARANTINE_H
#define FLUSH_QUARANTINE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/fail.h"
#include "base/idmap.h"
#include "schema/deadletter.h"
#include "schema/letterbox.h"

struct quarantine {
    /* private */
    char data_dir[LETTERBOX_PATH];
    char folder[LETTERBOX_PATH];
    char path[LETTERBOX_PATH + 64];
    bool has_folder; /* its name was made to last by this process */
    _Atomic uint64_t max_bytes;
    struct buf pending; /* letters that are not on disk yet */
    struct idmap seen;  /* ids of this take's letters */
    struct arena arena; /* of seen's keys */
};

/* Makes nothing yet: the file comes with the first letter. */
must_check err_t quarantine_open(struct quarantine *q, const char *data_dir, unsigned index,
                                 struct fail *f);
void quarantine_close(struct quarantine *q);
/* All dead-letter files together stay below this, unless they are empty. Any thread. */
void quarantine_limit(struct quarantine *q, uint64_t max_bytes);
/* A new take: letters are told apart from here on. */
void quarantine_begin(struct quarantine *q);
/* Notes a letter; false when this take has it already (the same refusal, met again on a retry). */
bool quarantine_add(struct quarantine *q, const struct deadletter *d);
/* Appends what was noted and waits until it is on disk. May be called again after ERR_DISK (the
 * disk, or all files together are at the limit) and ERR_LOCKED (a moment later it will do). */
must_check err_t quarantine_sync(struct quarantine *q, struct fail *f);

#endif
