/*
 * journal: the directory of segment files, as its one owner sees it.
 *
 * queue_open opens it, then the sealer alone calls it; readers use segment.h on the same directory.
 * Order of calls: journal_open (locks, replays, begins a new segment), then for each group
 * journal_room, journal_roll when it does not fit, journal_write, journal_sync; after a failure
 * journal_poison and, until it works, journal_roll; journal_trim when something was committed.
 */
#ifndef INGEST_JOURNAL_H
#define INGEST_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/fail.h"
#include "ingest/queue.h"
#include "schema/stats.h"

struct journal_segment {
    pos_t base;
    pos_t end;                         /* behind its last frame */
    uint64_t bytes;                    /* of the file */
    bool may_recycle;                  /* of full size, and nothing ever failed on it */
    uint64_t points[QUEUE_PARTITIONS]; /* of what was replayed */
};

struct journal {
    char id[QUEUE_ID_BYTES + 1];
    int dir;                          /* for segment_list and segment_cursor_open, any thread */
    struct journal_segment *segments; /* rising; the last is being written when fd >= 0 */
    size_t count;
    pos_t start; /* where this start begins to append */
    /* private */
    size_t cap;
    int lock;
    int fd;          /* of the segment being written, -1 = none */
    uint64_t used;   /* offset in it where the next frame goes */
    uint64_t zeroed; /* offset up to which its blocks are written */
    uint64_t file_bytes;              /* of all segments together */
    uint64_t segment_bytes;
    uint64_t max_bytes;
    unsigned spares;     /* finished files kept for reuse */
    bool skips_sync;     /* a test broke it on purpose */
    struct stats *stats; /* the caller's block */
};

/* ERR_LOCKED when another process owns the directory, ERR_CORRUPT when a newer version wrote it.
 * When no segment can be begun it opens all the same, with fd -1, as after journal_poison. */
must_check err_t journal_open(const char *data_dir, uint64_t segment_bytes, uint64_t max_bytes,
                              struct stats *stats, struct journal **out, struct fail *f);
/* Gives the unused end of the last segment back, and the lock. NULL is fine. */
void journal_close(struct journal *j);
/* Where the newest segment ends: the next write goes there. */
pos_t journal_end(const struct journal *j);
/* Is there a segment to write to? */
bool journal_is_writable(const struct journal *j);
/* Bytes that still fit in it. An empty segment takes more: one frame may be longer than a segment. */
uint64_t journal_room(const struct journal *j);
bool journal_is_empty(const struct journal *j);
/* Begins the next segment at base, durably. */
must_check err_t journal_roll(struct journal *j, pos_t base, struct fail *f);
/* Writes the pieces at journal_end. */
must_check err_t journal_write(struct journal *j, struct iovec *pieces, int count, struct fail *f);
must_check err_t journal_sync(struct journal *j, struct fail *f);
/* A write or sync failed: nothing at or behind end is trusted, the file is never written again. */
void journal_poison(struct journal *j, pos_t end);
/* Removes, or keeps for reuse, finished segments that end at or before committed. */
void journal_trim(struct journal *j, pos_t committed);
/* Positions below this may be appended without passing max_bytes. */
pos_t journal_budget_end(const struct journal *j);

#endif
