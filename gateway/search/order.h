/*
 * order: what a search's order_by asks for.
 *
 * Each item is "key", "key ASC" or "key DESC" in the grammar of filters (filter.h). The list that
 * comes out is what the client asked for; search_sql adds defaults and tie-breaks. Pure; any
 * thread.
 */
#ifndef GATEWAY_ORDER_H
#define GATEWAY_ORDER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/fail.h"
#include "base/str.h"
#include "gateway/search/filter.h"

/* More keys are refused, in the words that MLflow has for about 900. */
enum { ORDER_MAX = 800 };

struct order {
    enum filter_entity entity; /* the registry: always ENTITY_ATTRIBUTE */
    struct str key;            /* aliases are resolved */
    bool is_descending;
};

/* Parses the items in turn, in MLflow's words. ERR_BAD_PARAM; ERR_INTERNAL for a field that is
 * there twice and for an open quote. */
must_check err_t order_parse(struct arena *a, enum filter_dialect d, const struct str *items,
                             size_t n, struct order **out, size_t *count, struct fail *f);

#endif
