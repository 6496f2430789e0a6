/*
 * latency: how long requests took, by route, method and status.
 *
 * One of each worker, which alone writes to it; any thread adds up. Its size is bounded by what the
 * program can answer: a cell comes to be when a route, a method and a status first meet, statuses
 * that only another server gives share one for their class. The exemplars of a cell come with the
 * first request of it that is traced.
 */
#ifndef GATEWAY_LATENCY_H
#define GATEWAY_LATENCY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/exemplar.h"
#include "base/hist.h"

enum { LATENCY_METHODS = 8, LATENCY_STATUSES = 48 };

struct latency;

/* routes: indexes that latency_note may get. */
struct latency *latency_new(unsigned routes);
void latency_free(struct latency *l);
/* method: one bit of enum http_method, 0 = unknown. traced: NULL = nobody follows it; its us is set here.
 * Its owner's thread. */
void latency_note(struct latency *l, unsigned route, unsigned method, unsigned status, uint64_t us,
                  struct exemplar *traced);
/* Adds what a route answered with that first digit of a status; any thread. */
void latency_sum_route(const struct latency *l, unsigned route, unsigned status_class,
                       struct hist_view *h, struct exemplar_view *e);
/* Adds what was answered to that method with that status (both are indexes), on one route; any thread. */
void latency_sum_answer(const struct latency *l, unsigned route, unsigned method, unsigned status,
                        struct hist_view *h, struct exemplar_view *e);
/* Was anything answered so, on any route? Any thread. */
bool latency_has_answer(const struct latency *l, unsigned method, unsigned status);
/* "GET", "404", "4xx" for an index; "" for a status index that is not used. */
const char *latency_method_name(unsigned method);
const char *latency_status_name(unsigned status);

#endif
