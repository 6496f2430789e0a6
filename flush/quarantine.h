/*
 * quarantine: where points go that PostgreSQL refuses.
 *
 * Each flusher appends to a dead-letter file of its own below data_dir/deadletter; the bytes are
 * schema/deadletter.h's. One owner, one thread.
 *
 * Order of calls: quarantine_open; per take quarantine_begin, quarantine_add for each refusal and
 * quarantine_sync before the transaction that skips those points; quarantine_close.
 */
#ifndef FLUSH_QUARANTINE_H
#define FLUSH_QUARANTINE_H

#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/fail.h"
#include "base/idmap.h"
#include "schema/deadletter.h"

struct quarantine {
    /* private */
    int fd; /* -1: no letter yet */
    char path[512];
    struct buf pending; /* letters that are not on disk yet */
    struct idmap seen;  /* ids of this take's letters */
    struct arena arena; /* of seen's keys */
};

/* Makes nothing yet: the file comes with the first letter. */
must_check err_t quarantine_open(struct quarantine *q, const char *data_dir, unsigned index,
                                 struct fail *f);
void quarantine_close(struct quarantine *q);
/* A new take: letters are told apart from here on. */
void quarantine_begin(struct quarantine *q);
/* Notes a letter; false when this take has it already (the same refusal, met again on a retry). */
bool quarantine_add(struct quarantine *q, const struct deadletter *d);
/* Appends what was noted and waits until it is on disk. ERR_DISK: may be called again. */
must_check err_t quarantine_sync(struct quarantine *q, struct fail *f);

#endif
