/*
 * curl_loop: libcurl's multi interface on a worker's event loop.
 *
 * curl_loop_open, then curl_loop_add for each easy handle that is set up; job.done follows once, from the
 * loop, never from within a call of this file, with the handle taken out. Whoever drops a handle before
 * that calls curl_loop_drop. curl_loop_close when no handle is left. The worker's thread.
 */
#ifndef GATEWAY_CURL_LOOP_H
#define GATEWAY_CURL_LOOP_H

#include <event2/event.h>
#include <event2/event_struct.h>

struct worker;

struct curl_loop {
    /* private */
    struct worker *worker;
    void *multi;
    struct event timer;
};

/* What becomes of a transfer; it must stay until done, or curl_loop_drop. */
struct curl_job {
    void *owner;
    /* why: libcurl's words, constant; NULL = an answer is there. */
    void (*done)(void *owner, const char *why);
};

void curl_loop_open(struct curl_loop *l, struct worker *w);
void curl_loop_close(struct curl_loop *l);
void curl_loop_add(struct curl_loop *l, void *easy, struct curl_job *job);
void curl_loop_drop(struct curl_loop *l, void *easy);

#endif
