/*
 * marks: what PostgreSQL is known to have of queues that are not this process's.
 *
 * From the name "QUEUE/PARTITION" to a position, learnt from PostgreSQL or from the pod that flushes
 * it; it only rises. Shared by all workers: a mutex, held over no call. Forgotten when there are
 * more than MARKS_MAX: then it is asked for again. Any thread.
 */
#ifndef GATEWAY_MARKS_H
#define GATEWAY_MARKS_H

#include "base/str.h"
#include "ingest/queue.h"

enum { MARKS_MAX = 65536, MARKS_NAME = QUEUE_ID_BYTES + 8 };

struct marks;

struct marks *marks_new(void);
void marks_free(struct marks *m);
void marks_raise(struct marks *m, struct str name, pos_t pos);
/* 0 = not known. */
pos_t marks_get(struct marks *m, struct str name);

#endif
