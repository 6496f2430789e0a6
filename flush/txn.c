/*
 * The transaction of a window, in the order of its locks:
 *
 *   1. BEGIN, and with a pooler the settings; the rows of sluice.positions of the owned partitions FOR UPDATE. Whoever else might
 *      apply the same entries (a connection thought dead, an older process) waits here, and then
 *      sees that they are applied.
 *   2. The window's runs FOR KEY SHARE, in order: they exist, and cannot be deleted until we have
 *      committed. Their experiments come along. Likewise the models.
 *   3. COPY into metrics.
 *   4. latest_metrics, one row per (run, key), in (run, key) order, in which MLflow locks those
 *      that exist; new ones it inserts in its client's order, and what comes of that is answered by
 *      lock_timeout (schema/pg_patience.h). Strictly greater (step, timestamp, value) wins.
 *   5. logged_model_metrics, ON CONFLICT DO NOTHING.
 *   6. the positions.
 *   7. the schema's revision is still ours. From steps 3 to 5 on we hold locks on the tables that no
 *      migration gets past, and a migration notes its revision in its own transaction: so what is
 *      seen here holds until our commit.
 *   8. COMMIT.
 *
 * A refused row is asked after in the same way, when all is rolled back: what an upgraded schema refuses
 * (a column that may not be NULL, a narrower one) is no fault of the row.
 *
 * Five round trips: {1, 2}, {begin of 3}, {end of 3}, {4, 5, 6, 7}, {8}. The first must be looked at
 * before anything is written, COPY cannot share a round trip, and COMMIT stands alone so that a
 * test can die before it; at 50 000 rows a window the trips do not show.
 *
 * The staged path copies into a temporary table without indexes, and INSERT .. ON CONFLICT DO
 * NOTHING takes it from there. No ORDER BY: a fresh table is read in the order in which it was
 * written, and that is the order of the window.
 *
 * SLUICE_TEST_POSITION_FIRST=1 breaks rule 6 on purpose: the positions are committed before the
 * rows, so that a death in between loses points. The crash suite must notice.
 */
#include "flush/txn.h"

#include <string.h>

#include "base/fault.h"
#include "flush/copy.h"
#include "schema/errors.h"
#include "schema/tables.h"

enum {
    TXN_PIECE = 128 << 10, /* bytes of COPY made and sent at a time */
    OID_TEXT = 25,
    OID_TEXTS = 1009,
    OID_INT4S = 1007,
    OID_INT8S = 1016,
    OID_FLOAT8S = 1022,
    OID_BOOLS = 1000
};

static const char sql_lock_positions[] =
    "SELECT partition, position FROM sluice.positions"
    " WHERE queue_id = $1 AND partition = ANY ($2) ORDER BY partition FOR UPDATE";

static const char sql_lock_runs[] = "SELECT run_uuid::text, experiment_id FROM runs"
                                    " WHERE run_uuid = ANY ($1) ORDER BY run_uuid FOR KEY SHARE";

static const char sql_lock_models[] = "SELECT model_id::text FROM logged_models"
                                      " WHERE model_id = ANY ($1) ORDER BY model_id FOR KEY SHARE";

#define STAGE_AS \
    " AS SELECT key, value, timestamp, run_uuid, step, is_nan FROM metrics WITH NO DATA"
static const char sql_stage[] =
    "CREATE TEMPORARY TABLE IF NOT EXISTS sluice_stage ON COMMIT DELETE ROWS" STAGE_AS;
static const char sql_stage_once[] = "CREATE TEMPORARY TABLE sluice_stage ON COMMIT DROP" STAGE_AS;

static const char sql_latest[] =
    "INSERT INTO latest_metrics AS l (key, value, timestamp, run_uuid, step, is_nan)"
    " SELECT * FROM unnest($1::text[], $2::float8[], $3::int8[], $4::text[], $5::int8[],"
    " $6::bool[]) AS n (key, value, timestamp, run_uuid, step, is_nan)"
    " ORDER BY n.run_uuid, n.key"
    " ON CONFLICT (key, run_uuid) DO UPDATE SET value = excluded.value,"
    " timestamp = excluded.timestamp, step = excluded.step, is_nan = excluded.is_nan"
    " WHERE (excluded.step, excluded.timestamp, excluded.value)"
    " > (l.step, l.timestamp, l.value)";

static const char sql_models[] =
    "INSERT INTO logged_model_metrics (model_id, metric_name, metric_timestamp_ms, metric_step,"
    " metric_value, experiment_id, run_id, dataset_name, dataset_digest)"
    " SELECT * FROM unnest($1::text[], $2::text[], $3::int8[], $4::int8[], $5::float8[],"
    " $6::int4[], $7::text[], $8::text[], $9::text[]) ON CONFLICT DO NOTHING";

static const char sql_positions[] =
    "UPDATE sluice.positions AS s SET position = n.position"
    " FROM unnest($2::int4[], $3::int8[]) AS n (partition, position)"
    " WHERE s.queue_id = $1 AND s.partition = n.partition AND s.position < n.position";

/* -- parameters -------------------------------------------------------------------------------- */

enum { COLUMNS_LATEST = 6, COLUMNS_MODELS = 9 };

/* A column of rows, appended to out as an array; bound to the call once all of them are there,
 * because out moves while it grows. */
struct column_bytes {
    Oid type;
    size_t from;
};

static void bind_columns(struct pg_call *c, const struct column_bytes *columns, size_t count,
                         const struct buf *bytes)
{
    struct str all = buf_str(bytes);

    for (size_t i = 0; i < count; i++) {
        size_t to = i + 1 < count ? columns[i + 1].from : all.n;

        pg_bind(c, columns[i].type, (struct str){all.p + columns[i].from, to - columns[i].from});
    }
}

static void texts_array(struct buf *out, const struct names *n)
{
    buf_reset(out);
    copy_array(out, COLUMN_TEXT, n->count);
    for (uint32_t i = 0; i < n->count; i++)
        copy_text(out, n->texts[i]);
}

/* One field of row number i, for the column with that number in table_metrics. */
static void latest_field(struct buf *out, const struct window *w, size_t i, size_t column)
{
    const struct row *r = &w->latest[i];

    switch (column) {
    case 0: copy_text(out, w->keys.texts[r->key]); break;
    case 1: copy_float8(out, r->value); break;
    case 2: copy_int8(out, r->timestamp); break;
    case 3: copy_text(out, w->runs.texts[r->run]); break;
    case 4: copy_int8(out, r->step); break;
    default: copy_bool(out, r->is_nan); break;
    }
}

static void bind_latest(struct pg_call *c, const struct window *w, struct buf *bytes)
{
    static const Oid types[COLUMNS_LATEST] = {OID_TEXTS, OID_FLOAT8S, OID_INT8S,
                                              OID_TEXTS, OID_INT8S,   OID_BOOLS};
    struct column_bytes columns[COLUMNS_LATEST];

    for (size_t column = 0; column < COLUMNS_LATEST; column++) {
        columns[column] = (struct column_bytes){types[column], buf_len(bytes)};
        copy_array(bytes, table_latest_metrics.columns[column].type, w->latest_count);
        for (size_t i = 0; i < w->latest_count; i++)
            latest_field(bytes, w, i, column);
    }
    bind_columns(c, columns, COLUMNS_LATEST, bytes);
}

static void text_or_null(struct buf *out, struct str text)
{
    if (text.n)
        copy_text(out, text);
    else
        copy_null(out);
}

/* The same for table_logged_model_metrics. */
static void model_field(struct buf *out, const struct txn *t, size_t i, size_t column)
{
    const struct window *w = t->window;
    const struct model_row *m = &w->models_rows[i];

    switch (column) {
    case 0: copy_text(out, w->models.texts[m->model]); break;
    case 1: copy_text(out, w->keys.texts[m->key]); break;
    case 2: copy_int8(out, m->timestamp); break;
    case 3: copy_int8(out, m->step); break;
    case 4: copy_float8(out, m->value); break;
    case 5: copy_int4(out, t->experiments[m->run]); break;
    case 6: copy_text(out, w->runs.texts[m->run]); break;
    case 7: text_or_null(out, m->dataset_name); break;
    default: text_or_null(out, m->dataset_digest); break;
    }
}

static void bind_models(struct pg_call *c, const struct txn *t, struct buf *bytes)
{
    static const Oid types[COLUMNS_MODELS] = {OID_TEXTS, OID_TEXTS,   OID_INT8S,
                                              OID_INT8S, OID_FLOAT8S, OID_INT4S,
                                              OID_TEXTS, OID_TEXTS,   OID_TEXTS};
    struct column_bytes columns[COLUMNS_MODELS];

    for (size_t column = 0; column < COLUMNS_MODELS; column++) {
        columns[column] = (struct column_bytes){types[column], buf_len(bytes)};
        copy_array(bytes, table_logged_model_metrics.columns[column].type, t->window->models_count);
        for (size_t i = 0; i < t->window->models_count; i++)
            model_field(bytes, t, i, column);
    }
    bind_columns(c, columns, COLUMNS_MODELS, bytes);
}

/* The partition's position after the commit. */
static pos_t txn_cursor(const struct txn *t, unsigned partition)
{
    return t->cursors ? t->cursors[partition] : t->cursor;
}

static void bind_positions(struct pg_call *c, const struct txn *t, struct buf *mask,
                           struct buf *pos)
{
    uint64_t owned = t->session->mask;

    c->sql = sql_positions;
    session_bind_mask(t->session, c, mask);
    buf_reset(pos);
    copy_array(pos, COLUMN_INT8, (size_t)__builtin_popcountll(owned));
    for (unsigned p = 0; p < QUEUE_PARTITIONS_MAX; p++) {
        if (owned >> p & 1)
            copy_int8(pos, (int64_t)txn_cursor(t, p));
    }
    pg_bind(c, OID_INT8S, buf_str(pos));
}

/* -- steps 1 and 2 ----------------------------------------------------------------------------- */

/* Is every stored position what the session thinks it is? */
static err_t see_positions(struct txn *t, const PGresult *r, struct fail *f)
{
    struct session *s = t->session;

    if (PQntuples(r) != __builtin_popcountll(s->mask)) {
        session_close(s); /* the next session_open makes the rows again */
        return fail(f, ERR_PG, "rows of sluice.positions have disappeared");
    }
    for (int i = 0; i < PQntuples(r); i++) {
        unsigned p = (unsigned)pg_get_int4(r, i, 0);
        pos_t pos = (pos_t)pg_get_int8(r, i, 1);

        check(p < QUEUE_PARTITIONS_MAX);
        if (pos > s->positions[p])
            t->verdict = TXN_MOVED;
        s->positions[p] = pos;
    }
    return OK;
}

static void see_runs(struct txn *t, const PGresult *r)
{
    const struct window *w = t->window;

    t->has_run = arena_zalloc(t->arena, w->runs.count);
    t->experiments = arena_array(t->arena, w->runs.count, sizeof(*t->experiments));
    for (int i = 0; i < PQntuples(r); i++) {
        int64_t rank = names_find(&w->runs, pg_get_text(r, i, 0));

        check(rank >= 0);
        t->has_run[rank] = true;
        t->experiments[rank] = PQgetisnull(r, i, 1) ? 0 : pg_get_int4(r, i, 1);
    }
    if ((uint32_t)PQntuples(r) < w->runs.count && t->verdict == TXN_DONE)
        t->verdict = TXN_LACKS_RUNS;
}

static void see_models(struct txn *t, const PGresult *r)
{
    const struct window *w = t->window;

    t->has_model = arena_zalloc(t->arena, w->models.count);
    for (int i = 0; i < PQntuples(r); i++) {
        int64_t rank = names_find(&w->models, pg_get_text(r, i, 0));

        check(rank >= 0);
        t->has_model[rank] = true;
    }
    if ((uint32_t)PQntuples(r) < w->models.count && t->verdict == TXN_DONE)
        t->verdict = TXN_LACKS_MODELS;
}

/* Of a followed flush: its name, until the transaction ends. Gives the next free place. */
static size_t txn_name(const struct txn *t, struct pg_call *all, size_t place)
{
    if (!t->application || !t->application[0])
        return place;
    all[place].sql = "SELECT set_config('application_name', $1, true)";
    pg_bind(&all[place], OID_TEXT, str_of(t->application));
    return place + 1;
}

static err_t txn_begin(struct txn *t, struct fail *f)
{
    struct pg_call all[1 + SESSION_LOCALS + 4] = {{.sql = "BEGIN ISOLATION LEVEL READ COMMITTED"}};
    size_t first = txn_name(t, all, 1 + session_locals(t->session, &all[1]));
    struct pg_call *calls = &all[first];
    size_t count = t->window->models_count ? 3 : 2;
    struct buf mask, runs, models;
    err_t e;

    calls[0].sql = sql_lock_positions;
    calls[1].sql = sql_lock_runs;
    calls[2].sql = sql_lock_models;

    buf_init(&mask);
    buf_init(&runs);
    buf_init(&models);
    session_bind_mask(t->session, &calls[0], &mask);
    texts_array(&runs, &t->window->runs);
    pg_bind(&calls[1], OID_TEXTS, buf_str(&runs));
    texts_array(&models, &t->window->models);
    pg_bind(&calls[2], OID_TEXTS, buf_str(&models));

    e = pg_batch(&t->session->pg, all, first + count, f);
    if (!e)
        e = see_positions(t, calls[0].result, f);
    if (!e)
        see_runs(t, calls[1].result);
    if (!e && count == 3)
        see_models(t, calls[2].result);
    pg_batch_clear(all, first + count);
    buf_fini(&mask);
    buf_fini(&runs);
    buf_fini(&models);
    return e;
}

/* -- step 3 ------------------------------------------------------------------------------------ */

static err_t txn_copy(struct txn *t, const char *into, struct fail *f)
{
    struct pg *pg = &t->session->pg;
    struct buf piece;
    size_t next = 0;
    err_t e;

    buf_init(&piece);
    table_copy(&table_metrics, into, &piece);
    buf_add_byte(&piece, 0);
    e = pg_copy_begin(pg, buf_str(&piece).p, f);
    buf_reset(&piece);
    copy_begin(&piece);
    while (!e && next < t->window->count) {
        copy_rows(&piece, t->window, &next, TXN_PIECE);
        e = pg_copy_put(pg, buf_str(&piece), f);
        buf_reset(&piece);
    }
    if (!e) {
        copy_end(&piece);
        e = pg_copy_put(pg, buf_str(&piece), f);
    }
    if (!e)
        e = pg_copy_finish(pg, f);
    buf_fini(&piece);
    return e;
}

static err_t txn_rows(struct txn *t, struct fail *f)
{
    struct pg_call call = {
        .sql = "INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan)"
               " SELECT key, value, timestamp, run_uuid, step, is_nan FROM sluice_stage"
               " ON CONFLICT DO NOTHING"};
    err_t e;

    if (t->window->count == 0)
        return OK;
    if (t->mode == TXN_DIRECT)
        return txn_copy(t, NULL, f);
    if (t->session->is_pooled && (e = pg_run(&t->session->pg, sql_stage_once, f)))
        return e;
    if ((e = txn_copy(t, "sluice_stage", f)))
        return e;
    e = pg_batch(&t->session->pg, &call, 1, f);
    if (!e)
        t->skipped = t->window->count - pg_touched(call.result);
    pg_batch_clear(&call, 1);
    return e;
}

/* -- steps 4 to 7 ------------------------------------------------------------------------------ */

static err_t txn_rest(struct txn *t, bool with_positions, struct fail *f)
{
    struct pg_call calls[4] = {0};
    struct buf latest, models, mask, pos;
    size_t count = 0;
    err_t e;

    buf_init(&latest);
    buf_init(&models);
    buf_init(&mask);
    buf_init(&pos);
    if (t->window->latest_count) {
        calls[count].sql = sql_latest;
        bind_latest(&calls[count++], t->window, &latest);
    }
    if (t->window->models_count) {
        calls[count].sql = sql_models;
        bind_models(&calls[count++], t, &models);
    }
    if (with_positions)
        bind_positions(&calls[count++], t, &mask, &pos);
    calls[count++].sql = session_sql_head;
    e = pg_batch(&t->session->pg, calls, count, f);
    if (!e)
        e = session_see_head(calls[count - 1].result, f);
    pg_batch_clear(calls, count);
    buf_fini(&latest);
    buf_fini(&models);
    buf_fini(&mask);
    buf_fini(&pos);
    return e;
}

/* The breakage for the crash suite: in a transaction of its own, before the rows. */
static err_t txn_positions_early(struct txn *t, struct fail *f)
{
    struct pg_call call = {0};
    struct buf mask, pos;
    err_t e;

    buf_init(&mask);
    buf_init(&pos);
    bind_positions(&call, t, &mask, &pos);
    e = pg_batch(&t->session->pg, &call, 1, f);
    pg_batch_clear(&call, 1);
    buf_fini(&mask);
    buf_fini(&pos);
    return e;
}

/* -- the whole --------------------------------------------------------------------------------- */

/* The temporary table, outside the transaction: it is made once per connection. A pooler has none that
 * is ours: there txn_rows makes it. */
static err_t txn_stage(struct session *s, struct fail *f)
{
    err_t e;

    if (s->has_stage || s->is_pooled)
        return OK;
    e = pg_run(&s->pg, sql_stage, f);
    s->has_stage = !e;
    return e;
}

static err_t txn_steps(struct txn *t, struct fail *f)
{
    struct session *s = t->session;
    bool with_positions = t->mode != TXN_TRIAL && !s->is_position_first;
    err_t e;

    if ((e = txn_begin(t, f)) || t->verdict != TXN_DONE)
        return e;
    fault_point("flush_before_copy");
    if ((e = txn_rows(t, f)) || (e = txn_rest(t, with_positions, f)) || t->mode == TXN_TRIAL)
        return e;
    if (with_positions)
        fault_point("after_position");
    fault_point("flush_before_commit");
    if ((e = pg_run(&s->pg, "COMMIT", f)))
        return e;
    fault_point("flush_after_commit");
    return OK;
}

static void txn_note_positions(struct txn *t)
{
    struct session *s = t->session;

    for (unsigned p = 0; p < QUEUE_PARTITIONS_MAX; p++) {
        if ((s->mask >> p & 1) && s->positions[p] < txn_cursor(t, p))
            s->positions[p] = txn_cursor(t, p);
    }
}

/* A row was refused with e: by a schema that is ours? The words and the SQLSTATE stay those of the row
 * then. */
static err_t txn_refused(struct session *s, err_t e, struct fail *f)
{
    struct pg_call call = {.sql = session_sql_head};
    char sqlstate[PG_SQLSTATE + 1];
    err_t head;

    pg_rollback(&s->pg);
    if (!pg_is_open(&s->pg))
        return fail(f, ERR_PG, "connection lost while a refused window was rolled back");
    memcpy(sqlstate, s->pg.sqlstate, sizeof(sqlstate));
    head = pg_batch(&s->pg, &call, 1, f);
    if (!head)
        head = session_see_head(call.result, f);
    pg_batch_clear(&call, 1);
    if (head)
        return head;
    memcpy(s->pg.sqlstate, sqlstate, sizeof(sqlstate));
    return e;
}

err_t txn_write(struct txn *t, struct fail *f)
{
    struct session *s = t->session;
    err_t e = OK;

    t->verdict = TXN_DONE;
    t->skipped = 0;
    t->has_run = t->has_model = NULL;
    if (t->mode != TXN_DIRECT)
        e = txn_stage(s, f);
    if (!e && s->is_position_first && t->mode != TXN_TRIAL) {
        e = txn_positions_early(t, f);
        if (!e)
            txn_note_positions(t);
        fault_point("after_position");
    }
    if (!e)
        e = txn_steps(t, f);
    if (e == ERR_PG_ROW || e == ERR_PG_REPEAT)
        e = txn_refused(s, e, f);
    if (e || t->verdict != TXN_DONE || t->mode == TXN_TRIAL)
        pg_rollback(&s->pg);
    else
        txn_note_positions(t);
    return e;
}
