/*
 * wire: one keep-alive connection to the server under test.
 *
 * wire_init, then wire_send again and again; each send is followed by exactly one on_done, from
 * the loop and never from within wire_send, and nothing is sent before it came. A closed
 * connection is opened by the next send, with TLS where the target has it. One thread: that of the loop.
 */
#ifndef LOADTEST_WIRE_H
#define LOADTEST_WIRE_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <llhttp.h>

#include "loadtest/target.h"

enum wire_state {
    WIRE_CLOSED,
    WIRE_CONNECTING,
    WIRE_SHAKING,
    WIRE_IDLE,
    WIRE_SENDING,
    WIRE_READING,
    WIRE_FAILED
};

struct answer {
    int status;      /* 0: there is none, the connection broke */
    bool is_late;    /* it broke because the answer took too long */
    const char *why; /* no hands were shaken: what TLS says; else NULL */
    bool has_retry_after;
    uint64_t retry_after_us; /* as the header says */
    struct str body;         /* only when keep_body is set; until the next send */
};

struct wire {
    void (*on_done)(struct wire *w, const struct answer *a);
    bool keep_body;
    uint64_t connects; /* connections opened */
    /* private */
    struct event_base *loop;
    const struct target *target;
    uint64_t timeout_us;
    enum wire_state state;
    int fd;                 /* -1 when closed */
    struct ssl_st *session; /* NULL without TLS */
    struct str rest;        /* of the request, borrowed */
    struct event reading;
    struct event writing;
    struct event deadline;
    llhttp_t parser;
    struct answer answer;
    char field[16]; /* name of the header at hand, in lower case, cut */
    uint8_t field_len;
    uint8_t value_len;
    char value[16];
    bool is_done; /* the answer is whole */
    bool is_kept; /* and the connection outlives it */
    struct buf body;
};

void wire_init(struct wire *w, struct event_base *loop, const struct target *t, uint64_t timeout_us,
               void (*on_done)(struct wire *w, const struct answer *a));
void wire_fini(struct wire *w);
/* request is borrowed until on_done. */
void wire_send(struct wire *w, struct str request);
/* Closes without a word; a request on its way gets no on_done. */
void wire_close(struct wire *w);
bool wire_is_busy(const struct wire *w);
/* Sends and runs the loop until the answer is there, whose body lives until the next send. */
struct answer wire_ask(struct wire *w, struct str request);

#endif
