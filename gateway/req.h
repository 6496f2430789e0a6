/*
 * req: one request on its way through a worker, and how a handler waits.
 *
 * A handler is err_t handler(struct req *r, struct fail *f). It reads r->input, works in r->arena,
 * and either answers (reply_ok and its kind, http/reply.h) or starts exactly one wait and names
 * the step that goes on. A step has the same shape. An error return becomes MLflow's error JSON.
 * All on the worker's thread; a step is never called from within the call that started the wait unless
 * what it waits for is there already.
 *
 * The peer may go away during a wait: the request stays alive until its wait ends, and the next step
 * runs as if it were there; the answer is dropped.
 *
 * More waits: gateway/req_part.h, req_body.h, req_aside.h (long work), req_event.h (all else).
 */
#ifndef GATEWAY_REQ_H
#define GATEWAY_REQ_H

#include "base/arena.h"
#include "base/fail.h"
#include "gateway/auth/auth.h"
#include "gateway/auth/scope.h"
#include "gateway/helper.h"
#include "gateway/http/http.h"
#include "gateway/req_peers.h"
#include "gateway/req_reply.h"
#include "gateway/req_state.h"
#include "gateway/sql/sql.h"
#include "ingest/bind.h"
#include "ingest/document.h"
#include "ingest/queue.h"
#include "ingest/runs.h"

struct conn;
struct may;
struct req;
struct route;
struct sql_stream;
struct worker;

typedef err_t (*req_step)(struct req *r, struct fail *f);
/* Takes the error of a step in place of the client, and goes on like a step. */
typedef err_t (*req_catch)(struct req *r, err_t e, struct fail *f);

struct req {
    struct worker *worker;
    struct conn *conn;
    const struct route *route;
    const struct http_head *head;
    const struct auth_user *user; /* who sends it; NULL: nobody asked */
    struct may *may;              /* what he may; NULL: everything */
    struct trace *trace;          /* NULL: nobody follows it; gateway/trace/trace.h */
    struct scope scope;           /* which workspace it looks at */
    struct bind_input input;      /* parameters: query, body, content type */
    struct document_ahead ahead;  /* of a long body: input.ahead points here */
    struct arena arena;           /* reset when the answer is written */
    struct reply reply;
    enum req_state state;
    uint64_t started_us;            /* when its head was complete */
    void *data;                     /* the handler's own, in the arena */
    void *whole;                    /* what data is a part of, where a handler has parts */
    req_catch caught;               /* NULL = an error is the answer */
    struct artifact_call *artifact; /* what it does with artifacts; artifact/artifact_store.h */
    struct s3_call *s3;             /* its call to S3; gateway/s3/s3.h */
    void *asked;                    /* run_search_ask's own, until its next step */
    void (*over)(struct req *r);    /* called once when the request is over; gateway/req_body.h */

    /* what the last wait brought; results and rows are good until the next wait for SQL */
    struct sql_call sql;    /* after req_sql: err, results */
    const PGresult *rows;   /* after req_rows: some of them */
    bool has_more_rows;     /* then req_more_rows brings the next */
    struct run run;         /* after req_find_run */
    bool has_run;           /* such a run exists */
    uint64_t behind_us;     /* > 0: a read wait ran out; Sluice-Behind-Ms says it */
    struct str piece;       /* after req_next_piece: bytes of the body, until the next wait */
    bool is_whole, is_late; /* nothing of the body comes behind it; req_wait_event's time ran out */

    /* private */
    struct fail *fail;               /* of the step on the stack */
    struct helper_job job;           /* reads a long body */
    req_step prepare, prepared_next; /* on the helper's thread, and after it */
    err_t prepared;                  /* what it returned */
    struct str why;                  /* with that; p NULL = no words of its own */
    struct sql_stream *stream;
    struct req_both *both; /* of req_sql_both, in the arena */
    uint64_t stream_until_us;
    enum req_wait wait;
    bool sql_may_fail;
    req_step next, admitted; /* admitted: once it is known who sends it */
    struct auth_user user_space;
    uint64_t auth_until_us, wait_question;
    struct run_id wait_run;
    pos_t wait_pos;
    unsigned wait_partition;               /* QUEUE_PARTITIONS = all */
    uint64_t wait_since_us, wait_until_us; /* until UINT64_MAX: another deadline bounds it */
    enum req_park parked_in;
    struct req_peers peers;
    struct req *list_next, *list_prev; /* in one of the worker's parked lists */
};

/* Runs the statements; next follows with r->sql.results. A failure becomes the answer instead. */
must_check err_t req_sql(struct req *r, const struct sql_step *steps, unsigned n, req_step next);
/* The same, but next is called after a failure too and looks at r->sql.err and sqlstate. */
must_check err_t req_sql_try(struct req *r, const struct sql_step *steps, unsigned n,
                             req_step next);
/* What MLflow answers to the failure in r->sql. */
err_t req_sql_fail(struct req *r, struct fail *f);
/* Waits until the entry is durable; a lost one answers ERR_DISK (503) instead of calling next. */
must_check err_t req_wait_durable(struct req *r, pos_t end, req_step next);
/* That answer, for one of several entries that the last one's wait has covered. */
err_t req_lost(struct req *r, struct fail *f);
/* Read your writes: waits until the run's accepted points are committed, at most read_wait. */
must_check err_t req_wait_run(struct req *r, struct str run_id, req_step next);
/* The same for everything accepted before now: searches. */
must_check err_t req_wait_all(struct req *r, req_step next);
/* Who sends it, for what is kept for each user; "" = nobody asked. */
struct str req_user(const struct req *r);
/* Fills r->run and r->has_run from the run table, else from PostgreSQL. */
must_check err_t req_find_run(struct req *r, struct str run_id, req_step next);

#endif
