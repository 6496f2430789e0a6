/*
 * deadletter: one refused write as bytes of a dead-letter file, and back.
 *
 * flush/quarantine.c appends letters, `sluice deadletter` reads them; the format stands in
 * deadletter.c. Pure functions; any thread.
 */
#ifndef SCHEMA_DEADLETTER_H
#define SCHEMA_DEADLETTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/fail.h"
#include "base/str.h"

/* Folder of the files below data_dir, and what their names end with. */
#define DEADLETTER_FOLDER "deadletter"
#define DEADLETTER_SUFFIX ".letters"

/* Points of one entry of the queue, refused for one reason. Slices live as long as what they were
 * read from. */
struct deadletter {
    int64_t time_ms; /* when it was refused */
    struct str queue_id;
    uint64_t pos; /* of the entry in the queue */
    uint32_t partition;
    uint32_t points;
    uint64_t window_from; /* the window that met it: entries from here ... */
    uint64_t window_end;  /* ... to before here; both 0 in letters of the first format */
    struct str run_id;    /* empty when the record cannot be read */
    struct str sqlstate;  /* empty when PostgreSQL was not asked */
    struct str reason;
    struct str client; /* who sent it; empty when that was not kept */
    uint32_t version;  /* of record */
    struct str record; /* as schema/record.h makes it: the refused points only */
};

/* Names the letter by what it says (queue, place, reason, points), not by when: the same refusal
 * written twice, before and after a crash, has one id. */
uint64_t deadletter_id(const struct deadletter *d);
/* Appends one letter, in the newest format. */
void deadletter_write(const struct deadletter *d, struct buf *out);
/* Cuts the next sound letter (of either format) off the front of *bytes; false at their end. Bytes that are no letter
 * (the torn end of a write that a crash cut short) are skipped and added to *skipped. */
bool deadletter_read(struct str *bytes, struct deadletter *out, size_t *skipped);

#endif
