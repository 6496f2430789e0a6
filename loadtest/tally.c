/*
 * tally: counters, and the rows of the curves.
 *
 * Rows are kept for the whole run: one for each sample interval, 104 bytes; an hour at one second is
 * 375 KB. When there are TALLY_ROWS of them, neighbours are merged, so that
 * a run of a week takes no more than one of a day.
 */
#include "loadtest/tally.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

enum { TALLY_ROWS = 1 << 17 };

void tally_init(struct tally *t)
{
    memset(t, 0, sizeof(*t));
    t->now.backlog = t->now.connections = t->now.rss_bytes = t->now.fds = -1;
}

void tally_fini(struct tally *t)
{
    free(t->samples);
    t->samples = NULL;
}

static struct sample merged(const struct sample *a, const struct sample *b)
{
    struct sample s = *b;

    s.seconds += a->seconds;
    s.done += a->done;
    s.refused += a->refused;
    s.failed += a->failed;
    s.points += a->points;
    if (a->p50_us > s.p50_us)
        s.p50_us = a->p50_us;
    if (a->p99_us > s.p99_us)
        s.p99_us = a->p99_us;
    if (a->max_us > s.max_us)
        s.max_us = a->max_us;
    return s;
}

static void tally_halve(struct tally *t)
{
    for (size_t i = 0; i < t->sample_count / 2; i++)
        t->samples[i] = merged(&t->samples[2 * i], &t->samples[2 * i + 1]);
    t->sample_count /= 2;
}

void tally_cut(struct tally *t, double at_s)
{
    struct sample *s = &t->now;

    s->seconds = at_s - s->at_s;
    s->at_s = at_s;
    s->p50_us = spread_quantile(&t->now_latency, 0.5);
    s->p99_us = spread_quantile(&t->now_latency, 0.99);
    s->max_us = t->now_latency.max_us;
    if (t->sample_count == TALLY_ROWS)
        tally_halve(t);
    if (t->sample_count == t->sample_cap) {
        t->sample_cap = t->sample_cap ? 2 * t->sample_cap : 256;
        t->samples = realloc(t->samples, t->sample_cap * sizeof(*t->samples));
        check(t->samples != NULL);
    }
    t->samples[t->sample_count++] = *s;
    s->done = s->refused = s->failed = s->points = 0;
    spread_reset(&t->now_latency);
}

void tally_end(struct tally *t, double at_s, double least_s)
{
    struct sample *last;

    tally_cut(t, at_s);
    last = &t->samples[t->sample_count - 1];
    if (t->sample_count < 2 || last->seconds >= least_s)
        return;
    last[-1] = merged(&last[-1], last);
    t->sample_count--;
}
