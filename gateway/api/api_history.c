/*
 * api_history: the histories of one metric in many runs, whole or sampled.
 *
 * get-history-bulk is one statement: run by run, each in the order of its index, until the limit
 * over all runs is reached. Its rows, and so the answer, come in parts.
 *
 * get-history-bulk-interval samples. MLflow splits a run's n rows, ordered by (step, timestamp,
 * value, is_nan), into k buckets like NTILE, keeps the first row of each, and puts the last row of
 * all in place of the last bucket's. The places of these rows are arithmetic:
 *
 *      bucket b of k starts at row  b * (n / k) + least(b, n % k);  the last one gives row n - 1
 *
 * so no window function has to see the rows. What has to be found is which row stands at a place. Nothing
 * in PostgreSQL counts the rows of a range but reading them, so one walk over the index on (run, key,
 * step) is the least there is, 0.11 us a point. There are two ways to get by with little more:
 *
 *     regular    Steps mostly have one distance and no gap. The first two and the last step say what n
 *                and the places would be, and so at which step each bucket would begin. The rows
 *                between two such steps are counted. When every bucket holds as many as it should, then so
 *                many rows lie before each of its beginnings as its place says: the first row from there
 *                on is the row that is looked for, whatever else the steps do. The first bucket that
 *                does not ends the attempt. 0.13 us a point, no memory.
 *     any        All steps in order go into an array; the place gives the step, and a binary search in
 *                the array the place where that step begins. 0.2 us a point, 8 bytes each.
 *
 * Both give a step and the how manieth row of it; only rows of these few steps are read, by one scan that
 * is given all of them, and numbered. With all points in one step that sorts once. When n <= k, all rows
 * are read at once and none of this happens. Buckets of less than 64 rows are not worth an index probe
 * each, and go the second way.
 *
 * Runs are asked in the order of the request by two statements at a time, on two sessions, and what is
 * written goes out in between. PostgreSQL plans the statement anew each time, 1.5 ms of it, so one serves
 * several runs as long as that is quick: one at first, and twice or half as many the next time. What they
 * show is no more than one run may, so memory stays what it is for one run. As at MLflow, a run that does
 * not exist has an empty history, with workspaces off.
 */
#include "gateway/api/api.h"

#include <string.h>

#include "base/clock.h"
#include "gateway/api/entity.h"
#include "gateway/api/history.h"
#include "gateway/auth/scope_runs.h"
#include "gateway/http/reply.h"
#include "gateway/req_part.h"
#include "gateway/sql/sql_stream.h"
#include "gateway/worker.h"
#include "ingest/names.h"
#include "ingest/python.h"
#include "schema/errors.h"

/* A read that concerns one run waits for that run only. */
static err_t wait_for(struct req *r, const struct list_str *run_ids, req_step next)
{
    return run_ids->n == 1 ? req_wait_run(r, run_ids->items[0], next) : req_wait_all(r, next);
}

/* What MLflow's handlers read themselves comes from the query and never from a body. */
static struct bind_input query_only(const struct req *r)
{
    struct bind_input in = r->input;

    in.body = STR("");
    in.is_get = true; /* GraphQL's call is a POST */
    in.ahead = NULL;
    return in;
}

/* PostgreSQL's refusal of what it cannot hold. */
static err_t refuse_nul(const struct list_str *run_ids, struct str key, struct fail *f)
{
    err_t e = names_check_nul(key, f);

    for (size_t i = 0; i < run_ids->n && !e; i++)
        e = names_check_nul(run_ids->items[i], f);
    return e;
}

/* int(text) of a query parameter, bounded by int64. Where int() raises, MLflow breaks with 500. */
static err_t query_int(struct arena *a, struct str text, const char *name, int64_t *out,
                       struct fail *f)
{
    struct buf quoted;

    switch (python_int(text, out)) {
    case PYTHON_INT: return OK;
    case PYTHON_BIG_INT: *out = str_find(text, '-') < text.n ? INT64_MIN : INT64_MAX; return OK;
    default: break;
    }
    buf_init(&quoted);
    json_quote(&quoted, names_cut(text, NAMES_QUOTE_MAX));
    text = arena_dup(a, buf_str(&quoted));
    buf_fini(&quoted);
    return fail(f, ERR_BAD_PARAM,
                "Invalid value %.*s for parameter '%s' supplied. It must be an integer.",
                STR_ARG(text), name);
}

/* The number that query_int gave, one that it cut off as it was sent. */
static struct str query_int_shown(struct arena *a, struct str text, int64_t v)
{
    return v == INT64_MIN || v == INT64_MAX ? str_trim(text) : sql_i64(a, v);
}

/* -- bulk ------------------------------------------------------------------------------------ */

enum { BULK_RUNS_MAX = 100, BULK_POINTS_MAX = 25000 };

static const struct stmt BULK = {
    "history_bulk",
    SQL_STREAM "SELECT s.id, m.value, m.timestamp, m.step, m.is_nan"
               " FROM (SELECT DISTINCT id FROM unnest($1::text[]) AS t(id)" SCOPE_ON(
                   " JOIN runs r ON r.run_uuid = t.id"
                   " JOIN experiments e ON e.experiment_id = r.experiment_id AND e.workspace "
                   "= " SCOPE_NAME) ") AS s"
                                    " CROSS JOIN LATERAL"
                                    " (SELECT value, timestamp, step, is_nan FROM metrics WHERE "
                                    "run_uuid = s.id AND key = $2::text"
                                    " ORDER BY timestamp, step, value LIMIT $3::int8) AS m"
                                    " ORDER BY s.id, m.timestamp, m.step, m.value LIMIT $3::int8"};

struct bulk_call {
    struct msg_history_bulk m;
    int64_t max_results;
    struct str values[3];
    struct json json;
};

static void bulk_write(struct json *j, struct str key, const PGresult *res, int row)
{
    json_open(j);
    json_pair_str(j, "key", key);
    json_pair_str(j, "run_id", sql_get(res, row, 0));
    json_key(j, "step"); /* integers are text already */
    json_raw(j, sql_get(res, row, 3));
    json_key(j, "timestamp");
    json_raw(j, sql_get(res, row, 2));
    json_key(j, "value");
    if (sql_get_bool(res, row, 4))
        json_raw(j, STR("NaN"));
    else
        entity_double(j, sql_get(res, row, 1));
    json_close(j);
}

static err_t bulk_more(struct req *r, struct fail *f);

/* Flask's jsonify: keys in alphabetical order, no blanks, a line feed at the end. */
static err_t bulk_part(struct req *r, struct fail *f)
{
    struct bulk_call *c = r->data;

    (void)f;
    for (int i = 0; i < PQntuples(r->rows); i++)
        bulk_write(&c->json, c->m.metric_key.s, r->rows, i);
    if (r->has_more_rows)
        return req_send_part(r, bulk_more);
    json_close_list(&c->json);
    json_close(&c->json);
    buf_add_byte(&r->reply.body, '\n');
    return reply_ok(r);
}

static err_t bulk_more(struct req *r, struct fail *f)
{
    (void)f;
    return req_more_rows(r, bulk_part);
}

static err_t bulk_read(struct req *r, struct fail *f)
{
    struct bulk_call *c = r->data;

    (void)f;
    c->values[0] = sql_text_array(&r->arena, c->m.run_id.items, c->m.run_id.n);
    c->values[1] = sql_text(&r->arena, c->m.metric_key.s);
    c->values[2] = sql_i64(&r->arena, c->max_results);
    reply_json_as(r, &c->json, JSON_COMPACT);
    json_open(&c->json);
    json_key(&c->json, "metrics");
    json_open_list(&c->json);
    return req_rows(r, &(struct sql_step){&BULK, c->values, 3}, bulk_part);
}

err_t api_history_bulk(struct req *r, struct fail *f)
{
    struct bulk_call *c = r->data = arena_zalloc(&r->arena, sizeof(*c));
    struct bind_input in = query_only(r);
    err_t e;

    if ((e = bind_request(&r->arena, &in, &MSG_history_bulk, &c->m, f)))
        return e;
    if (c->m.run_id.n == 0)
        return fail(f, ERR_BAD_PARAM,
                    "GetMetricHistoryBulk request must specify at least one run_id.");
    if (c->m.run_id.n > BULK_RUNS_MAX)
        return fail(f, ERR_BAD_PARAM,
                    "GetMetricHistoryBulk request cannot specify more than %d run_ids. Received %zu"
                    " run_ids.",
                    BULK_RUNS_MAX, c->m.run_id.n);
    if (!c->m.metric_key.is_set)
        return fail(f, ERR_BAD_PARAM, "GetMetricHistoryBulk request must specify a metric_key.");
    c->max_results = BULK_POINTS_MAX;
    if (c->m.max_results.is_set &&
        (e = query_int(&r->arena, c->m.max_results.s, "max_results", &c->max_results, f)))
        return e;
    if (c->max_results > BULK_POINTS_MAX)
        c->max_results = BULK_POINTS_MAX;
    if ((e = refuse_nul(&c->m.run_id, c->m.metric_key.s, f)))
        return e;
    return wait_for(r, &c->m.run_id, bulk_read);
}

/* -- interval -------------------------------------------------------------------------------- */

enum {
    INTERVAL_POINTS_MAX = 2500,
    INTERVAL_RUNS_MAX = 16, /* of one statement */
    INTERVAL_QUICK_US = 100000,
    INTERVAL_SLOW_US = 500000
};

#define INTERVAL_RUN  " FROM metrics" SCOPE_FOUND " WHERE run_uuid = r.run AND key = $2::text"
#define INTERVAL_SOME " AND step >= $4::int8 AND step <= $5::int8"
#define BUCKETS       "generate_series(0, $3::int8 - 1) AS b"
#define IS_LAST       "b = $3::int8 - 1"

/* At most $3 rows? Then they are all shown. */
#define INTERVAL_FEW(steps)                                   \
    "few AS MATERIALIZED (SELECT count(*) <= $3::int8 AS yes" \
    " FROM (SELECT 1" INTERVAL_RUN steps " LIMIT $3::int8 + 1) AS t), "

/* What the rows would be if they were regular: no row when that is not worth a look, or when the
 * ends are further apart than int8 reaches, as a bucket's distance from the first row then may be. */
#define INTERVAL_LATTICE(steps)                                                                    \
    "lattice AS MATERIALIZED (SELECT lo, hi, stride::int8 AS stride, n::int8 / $3::int8 AS share," \
    " n::int8 % $3::int8 AS rest FROM (SELECT lo, hi, second - lo::numeric AS stride,"             \
    " div(hi - lo::numeric, second - lo::numeric) + 1 AS n FROM (SELECT lo,"                       \
    " (SELECT step" INTERVAL_RUN steps " ORDER BY step DESC LIMIT 1) AS hi,"                       \
    " (SELECT step" INTERVAL_RUN steps " AND step > lo ORDER BY step LIMIT 1) AS second"           \
    " FROM (SELECT step AS lo" INTERVAL_RUN steps " AND NOT (SELECT yes FROM few)"                 \
    " ORDER BY step LIMIT 1) AS a OFFSET 0) AS ends OFFSET 0) AS guess"                            \
    " WHERE n >= 64 * $3::numeric AND n < 1e15 AND hi - lo::numeric <= 9223372036854775807), "

/* Each bucket's rows counted, lazily: whoever reads this stops at the first one that is wrong. */
#define INTERVAL_SEGMENTS                                                                        \
    "segments AS MATERIALIZED (SELECT b, hi, size, found, step FROM"                             \
    " (SELECT b, hi, share + (b < rest)::int AS size,"                                           \
    " lo + stride * (b * share + least(b, rest)) AS first, CASE WHEN " IS_LAST " THEN hi"        \
    " ELSE lo + stride * ((b + 1) * share + least(b + 1, rest)) - 1 END AS last"                 \
    " FROM lattice, " BUCKETS ") AS s CROSS JOIN LATERAL (SELECT count(*) AS found,"             \
    " min(step) AS step" INTERVAL_RUN " AND step >= s.first AND step <= s.last OFFSET 0) AS f)," \
    " regular AS MATERIALIZED (SELECT EXISTS (SELECT 1 FROM lattice)"                            \
    " AND NOT EXISTS (SELECT 1 FROM segments WHERE found <> size) AS yes), "

/* The other way. */
#define INTERVAL_STEPS(steps)                                                                   \
    "run AS MATERIALIZED (SELECT steps, n, n / $3::int8 AS share, n % $3::int8 AS rest"         \
    " FROM (SELECT steps, cardinality(steps)::int8 AS n FROM (SELECT CASE WHEN NOT"             \
    " (SELECT yes FROM few) AND NOT (SELECT yes FROM regular) THEN (SELECT array_agg(step)"     \
    " FROM (SELECT step" INTERVAL_RUN steps " ORDER BY step) AS t) END AS steps OFFSET 0) AS s" \
    " OFFSET 0) AS s), "

/* The nth row of a step, from 0, for each bucket. */
#define INTERVAL_PICKED                                                                          \
    "picked AS MATERIALIZED (SELECT CASE WHEN " IS_LAST " THEN hi ELSE step END AS step,"        \
    " CASE WHEN " IS_LAST " THEN (SELECT count(*) - 1" INTERVAL_RUN " AND step = hi) ELSE 0 END" \
    " AS nth FROM segments WHERE (SELECT yes FROM regular)"                                      \
    " UNION ALL SELECT step, place - CASE WHEN step > first"                                     \
    " THEN width_bucket(step - 1, steps) ELSE 0 END AS nth FROM (SELECT place, steps,"           \
    " steps[1] AS first, steps[place + 1] AS step FROM (SELECT steps,"                           \
    " CASE WHEN " IS_LAST " THEN n - 1 ELSE b * share + least(b, rest) END AS place"             \
    " FROM run, " BUCKETS " WHERE n > 0) AS p) AS s)"

/* The rows that are shown. */
#define INTERVAL_SHOWN                                                                  \
    "d.value, d.timestamp, d.step, d.is_nan FROM picked JOIN (SELECT value, timestamp," \
    " step, is_nan, row_number() OVER (PARTITION BY step ORDER BY timestamp, value,"    \
    " is_nan) - 1 AS nth" INTERVAL_RUN " AND step = ANY ((SELECT array_agg(step) FROM"  \
    " picked)::int8[])) AS d USING (step, nth)"

#define INTERVAL_TABLES(steps) \
    INTERVAL_FEW(steps)        \
    INTERVAL_LATTICE(steps) INTERVAL_SEGMENTS INTERVAL_STEPS(steps) INTERVAL_PICKED

#define INTERVAL_OF_RUNS(steps)                                                          \
    "SELECT s.value, s.timestamp, s.step, s.is_nan, r.place - 1 FROM unnest($1::text[])" \
    " WITH ORDINALITY AS r(run, place) CROSS JOIN LATERAL (WITH " INTERVAL_TABLES(       \
        steps) " SELECT value, timestamp, step, is_nan" INTERVAL_RUN steps               \
               " AND (SELECT yes FROM few) UNION ALL SELECT " INTERVAL_SHOWN ") AS s"    \
               " ORDER BY r.place, s.step, s.timestamp, s.value, s.is_nan"

static const struct stmt HISTORY_SOME = {"history_some", INTERVAL_OF_RUNS(INTERVAL_SOME)};
/* Without the two comparisons, which PostgreSQL makes for every row of the walk. */
static const struct stmt HISTORY_WHOLE = {"history_whole", INTERVAL_OF_RUNS("")};

struct sql_step history_step(const struct history_range *c, const struct str values[5])
{
    if (c->first == INT64_MIN && c->last == INT64_MAX)
        return (struct sql_step){&HISTORY_WHOLE, values, 3};
    return (struct sql_step){&HISTORY_SOME, values, 5};
}

struct interval_call {
    struct msg_history_interval m;
    struct history_range range;
    size_t run;        /* the first one that is asked for */
    size_t nruns;      /* that a statement is given */
    size_t asked[2];   /* that the two under way were given */
    uint64_t asked_us; /* clock_us() then */
    bool is_open;
    struct json json;
    struct str values[5];
};

static err_t interval_ask(struct req *r, struct fail *f);

static void interval_write(struct interval_call *c, const PGresult *res, size_t nasked)
{
    struct json *j = &c->json;
    const struct str *runs = c->m.run_ids.items + c->run;

    if (PQntuples(res) > 0 && !c->is_open) {
        c->is_open = true;
        json_key(j, "metrics");
        json_open_list(j);
    }
    for (int i = 0; i < PQntuples(res); i++) {
        json_open(j);
        json_pair_str(j, "key", c->m.metric_key.s);
        json_key(j, "value");
        if (sql_get_bool(res, i, 3))
            json_raw(j, STR("\"NaN\""));
        else
            entity_double(j, sql_get(res, i, 0));
        json_key(j, "timestamp");
        json_raw(j, sql_get(res, i, 1));
        json_key(j, "step");
        json_raw(j, sql_get(res, i, 2));
        json_pair_str(j, "run_id", runs[sql_get_i64(res, i, 4)]);
        json_close(j);
    }
    c->run += nasked;
}

static size_t interval_runs_max(const struct interval_call *c)
{
    int64_t n = INTERVAL_POINTS_MAX / c->range.max_results;

    return n < 1 ? 1 : n > INTERVAL_RUNS_MAX ? INTERVAL_RUNS_MAX : (size_t)n;
}

/* How many runs the next statements get, by the time that the last ones took. */
static void interval_pace(struct interval_call *c)
{
    uint64_t us = clock_us() - c->asked_us;
    size_t most = interval_runs_max(c);

    if (us < INTERVAL_QUICK_US)
        c->nruns = c->nruns * 2 < most ? c->nruns * 2 : most;
    else if (us > INTERVAL_SLOW_US && c->nruns > 1)
        c->nruns /= 2;
}

static err_t interval_one(struct req *r, struct fail *f)
{
    struct interval_call *c = r->data;

    (void)f;
    interval_write(c, r->sql.results[0], c->asked[0]);
    return req_send_part(r, interval_ask);
}

static err_t interval_two(struct req *r, struct fail *f)
{
    struct interval_call *c = r->data;

    (void)f;
    interval_pace(c);
    interval_write(c, r->sql.results[0], c->asked[0]);
    interval_write(c, r->sql.results[1], c->asked[1]);
    return req_send_part(r, interval_ask);
}

static struct sql_step interval_step(struct arena *a, const struct interval_call *c, size_t run,
                                     size_t nruns)
{
    struct str *values = arena_array(a, array_len(c->values), sizeof(*values));

    memcpy(values, c->values, sizeof(c->values));
    values[0] = sql_text_array(a, c->m.run_ids.items + run, nruns);
    return history_step(&c->range, values);
}

static err_t interval_ask(struct req *r, struct fail *f)
{
    struct interval_call *c = r->data;
    size_t left = c->m.run_ids.n - c->run;
    struct sql_step steps[2];

    (void)f;
    c->asked[0] = left >= 2 * c->nruns ? c->nruns : (left + 1) / 2;
    c->asked[1] = left >= 2 * c->nruns ? c->nruns : left / 2;
    if (left > 0)
        steps[0] = interval_step(&r->arena, c, c->run, c->asked[0]);
    if (left > 1)
        steps[1] = interval_step(&r->arena, c, c->run + c->asked[0], c->asked[1]);
    c->asked_us = clock_us();
    if (left >= 2)
        return req_sql_both(r, steps, 2, 1, interval_two);
    if (left == 1)
        return req_sql(r, steps, 1, interval_one);
    if (c->is_open)
        json_close_list(&c->json);
    json_close(&c->json);
    return reply_ok(r);
}

static err_t interval_begin(struct req *r, struct fail *f)
{
    struct arena *a = &r->arena;
    struct interval_call *c = r->data;
    err_t e;

    if ((e = scope_judge_runs(r, f)))
        return e;
    c->values[1] = sql_text(a, c->m.metric_key.s);
    c->values[2] = sql_i64(a, c->range.max_results);
    c->values[3] = sql_i64(a, c->range.first);
    c->values[4] = sql_i64(a, c->range.last);
    c->nruns = 1;
    reply_json(r, &c->json);
    json_open(&c->json);
    return interval_ask(r, f);
}

static err_t interval_ask_runs(struct req *r, struct fail *f)
{
    const struct interval_call *c = r->data;

    (void)f;
    return scope_ask_runs(r, c->m.run_ids.items, c->m.run_ids.n, interval_begin);
}

err_t history_range(struct req *r, struct history_range *c, struct fail *f)
{
    struct bind_input in = query_only(r);
    struct arena *a = &r->arena;
    struct msg_history_range m;
    struct str first, last;
    err_t e;

    if ((e = bind_request(a, &in, &MSG_history_range, &m, f)))
        return e;
    c->max_results = INTERVAL_POINTS_MAX;
    c->first = INT64_MIN;
    c->last = INT64_MAX;
    if (m.max_results.is_set &&
        (e = query_int(a, m.max_results.s, "max_results", &c->max_results, f)))
        return e;
    if (m.start_step.is_set != m.end_step.is_set)
        return fail(f, ERR_BAD_PARAM,
                    "If either start step or end step are specified, both must be specified.");
    if (!m.start_step.is_set)
        return OK;
    if ((e = query_int(a, m.start_step.s, "start_step", &c->first, f)) ||
        (e = query_int(a, m.end_step.s, "end_step", &c->last, f)))
        return e;
    first = query_int_shown(a, m.start_step.s, c->first);
    last = query_int_shown(a, m.end_step.s, c->last);
    if (c->first > c->last)
        return fail(f, ERR_BAD_PARAM,
                    "end_step must be greater than start_step. Found start_step=%.*s and"
                    " end_step=%.*s.",
                    STR_ARG(first), STR_ARG(last));
    if (python_int(m.start_step.s, &c->first) != PYTHON_INT ||
        python_int(m.end_step.s, &c->last) != PYTHON_INT)
        return fail(f, ERR_BAD_REQUEST,
                    "(psycopg.errors.NumericValueOutOfRange) bigint out of range");
    return OK;
}

err_t api_history_interval(struct req *r, struct fail *f)
{
    struct interval_call *c = r->data = arena_zalloc(&r->arena, sizeof(*c));
    err_t e;

    if ((e = bind_request(&r->arena, &r->input, &MSG_history_interval, &c->m, f)) ||
        (e = history_range(r, &c->range, f)) ||
        (e = refuse_nul(&c->m.run_ids, c->m.metric_key.s, f)))
        return e;
    return wait_for(r, &c->m.run_ids, interval_ask_runs);
}
