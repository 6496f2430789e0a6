/*
 * tally: what is counted while the storm blows, and the figures that are made of it.
 *
 * One owner. Latency is from the intended moment of sending to the answer that ended the request,
 * retries and waits included; service is one attempt, from its send to its answer.
 */
#ifndef LOADTEST_TALLY_H
#define LOADTEST_TALLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/spread.h"
#include "loadtest/call.h"

enum { TALLY_STATUSES = 600 };

/* One row of the curves. Memory and descriptors are -1 where nobody looks, as is the backlog. */
struct sample {
    double at_s;      /* since the start */
    double seconds;   /* that it covers */
    uint64_t done;    /* requests that ended with 2xx */
    uint64_t refused; /* attempts answered 429 */
    uint64_t failed;  /* attempts answered otherwise, or not at all */
    uint64_t points;  /* acked for the first time */
    uint64_t p50_us;
    uint64_t p99_us;
    uint64_t max_us;
    double backlog;
    double connections;
    double rss_bytes;
    double fds;
};

struct tally {
    uint64_t began;     /* requests */
    uint64_t done;      /* ended with 2xx */
    uint64_t refused;   /* ended with 429 */
    uint64_t failed;    /* ended otherwise */
    uint64_t abandoned; /* had not ended when it was over */
    uint64_t unsent;    /* were due, but their connection was busy to the end */
    uint64_t attempts;
    uint64_t retries;
    uint64_t replays;
    uint64_t broken;         /* attempts without an answer */
    uint64_t late;           /* of those, for want of time */
    uint64_t no_retry_after; /* 429 and 503 that did not say when to come back */
    uint64_t connects;
    uint64_t points_sent;  /* repeats included */
    uint64_t points_acked; /* each once */
    uint64_t points_again; /* acked that had been acked before */
    uint64_t statuses[TALLY_STATUSES];
    uint64_t kinds[CALL_COUNT];   /* ended with 2xx */
    struct spread latency;        /* those that ended with 2xx, after the warm-up */
    struct spread service;        /* attempts answered 2xx, after the warm-up */
    struct spread refusal;        /* attempts answered 429, after the warm-up */
    struct spread first_service;  /* writes answered 2xx that were no replay */
    struct spread replay_service; /* and those that were one */
    struct spread lag;            /* what the generator itself was late, open loop */
    struct spread latencies[CALL_COUNT];
    struct sample now; /* the row at hand */
    struct spread now_latency;
    struct sample *samples;
    size_t sample_count;
    size_t sample_cap;
    double measured_s;    /* after the warm-up, until the last request was begun */
    double seconds;       /* of the whole */
    uint64_t warm_done;   /* ended with 2xx, after the warm-up */
    uint64_t warm_points; /* acked for the first time, after the warm-up */
};

void tally_init(struct tally *t);
void tally_fini(struct tally *t);
/* The row at hand is whole; begins the next. */
void tally_cut(struct tally *t, double at_s);
/* The last row; it joins the one before it when it covers less than least_s. */
void tally_end(struct tally *t, double at_s, double least_s);

#endif
