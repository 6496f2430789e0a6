/*
 * load: what one take of the queue brought, until all of it is in PostgreSQL or in a letter.
 *
 * One owner, one thread: a flusher. Reused from take to take.
 *
 * Order of calls: load_init, load_apply for each take, load_fini.
 */
#ifndef FLUSH_LOAD_H
#define FLUSH_LOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/trail.h"
#include "flush/link.h"
#include "flush/quarantine.h"
#include "flush/window.h"
#include "ingest/queue.h"
#include "ingest/runs.h"

enum load_state { LOAD_LIVE, LOAD_DEAD };

struct load {
    /* to be set after load_init */
    struct runs *runs;        /* who writes to which run; NULL = not known */
    struct follower follower; /* arg NULL = nobody follows */
    struct trail trail;       /* of the take under way; its flusher's index is to be set */
    /* private */
    struct link *link;
    struct queue *queue;
    struct stats *stats;
    struct queue_reader *reader;
    struct window window;
    struct quarantine quarantine;
    struct arena arena;                  /* of one attempt */
    struct arena texts;                  /* of the take: keys of lost_models */
    struct take take;                    /* under way */
    pos_t cursors[QUEUE_PARTITIONS_MAX]; /* of the range under way, when the take has some */
    uint64_t taken_us;                   /* when it came */
    uint8_t *states;                     /* enum load_state of each entry */
    size_t states_cap;
    struct idmap lost_models; /* models that do not exist */
    size_t masked;            /* the entry that dead is about; SIZE_MAX = none */
    bool *dead;               /* its points that PostgreSQL refuses */
    uint32_t dead_cap;
    unsigned trials; /* made for the entry that dead is about */
    bool is_staged;  /* repeats have come lately */
    unsigned clean;  /* staged windows without one since */
    unsigned slow;   /* how often one entry alone took longer than flush_timeout, since a commit */
};

must_check err_t load_init(struct load *l, struct link *link, struct queue *queue,
                           const char *data_dir, unsigned index, struct stats *stats,
                           struct fail *f);
void load_fini(struct load *l);
/* deadletter_max_bytes. Any thread. */
void load_limit(struct load *l, uint64_t max_bytes);
/* Applies the take and commits it to the queue. ERR_CLOSING: stopped before the end; what was not
 * committed will be taken again by the next process. No other error comes out. */
must_check err_t load_apply(struct load *l, struct queue_reader *reader, const struct take *take);

#endif
