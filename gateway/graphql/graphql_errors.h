/*
 * graphql_errors: the texts that go into "errors" of a GraphQL answer.
 *
 * A list in the caller's arena; one owner, one thread. How many are kept is
 * bounded.
 */
#ifndef GATEWAY_GRAPHQL_ERRORS_H
#define GATEWAY_GRAPHQL_ERRORS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/str.h"
#include "gateway/say.h"

struct graphql_error {
    struct str text;
    size_t at; /* byte of the document it is about */
};

struct graphql_errors {
    struct arena *arena;
    struct graphql_error *items; /* n <= capacity */
    size_t n;
    size_t capacity;
    size_t most;  /* further ones are dropped */
    bool is_full; /* some were */
};

/* most: how many are kept. */
void graphql_errors_init(struct graphql_errors *e, struct arena *a, size_t most);
/* Adds a text, which lives as long as the arena. */
void graphql_errors_add(struct graphql_errors *e, size_t at, struct str text);
/* By place in the document, those of one place as they were added. */
void graphql_errors_sort(struct graphql_errors *e);
/* The list of texts, or null when there are none. */
void graphql_errors_write(const struct graphql_errors *e, struct json *j);

/* GRAPHQL_SAY(e, at, STR("..."), name, ...): pieces as in gateway/say.h. */
#define GRAPHQL_SAY(e, at, ...) graphql_errors_add((e), (at), SAY_TEXT((e)->arena, __VA_ARGS__))

#endif
