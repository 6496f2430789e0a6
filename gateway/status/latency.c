/*
 * latency: a table of pointers to cells.
 *
 * The table is large and nearly empty, and stays memory that was never touched where it is: of its
 * pages those count that have a cell. A cell is published once (release) and stays until the end,
 * so a reader holds nothing.
 */
#include "gateway/status/latency.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "gateway/http/http.h"

struct latency_cell {
    struct hist hist;
    _Atomic(struct exemplars *) exemplars; /* NULL until one is noted */
};

typedef _Atomic(struct latency_cell *) latency_row[LATENCY_METHODS][LATENCY_STATUSES];

struct latency {
    unsigned routes;
    latency_row *rows;
    _Atomic bool *is_used;                                       /* for each route: it has a cell */
    _Atomic bool is_answered[LATENCY_METHODS][LATENCY_STATUSES]; /* on any route */
};

static const char *const method_names[LATENCY_METHODS] = {"GET",   "HEAD",   "POST",    "PUT",
                                                          "PATCH", "DELETE", "OPTIONS", "OTHER"};

/* One row a status that has its own place: X(place, status). Places 1 to 5 are those of the
 * classes. clang-format would shift them at every run. */
/* clang-format off */
#define STATUSES \
    X(6, 101) X(7, 200) X(8, 201) X(9, 202) X(10, 204) X(11, 206) X(12, 301) \
    X(13, 302) X(14, 303) X(15, 304) X(16, 307) X(17, 308) X(18, 400) X(19, 401) \
    X(20, 403) X(21, 404) X(22, 405) X(23, 408) X(24, 409) X(25, 411) X(26, 412) \
    X(27, 413) X(28, 414) X(29, 415) X(30, 416) X(31, 417) X(32, 418) X(33, 422) \
    X(34, 426) X(35, 428) X(36, 429) X(37, 431) X(38, 499) X(39, 500) X(40, 501) \
    X(41, 502) X(42, 503) X(43, 504) X(44, 505) X(45, 507)
/* clang-format on */

#define X(place, status) [place] = #status,
static const char *const status_names[LATENCY_STATUSES] = {"",    "1xx", "2xx",   "3xx",
                                                           "4xx", "5xx", STATUSES};
#undef X

#define X(place, status) [status] = place,
static const uint8_t status_places[600] = {STATUSES};
#undef X

static unsigned status_place(unsigned status)
{
    check(status >= 100 && status < 600);
    return status_places[status] ? status_places[status] : status / 100;
}

static unsigned method_place(unsigned method)
{
    check(HTTP_M_GET == 1 && HTTP_M_OTHER == 1 << (LATENCY_METHODS - 1));
    return method ? (unsigned)__builtin_ctz(method) : LATENCY_METHODS - 1;
}

struct latency *latency_new(unsigned routes)
{
    struct latency *l = calloc(1, sizeof(*l));

    check(l != NULL);
    l->routes = routes;
    l->rows = calloc(routes, sizeof(l->rows[0]));
    l->is_used = calloc(routes, sizeof(l->is_used[0]));
    check(l->rows != NULL && l->is_used != NULL);
    return l;
}

void latency_free(struct latency *l)
{
    if (!l)
        return;
    for (unsigned i = 0; i < l->routes; i++) {
        for (unsigned k = 0; l->is_used[i] && k < LATENCY_METHODS * LATENCY_STATUSES; k++) {
            struct latency_cell *cell = l->rows[i][k / LATENCY_STATUSES][k % LATENCY_STATUSES];

            if (cell)
                free(cell->exemplars);
            free(cell);
        }
    }
    free(l->is_used);
    free(l->rows);
    free(l);
}

static struct latency_cell *latency_cell(struct latency *l, unsigned route, unsigned method,
                                         unsigned status)
{
    unsigned m = method_place(method), s = status_place(status);
    _Atomic(struct latency_cell *) *place = &l->rows[route][m][s];
    struct latency_cell *cell = atomic_load_explicit(place, memory_order_relaxed);

    if (cell)
        return cell;
    cell = calloc(1, sizeof(*cell));
    check(cell != NULL);
    atomic_store_explicit(place, cell, memory_order_release);
    atomic_store_explicit(&l->is_used[route], true, memory_order_release);
    atomic_store_explicit(&l->is_answered[m][s], true, memory_order_release);
    return cell;
}

static struct exemplars *cell_exemplars(struct latency_cell *cell)
{
    struct exemplars *e = atomic_load_explicit(&cell->exemplars, memory_order_relaxed);

    if (e)
        return e;
    e = calloc(1, sizeof(*e));
    check(e != NULL);
    atomic_store_explicit(&cell->exemplars, e, memory_order_release);
    return e;
}

void latency_note(struct latency *l, unsigned route, unsigned method, unsigned status, uint64_t us,
                  struct exemplar *traced)
{
    struct latency_cell *cell;

    check(route < l->routes);
    cell = latency_cell(l, route, method, status);
    hist_note(&cell->hist, us);
    if (traced) {
        traced->us = us;
        exemplar_note(cell_exemplars(cell), traced);
    }
}

void latency_sum_answer(const struct latency *l, unsigned route, unsigned method, unsigned status,
                        struct hist_view *h, struct exemplar_view *e)
{
    const struct latency_cell *cell;
    const struct exemplars *exemplars;

    if (!atomic_load_explicit(&l->is_used[route], memory_order_acquire))
        return;
    cell = atomic_load_explicit(&l->rows[route][method][status], memory_order_acquire);
    if (!cell)
        return;
    hist_sum(&cell->hist, h);
    exemplars = atomic_load_explicit(&cell->exemplars, memory_order_acquire);
    if (exemplars)
        exemplar_gather(exemplars, e);
}

bool latency_has_answer(const struct latency *l, unsigned method, unsigned status)
{
    return atomic_load_explicit(&l->is_answered[method][status], memory_order_acquire);
}

void latency_sum_route(const struct latency *l, unsigned route, unsigned status_class,
                       struct hist_view *h, struct exemplar_view *e)
{
    if (!atomic_load_explicit(&l->is_used[route], memory_order_acquire))
        return;
    for (unsigned status = 1; status < LATENCY_STATUSES; status++) {
        if (!status_names[status] || (unsigned)(status_names[status][0] - '0') != status_class)
            continue;
        for (unsigned method = 0; method < LATENCY_METHODS; method++)
            latency_sum_answer(l, route, method, status, h, e);
    }
}

const char *latency_method_name(unsigned method)
{
    return method_names[method];
}

const char *latency_status_name(unsigned status)
{
    return status_names[status] ? status_names[status] : "";
}
