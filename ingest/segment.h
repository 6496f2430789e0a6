/*
 * segment: one file of the journal: its name, its header, and reading its frames.
 *
 * Writing is journal.c's. A cursor belongs to one thread; several may read the same file, also the
 * one that is being written, as long as they stay below the durable position.
 * Order of calls: segment_list, then for each base segment_cursor_open, _next until it answers
 * false, _close.
 */
#ifndef INGEST_SEGMENT_H
#define INGEST_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fail.h"
#include "ingest/queue.h"

enum {
    SEGMENT_HEAD = 64,  /* bytes before the first frame */
    SEGMENT_FORMAT = 1, /* the newest format version that is read, and the one written */
    SEGMENT_NAME = 32   /* room for a file name */
};

struct segment_head {
    pos_t base; /* position of the first frame */
    uint64_t created_ms;
    uint32_t format;
    char queue_id[QUEUE_ID_BYTES + 1]; /* "" = the header is damaged, the frames speak for it */
};

/* A place in one segment file; the last frame it gave lives until the next call. */
struct segment_cursor {
    struct segment_head head;
    uint64_t file_bytes;
    pos_t at;                  /* where the next frame may begin */
    uint64_t skipped_bytes;    /* passed over in front of a valid frame: nothing there was valid */
    uint64_t unreadable_bytes; /* that the disk did not give, and that were passed over */
    bool is_strict;            /* set after opening: stop at what the disk does not give */
    int error;                 /* errno of that stop; 0 = there is no further frame */
    /* private */
    int fd;
    char *buffer;
    size_t buffer_bytes;
    uint64_t loaded_at; /* offset in the file of the buffer's first byte */
    size_t loaded;      /* bytes in it */
};

/* "00000000000004d2.seg" */
void segment_name(pos_t base, char out[SEGMENT_NAME]);
/* The opposite; false when it is not the name of a segment. */
bool segment_parse_name(const char *name, pos_t *base);
/* Bases of all segment files in the directory, rising; free with free(). */
must_check err_t segment_list(int dir, pos_t **bases, size_t *count, struct fail *f);

void segment_head_write(const struct segment_head *h, char out[SEGMENT_HEAD]);
/* ERR_CORRUPT when it is no header or one of a newer format: h->format > SEGMENT_FORMAT then. */
must_check err_t segment_head_read(const char in[SEGMENT_HEAD], struct segment_head *h,
                                   struct fail *f);
/* The same for the file of the segment at base; ERR_NOT_FOUND, ERR_DISK when it cannot be read. */
must_check err_t segment_head_load(int dir, pos_t base, struct segment_head *h, struct fail *f);
/* Keeps the file, as it is now, for whoever wants to look: <base>.bad, a second name of it. */
void segment_keep(int dir, pos_t base);

/* Opens the segment that begins at base. ERR_NOT_FOUND when there is no such file; else as
 * segment_head_read, but a damaged header in front of valid frames is passed over. ERR_DISK with
 * unreadable_bytes when the disk gives neither: the next try may. */
must_check err_t segment_cursor_open(struct segment_cursor *c, int dir, pos_t base, struct fail *f);
void segment_cursor_close(struct segment_cursor *c);
/* Goes on at pos, which lies in this segment. */
void segment_cursor_seek(struct segment_cursor *c, pos_t pos);
/* The next valid frame that ends at or before limit. False when there is none, or c->error. */
bool segment_cursor_next(struct segment_cursor *c, pos_t limit, struct entry *out);
/* After the last frame: bytes of one that was begun there and is not whole; 0 = there is none. */
uint64_t segment_cursor_torn(struct segment_cursor *c, pos_t limit);

#endif
