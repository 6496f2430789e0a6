/*
 * Waiting on PostgreSQL without being at its mercy.
 *
 * Everything goes through pg_wait: poll on the socket and on the halt's inbox, until the call's
 * deadline (patience_us from its last progress) or the halt's, whichever is earlier. A call that
 * runs into a deadline closes the connection, because what the server still does with it is
 * unknown; whoever retries must find out from the database (the row lock on the positions does that).
 *
 * Three layers of timeouts, from the inside out. The server ends a statement that takes too long
 * (statement_timeout = flush_timeout, lock_timeout; session.c), which is clean and keeps the
 * connection. The kernel ends a connection whose peer is silent (schema/pg_connect.c), also while
 * connecting, which lets libpq go on to the next host of a list. patience_us, a quarter longer than
 * flush_timeout, ends the rest: a stopped backend, whose kernel goes on to acknowledge.
 *
 * No cancel request goes out to a server that is given up: libpq's waits, and would wait for the same
 * dead peer. The server's own statement_timeout ends what it still does.
 *
 * A batch is libpq's pipeline mode: all statements leave in one write, and one Sync ends them. Each is
 * answered when it is done and not at the Sync, because statement_timeout bounds each by itself: were
 * patience_us for all of them, a batch slower than that would be given up and tried again for ever.
 * COPY is not allowed in that mode, so it is entered and left around each batch.
 *
 * What an SQLSTATE means is one table, first match wins, longest prefixes first. Three rules made it.
 * A letter only for what the row itself brings about, whenever it comes. A hold, which an alert shows,
 * for what lasts until somebody acts: another schema, no privilege, a server that only reads, a broken
 * one. All else is tried again (08, 40, 53, 55, 57, 58 and what is not known here: connection, rolled
 * back, resources, locks, operator, system): waiting loses nothing, a letter might.
 */
#include "flush/pg.h"

#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "schema/errors.h"

#define PG_ROLLBACK_US ((uint64_t)5 * 1000 * 1000)

static const struct {
    const char *prefix;
    err_t err;
} pg_classes[] = {
    {"22P03", ERR_SCHEMA},    /* a column has another type than tables.c says */
    {"23505", ERR_PG_REPEAT}, /* unique violation */
    {"25006", ERR_SCHEMA},    /* read-only: a standby, or demoted */
    {"54001", ERR_PG},        /* the stack is too small for the statement: not the row's fault */
    {"P0", ERR_PG_ROW},       /* a trigger of the operator's refused the row */
    {"21", ERR_PG_ROW},       /* two rows where one may be */
    {"22", ERR_PG_ROW},       /* data exceptions */
    {"23", ERR_PG_ROW},       /* other constraints */
    {"44", ERR_PG_ROW},       /* WITH CHECK OPTION */
    {"54", ERR_PG_ROW},       /* an index row too large */
    {"0A", ERR_SCHEMA},       /* COPY into a table with row security, a view, a foreign table */
    {"42", ERR_SCHEMA},       /* no such table or column, no privilege */
    {"3D", ERR_SCHEMA},       /* no such database */
    {"3F", ERR_SCHEMA},       /* no such schema */
    {"F0", ERR_SCHEMA},       /* its configuration file is broken */
    {"XX", ERR_SCHEMA},       /* internal error, corrupt data or index */
    {"", ERR_PG},
};

err_t pg_classify(const char *sqlstate)
{
    size_t i = 0;

    while (strncmp(sqlstate, pg_classes[i].prefix, strlen(pg_classes[i].prefix)) != 0)
        i++;
    return pg_classes[i].err;
}

int pg_halt_init(struct pg_halt *h)
{
    atomic_init(&h->deadline_us, UINT64_MAX);
    atomic_init(&h->is_asked, false);
    return inbox_init(&h->inbox);
}

void pg_halt_fini(struct pg_halt *h)
{
    inbox_fini(&h->inbox);
}

/* -- errors ----------------------------------------------------------------------------------- */

/* libpq's texts end with a newline and may hold several lines. */
static struct str first_line(const char *text)
{
    struct str s = str_of(text);

    return str_trim(str_head(s, str_find(s, '\n')));
}

/* The connection is of no more use. */
static err_t pg_lost(struct pg *pg, struct fail *f, const char *what)
{
    struct str text = first_line(PQerrorMessage(pg->conn));
    err_t e = fail(f, ERR_PG, "%s: %.*s", what, STR_ARG(text));

    pg->sqlstate[0] = 0;
    pg_close(pg);
    return e;
}

/* The server answered with an error. */
static err_t pg_refused(struct pg *pg, const PGresult *r, struct fail *f)
{
    const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
    const char *text = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);

    str_to_cstr(str_of(state), pg->sqlstate, sizeof(pg->sqlstate));
    if (PQstatus(pg->conn) != CONNECTION_OK && pg->sqlstate[0] == 0)
        return pg_lost(pg, f, "connection lost");
    return fail(f, pg_classify(pg->sqlstate), "%s", text ? text : "error without a text");
}

static void pg_on_notice(void *arg, const PGresult *r)
{
    const char *text = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);

    (void)arg;
    log_debug("", "notice from the database", "text=%s", text ? text : "");
}

/* -- waiting ---------------------------------------------------------------------------------- */

static void pg_begin(struct pg *pg)
{
    pg->sqlstate[0] = 0;
    pg->deadline_us = clock_us() + pg->patience_us;
}

/* Until fd is ready for events. ERR_CLOSING when halted, ERR_PG when late; both close. */
static err_t pg_wait_fd(struct pg *pg, int fd, short events, bool is_connecting, struct fail *f)
{
    for (;;) {
        struct pollfd fds[2] = {{.fd = fd, .events = events},
                                {.fd = inbox_fd(&pg->halt->inbox), .events = POLLIN}};
        uint64_t now = clock_us();
        uint64_t halt = atomic_load(&pg->halt->deadline_us);
        uint64_t until = halt < pg->deadline_us ? halt : pg->deadline_us;
        int n;

        if (now >= halt || (is_connecting && atomic_load(&pg->halt->is_asked))) {
            pg_close(pg);
            return fail(f, ERR_CLOSING, "stopped while waiting for PostgreSQL");
        }
        if (now >= until) {
            pg_close(pg);
            return fail(f, ERR_PG, "PostgreSQL did not answer in time");
        }
        n = poll(fds, 2, (int)((until - now) / 1000 + 1));
        check(n >= 0 || errno == EINTR);
        if (n > 0 && fds[1].revents)
            inbox_clear(&pg->halt->inbox);
        if (n > 0 && fds[0].revents)
            return OK;
    }
}

static err_t pg_wait(struct pg *pg, short events, bool is_connecting, struct fail *f)
{
    return pg_wait_fd(pg, PQsocket(pg->conn), events, is_connecting, f);
}

/* Sends what libpq has buffered, reading meanwhile so that neither side blocks the other. */
static err_t pg_flush(struct pg *pg, struct fail *f)
{
    int left;
    err_t e;

    while ((left = PQflush(pg->conn)) > 0) {
        if ((e = pg_wait(pg, POLLIN | POLLOUT, false, f)))
            return e;
        pg->deadline_us = clock_us() + pg->patience_us;
        if (!PQconsumeInput(pg->conn))
            return pg_lost(pg, f, "connection lost");
    }
    return left == 0 ? OK : pg_lost(pg, f, "connection lost");
}

/* The next result, or NULL between the results of two statements. */
static err_t pg_next(struct pg *pg, PGresult **out, struct fail *f)
{
    err_t e;

    while (PQisBusy(pg->conn)) {
        if ((e = pg_wait(pg, POLLIN, false, f)))
            return e;
        if (!PQconsumeInput(pg->conn))
            return pg_lost(pg, f, "connection lost");
    }
    *out = PQgetResult(pg->conn);
    return OK;
}

/* Takes all results of a simple query or COPY; the first error is the outcome. */
static err_t pg_finish(struct pg *pg, struct fail *f)
{
    err_t outcome = OK, e;
    PGresult *r;

    for (;;) {
        if ((e = pg_next(pg, &r, f)))
            return e;
        if (!r)
            return outcome;
        if (PQresultStatus(r) == PGRES_FATAL_ERROR && !outcome)
            outcome = pg_refused(pg, r, f);
        PQclear(r);
        if (!pg->conn)
            return outcome;
    }
}

/* -- connection ------------------------------------------------------------------------------- */

bool pg_is_open(const struct pg *pg)
{
    return pg->conn != NULL;
}

void pg_close(struct pg *pg)
{
    if (pg->conn)
        PQfinish(pg->conn);
    pg->conn = NULL;
}

static void pg_drop_names(struct pg *pg)
{
    pg_names_drop(pg->names);
    pg->names = NULL;
}

void pg_fini(struct pg *pg)
{
    pg_close(pg);
    pg_drop_names(pg);
}

/* Asks for the addresses and waits for them. A question that was given up is not asked twice: it
 * may still be answered. */
static err_t pg_look_up(struct pg *pg, const char *uri, struct fail *f)
{
    const char *trouble;
    err_t e;

    if (pg->names && pg_names_are_known(pg->names))
        pg_drop_names(pg); /* nobody heard it, and it may be old */
    if (!pg->names)
        pg->names = pg_names_ask(uri);
    while (pg->names && !pg_names_are_known(pg->names)) {
        e = pg_wait_fd(pg, pg_names_fd(pg->names), POLLIN, true, f);
        if (e == ERR_PG)
            return fail(f, e, "cannot connect: no answer from the name server in time");
        if (e)
            return e;
    }
    trouble = pg->names ? pg_names_trouble(pg->names) : NULL;
    return trouble ? fail(f, ERR_PG, "cannot connect: %s", trouble) : OK;
}

err_t pg_open(struct pg *pg, const struct pg_terms *terms, const char *name, struct pg_halt *halt,
              struct fail *f)
{
    PostgresPollingStatusType state = PGRES_POLLING_WRITING;
    err_t e;

    *pg = (struct pg){.halt = halt, .patience_us = terms->connect_us, .names = pg->names};
    pg_begin(pg);
    pg->patience_us = terms->answer_us / 4 * 5;
    if ((e = pg_look_up(pg, terms->uri, f)))
        return e;
    pg->conn = pg_connect_begin(terms, name, pg->names);
    pg_drop_names(pg);
    if (!pg->conn)
        return fail(f, ERR_PG, "libpq: out of memory");
    while (PQstatus(pg->conn) != CONNECTION_BAD && state != PGRES_POLLING_OK) {
        short events = state == PGRES_POLLING_READING ? POLLIN : POLLOUT;

        if ((e = pg_wait(pg, events, true, f)))
            return e;
        state = PQconnectPoll(pg->conn);
        if (state == PGRES_POLLING_FAILED)
            break;
    }
    if (state != PGRES_POLLING_OK)
        return pg_lost(pg, f, "cannot connect");
    PQsetnonblocking(pg->conn, 1);
    PQsetNoticeReceiver(pg->conn, pg_on_notice, NULL);
    return OK;
}

err_t pg_look(struct pg *pg, struct fail *f)
{
    struct pollfd socket = {.fd = PQsocket(pg->conn), .events = POLLIN};

    pg->sqlstate[0] = 0;
    /* Between calls the server says little: a notice, or its last words and the end of the stream,
     * which need a read each. */
    while (poll(&socket, 1, 0) > 0) {
        if (!PQconsumeInput(pg->conn) || PQstatus(pg->conn) != CONNECTION_OK)
            return pg_lost(pg, f, "connection lost");
        (void)PQisBusy(pg->conn);
    }
    return OK;
}

err_t pg_run(struct pg *pg, const char *sql, struct fail *f)
{
    err_t e;

    pg_begin(pg);
    if (!PQsendQuery(pg->conn, sql))
        return pg_lost(pg, f, "cannot send");
    if ((e = pg_flush(pg, f)))
        return e;
    return pg_finish(pg, f);
}

void pg_rollback(struct pg *pg)
{
    uint64_t patience = pg->patience_us;
    char sqlstate[PG_SQLSTATE + 1];
    err_t e;

    if (!pg->conn)
        return;
    if (PQstatus(pg->conn) != CONNECTION_OK) {
        pg_close(pg);
        return;
    }
    if (PQtransactionStatus(pg->conn) == PQTRANS_IDLE)
        return;
    memcpy(sqlstate, pg->sqlstate, sizeof(sqlstate));
    pg->patience_us = PG_ROLLBACK_US;
    e = pg_run(pg, "ROLLBACK", NULL);
    pg->patience_us = patience;
    memcpy(pg->sqlstate, sqlstate, sizeof(sqlstate));
    if (e)
        pg_close(pg);
}

/* -- batches ---------------------------------------------------------------------------------- */

void pg_bind(struct pg_call *c, Oid type, struct str bytes)
{
    check(c->nparams < PG_PARAMS && bytes.n <= INT32_MAX);
    c->types[c->nparams] = type;
    c->values[c->nparams] = bytes.p;
    c->lengths[c->nparams] = (int)bytes.n;
    c->nparams++;
}

static bool pg_send(struct pg *pg, const struct pg_call *c)
{
    static const int binary[PG_PARAMS] = {1, 1, 1, 1, 1, 1, 1, 1, 1};

    return PQsendQueryParams(pg->conn, c->sql, c->nparams, c->types, c->values, c->lengths, binary,
                             1);
}

/* One result for each call, each followed by a NULL, and at the end the Sync's. */
static err_t pg_collect(struct pg *pg, struct pg_call *calls, size_t count, struct fail *f)
{
    err_t outcome = OK, e;
    PGresult *r;

    for (size_t i = 0; i < count; i++) {
        pg->deadline_us = clock_us() + pg->patience_us;
        if ((e = pg_next(pg, &calls[i].result, f)))
            return e;
        if (!outcome && PQresultStatus(calls[i].result) == PGRES_FATAL_ERROR)
            outcome = pg_refused(pg, calls[i].result, f);
        if (!pg->conn)
            return outcome;
        if (calls[i].result && (e = pg_next(pg, &r, f)))
            return e;
    }
    if ((e = pg_next(pg, &r, f)))
        return e;
    if (PQresultStatus(r) != PGRES_PIPELINE_SYNC)
        e = pg_lost(pg, f, "answers out of step");
    PQclear(r);
    if (e)
        return outcome ? outcome : e;
    if (!PQexitPipelineMode(pg->conn))
        return pg_lost(pg, f, "pipeline");
    return outcome;
}

err_t pg_batch(struct pg *pg, struct pg_call *calls, size_t count, struct fail *f)
{
    err_t e;

    pg_begin(pg);
    for (size_t i = 0; i < count; i++)
        calls[i].result = NULL;
    if (!PQenterPipelineMode(pg->conn))
        return pg_lost(pg, f, "pipeline");
    for (size_t i = 0; i < count; i++) {
        if (!pg_send(pg, &calls[i]) || !PQsendFlushRequest(pg->conn))
            return pg_lost(pg, f, "cannot send");
    }
    if (!PQpipelineSync(pg->conn))
        return pg_lost(pg, f, "cannot send");
    if ((e = pg_flush(pg, f)))
        return e;
    return pg_collect(pg, calls, count, f);
}

void pg_batch_clear(struct pg_call *calls, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        PQclear(calls[i].result);
        calls[i].result = NULL;
    }
}

/* -- COPY ------------------------------------------------------------------------------------- */

err_t pg_copy_begin(struct pg *pg, const char *sql, struct fail *f)
{
    PGresult *r;
    err_t e;

    pg_begin(pg);
    if (!PQsendQuery(pg->conn, sql))
        return pg_lost(pg, f, "cannot send");
    if ((e = pg_flush(pg, f)) || (e = pg_next(pg, &r, f)))
        return e;
    if (PQresultStatus(r) == PGRES_COPY_IN) {
        PQclear(r);
        return OK;
    }
    e = pg_refused(pg, r, f);
    PQclear(r);
    if (pg->conn) {
        err_t rest = pg_finish(pg, NULL);

        (void)rest; /* the first error is the one to tell */
    }
    return e;
}

err_t pg_copy_put(struct pg *pg, struct str piece, struct fail *f)
{
    check(piece.n <= INT32_MAX);
    /* Every piece is progress: the deadline is for a server that takes nothing. */
    pg->deadline_us = clock_us() + pg->patience_us;
    if (PQputCopyData(pg->conn, piece.p, (int)piece.n) != 1)
        return pg_lost(pg, f, "connection lost");
    return pg_flush(pg, f);
}

err_t pg_copy_finish(struct pg *pg, struct fail *f)
{
    err_t e;

    pg->deadline_us = clock_us() + pg->patience_us;
    if (PQputCopyEnd(pg->conn, NULL) != 1)
        return pg_lost(pg, f, "connection lost");
    if ((e = pg_flush(pg, f)))
        return e;
    return pg_finish(pg, f);
}

/* -- results ---------------------------------------------------------------------------------- */

static const char *pg_field(const PGresult *r, int row, int column, int bytes)
{
    check(!PQgetisnull(r, row, column) && PQgetlength(r, row, column) == bytes);
    return PQgetvalue(r, row, column);
}

int64_t pg_get_int8(const PGresult *r, int row, int column)
{
    uint64_t v;

    memcpy(&v, pg_field(r, row, column, 8), sizeof(v));
    return (int64_t)be64toh(v);
}

int32_t pg_get_int4(const PGresult *r, int row, int column)
{
    uint32_t v;

    memcpy(&v, pg_field(r, row, column, 4), sizeof(v));
    return (int32_t)be32toh(v);
}

struct str pg_get_text(const PGresult *r, int row, int column)
{
    return (struct str){PQgetvalue(r, row, column), (size_t)PQgetlength(r, row, column)};
}

uint64_t pg_touched(const PGresult *r)
{
    /* PQcmdTuples takes a non-const result but does not change it. */
    const char *text = r ? PQcmdTuples((PGresult *)(uintptr_t)r) : "";
    uint64_t n = 0;

    return str_to_u64(str_of(text), &n) ? n : 0;
}
