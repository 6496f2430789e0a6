/*
 * pulse: a ring of beats under a mutex.
 *
 * A beat is the difference of two looks. Rates are by the time that passed between them, which is a
 * second and what the main thread had to do beside; percentiles are those of the second alone, estimated
 * within their bucket as Prometheus does. The first look makes no beat. The mutex is held for as long as
 * the copy of a beat takes, or the writing of 300 of them, and nobody on the way of a request takes it.
 */
#include "gateway/status/pulse.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/check.h"

#define PULSE_US ((uint64_t)1000 * 1000)

struct beat {
#define PULSE(name, help) float name;
#include "gateway/status/pulse.def"
#undef PULSE
};

struct pulse {
    struct pulse_look last; /* main thread */
    uint64_t last_us;       /* 0 = no look yet */
    pthread_mutex_t lock;   /* for what follows */
    uint64_t count;         /* of beats, ever: the newest one's number */
    struct beat beats[PULSE_BEATS];
};

struct pulse *pulse_new(void)
{
    struct pulse *p = calloc(1, sizeof(*p));

    check(p != NULL && pthread_mutex_init(&p->lock, NULL) == 0);
    return p;
}

void pulse_free(struct pulse *p)
{
    if (p)
        pthread_mutex_destroy(&p->lock);
    free(p);
}

bool pulse_is_due(const struct pulse *p, uint64_t now_us)
{
    return now_us >= p->last_us + PULSE_US * 9 / 10;
}

/* Of what lies between two looks, in milliseconds; NaN when nothing does. */
static float beat_quantile(const struct hist_view *now, const struct hist_view *then, double q)
{
    struct hist_view v = *now;

    hist_since(&v, then);
    return hist_count(&v) ? (float)(hist_estimate(&v, q) / 1000) : NAN;
}

static struct beat beat_between(const struct pulse_look *now, const struct pulse_look *then,
                                double seconds)
{
    const struct stats_view *a = &now->stats, *b = &then->stats;

#define RATE(n, m) (float)((double)((n) - (m)) / seconds)
    return (struct beat){
        .requests = RATE(a->requests, b->requests),
        .refused = RATE(a->refused_busy, b->refused_busy),
        .failed = RATE(now->failed, then->failed),
        .accepted = RATE(a->accepted_points, b->accepted_points),
        .applied = RATE(a->applied_points, b->applied_points),
        .windows = RATE(a->windows, b->windows),
        .backlog_points = (float)now->backlog_points,
        .backlog_seconds = (float)((double)now->backlog_us / 1e6),
        .ack_p50 = beat_quantile(&a->ack, &b->ack, 0.5),
        .ack_p99 = beat_quantile(&a->ack, &b->ack, 0.99),
        .fsync_p50 = beat_quantile(&a->fsync, &b->fsync, 0.5),
        .fsync_p99 = beat_quantile(&a->fsync, &b->fsync, 0.99),
        .flush_p50 = beat_quantile(&a->flush, &b->flush, 0.5),
        .flush_p99 = beat_quantile(&a->flush, &b->flush, 0.99),
        .sql_p99 = beat_quantile(&a->sql_wait, &b->sql_wait, 0.99),
        .connections = (float)a->open_connections,
        .cpu = RATE(now->cpu_us, then->cpu_us) / 1e6F,
        .resident = (float)now->resident_bytes,
    };
#undef RATE
}

void pulse_beat(struct pulse *p, const struct pulse_look *look, uint64_t now_us)
{
    if (p->last_us && now_us > p->last_us) {
        struct beat b = beat_between(look, &p->last, (double)(now_us - p->last_us) / 1e6);

        pthread_mutex_lock(&p->lock);
        p->beats[p->count++ % PULSE_BEATS] = b;
        pthread_mutex_unlock(&p->lock);
    }
    p->last = *look;
    p->last_us = now_us;
}

/* Four digits: nobody sees more in a curve. */
static void json_short(struct json *j, double v)
{
    double unit = v > 0 ? pow(10, floor(log10(v)) - 3) : 1, shown;

    if (isnan(v)) {
        json_null(j);
        return;
    }
    shown = unit >= 1 ? round(v / unit) * unit : round(v / unit) / round(1 / unit);
    if (shown == floor(shown))
        json_i64(j, (int64_t)shown);
    else
        json_double(j, shown);
}

void pulse_json(struct pulse *p, uint64_t since, struct json *j)
{
    uint64_t first;

    pthread_mutex_lock(&p->lock);
    first = p->count > PULSE_BEATS ? p->count - PULSE_BEATS : 0;
    if (since > first && since <= p->count) /* a later one is of another start */
        first = since;
    json_open(j);
    json_pair_i64(j, "last", (int64_t)p->count);
    json_pair_i64(j, "seconds", PULSE_US / 1000000);
#define PULSE(name, help)                              \
    json_key(j, #name);                                \
    json_open_list(j);                                 \
    for (uint64_t i = first; i < p->count; i++)        \
        json_short(j, p->beats[i % PULSE_BEATS].name); \
    json_close_list(j);
#include "gateway/status/pulse.def"
#undef PULSE
    json_close(j);
    pthread_mutex_unlock(&p->lock);
}
