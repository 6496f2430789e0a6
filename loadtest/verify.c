/*
 * verify: a pass over COPY's bytes, run by run.
 *
 *   1. wait until as many rows are stored as points were acked, or none has come for verify_wait
 *   2. for each run: COPY its rows of metrics out in binary; a row gives (key, step), these an
 *      index, the index by the ledger's formula timestamp and value, which must be equal to the
 *      last bit. A bit set says which index was seen: seen twice is doubled, seen but not sent is
 *      invented, acked but not seen is lost. On the way, the greatest (step, timestamp, value) of
 *      each key is kept; COPY of latest_metrics must say the same.
 *   3. for some runs: runs/get, and get-history of one key, read through the API, against what 2
 *      has seen.
 *
 * Memory: three bits a point of one run and one row a key, whatever the number of rows; time: some
 * two million rows a second are compared, PostgreSQL gives fewer.
 */
#include "loadtest/verify.h"

#include <endian.h>
#include <inttypes.h>
#include <stdio.h>
#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <yyjson.h>

#include "base/clock.h"
#include "schema/errors.h"

enum { API_RUNS = 5, API_TIMEOUT_US = 60000000 };

struct best {
    bool is_there;
    bool was_met; /* latest_metrics has it */
    int64_t step;
    int64_t timestamp;
    double value;
    bool is_nan;
};

struct verify {
    struct storm *storm;
    const struct ledger *ledger;
    struct verdict *verdict;
    PGconn *pg;
    struct best *best;   /* a row a key, of the run at hand */
    struct bits seen[2]; /* of the run at hand, a set for each series */
    uint32_t run;
};

struct stored {
    struct str key;
    double value;
    int64_t timestamp;
    int64_t step;
    bool is_nan;
};

/* Notes the first finding in words. */
static void found(struct verify *y, const char *what, const struct stored *row)
{
    if (y->verdict->first[0])
        return;
    snprintf(y->verdict->first, sizeof(y->verdict->first),
             "run %s: %s: key %.*s step %" PRId64 " timestamp %" PRId64 " value %.17g%s",
             y->ledger->runs[y->run].id, what, STR_ARG(str_head(row->key, 40)), row->step,
             row->timestamp, row->value, row->is_nan ? " (NaN)" : "");
}

static void found_index(struct verify *y, const char *what, uint32_t row_at, uint64_t index)
{
    struct point p = ledger_point(y->ledger, row_at, index);
    struct stored row = {STR("number"), point_stored(&p), p.timestamp, p.step,
                         p.class == POINT_NAN};

    found(y, what, &row);
}

/* --- rows ------------------------------------------------------------------------------------- */

static bool is_same(double a, double b)
{
    return a >= b && a <= b;
}

/* The key that the row is of, the series that has it, and which of its points the row is; false when
 * it is none that was sent. */
static bool row_index(const struct verify *y, const struct stored *row, uint32_t *key,
                      uint32_t *series, uint64_t *index)
{
    uint32_t at;
    struct point p;

    if (!ledger_key_number(y->ledger, row->key, key) || row->step < 0)
        return false;
    *series = *key >= y->ledger->keys;
    at = y->run + *series * (uint32_t)y->ledger->count;
    *index =
        (uint64_t)row->step * ledger_keys(y->ledger, at) + *key - (*series ? y->ledger->keys : 0);
    if (!bits_get(&y->ledger->runs[at].sent, *index))
        return false;
    p = ledger_point(y->ledger, at, *index);
    return row->timestamp == p.timestamp && is_same(row->value, point_stored(&p)) &&
           row->is_nan == (p.class == POINT_NAN);
}

static bool is_greater(const struct stored *a, const struct best *b)
{
    if (a->step != b->step)
        return a->step > b->step;
    if (a->timestamp != b->timestamp)
        return a->timestamp > b->timestamp;
    return a->value > b->value;
}

static void on_metric(struct verify *y, const struct stored *row)
{
    uint32_t key;
    uint32_t series;
    uint64_t index;
    struct best *best;

    y->verdict->rows++;
    if (!row_index(y, row, &key, &series, &index)) {
        y->verdict->invented++;
        found(y, "stored but never sent", row);
        return;
    }
    if (bits_set(&y->seen[series], index, 1) == 0) {
        y->verdict->doubled++;
        found(y, "stored twice", row);
    }
    best = &y->best[key];
    if (!best->is_there || is_greater(row, best))
        *best = (struct best){true, false, row->step, row->timestamp, row->value, row->is_nan};
}

static void on_latest(struct verify *y, const struct stored *row)
{
    uint32_t key;
    struct best *best;

    if (!ledger_key_number(y->ledger, row->key, &key)) {
        y->verdict->latest_wrong++;
        found(y, "latest_metrics of a key nobody sent", row);
        return;
    }
    best = &y->best[key];
    if (best->is_there && !best->was_met && best->step == row->step &&
        best->timestamp == row->timestamp && is_same(best->value, row->value) &&
        best->is_nan == row->is_nan) {
        best->was_met = true;
        return;
    }
    y->verdict->latest_wrong++;
    found(y, "latest_metrics is not the greatest row", row);
}

/* --- COPY's bytes ----------------------------------------------------------------------------- */

static bool take_field(struct str *rest, size_t want, struct str *field)
{
    uint32_t n;

    if (rest->n < 4)
        return false;
    memcpy(&n, rest->p, 4);
    n = be32toh(n);
    *rest = str_skip(*rest, 4);
    if (n > rest->n || (want && n != want))
        return false; /* NULL, too: its length is -1 */
    *field = str_head(*rest, n);
    *rest = str_skip(*rest, n);
    return true;
}

static bool take_8(struct str *rest, uint64_t *value)
{
    struct str field;

    if (!take_field(rest, 8, &field))
        return false;
    memcpy(value, field.p, 8);
    *value = be64toh(*value);
    return true;
}

/* One row, or the header or the trailer, which hold none. */
static bool take_row(struct str bytes, struct stored *row, bool *is_row)
{
    static const char signature[11] = "PGCOPY\n\377\r\n";
    uint64_t value;
    uint64_t timestamp;
    uint64_t step;
    struct str flag;

    if (str_starts(bytes, (struct str){signature, sizeof(signature)})) {
        if (bytes.n < 19)
            return false;
        bytes = str_skip(bytes, 19); /* the first row may come with it */
    }
    *is_row = bytes.n > 2;
    if (!*is_row)
        return true;
    bytes = str_skip(bytes, 2);
    if (!take_field(&bytes, 0, &row->key) || !take_8(&bytes, &value) ||
        !take_8(&bytes, &timestamp) || !take_8(&bytes, &step) || !take_field(&bytes, 1, &flag))
        return false;
    memcpy(&row->value, &value, 8);
    row->timestamp = (int64_t)timestamp;
    row->step = (int64_t)step;
    row->is_nan = flag.p[0] != 0;
    return true;
}

/* Every row of the run at hand in a table, to each. */
static err_t verify_table(struct verify *y, const char *table,
                          void (*each)(struct verify *, const struct stored *), struct fail *f)
{
    char text[300];
    PGresult *result;
    char *bytes;
    int n;
    bool is_read = true;

    /* The id is checked to be letters, digits and dashes: COPY takes no parameters. */
    snprintf(text, sizeof(text),
             "COPY (SELECT key, value, coalesce(timestamp, -1), step, is_nan FROM %s "
             "WHERE run_uuid = '%s') TO STDOUT (FORMAT binary)",
             table, y->ledger->runs[y->run].id);
    result = PQexec(y->pg, text);
    n = PQresultStatus(result);
    PQclear(result);
    if (n != PGRES_COPY_OUT)
        return fail(f, ERR_PG, "verify: %s", PQerrorMessage(y->pg));
    while ((n = PQgetCopyData(y->pg, &bytes, 0)) > 0) {
        struct stored row;
        bool is_row = false;

        is_read = is_read && take_row((struct str){bytes, (size_t)n}, &row, &is_row);
        if (is_read && is_row)
            each(y, &row);
        PQfreemem(bytes);
    }
    while ((result = PQgetResult(y->pg))) {
        is_read = is_read && PQresultStatus(result) == PGRES_COMMAND_OK;
        PQclear(result);
    }
    if (!is_read)
        return fail(f, ERR_PG, "verify: COPY of %s broke off: %s", table, PQerrorMessage(y->pg));
    return OK;
}

static void verify_lost(struct verify *y)
{
    const struct bits *seen = y->seen;

    for (size_t row = y->run; row < y->ledger->rows; row += y->ledger->count, seen++) {
        const struct bits *acked = &y->ledger->runs[row].acked;

        for (uint64_t i = 0; i < acked->cap; i++) {
            if (bits_get(acked, i) && !bits_get(seen, i)) {
                y->verdict->lost++;
                found_index(y, "acked but not stored", (uint32_t)row, i);
            }
        }
    }
}

static err_t verify_run(struct verify *y, struct fail *f)
{
    err_t e;

    memset(y->best, 0, ledger_key_count(y->ledger) * sizeof(*y->best));
    for (int series = 0; series < 2; series++) {
        if (y->seen[series].cap)
            memset(y->seen[series].words, 0, y->seen[series].cap / 8);
    }
    if ((e = verify_table(y, "metrics", on_metric, f)) ||
        (e = verify_table(y, "latest_metrics", on_latest, f)))
        return e;
    verify_lost(y);
    for (uint32_t key = 0; key < ledger_key_count(y->ledger); key++) {
        const struct best *best = &y->best[key];

        if (best->is_there && !best->was_met) {
            struct stored row = {STR("number"), best->value, best->timestamp, best->step,
                                 best->is_nan};

            y->verdict->latest_wrong++;
            found(y, "latest_metrics lacks the greatest row", &row);
        }
    }
    return OK;
}

/* --- through the API -------------------------------------------------------------------------- */

/* A metric of an answer; NaN is a string there. */
static bool api_metric(yyjson_val *m, struct stored *row)
{
    yyjson_val *value = yyjson_obj_get(m, "value");
    const char *key = yyjson_get_str(yyjson_obj_get(m, "key"));

    if (key == NULL || value == NULL)
        return false;
    row->key = str_of(key);
    row->is_nan = yyjson_equals_str(value, "NaN");
    row->value = row->is_nan ? 0 : yyjson_get_num(value);
    row->timestamp = yyjson_get_sint(yyjson_obj_get(m, "timestamp"));
    row->step = yyjson_get_sint(yyjson_obj_get(m, "step"));
    return true;
}

/* The metrics of runs/get are those of latest_metrics, which were found to be right. */
static uint64_t api_latest(const struct verify *y, yyjson_val *metrics)
{
    uint64_t wrong = 0;
    uint64_t want = 0;
    size_t i;
    size_t n;
    yyjson_val *m;

    yyjson_arr_foreach(metrics, i, n, m) {
        struct stored row;
        uint32_t key;
        const struct best *best;

        if (!api_metric(m, &row) || !ledger_key_number(y->ledger, row.key, &key)) {
            wrong++;
            continue;
        }
        best = &y->best[key];
        wrong += !(best->is_there && best->step == row.step && best->timestamp == row.timestamp &&
                   is_same(best->value, row.value) && best->is_nan == row.is_nan);
    }
    for (uint32_t key = 0; key < ledger_key_count(y->ledger); key++)
        want += y->best[key].is_there;
    return wrong + (want > yyjson_arr_size(metrics) ? want - yyjson_arr_size(metrics) : 0);
}

/* The history of one key holds the points that are stored of it, each once. */
static uint64_t api_history(const struct verify *y, yyjson_val *metrics, uint32_t key)
{
    struct bits met = {0};
    uint64_t wrong = 0;
    size_t i;
    size_t n;
    yyjson_val *m;

    yyjson_arr_foreach(metrics, i, n, m) {
        struct stored row;
        uint32_t its_key;
        uint32_t series;
        uint64_t index;

        if (!api_metric(m, &row) || !row_index(y, &row, &its_key, &series, &index) ||
            its_key != key || bits_set(&met, index, 1) == 0)
            wrong++;
    }
    for (uint64_t at = key; at < y->seen[0].cap; at += y->ledger->keys)
        wrong += bits_get(&y->seen[0], at) && !bits_get(&met, at);
    bits_fini(&met);
    return wrong;
}

static err_t api_ask(struct verify *y, struct wire *w, const char *path, const char *query,
                     yyjson_doc **doc, struct fail *f)
{
    struct buf request;
    struct answer a;

    buf_init(&request);
    shape_get(&y->storm->shape, &request, path, str_of(query));
    a = wire_ask(w, buf_str(&request));
    buf_fini(&request);
    *doc = a.status == 200 ? yyjson_read(a.body.p, a.body.n, 0) : NULL;
    if (*doc == NULL)
        return fail(f, ERR_PG, "verify: %s answered %d: %.*s", path, a.status,
                    STR_ARG(str_head(a.body, 100)));
    return OK;
}

static err_t verify_api_run(struct verify *y, struct wire *w, struct fail *f)
{
    const char *id = y->ledger->runs[y->run].id;
    uint32_t key = (uint32_t)(mix64(y->run) % y->ledger->keys);
    char name[KEY_MAX];
    char query[400];
    yyjson_doc *doc;
    yyjson_val *metrics;
    err_t e;

    snprintf(query, sizeof(query), "run_id=%s", id);
    if ((e = api_ask(y, w, "runs/get", query, &doc, f)))
        return e;
    metrics = yyjson_obj_get(yyjson_obj_get(yyjson_doc_get_root(doc), "run"), "data");
    metrics = yyjson_obj_get(metrics, "metrics");
    y->verdict->api_points += yyjson_arr_size(metrics);
    y->verdict->api_wrong += api_latest(y, metrics);
    yyjson_doc_free(doc);
    snprintf(query, sizeof(query), "run_id=%s&metric_key=%.*s", id,
             (int)ledger_key(y->ledger, key, name), name);
    if ((e = api_ask(y, w, "metrics/get-history", query, &doc, f)))
        return e;
    metrics = yyjson_obj_get(yyjson_doc_get_root(doc), "metrics");
    y->verdict->api_points += yyjson_arr_size(metrics);
    y->verdict->api_wrong += api_history(y, metrics, key);
    yyjson_doc_free(doc);
    return OK;
}

/* --- all of it -------------------------------------------------------------------------------- */

/* Rows of all runs, by SQL; -1 when it cannot be asked. */
static int64_t verify_row_count(struct verify *y)
{
    struct buf ids;
    const char *value;
    PGresult *result;
    int64_t count = -1;

    buf_init(&ids);
    buf_add_byte(&ids, '{');
    for (size_t i = 0; i < y->ledger->count; i++)
        buf_printf(&ids, "%s%s", i ? "," : "", y->ledger->runs[i].id);
    buf_add_str(&ids, STR("}"));
    buf_add_byte(&ids, '\0');
    value = buf_str(&ids).p;
    result = PQexecParams(y->pg, "SELECT count(*) FROM metrics WHERE run_uuid = ANY($1)", 1, NULL,
                          &value, NULL, NULL, 0);
    if (PQresultStatus(result) == PGRES_TUPLES_OK)
        count = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
    PQclear(result);
    buf_fini(&ids);
    return count;
}

/* Until all that was acked may be stored, as long as more and more is. A server that lost some
 * shows it when nothing has come for verify_wait. */
static err_t verify_wait(struct verify *y, struct fail *f)
{
    uint64_t acked = ledger_acked_count(y->ledger);
    int64_t most = -1;
    double backlog = -1; /* somebody else's points may have to be stored before ours */
    uint64_t grown_us = clock_us();

    for (;;) {
        uint64_t begin = clock_us();
        int64_t count = verify_row_count(y);
        double waiting = watch_backlog(&y->storm->watch);
        uint64_t now = clock_us();
        /* Counting millions of rows takes from the server that is to store them. */
        uint64_t pause_us = 100000 + 5 * (now - begin);
        struct timespec pause = {(time_t)(pause_us / 1000000), (long)(pause_us % 1000000) * 1000};

        if (count < 0)
            return fail(f, ERR_PG, "verify: %s", PQerrorMessage(y->pg));
        if (count > most || (waiting > 0 && (waiting < backlog || backlog < 0)))
            grown_us = now;
        backlog = waiting;
        most = count > most ? count : most;
        if ((uint64_t)count >= acked || now - grown_us > y->storm->plan->verify_wait)
            return OK;
        nanosleep(&pause, NULL); /* between two looks at PostgreSQL */
    }
}

static void verify_nothing(struct wire *w, const struct answer *a)
{
    (void)w;
    (void)a;
}

static err_t verify_runs(struct verify *y, struct fail *f)
{
    size_t stride = y->ledger->count / API_RUNS ? y->ledger->count / API_RUNS : 1;
    struct wire w;
    err_t e = OK;

    wire_init(&w, y->storm->loop, &y->storm->target, API_TIMEOUT_US, verify_nothing);
    w.keep_body = true;
    for (y->run = 0; e == OK && y->run < y->ledger->count; y->run++) {
        e = verify_run(y, f);
        if (e == OK && y->run % stride == 0)
            e = verify_api_run(y, &w, f);
    }
    wire_fini(&w);
    return e;
}

err_t verify_all(struct storm *s, struct verdict *v, struct fail *f)
{
    struct verify y = {.storm = s, .ledger = &s->ledger, .verdict = v};
    uint64_t begin = clock_us();
    err_t e;

    memset(v, 0, sizeof(*v));
    y.pg = PQconnectdb(s->plan->pg_uri);
    y.best = calloc(ledger_key_count(&s->ledger), sizeof(*y.best));
    check(y.best != NULL);
    if (PQstatus(y.pg) != CONNECTION_OK)
        e = fail(f, ERR_PG, "verify: %s", PQerrorMessage(y.pg));
    else if ((e = verify_wait(&y, f)) == OK)
        e = verify_runs(&y, f);
    v->seconds = (double)(clock_us() - begin) / 1e6;
    PQfinish(y.pg);
    bits_fini(&y.seen[0]);
    bits_fini(&y.seen[1]);
    free(y.best);
    return e;
}

bool verdict_is_clean(const struct verdict *v)
{
    return v->lost + v->invented + v->doubled + v->latest_wrong + v->api_wrong == 0;
}
