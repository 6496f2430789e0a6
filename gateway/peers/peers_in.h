/*
 * peers_in: what the files peers*.c share. The worker's thread.
 */
#ifndef GATEWAY_PEERS_IN_H
#define GATEWAY_PEERS_IN_H

#include <event2/event.h>

#include "base/idmap.h"
#include "gateway/peers/peers.h"
#include "gateway/peers/redis.h"
#include "gateway/pod.h"
#include "gateway/req_park.h"
#include "gateway/worker.h"
#include "gateway/worker_net.h"
#include "ingest/queue_share.h"

enum {
    ASKED_MAX = 256, /* questions of other pods that are not answered yet */
    DEAF_MAX = 16    /* queues that nobody flushes: remembered so many */
};

/* What a read waits for. In the request's arena. */
struct target {
    struct target *next;
    struct str name; /* QUEUE/PARTITION */
    struct str queue;
    unsigned partition;
    bool is_own; /* of the queue that this process has open */
    pos_t pos;
};

/* The newest position of each partition of our queue, where the bit is set. */
struct newest {
    uint64_t mask;
    pos_t pos[QUEUE_PARTITIONS_MAX];
};

/* A pod that waits for a partition of our queue. */
struct asked {
    char pod[POD_ID + 1];
    unsigned partition;
    pos_t pos;
};

struct share_batch;

struct peers {
    struct worker *w;
    struct pod *pod;
    struct redis *voice;
    struct redis *ear;   /* worker 0's; else NULL */
    struct event *turn;  /* at the end of this turn of the loop: what has gathered goes out */
    struct event *bound; /* the first of those who wait for Redis has waited long enough */
    struct event *again; /* reads that wait are asked for once more */
    bool is_again_set;
    bool skips;           /* a test breaks it: nothing is shared */
    struct arena scratch; /* of one command */

    struct share_batch *batch; /* that is being filled; NULL = none */
    struct share_batch *free;
    struct idmap batch_runs; /* run id to index in batch */
    uint64_t seq;            /* of the newest batch */
    uint64_t told_seq;       /* of the newest that Redis has, or has not taken */
    struct newest newest;    /* ever told here */
    struct newest debt;      /* not told, or perhaps forgotten */

    pos_t replayed; /* where our journal ended at this start; 0 = not ours to tell */

    bool is_look_open; /* one look is under way */

    struct idmap wanted;    /* QUEUE/PARTITION to the position asked for in this turn */
    struct idmap questions; /* queue to index of asks */
    struct arena ask_arena;
    struct ask {
        struct str queue;
        struct buf text;
    } * asks;
    unsigned ask_count, ask_cap;
    char deaf[DEAF_MAX][QUEUE_ID_BYTES + 1]; /* the last question reached nobody; "" = none */
    unsigned deaf_turn;                      /* the oldest of them, which makes room */
    struct sql_call sql;
    struct str sql_value;
    struct arena sql_arena;
    bool is_sql_open;

    struct asked asked[ASKED_MAX];
    unsigned asked_count;
};

/* What has gathered goes out at the end of this turn. */
void peers_plan(struct peers *p);
/* The request waits for Redis, but not for longer than redis_wait. */
void peers_park(struct req *r, enum req_park where, req_step next);
/* QUEUE/PARTITION of our queue, in the arena. */
struct str peers_name(const struct peers *p, struct arena *a, unsigned partition);
/* "3 77 4 78": the next partition and position; false at the end, or at what is none. */
bool peers_next_pair(struct str *text, unsigned *partition, pos_t *pos);
void newest_raise(struct newest *n, unsigned partition, pos_t pos);

/* peers_share.c: sends what has gathered; the connection is up once more; those go on whose batch is told. */
void share_flush(struct peers *p);
void share_on_up(struct peers *p);
void share_wake(struct peers *p);
void share_fini(struct peers *p);
/* peers_look.c */
void look_flush(struct peers *p);
void ask_flush(struct peers *p);
void ask_again(struct peers *p);
/* peers_asked.c: another pod asks, or answers. */
void asked_on_question(struct peers *p, struct str text);
void asked_on_answer(struct peers *p, struct str text);
void asked_answer(struct peers *p);

#endif
