/*
 * A letter is applied once more as a flusher would apply it: the same locks, the staged path (COPY,
 * then INSERT .. ON CONFLICT DO NOTHING), the same rule for latest_metrics, one transaction. All of
 * that is idempotent, so a letter may be applied any number of times, beside a running server, or
 * after a kill between the commit and the removal of the letter: its points are stored once.
 *
 * The session owns no partitions (mask 0): a letter has a position, but it lies before the stored
 * one, and no position moves.
 *
 * Letters are tried many at a time. When PostgreSQL refuses, the letters of missing runs are left
 * out, otherwise the range is halved until the one to blame stands alone. It keeps its file and
 * learns the new reason; a letter is not split further, because its points were refused together.
 * A letter that was kept for the sake of model rows stands in metrics already; it counts as applied
 * once its models exist.
 *
 * Conflicts with writers beside us (deadlock, lock timeout) and a lost connection are tried again,
 * REDELIVERY_TRIES times in a row at most: a person waits at the terminal.
 */
#include "flush/redelivery.h"

#include <string.h>
#include <time.h>

#include "flush/txn.h"
#include "schema/errors.h"
#include "schema/record.h"

enum { REDELIVERY_TRIES = 8, REDELIVERY_PAUSE_MS = 50 };

static const char queue_of_none[] = "";

static err_t redelivery_connect(struct redelivery *r, struct fail *f)
{
    err_t e;

    if (pg_is_open(&r->session.pg))
        return OK;
    if ((e = session_open(&r->session, r->terms, 0, &r->halt, f)))
        return e;
    return pg_run(&r->session.pg, "SET application_name = 'sluice deadletter retry'", f);
}

err_t redelivery_open(struct redelivery *r, const struct pg_terms *terms, struct fail *f)
{
    int error;

    *r = (struct redelivery){.terms = terms, .session = {.queue_id = queue_of_none}};
    window_init(&r->window);
    arena_init(&r->arena, 256 << 10);
    if ((error = pg_halt_init(&r->halt)))
        return fail(f, ERR_INTERNAL, "eventfd: %s", strerror(error));
    return redelivery_connect(r, f);
}

void redelivery_close(struct redelivery *r)
{
    session_fini(&r->session);
    pg_halt_fini(&r->halt);
    window_fini(&r->window);
    arena_fini(&r->arena);
}

/* Between two attempts: 50 ms, 100 ms, ... */
static void redelivery_pause(const struct redelivery *r)
{
    long ms = (long)REDELIVERY_PAUSE_MS << r->failures;
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    nanosleep(&pause, NULL);
}

static void redelivery_refuse(struct redelivery_item *item, const char *sqlstate, struct str why)
{
    str_to_cstr(str_of(sqlstate), item->sqlstate, sizeof(item->sqlstate));
    /* Never empty: that is how a refused item is told from one to try. */
    str_to_cstr(why.n ? why : STR("refused"), item->reason, sizeof(item->reason));
}

static bool redelivery_is_live(const struct redelivery_item *item)
{
    return !item->is_applied && item->reason[0] == 0;
}

/* The letter's batch; a record that cannot be read stays where it is. */
static bool redelivery_decode(struct redelivery *r, struct redelivery_item *item, struct batch *b)
{
    const struct deadletter *d = &item->letter;
    struct fail why;

    fail_init(&why, NULL);
    if (!record_decode(d->record, d->version, &r->arena, b, &why))
        return true;
    redelivery_refuse(item, "", why.text);
    return false;
}

static size_t redelivery_build(struct redelivery *r, struct redelivery_item *items, size_t count)
{
    size_t live = 0;

    window_reset(&r->window);
    for (size_t i = 0; i < count; i++) {
        struct batch b;

        arena_reset(&r->arena);
        if (!redelivery_is_live(&items[i]) || !redelivery_decode(r, &items[i], &b))
            continue;
        window_add(&r->window, &b, (uint32_t)i, NULL);
        live++;
    }
    window_close(&r->window);
    return live;
}

static void redelivery_drop_runs(struct redelivery *r, struct redelivery_item *items, size_t count,
                                 const struct txn *t)
{
    for (size_t i = 0; i < count; i++) {
        struct batch b;
        int64_t rank;

        if (!redelivery_is_live(&items[i]) || !redelivery_decode(r, &items[i], &b))
            continue;
        rank = names_find(&r->window.runs, run_id_str(&b.run));
        if (rank >= 0 && !t->has_run[rank])
            redelivery_refuse(&items[i], "23503", STR("the run does not exist"));
    }
}

static void redelivery_drop_models(struct redelivery *r, struct redelivery_item *items,
                                   const struct txn *t)
{
    for (size_t i = 0; i < r->window.models_count; i++) {
        const struct model_row *row = &r->window.models_rows[i];

        if (!t->has_model[row->model])
            redelivery_refuse(&items[row->entry], "23503", STR("the logged model does not exist"));
    }
}

static void redelivery_done(struct redelivery_item *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (redelivery_is_live(&items[i]))
            items[i].is_applied = true;
    }
}

/* After an error: may it be tried again? Then OK, with a connection. */
static err_t redelivery_recover(struct redelivery *r, err_t e, struct fail *f)
{
    while (e == ERR_PG && ++r->failures < REDELIVERY_TRIES) {
        redelivery_pause(r);
        e = redelivery_connect(r, f);
    }
    return e;
}

err_t redelivery_apply(struct redelivery *r, struct redelivery_item *items, size_t count,
                       struct fail *f)
{
    err_t e = redelivery_recover(r, redelivery_connect(r, f), f);

    while (!e && redelivery_build(r, items, count)) {
        struct txn t = {
            .session = &r->session, .window = &r->window, .mode = TXN_STAGED, .arena = &r->arena};
        bool is_slow;

        e = txn_write(&t, f);
        is_slow = e && strcmp(r->session.pg.sqlstate, "57014") == 0;
        if ((e == ERR_PG_ROW || is_slow) && count > 1) {
            e = redelivery_apply(r, items, count / 2, f);
            return e ? e : redelivery_apply(r, items + count / 2, count - count / 2, f);
        }
        if (e == ERR_PG_ROW)
            redelivery_refuse(items, r->session.pg.sqlstate, f ? f->text : STR("refused"));
        if (e)
            e = e == ERR_PG_ROW ? OK : redelivery_recover(r, e, f);
        else if (t.verdict == TXN_LACKS_RUNS)
            redelivery_drop_runs(r, items, count, &t);
        else if (t.verdict == TXN_LACKS_MODELS)
            redelivery_drop_models(r, items, &t);
        else {
            redelivery_done(items, count);
            r->failures = 0;
        }
    }
    return e;
}
