/*
 * sql_stream: a cursor in a transaction of its own.
 *
 *   first call   BEGIN READ ONLY, DECLARE part CURSOR FOR ..., FETCH
 *   each other   FETCH
 *   at the end   ROLLBACK, by the pool (sql_release)
 *
 * Why a cursor, and not libpq's single-row mode with the socket left unread: a reader that pauses
 * would stop PostgreSQL in the middle of a statement, whose statement_timeout goes on; ending early
 * would mean to read the rest, or to lose the session; and each row would be a result of its own.
 * A FETCH is a statement like any other, with a deadline like any other. 100 000 rows take the same
 * time either way.
 *
 * When there are more rows than one batch, but too many sessions are held already, the first call is
 * made once more, when there is a place. So short answers never wait for long ones to be read.
 *
 * One batch is fetched ahead, while its owner works on the one before it, so PostgreSQL and the
 * worker work at the same time. Two batches are all that is ever held. When the rows of one weigh much
 * (params of 8000 characters), the next ones have fewer.
 *
 * What is lost in between (PostgreSQL restarts) cannot be taken up again, because the rows that were
 * handed over would not be the same: the stream fails. Only the first call is tried again by the pool.
 */
#include "gateway/sql/sql_stream.h"

#include <stdio.h>
#include <stdlib.h>

#define TEXT(n)    #n
#define TEXT_OF(n) TEXT(n)

static const struct stmt STREAM_BEGIN = {NULL, "BEGIN READ ONLY"};
static const struct stmt STREAM_FETCH = {NULL, "FETCH " TEXT_OF(SQL_STREAM_ROWS) " FROM part"};
static const struct stmt STREAM_FETCH_WIDE = {NULL,
                                              "FETCH " TEXT_OF(SQL_STREAM_WIDE_ROWS) " FROM part"};

enum { WIDE_BYTES = 1 << 20 }; /* of a batch; a value may have 8000 characters, a point has 40 */

static void stream_ask(struct sql_stream *s)
{
    s->is_under_way = true;
    sql_call(s->pool, &s->call);
}

static void stream_note(struct sql_stream *s, const struct sql_call *call)
{
    s->has_come = true;
    s->err = call->err;
    if (!call->err) {
        s->ahead = call->results[call->nsteps - 1];
        for (unsigned i = 0; i + 1 < call->nsteps; i++)
            PQclear(call->results[i]);
        return;
    }
    snprintf(s->sqlstate, sizeof(s->sqlstate), "%s", call->sqlstate);
    str_to_cstr(call->message, s->message, sizeof(s->message));
}

/* What came is the owner's; unless it is the last, the next is asked for. */
static void stream_show(struct sql_stream *s)
{
    bool is_wide = s->asked == SQL_STREAM_WIDE_ROWS;

    PQclear(s->shown);
    s->rows = s->shown = s->ahead;
    s->ahead = NULL;
    s->has_come = s->is_wanted = false;
    s->is_last = s->err || PQntuples(s->shown) < s->asked;
    if (s->is_last) {
        sql_release(&s->hold);
        return;
    }
    is_wide = is_wide || PQresultMemorySize(s->shown) > WIDE_BYTES;
    s->asked = is_wide ? SQL_STREAM_WIDE_ROWS : SQL_STREAM_ROWS;
    s->call.steps[0] = (struct sql_step){is_wide ? &STREAM_FETCH_WIDE : &STREAM_FETCH, NULL, 0};
    s->call.nsteps = 1;
    stream_ask(s);
}

static void stream_free(struct sql_stream *s)
{
    sql_release(&s->hold);
    PQclear(s->shown);
    PQclear(s->ahead);
    free(s);
}

static bool stream_lacks_place(const struct sql_stream *s)
{
    return !s->err && !s->hold.is_begun && PQntuples(s->ahead) == s->asked;
}

static void stream_on_call(struct sql_call *call)
{
    struct sql_stream *s = call->owner;

    s->is_under_way = false;
    stream_note(s, call);
    if (stream_lacks_place(s)) {
        PQclear(s->ahead);
        s->ahead = NULL;
        s->has_come = false;
        s->hold.is_reserved = true;
        stream_ask(s);
        return;
    }
    if (s->is_closed) {
        stream_free(s);
    } else if (s->is_wanted) {
        stream_show(s);
        s->done(s);
    }
}

struct sql_stream *sql_stream_open(struct sql_pool *p, const struct sql_step *step,
                                   const char *workspace, const char *application,
                                   void (*done)(struct sql_stream *s), void *owner)
{
    struct sql_stream *s = calloc(1, sizeof(*s));

    check(s);
    s->owner = owner;
    s->pool = p;
    s->done = done;
    s->asked = SQL_STREAM_ROWS;
    s->is_wanted = true;
    s->call = (struct sql_call){.nsteps = 3,
                                .done = stream_on_call,
                                .owner = s,
                                .workspace = workspace,
                                .hold = &s->hold,
                                .keeps_results = true};
    if (application) { /* the stream may outlive its owner */
        str_to_cstr(str_of(application), s->application, sizeof(s->application));
        s->call.application = s->application;
    }
    s->call.steps[0] = (struct sql_step){&STREAM_BEGIN, NULL, 0};
    s->call.steps[1] = *step;
    s->call.steps[2] = (struct sql_step){&STREAM_FETCH, NULL, 0};
    stream_ask(s);
    return s;
}

bool sql_stream_next(struct sql_stream *s)
{
    check(!s->is_last && !s->is_wanted);
    s->is_wanted = true;
    if (s->has_come)
        stream_show(s);
    return !s->is_wanted;
}

void sql_stream_close(struct sql_stream *s)
{
    if (!s)
        return;
    check(!s->is_wanted);
    s->is_closed = true;
    if (!s->is_under_way)
        stream_free(s);
}
