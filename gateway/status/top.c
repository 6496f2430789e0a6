/*
 * top: Metwally's space-saving counters, in windows of a few seconds.
 *
 * A window has TOP_SLOTS counters. Who has one is counted there; who has none takes over the lowest, with
 * what it had, which is noted as excess: then no counter is too low, and each who sent more than one
 * TOP_SLOTS-th of all points has one. What is shown is the last whole window, or the first one once it is a
 * second old. A mutex of each worker, because its reader is another thread: it is taken for a write only
 * while somebody looks.
 */
#include "gateway/status/top.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#define TOP_WINDOW_US ((uint64_t)4 * 1000 * 1000)
#define TOP_LEAST_US  ((uint64_t)1000 * 1000)
#define TOP_WATCH_US  ((uint64_t)30 * 1000 * 1000)

struct top_slot {
    struct run_id run;
    int32_t experiment;
    uint64_t count, excess;
};

struct top_board {
    struct top_slot slots[TOP_SLOTS];
    unsigned count;
};

struct top_window {
    struct top_board runs, experiments;
    uint64_t since_us, until_us; /* until 0: it is the current one */
};

struct top_state {
    pthread_mutex_t lock;
    struct top_window windows[2];
    unsigned current;
};

void top_init(struct top *t)
{
    atomic_init(&t->until_us, 0);
    t->state = calloc(1, sizeof(*t->state));
    check(t->state != NULL && pthread_mutex_init(&t->state->lock, NULL) == 0);
}

void top_fini(struct top *t)
{
    if (t->state)
        pthread_mutex_destroy(&t->state->lock);
    free(t->state);
}

void top_watch(struct top *t, uint64_t now_us)
{
    atomic_store_explicit(&t->until_us, now_us + TOP_WATCH_US, memory_order_relaxed);
}

static bool slot_is_of(const struct top_slot *s, const struct run_id *run, int32_t experiment)
{
    return s->experiment == experiment && str_eq(run_id_str(&s->run), run_id_str(run));
}

static void board_add(struct top_board *b, const struct run_id *run, int32_t experiment,
                      uint64_t points)
{
    struct top_slot *lowest = &b->slots[0];
    unsigned i;

    for (i = 0; i < b->count && !slot_is_of(&b->slots[i], run, experiment); i++) {
        if (b->slots[i].count < lowest->count)
            lowest = &b->slots[i];
    }
    if (i == TOP_SLOTS) {
        lowest->run = *run;
        lowest->experiment = experiment;
        lowest->excess = lowest->count;
    } else {
        lowest = &b->slots[i];
        if (i == b->count) {
            *lowest = (struct top_slot){.run = *run, .experiment = experiment};
            b->count++;
        }
    }
    lowest->count += points;
}

static void window_begin(struct top_window *w, uint64_t now_us)
{
    w->runs.count = w->experiments.count = 0;
    w->since_us = now_us;
    w->until_us = 0;
}

/* The window that is due now. After a time in which nobody looked both are of no use. */
static struct top_window *state_window(struct top_state *s, uint64_t now_us)
{
    struct top_window *w = &s->windows[s->current];

    if (w->since_us && now_us < w->since_us + TOP_WINDOW_US)
        return w;
    if (now_us > w->since_us + 2 * TOP_WINDOW_US) {
        window_begin(&s->windows[!s->current], 0);
        window_begin(w, now_us);
        return w;
    }
    w->until_us = now_us;
    s->current = !s->current;
    window_begin(&s->windows[s->current], now_us);
    return &s->windows[s->current];
}

void top_count(struct top *t, const struct batch *b, uint64_t now_us)
{
    static const struct run_id none;
    struct top_window *w;

    pthread_mutex_lock(&t->state->lock);
    w = state_window(t->state, now_us);
    board_add(&w->runs, &b->run, b->experiment_id, b->npoints);
    board_add(&w->experiments, &none, b->experiment_id, b->npoints);
    pthread_mutex_unlock(&t->state->lock);
}

/* -- reading -------------------------------------------------------------------------------------- */

/* Rows of all workers; a run may write through several. */
struct top_sum {
    struct top_row *rows;
    unsigned count, room;
};

static void sum_add(struct top_sum *sum, const struct top_board *b, double seconds)
{
    for (unsigned i = 0; i < b->count; i++) {
        const struct top_slot *s = &b->slots[i];
        unsigned k;

        for (k = 0; k < sum->count; k++) {
            const struct top_row *row = &sum->rows[k];

            if (row->experiment == s->experiment &&
                str_eq(run_id_str(&row->run), run_id_str(&s->run)))
                break;
        }
        if (k == sum->count) {
            check(sum->count < sum->room);
            sum->rows[sum->count++] = (struct top_row){.run = s->run, .experiment = s->experiment};
        }
        sum->rows[k].rate += (double)s->count / seconds;
        sum->rows[k].excess += (double)s->excess / seconds;
    }
}

static void state_add(struct top_state *s, uint64_t now_us, struct top_sum *runs,
                      struct top_sum *experiments)
{
    const struct top_window *w = &s->windows[s->current], *last = &s->windows[!s->current];
    uint64_t end_us = now_us;

    if (w->since_us == 0 || now_us > w->since_us + 2 * TOP_WINDOW_US)
        return; /* old */
    if (last->until_us) {
        w = last;
        end_us = last->until_us;
    }
    if (end_us < w->since_us + TOP_LEAST_US)
        return;
    sum_add(runs, &w->runs, (double)(end_us - w->since_us) / 1e6);
    sum_add(experiments, &w->experiments, (double)(end_us - w->since_us) / 1e6);
}

static int row_order(const void *a, const void *b)
{
    const struct top_row *x = a, *y = b;

    return x->rate < y->rate ? 1 : x->rate > y->rate ? -1 : 0;
}

static unsigned sum_take(struct top_sum *sum, struct top_row out[TOP_SHOWN])
{
    unsigned n = sum->count < TOP_SHOWN ? sum->count : TOP_SHOWN;

    if (n == 0)
        return 0;
    qsort(sum->rows, sum->count, sizeof(sum->rows[0]), row_order);
    memcpy(out, sum->rows, n * sizeof(out[0]));
    return n;
}

void top_gather(struct top *const *tops, unsigned n, uint64_t now_us, struct top_list *out)
{
    struct top_sum runs = {.room = n * TOP_SLOTS}, experiments = {.room = n * TOP_SLOTS};

    runs.rows = calloc(n * TOP_SLOTS + 1, sizeof(runs.rows[0]));
    experiments.rows = calloc(n * TOP_SLOTS + 1, sizeof(experiments.rows[0]));
    check(runs.rows != NULL && experiments.rows != NULL);
    for (unsigned i = 0; i < n; i++) {
        pthread_mutex_lock(&tops[i]->state->lock);
        state_add(tops[i]->state, now_us, &runs, &experiments);
        pthread_mutex_unlock(&tops[i]->state->lock);
    }
    out->run_count = sum_take(&runs, out->runs);
    out->experiment_count = sum_take(&experiments, out->experiments);
    free(runs.rows);
    free(experiments.rows);
}
