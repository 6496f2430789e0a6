/*
 * storm: jobs are due, slots carry requests, one timer each.
 *
 *   job:   due -free slot-> that slot begins; without one the job stays due, and the slot that
 *          becomes free next begins at once, with the moment it was due as the intended one
 *   slot:  FREE -due-> ASKING -answer-> FREE
 *                      ASKING -may be retried-> WAITING -timer-> ASKING
 *          closed loop: FREE -at once, or after a pause in WAITING-> ASKING
 *
 * No coordinated omission: in the open loop the moments at which requests are due are drawn from
 * the plan alone, one after the other, and never shift because an answer is late. What a request
 * waited for its connection is part of its latency. How late the generator itself was to begin
 * what was due while a connection was free is counted apart (tally.lag): when that is not small
 * beside the latencies, this machine is too slow for this plan, and the report says so.
 *
 * Retries are those of MLflow's client (requests with urllib3's Retry): at once after the first
 * failure, then backoff * 2^(n-1) plus jitter; a Retry-After on 429 and 503 is obeyed instead.
 *
 * When the time is over no request is begun; those on their way, their retries included, have until
 * `drain`, and are abandoned after that: sent, not acked.
 */
#include "loadtest/storm.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "loadtest/secure.h"
#include "schema/errors.h"

static const double TAU = 6.283185307179586;

static struct timeval timeval_of(uint64_t us)
{
    return (struct timeval){(time_t)(us / 1000000), (suseconds_t)(us % 1000000)};
}

static uint64_t job_chance(struct job *j)
{
    return mix64(j->random++);
}

/* From 0, included, to 1, excluded. */
static double share_of(uint64_t chance)
{
    return (double)(chance >> 11) * 0x1p-53;
}

static double job_share(struct job *j)
{
    return share_of(job_chance(j));
}

/* --- what is due ------------------------------------------------------------------------------ */

/* Microseconds between two requests of a job, on average, at that moment. */
static double storm_gap_us(const struct storm *s, double at_us)
{
    const struct plan *p = s->plan;
    double gap = p->rate > 0 ? 1e6 * (double)p->jobs / p->rate : (double)p->interval;

    if (p->wave) {
        double turn = (at_us - (double)s->begin_us) / (double)p->wave;

        gap /= p->wave_low + (1 - p->wave_low) * (0.5 - 0.5 * cos(TAU * turn));
    }
    /* Never none at all, or time would stand still. */
    return gap < 1 ? 1 : gap > 1e13 ? 1e13 : gap;
}

static void job_advance(struct job *j)
{
    double gap = storm_gap_us(j->storm, j->due_us);

    if (j->storm->plan->arrivals[0] == 'p')
        gap *= -log(1 - share_of(mix64(j->arrivals++)));
    j->due_us += gap;
}

static void slot_begin(struct slot *slot, uint64_t intended_us);

/* Begins what is due while connections are free; waits for what is due next. */
static void job_drive(struct job *j)
{
    struct storm *s = j->storm;
    uint64_t now = clock_us();

    while (!s->is_over && j->free && j->due_us <= (double)now && j->due_us < (double)s->end_us) {
        struct slot *slot = j->free;

        j->free = slot->next_free;
        slot_begin(slot, (uint64_t)j->due_us);
        job_advance(j);
    }
    if (!s->is_over && j->free && j->due_us < (double)s->end_us) {
        struct timeval wait =
            timeval_of(j->due_us > (double)now ? (uint64_t)(j->due_us - (double)now) : 0);

        evtimer_add(&j->timer, &wait);
    }
}

static void job_on_due(evutil_socket_t fd, short what, void *arg)
{
    struct job *j = arg;
    uint64_t now = clock_us();

    (void)fd;
    (void)what;
    if (now > (uint64_t)j->due_us)
        spread_note(&j->storm->tally.lag, now - (uint64_t)j->due_us);
    job_drive(j);
}

/* --- a request -------------------------------------------------------------------------------- */

static struct call job_new_call(struct job *j)
{
    struct storm *s = j->storm;
    double share = job_share(j);
    struct call c = {.run = j->first_run + (uint32_t)(j->turn++ % s->plan->runs)};
    int kind = 0;

    while (kind < CALL_COUNT - 1 && (share -= s->plan->weights[kind]) >= 0)
        kind++;
    while (s->plan->weights[kind] <= 0)
        kind--; /* rounding may step over the last weight */
    c.kind = (enum call_kind)kind;
    if (c.kind == CALL_SYSTEM_METRICS) {
        c.run += (uint32_t)s->ledger.count;
        c.count = SYSTEM_KEYS;
    } else if (c.kind == CALL_LOG_METRIC || c.kind == CALL_LOG_BATCH) {
        c.count = c.kind == CALL_LOG_BATCH ? (uint32_t)s->plan->batch : 1;
    }
    if (c.count == 0)
        c.first = s->ledger.runs[c.run].others++;
    else if (c.kind == CALL_LOG_BATCH && s->plan->shuffle)
        c.first = ledger_take_shuffled(&s->ledger, c.run, job_chance(j));
    else
        c.first = ledger_take(&s->ledger, c.run, c.count);
    return c;
}

/* An earlier call when it is time for one; false: a new one is due. */
static bool slot_repeat(struct slot *slot)
{
    unsigned known = slot->memory_count < SLOT_MEMORY ? slot->memory_count : SLOT_MEMORY;
    unsigned back;

    if (slot->replays_left) {
        back = slot->replays_left--;
    } else {
        double share = slot->job->storm->plan->replay;

        if (known == 0 || share <= 0 || job_share(slot->job) >= share)
            return false;
        back = 1 + (unsigned)(job_chance(slot->job) % known);
    }
    slot->call = slot->memory[(slot->memory_count - back) % SLOT_MEMORY];
    return true;
}

static void slot_remember(struct slot *slot)
{
    slot->memory[slot->memory_count++ % SLOT_MEMORY] = slot->call;
}

static void slot_send(struct slot *slot)
{
    struct storm *s = slot->job->storm;

    slot->state = SLOT_ASKING;
    slot->sent_us = clock_us();
    slot->attempts++;
    s->tally.attempts++;
    s->tally.points_sent += slot->call.count;
    wire_send(&slot->wire, buf_str(&slot->request));
}

static void slot_begin(struct slot *slot, uint64_t intended_us)
{
    struct storm *s = slot->job->storm;

    s->busy++;
    slot->attempts = 0;
    slot->intended_us = intended_us;
    slot->is_replay = slot_repeat(slot);
    if (slot->is_replay) {
        s->tally.replays++;
    } else {
        slot->call = job_new_call(slot->job);
        slot_remember(slot);
        ledger_sent(&s->ledger, &slot->call);
    }
    shape_request(&s->shape, &slot->call, &slot->request);
    slot_send(slot);
    if (++s->tally.began == s->plan->requests)
        storm_stop(s);
}

/* The request has ended: what comes next on this connection? */
static void slot_free(struct slot *slot)
{
    struct storm *s = slot->job->storm;
    struct timeval pause = timeval_of(s->plan->interval);

    s->busy--;
    slot->state = SLOT_FREE;
    if (!s->is_over && slot->replays_left) {
        slot_begin(slot, clock_us());
        return;
    }
    if (s->plan->loop[0] == 'o') {
        slot->next_free = slot->job->free;
        slot->job->free = slot;
        if (!s->is_over && slot->next_free == NULL)
            job_drive(slot->job);
    } else if (!s->is_over && plan_is_set(s->plan, PLAN_interval)) {
        slot->attempts = 0;
        slot->state = SLOT_WAITING;
        evtimer_add(&slot->timer, &pause);
        return;
    } else if (!s->is_over) {
        slot_begin(slot, clock_us());
    }
    if (s->is_over && s->busy == 0)
        event_base_loopbreak(s->loop);
}

/* --- its answer ------------------------------------------------------------------------------- */

static bool is_retried(int status)
{
    switch (status) {
    case 0:
    case 408:
    case 429:
    case 500:
    case 502:
    case 503:
    case 504: return true;
    default: return false;
    }
}

/* How long until the attempt after this answer. */
static uint64_t slot_backoff_us(struct slot *slot, const struct answer *a)
{
    const struct plan *p = slot->job->storm->plan;
    double wait = (double)p->retry_backoff;

    if (a->has_retry_after && (a->status == 429 || a->status == 503))
        return a->retry_after_us;
    if (slot->attempts <= 1)
        return 0;
    wait = wait * exp2(slot->attempts < 40 ? slot->attempts - 1 : 40);
    wait += job_share(slot->job) * (double)p->retry_jitter;
    return (uint64_t)(wait < (double)p->retry_backoff_max ? wait : (double)p->retry_backoff_max);
}

/* What an attempt came to. */
static void slot_note_attempt(struct slot *slot, const struct answer *a, uint64_t now)
{
    struct tally *t = &slot->job->storm->tally;
    uint64_t took = now - slot->sent_us;
    bool is_warm = slot->intended_us >= slot->job->storm->warm_us;

    t->statuses[a->status > 0 && a->status < TALLY_STATUSES ? a->status : 0]++;
    if (a->status == 0) {
        t->broken++;
        t->late += a->is_late;
    }
    if ((a->status == 429 || a->status == 503) && !a->has_retry_after)
        t->no_retry_after++;
    if (a->status == 429)
        t->now.refused++;
    else if (a->status / 100 != 2)
        t->now.failed++;
    if (!is_warm)
        return;
    if (a->status == 429)
        spread_note(&t->refusal, took);
    if (a->status / 100 != 2)
        return;
    spread_note(&t->service, took);
    if (slot->call.count)
        spread_note(slot->is_replay ? &t->replay_service : &t->first_service, took);
}

/* The request ended with 2xx. */
static void slot_note_done(struct slot *slot, uint64_t now)
{
    struct storm *s = slot->job->storm;
    struct tally *t = &s->tally;
    uint32_t fresh = 0;

    if (slot->call.count) {
        fresh = ledger_acked(&s->ledger, &slot->call);
        t->points_acked += fresh;
        t->points_again += slot->call.count - fresh;
        t->now.points += fresh;
    }
    t->done++;
    t->now.done++;
    t->kinds[slot->call.kind]++;
    spread_note(&t->now_latency, now - slot->intended_us);
    if (now >= s->warm_us && now < s->end_us) {
        t->warm_done++;
        t->warm_points += fresh;
    }
    if (slot->intended_us >= s->warm_us) {
        spread_note(&t->latency, now - slot->intended_us);
        spread_note(&t->latencies[slot->call.kind], now - slot->intended_us);
    }
}

static void slot_on_answer(struct wire *w, const struct answer *a)
{
    struct slot *slot = (struct slot *)w;
    struct storm *s = slot->job->storm;
    const struct plan *p = s->plan;
    uint64_t now = clock_us();

    slot_note_attempt(slot, a, now);
    if (a->status == 0 || a->status >= 500) {
        slot->is_broken = true;
    } else if (slot->is_broken && a->status / 100 == 2) {
        unsigned known = slot->memory_count < SLOT_MEMORY ? slot->memory_count : SLOT_MEMORY;

        slot->is_broken = false;
        slot->replays_left =
            p->replay_after_break < known ? (unsigned)p->replay_after_break : known;
    }
    if (a->status / 100 != 2 && p->retry && is_retried(a->status) &&
        slot->attempts <= p->retry_max) {
        struct timeval wait = timeval_of(slot_backoff_us(slot, a));

        s->tally.retries++;
        slot->state = SLOT_WAITING;
        evtimer_add(&slot->timer, &wait);
        return;
    }
    if (a->status / 100 == 2)
        slot_note_done(slot, now);
    else if (a->status == 429)
        s->tally.refused++;
    else
        s->tally.failed++;
    slot_free(slot);
}

/* A pause or the wait before a retry has passed. */
static void slot_on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct slot *slot = arg;

    (void)fd;
    (void)what;
    if (slot->attempts)
        slot_send(slot);
    else
        slot_begin(slot, clock_us());
}

/* --- begin and end ---------------------------------------------------------------------------- */

void storm_stop(struct storm *s)
{
    struct timeval drain = timeval_of(s->plan->drain);

    if (s->is_over)
        return;
    s->is_over = true;
    if (clock_us() < s->end_us)
        s->end_us = clock_us();
    for (size_t i = 0; i < s->slot_count; i++) {
        struct slot *slot = &s->slots[i];

        if (slot->state == SLOT_WAITING && slot->attempts == 0) {
            evtimer_del(&slot->timer);
            slot->state = SLOT_FREE;
        }
    }
    for (size_t i = 0; i < s->plan->jobs; i++)
        evtimer_del(&s->jobs[i].timer);
    evtimer_add(&s->ender, &drain);
    if (s->busy == 0)
        event_base_loopbreak(s->loop);
}

static void storm_on_end(evutil_socket_t fd, short what, void *arg)
{
    struct storm *s = arg;

    (void)fd;
    (void)what;
    if (s->is_over)
        event_base_loopbreak(s->loop); /* the drain has passed */
    else
        storm_stop(s);
}

static void storm_on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct storm *s = arg;

    (void)fd;
    (void)what;
    tally_cut(&s->tally, (double)(clock_us() - s->begin_us) / 1e6);
    if (s->on_sample)
        s->on_sample(s);
    watch_look(&s->watch);
}

static void storm_lay_out(struct storm *s)
{
    const struct plan *p = s->plan;

    s->slot_count = p->jobs * p->connections;
    s->jobs = calloc(p->jobs, sizeof(*s->jobs));
    s->slots = calloc(s->slot_count, sizeof(*s->slots));
    check(s->jobs != NULL && s->slots != NULL);
    for (size_t i = 0; i < p->jobs; i++) {
        struct job *j = &s->jobs[i];

        j->storm = s;
        j->first_run = (uint32_t)(i * p->runs);
        j->random = mix64(p->seed * 0x9E3779B9 + i);
        j->arrivals = mix64(j->random);
        evtimer_assign(&j->timer, s->loop, job_on_due, j);
    }
    for (size_t i = 0; i < s->slot_count; i++) {
        struct slot *slot = &s->slots[i];

        slot->job = &s->jobs[i / p->connections];
        buf_init(&slot->request);
        wire_init(&slot->wire, s->loop, &s->target, p->timeout, slot_on_answer);
        evtimer_assign(&slot->timer, s->loop, slot_on_timer, slot);
        slot->next_free = slot->job->free;
        slot->job->free = slot;
    }
}

err_t storm_init(struct storm *s, const struct plan *p, struct fail *f)
{
    struct event_config *cfg = event_config_new();
    err_t e;

    memset(s, 0, sizeof(*s));
    check(cfg != NULL);
    /* Without it the loop counts in whole milliseconds. */
    event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_PRECISE_TIMER);
    s->loop = event_base_new_with_config(cfg);
    event_config_free(cfg);
    check(s->loop != NULL);
    s->plan = p;
    arena_init(&s->arena, 4096);
    tally_init(&s->tally);
    ledger_init(&s->ledger, p->jobs * p->runs, (uint32_t)p->keys, (uint32_t)p->batch, p->seed,
                p->special);
    s->ledger.key_bytes = (uint32_t)p->key_bytes;
    if (p->weights[CALL_SYSTEM_METRICS] > 0)
        ledger_add_system(&s->ledger);
    shape_init(&s->shape, p, &s->target, &s->ledger);
    event_assign(&s->ticker, s->loop, -1, EV_PERSIST, storm_on_tick, s);
    evtimer_assign(&s->ender, s->loop, storm_on_end, s);
    if ((e = watch_init(&s->watch, p, s->loop, &s->tally.now, &s->arena, f)))
        return e;
    if ((e = target_open(&s->target, str_of(p->url), &s->arena, f)))
        return e;
    if (s->target.is_secure || s->watch.target.is_secure) {
        if ((e = secure_open(p->ca_file, p->insecure, &s->tls, f)))
            return e;
        s->target.tls = s->target.is_secure ? s->tls : NULL;
        s->watch.target.tls = s->watch.target.is_secure ? s->tls : NULL;
    }
    storm_lay_out(s);
    return OK;
}

void storm_fini(struct storm *s)
{
    for (size_t i = 0; i < s->slot_count; i++) {
        wire_fini(&s->slots[i].wire);
        buf_fini(&s->slots[i].request);
        evtimer_del(&s->slots[i].timer);
    }
    free(s->slots);
    free(s->jobs);
    watch_fini(&s->watch);
    shape_fini(&s->shape);
    ledger_fini(&s->ledger);
    tally_fini(&s->tally);
    secure_close(s->tls);
    event_base_free(s->loop);
    arena_fini(&s->arena);
}

static void storm_begin_jobs(struct storm *s)
{
    const struct plan *p = s->plan;
    bool is_paused = plan_is_set(p, PLAN_interval);

    for (size_t i = 0; i < p->jobs; i++) {
        struct job *j = &s->jobs[i];

        j->due_us = (double)s->begin_us;
        if (p->arrivals[0] == 'p')
            job_advance(j);
        else
            j->due_us += share_of(mix64(j->arrivals++)) * storm_gap_us(s, j->due_us);
        if (p->loop[0] == 'o')
            job_drive(j);
        while (p->loop[0] == 'c' && j->free && !s->is_over) {
            struct slot *slot = j->free;
            struct timeval wait = timeval_of((uint64_t)(job_share(j) * (double)p->interval));

            j->free = slot->next_free;
            slot->state = SLOT_WAITING;
            if (is_paused)
                evtimer_add(&slot->timer, &wait);
            else
                slot_begin(slot, clock_us());
        }
    }
}

/* What had not ended, and what had not even begun. */
static void storm_count_rest(struct storm *s)
{
    struct tally *t = &s->tally;

    for (size_t i = 0; i < s->slot_count; i++) {
        struct slot *slot = &s->slots[i];

        if (slot->state != SLOT_FREE)
            t->abandoned++;
        evtimer_del(&slot->timer);
        wire_close(&slot->wire);
        t->connects += slot->wire.connects;
    }
    for (size_t i = 0; i < s->plan->jobs && s->plan->loop[0] == 'o'; i++) {
        for (; s->jobs[i].due_us < (double)s->end_us; job_advance(&s->jobs[i]))
            t->unsent++;
    }
}

void storm_run(struct storm *s)
{
    struct timeval sample = timeval_of(s->plan->sample);
    struct timeval duration = timeval_of(s->plan->duration);
    struct tally *t = &s->tally;

    s->begin_us = clock_us();
    s->warm_us = s->begin_us + s->plan->warmup;
    s->end_us = s->begin_us + s->plan->duration;
    watch_look(&s->watch);
    event_add(&s->ticker, &sample);
    evtimer_add(&s->ender, &duration);
    storm_begin_jobs(s);
    event_base_loop(s->loop, EVLOOP_NO_EXIT_ON_EMPTY);
    event_del(&s->ticker);
    event_del(&s->ender);
    t->seconds = (double)(clock_us() - s->begin_us) / 1e6;
    t->measured_s = s->end_us > s->warm_us ? (double)(s->end_us - s->warm_us) / 1e6 : 0;
    tally_end(t, t->seconds, (double)s->plan->sample / 2e6);
    storm_count_rest(s);
}
