/*
 * A take is applied as a range of entries: one window, one transaction, and at its end the position
 * of the next entry. When PostgreSQL refuses a row, or a window takes too long, the range is
 * halved, and each half is a range like any other with a position of its own: what is sound
 * commits, and after log2(n) halvings the entry that is refused stands alone.
 *
 *    apply -row refused-> halves ... -one entry-> isolate -> apply without the refused points
 *          -repeat-> apply, staged           -moved-> apply without what is applied already,
 *                                              or hold when it was not us (link.c)
 *          -run missing-> letter, apply without those entries
 *          -model missing-> letter, apply without those model rows
 *          -anything else-> link_recover, apply
 *
 * Inside an entry positions do not help, so its points are halved by trial transactions that are
 * rolled back. If no point is to blame the cause may have passed, and the entry is tried once more;
 * when it, or the rest of it, is refused as well, the whole entry becomes a letter. LOAD_TRIALS
 * bounds the search: where nearly every point of a large entry is refused, what is untried by then
 * goes into the letter unasked, and a retry will tell. Without the bound such an entry costs 2 n
 * transactions, and a thousand of them an hour. So the loop always ends: each turn commits, or
 * removes entries, points or models, or waits for the database.
 *
 * An entry that takes longer than flush_timeout though it is alone is tried until it is in, with
 * what lies behind it waiting: a statement that was cut short says nothing about the points, and a letter
 * would be a loss whenever PostgreSQL is slow. After LOAD_SLOW times somebody is told which one it is
 * (decision 033).
 *
 * The window is built anew for every turn. That costs 3 ms of the half second that a window
 * takes, and there is no state to repair.
 *
 * Entries before the stored position of their partition are applied already: by the transaction
 * whose COMMIT went unanswered, or by a process that had the partition before. They are left out.
 *
 * Repeats (a client's retry of what was accepted) make COPY fail at the first of them, so the
 * staged path, slower by a third, is preferred until LOAD_CLEAN windows in a row met none.
 */
#include "flush/load.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "flush/txn.h"
#include "ingest/queue_share.h"
#include "schema/errors.h"
#include "schema/record.h"

enum {
    LOAD_CLEAN = 8,         /* staged windows without a repeat before COPY goes direct again */
    LOAD_TRIALS = 200,      /* transactions to find the points to blame in one entry */
    LOAD_SLOW = 3,          /* times an entry alone takes too long until somebody is told */
    LOAD_HOLD_US = 1000000, /* while letters cannot be written */
    LOAD_LOCK_US = 20000,   /* while somebody takes letters out */
    LOAD_ARENA = 256 << 10
};

err_t load_init(struct load *l, struct link *link, struct queue *queue, const char *data_dir,
                unsigned index, struct stats *stats, struct fail *f)
{
    *l = (struct load){.link = link, .queue = queue, .stats = stats, .masked = SIZE_MAX};
    window_init(&l->window);
    arena_init(&l->arena, LOAD_ARENA);
    arena_init(&l->texts, 4096);
    idmap_init(&l->lost_models);
    return quarantine_open(&l->quarantine, data_dir, index, f);
}

void load_fini(struct load *l)
{
    window_fini(&l->window);
    quarantine_close(&l->quarantine);
    arena_fini(&l->arena);
    arena_fini(&l->texts);
    idmap_fini(&l->lost_models);
    free(l->states);
    free(l->dead);
}

void load_limit(struct load *l, uint64_t max_bytes)
{
    quarantine_limit(&l->quarantine, max_bytes);
}

/* -- letters ----------------------------------------------------------------------------------- */

/* Why points become a letter. */
struct reason {
    char sqlstate[PG_SQLSTATE + 1];
    char text[240];
};

static struct reason reason_of(const char *sqlstate, struct str text)
{
    struct reason r;

    str_to_cstr(str_of(sqlstate), r.sqlstate, sizeof(r.sqlstate));
    str_to_cstr(text, r.text, sizeof(r.text));
    return r;
}

/* The address of who writes to the run, as far as this process knows. */
static struct str load_client(struct load *l, struct str run, char space[INET6_ADDRSTRLEN])
{
    static const uint8_t v4[12] = {[10] = 0xff, [11] = 0xff};
    uint8_t address[RUNS_CLIENT];
    bool is_v4;
    struct run_id id;

    if (!l->runs || !run_id_set(&id, run) || !runs_get_client(l->runs, &id, address))
        return STR("");
    is_v4 = memcmp(address, v4, sizeof(v4)) == 0;
    return str_of(inet_ntop(is_v4 ? AF_INET : AF_INET6, is_v4 ? address + sizeof(v4) : address,
                            space, INET6_ADDRSTRLEN));
}

static void load_letter(struct load *l, size_t entry, struct str run, uint32_t points,
                        struct str record, unsigned version, const struct reason *why)
{
    const struct entry *from = &l->take.entries[entry];
    char space[INET6_ADDRSTRLEN];
    struct deadletter d = {
        .time_ms = clock_wall_ms(),
        .queue_id = str_of(l->link->session.queue_id),
        .pos = from->pos,
        .window_from = l->take.cursors ? 0 : l->take.entries[0].pos, /* of one stream only */
        .window_end = l->take.cursor,
        .partition = from->partition,
        .points = points,
        .run_id = run,
        .sqlstate = str_of(why->sqlstate),
        .reason = str_of(why->text),
        .client = load_client(l, run, space),
        .version = version,
        .record = record,
    };

    if (!quarantine_add(&l->quarantine, &d))
        return;
    stat_add(l->stats, deadletter_points, points);
    log_error(l->link->log_ctx, "points go to the dead-letter file",
              "points=%" PRIu32 " run=%.*s pos=%" PRIu64 " sqlstate=%s why=%s", points,
              STR_ARG(run), from->pos, why->sqlstate, why->text);
}

/* The whole entry is refused. */
static void load_kill(struct load *l, size_t entry, const struct batch *b, const struct reason *why)
{
    const struct entry *from = &l->take.entries[entry];
    uint32_t points = b ? b->npoints : record_points(from->payload, from->version);

    l->states[entry] = LOAD_DEAD;
    load_letter(l, entry, b ? run_id_str(&b->run) : STR(""), points, from->payload, from->version,
                why);
}

/* Some of the entry's points are refused. */
static void load_kill_points(struct load *l, size_t entry, const struct batch *b,
                             const bool *chosen, const struct reason *why)
{
    struct batch some = *b;
    struct str record;
    char *bytes;

    some.points = arena_array(&l->arena, b->npoints, sizeof(*b->points));
    some.npoints = 0;
    for (uint32_t i = 0; i < b->npoints; i++) {
        if (chosen[i])
            some.points[some.npoints++] = b->points[i];
    }
    bytes = arena_alloc(&l->arena, record_bound(&some));
    record = (struct str){bytes, record_encode(&some, bytes)};
    load_letter(l, entry, run_id_str(&b->run), some.npoints, record, RECORD_VERSION, why);
}

/* -- one turn ---------------------------------------------------------------------------------- */

/* The entry's batch in the attempt's arena; an entry that is not a record is dead. */
static bool load_decode(struct load *l, size_t entry, struct batch *b)
{
    const struct entry *from = &l->take.entries[entry];
    struct reason why;
    struct fail f;

    fail_init(&f, NULL);
    if (!record_decode(from->payload, from->version, &l->arena, b, &f))
        return true;
    why = reason_of("", f.text);
    load_kill(l, entry, NULL, &why);
    return false;
}

/* Points of models that do not exist go to metrics only. */
static void load_drop_models(const struct load *l, struct batch *b)
{
    if (idmap_count(&l->lost_models) == 0)
        return;
    for (uint32_t i = 0; i < b->npoints; i++) {
        if (b->points[i].model_id.n && idmap_get(&l->lost_models, b->points[i].model_id))
            b->points[i].model_id.n = 0;
    }
}

/* Still to be applied? Not when it is dead, or lies before what is stored. */
static bool load_is_live(const struct load *l, size_t i)
{
    const struct entry *entry = &l->take.entries[i];

    return l->states[i] == LOAD_LIVE && entry->pos >= l->link->session.positions[entry->partition];
}

static void load_build(struct load *l, size_t from, size_t to)
{
    window_reset(&l->window);
    for (size_t i = from; i < to; i++) {
        struct batch b;

        arena_reset(&l->arena);
        if (!load_is_live(l, i) || !load_decode(l, i, &b))
            continue;
        load_drop_models(l, &b);
        window_add(&l->window, &b, (uint32_t)i, i == l->masked ? l->dead : NULL);
    }
    window_close(&l->window);
}

/* Letters are on disk before anything depends on them: as long as they cannot be written, or there
 * is no room for them, the window waits, and with it what lies behind. */
static err_t load_sync(struct load *l)
{
    uint64_t since_us = clock_us();
    struct fail f;
    err_t e;

    for (;;) {
        bool is_locked;

        fail_init(&f, NULL);
        if (!(e = quarantine_sync(&l->quarantine, &f)))
            break;
        /* Whoever takes letters out needs milliseconds; one that was stopped meanwhile holds us. */
        is_locked = e == ERR_LOCKED && clock_us() - since_us < LOAD_HOLD_US;
        stat_set(l->stats, deadletter_held, !is_locked);
        if (!is_locked)
            log_error(l->link->log_ctx, "flushing holds until dead letters can be written",
                      "why=%.*s", STR_ARG(f.text));
        if ((e = link_pause(l->link, is_locked ? LOAD_LOCK_US : LOAD_HOLD_US, !is_locked)))
            return e;
    }
    stat_set(l->stats, deadletter_held, 0);
    return OK;
}

/* Cursors of a range that ends before entry to: where each partition goes on behind it. */
static const pos_t *load_cursors(struct load *l, size_t to)
{
    if (l->take.cursors == NULL)
        return NULL;
    memcpy(l->cursors, l->take.cursors, sizeof(l->cursors));
    for (size_t i = l->take.count; i > to; i--)
        l->cursors[l->take.entries[i - 1].partition] = l->take.entries[i - 1].pos;
    return l->cursors;
}

/* Has somebody applied all of it already? */
static bool load_is_applied(const struct load *l, const struct txn *t)
{
    const struct session *s = &l->link->session;

    for (unsigned p = 0; p < QUEUE_PARTITIONS_MAX; p++) {
        if ((s->mask >> p & 1) && s->positions[p] < (t->cursors ? t->cursors[p] : t->cursor))
            return false;
    }
    return true;
}

/* Entries of runs that do not exist. */
static void load_drop_runs(struct load *l, const struct txn *t, size_t from, size_t to)
{
    static const struct reason why = {"23503", "the run does not exist"};

    for (size_t i = from; i < to; i++) {
        struct batch b;
        int64_t rank;

        if (!load_is_live(l, i) || !load_decode(l, i, &b))
            continue;
        rank = names_find(&l->window.runs, run_id_str(&b.run));
        if (rank >= 0 && !t->has_run[rank])
            load_kill(l, i, &b, &why);
    }
}

/* Model rows of models that do not exist. They stand in order of entry and point. */
static void load_lose_models(struct load *l, const struct txn *t)
{
    static const struct reason why = {"23503", "the logged model does not exist"};
    const struct window *w = &l->window;
    size_t i = 0;

    while (i < w->models_count) {
        size_t entry = w->models_rows[i].entry;
        bool is_lost = false;
        struct batch b;
        bool *chosen;

        if (!load_decode(l, entry, &b))
            check_failed("a record that could be read", __FILE__, __LINE__);
        chosen = arena_zalloc(&l->arena, b.npoints);
        for (; i < w->models_count && w->models_rows[i].entry == entry; i++) {
            bool is_new;

            if (t->has_model[w->models_rows[i].model])
                continue;
            chosen[w->models_rows[i].point] = is_lost = true;
            idmap_put(&l->lost_models,
                      arena_dup(&l->texts, w->models.texts[w->models_rows[i].model]), &is_new);
        }
        if (is_lost)
            load_kill_points(l, entry, &b, chosen, &why);
    }
}

/* -- after the commit -------------------------------------------------------------------------- */

static uint64_t load_points(const struct load *l, size_t from, size_t to, uint64_t *dead)
{
    uint64_t points = 0;

    *dead = 0;
    for (size_t i = from; i < to; i++) {
        uint32_t n = record_points(l->take.entries[i].payload, l->take.entries[i].version);

        points += n;
        if (l->states[i] == LOAD_DEAD)
            *dead += n;
        for (uint32_t p = 0; i == l->masked && l->states[i] == LOAD_LIVE && p < n; p++)
            *dead += l->dead[p];
    }
    return points;
}

/* Nothing is known to be too slow: a window is in, or the take is another. */
static void load_forget_slow(struct load *l)
{
    if (l->slow)
        stat_set(l->stats, flusher_overdue, 0);
    l->slow = 0;
}

static void load_committed(struct load *l, size_t from, size_t to, pos_t cursor,
                           const struct txn *t)
{
    uint64_t age = queue_backlog_us(l->queue), dead;
    uint64_t points = load_points(l, from, to, &dead);

    link_worked(l->link);
    l->trail.points += points;
    load_forget_slow(l);
    if (t) {
        l->trail.rows += l->window.count - t->skipped;
        l->trail.runs += l->window.runs.count;
        l->trail.repeats += l->window.repeats + t->skipped;
        l->trail.is_staged = t->mode == TXN_STAGED;
        stat_add(l->stats, windows, 1);
        stat_add(l->stats, windows_staged, t->mode == TXN_STAGED);
        stat_add(l->stats, repeated_points, l->window.repeats + t->skipped);
        stat_time(l->stats, flush, clock_us() - l->taken_us);
        stat_time(l->stats, window_age, age);
        if (t->mode == TXN_STAGED) {
            l->clean = t->skipped ? 0 : l->clean + 1;
            l->is_staged = l->clean < LOAD_CLEAN;
        }
    }
    stat_add(l->stats, applied_points, points - dead);
    if (l->take.cursors)
        queue_commit_each(l->reader, l->cursors, points);
    else
        queue_commit(l->reader, cursor, points);
}

/* -- the points of one entry ------------------------------------------------------------------- */

static bool load_was_slow(const struct load *l)
{
    return strcmp(l->link->session.pg.sqlstate, "57014") == 0;
}

/* One entry, or a part of it, failed with e: it is tried again, and not in silence when it is slow. */
static err_t load_again(struct load *l, size_t entry, err_t e, const struct fail *f)
{
    struct batch b;

    if (load_was_slow(l) && ++l->slow >= LOAD_SLOW) {
        stat_set(l->stats, flusher_overdue, 1);
        arena_reset(&l->arena);
        if (load_decode(l, entry, &b))
            log_error(l->link->log_ctx,
                      "one entry alone takes longer than flush_timeout, and others wait behind it",
                      "tries=%u run=%.*s points=%" PRIu32 " pos=%" PRIu64, l->slow,
                      STR_ARG(run_id_str(&b.run)), b.npoints, l->take.entries[entry].pos);
    }
    return link_recover(l->link, e, f);
}

/* The staged path skips what is there, so a unique violation in it is of an index that MLflow does not
 * have, and as final as any other constraint. */
static err_t load_staged_error(err_t e)
{
    return e == ERR_PG_REPEAT ? ERR_PG_ROW : e;
}

/* Would PostgreSQL take points [from, to) of the entry? Those that it refuses become dead. */
static err_t load_probe(struct load *l, size_t entry, uint32_t from, uint32_t to,
                        struct reason *why)
{
    struct txn t = {
        .session = &l->link->session, .window = &l->window, .mode = TXN_TRIAL, .arena = &l->arena};
    struct batch b;
    struct fail f;
    bool *left_out;
    err_t e;

    if (l->trials == LOAD_TRIALS) {
        memset(l->dead + from, true, (to - from) * sizeof(*l->dead));
        return OK;
    }
    l->trials++;
    for (;;) {
        window_reset(&l->window);
        arena_reset(&l->arena);
        if (!load_decode(l, entry, &b))
            return OK;
        left_out = arena_alloc(&l->arena, b.npoints);
        for (uint32_t i = 0; i < b.npoints; i++)
            left_out[i] = i < from || i >= to;
        load_drop_models(l, &b);
        window_add(&l->window, &b, (uint32_t)entry, left_out);
        window_close(&l->window);
        fail_init(&f, NULL);
        e = load_staged_error(txn_write(&t, &f));
        if (e == OK && t.verdict == TXN_MOVED)
            return link_judge(l->link);
        if (e == OK || e == ERR_PG_ROW)
            break;
        if ((e = load_again(l, entry, e, &f)))
            return e;
    }
    if (e == OK)
        return OK;
    if (to - from == 1) {
        l->dead[from] = true;
        *why = reason_of(l->link->session.pg.sqlstate, f.text);
        return OK;
    }
    if ((e = load_probe(l, entry, from, from + (to - from) / 2, why)))
        return e;
    return load_probe(l, entry, from + (to - from) / 2, to, why);
}

/* One entry was refused: finds the points to blame, or takes it out whole. */
static err_t load_isolate(struct load *l, size_t entry, const struct reason *why)
{
    struct reason found = *why;
    uint32_t dead = 0;
    struct batch b;
    err_t e;

    if (!load_decode(l, entry, &b))
        return OK;
    if (l->masked == entry || b.npoints == 1) {
        load_kill(l, entry, &b, why);
        return OK;
    }
    if (b.npoints > l->dead_cap) {
        l->dead_cap = b.npoints;
        l->dead = realloc(l->dead, l->dead_cap * sizeof(*l->dead));
        check(l->dead);
    }
    memset(l->dead, 0, b.npoints * sizeof(*l->dead));
    l->masked = entry;
    l->trials = 0;
    if ((e = load_probe(l, entry, 0, b.npoints, &found)))
        return e;
    arena_reset(&l->arena);
    if (!load_decode(l, entry, &b))
        return OK;
    for (uint32_t i = 0; i < b.npoints; i++)
        dead += l->dead[i];
    if (dead == b.npoints)
        load_kill(l, entry, &b, &found);
    else if (dead)
        load_kill_points(l, entry, &b, l->dead, &found);
    return OK;
}

/* -- ranges ------------------------------------------------------------------------------------ */

static err_t load_range(struct load *l, size_t from, size_t to, pos_t cursor);

static err_t load_halve(struct load *l, size_t from, size_t to, pos_t cursor)
{
    size_t middle = from + (to - from) / 2;
    err_t e;

    if ((e = load_range(l, from, middle, l->take.entries[middle].pos)))
        return e;
    return load_range(l, middle, to, cursor);
}

/* What to do about a transaction that failed with e. *is_done: the range is finished. */
static err_t load_failed(struct load *l, size_t from, size_t to, pos_t cursor, err_t e,
                         const struct fail *f, bool *is_done)
{
    const char *sqlstate = l->link->session.pg.sqlstate;
    struct reason why;

    if (e == ERR_CLOSING)
        return e;
    if (e == ERR_PG_REPEAT && !l->is_staged) {
        l->is_staged = true;
        l->clean = 0;
        return OK;
    }
    e = load_staged_error(e);
    if ((e == ERR_PG_ROW || load_was_slow(l)) && to - from > 1) {
        log_warn(l->link->log_ctx, "a window is halved", "entries=%zu sqlstate=%s why=%.*s",
                 to - from, sqlstate, STR_ARG(f->text));
        *is_done = true;
        return load_halve(l, from, to, cursor);
    }
    if (e == ERR_PG_ROW) {
        why = reason_of(sqlstate, f->text);
        return load_isolate(l, from, &why);
    }
    return to - from == 1 ? load_again(l, from, e, f) : link_recover(l->link, e, f);
}

/* Entries [from, to), and the position that is theirs when they are in. */
static err_t load_range(struct load *l, size_t from, size_t to, pos_t cursor)
{
    bool is_done = false;
    struct fail f;
    err_t e;

    while (!is_done) {
        struct txn t = {.session = &l->link->session,
                        .window = &l->window,
                        .cursor = cursor,
                        .cursors = load_cursors(l, to),
                        .mode = l->is_staged ? TXN_STAGED : TXN_DIRECT,
                        .application = l->trail.application,
                        .arena = &l->arena};

        load_build(l, from, to);
        if ((e = load_sync(l)))
            return e;
        if (load_is_applied(l, &t)) {
            load_committed(l, from, to, cursor, NULL);
            return OK;
        }
        fail_init(&f, NULL);
        link_expect(l->link, cursor);
        l->trail.transactions++;
        if ((e = txn_write(&t, &f)))
            e = load_failed(l, from, to, cursor, e, &f, &is_done);
        else if (t.verdict == TXN_MOVED)
            e = link_judge(l->link);
        else if (t.verdict == TXN_LACKS_RUNS)
            load_drop_runs(l, &t, from, to);
        else if (t.verdict == TXN_LACKS_MODELS)
            load_lose_models(l, &t);
        else if (t.verdict == TXN_DONE) {
            load_committed(l, from, to, cursor, &t);
            is_done = true;
        }
        if (e)
            return e;
    }
    return OK;
}

/* Asks whether the take is followed; otherwise its trail is filled in for nobody. */
static bool load_follow(struct load *l)
{
    l->trail = (struct trail){.flusher = l->trail.flusher};
    return l->follower.arg && l->follower.begin(l->follower.arg, &l->take, &l->trail);
}

static void load_followed(struct load *l, err_t e)
{
    l->trail.begin_us = l->taken_us;
    l->trail.end_us = clock_us();
    l->trail.entries = l->take.count;
    l->trail.is_cut = e != OK;
    if (!l->follower.end(l->follower.arg, &l->trail))
        stat_add(l->stats, spans_dropped, 1);
}

err_t load_apply(struct load *l, struct queue_reader *reader, const struct take *take)
{
    bool is_followed;
    err_t e;

    l->reader = reader;
    l->take = *take;
    l->taken_us = clock_us();
    l->masked = SIZE_MAX;
    load_forget_slow(l);
    if (take->count > l->states_cap) {
        l->states_cap = take->count;
        l->states = realloc(l->states, l->states_cap);
        check(l->states);
    }
    memset(l->states, LOAD_LIVE, take->count);
    idmap_reset(&l->lost_models);
    arena_reset(&l->texts);
    quarantine_begin(&l->quarantine);
    is_followed = load_follow(l);
    e = load_range(l, 0, take->count, take->cursor);
    if (is_followed)
        load_followed(l, e);
    return e;
}
