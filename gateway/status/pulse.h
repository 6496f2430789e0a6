/*
 * pulse: what the server did in each second of the last five minutes, for the status page.
 *
 * One a server. The main thread beats once a second; any thread writes down what there is. Rows: pulse.def.
 */
#ifndef GATEWAY_PULSE_H
#define GATEWAY_PULSE_H

#include <stdint.h>

#include "base/json.h"
#include "schema/stats.h"

enum { PULSE_BEATS = 300 };

struct pulse;

/* What a beat is made of, as of now. */
struct pulse_look {
    struct stats_view stats;
    uint64_t failed; /* answers 5xx, so far */
    uint64_t cpu_us; /* so far */
    uint64_t resident_bytes;
    uint64_t backlog_points, backlog_us;
};

struct pulse *pulse_new(void);
void pulse_free(struct pulse *p);
/* Is the next beat due? Main thread. */
bool pulse_is_due(const struct pulse *p, uint64_t now_us);
/* Notes what happened since the last beat. Main thread. */
void pulse_beat(struct pulse *p, const struct pulse_look *look, uint64_t now_us);
/* Writes {"last": n, "seconds": 1, a list for each row} of the beats behind number since. Any thread. */
void pulse_json(struct pulse *p, uint64_t since, struct json *j);

#endif
