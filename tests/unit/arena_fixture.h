/*
 * What the unit tests of texts share: an arena, and words for a failure, new for each test or group of
 * them. Included before cmocka.h, whose fail() is another; arena_begin and arena_end are setup and
 * teardown.
 */
#ifndef TESTS_UNIT_ARENA_FIXTURE_H
#define TESTS_UNIT_ARENA_FIXTURE_H

#include "base/arena.h"
#include "base/fail.h"

static struct arena arena;
static struct fail why; /* its text is in the arena */

static int arena_begin(void **state)
{
    (void)state;
    arena_init(&arena, 1024);
    fail_init(&why, &arena);
    return 0;
}

static int arena_end(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

#endif
