/*
 * What the unit tests of a request's parameters share: a request without a connection, new for each
 * test. Included before cmocka.h, whose fail() is another; req_begin and req_end are setup and
 * teardown.
 */
#ifndef TESTS_UNIT_REQ_FIXTURE_H
#define TESTS_UNIT_REQ_FIXTURE_H

#include <string.h>

#include "gateway/req.h"

static struct req req;
static struct http_head head;
static struct fail f; /* its text is in the request's arena */

/* The next call; type and body NULL: there is none. */
static void req_call(unsigned method, const char *query, const char *type, const char *body)
{
    arena_reset(&req.arena);
    fail_init(&f, &req.arena);
    head = (struct http_head){.method = method, .query = str_of(query)};
    req.input = (struct bind_input){.has_content_type = type != NULL,
                                    .content_type = str_of(type),
                                    .query = head.query,
                                    .body = str_of(body)};
}

static int req_begin(void **state)
{
    (void)state;
    memset(&req, 0, sizeof(req));
    arena_init(&req.arena, 1024);
    req.head = &head;
    return 0;
}

static int req_end(void **state)
{
    (void)state;
    arena_fini(&req.arena);
    return 0;
}

#endif
