/*
 * peers: positions that pods share through Redis, so that what one has acked another reads.
 *
 *   write   durable > peers_share: where the points lie, to Redis > answer          peers_share.c
 *   read    peers_look: where the run's points lie > asks their flusher to close
 *           its window > waits until PostgreSQL has them > statement                 peers_look.c
 *   flush   the flusher's pod is asked, and says when it is done                    peers_asked.c
 *
 * One for each worker, with a connection to Redis of its own; worker 0 also hears for its process. NULL
 * in struct worker when there is no redis_uri. Redis away, slow or full: writes are answered and reads go on
 * without, at most redis_wait later.
 *
 * Order of calls: peers_open on the thread that starts the worker, then the others on the worker's own,
 * peers_close when no request is left.
 */
#ifndef GATEWAY_PEERS_H
#define GATEWAY_PEERS_H

#include "gateway/req.h"

struct redis;

struct peers *peers_open(struct worker *w);
void peers_close(struct peers *p);

/* Points of the run were appended for this request and end there. */
void peers_note(struct req *r, const struct run_id *run, pos_t end);
/* A step: what was noted is durable. r->shared_next follows, when Redis has it or does without. */
must_check err_t peers_share(struct req *r, struct fail *f);
/* Finds out where the points of this run (NULL: of all) lie, for peers_reached; then next. */
must_check err_t peers_look(struct req *r, const struct run_id *run, req_step next);
/* Does PostgreSQL have what the last peers_look has found? */
bool peers_reached(struct req *r);
/* The request waits for that: those who flush it are asked to hurry. */
void peers_ask(struct req *r);
/* The worker's inbox rang: marks have moved. */
void peers_on_ring(struct peers *p);
/* Every 100 ms. */
void peers_on_tick(struct peers *p);

/* Publishes on the channel prefix:kind:name. False: Redis is away. */
must_check bool peers_publish(struct peers *p, const char *kind, struct str name, struct str text);
/* What a command has brought. */
struct peers_said {
    bool is_there;      /* an answer, and no error */
    struct str text;    /* in the request's arena; p NULL = it is no text */
    int64_t numbers[2]; /* the first items of a list */
};
/* A command of this request; next follows with what it said, which lives in the arena, or, when
 * Redis does not answer within redis_wait, without. */
must_check err_t peers_command(struct req *r, const struct str *words, unsigned n,
                               struct peers_said *said, req_step next);
/* The wait for it has ended otherwise. */
void peers_forget(struct req *r);
/* The worker's connection, for other commands; look at redis_is_good. */
struct redis *peers_redis(struct peers *p);
/* A key or channel of ours, in the arena: prefix:kind:name. */
struct str peers_key(const struct peers *p, struct arena *a, const char *kind, struct str name);

#endif
