/*
 * conn: one client socket and its machine; conn.c draws it.
 *
 * A connection belongs to one worker for life. What a request needs while it is under way (parser,
 * buffers, arena) is an exchange, taken from the worker's pool with the first byte and given back
 * with the last, so an idle connection costs its struct and nothing else. The worker's thread.
 */
#ifndef GATEWAY_CONN_H
#define GATEWAY_CONN_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "gateway/http/http.h"
#include "gateway/http/route.h"
#include "gateway/req.h"

enum conn_state {
    CONN_READING,   /* idle, or in a head */
    CONN_BODY,      /* the head was let through; the body is not whole yet */
    CONN_HANDLING,  /* a handler runs, or its request waits */
    CONN_RECEIVING, /* a piece of the body comes in; then the handler goes on */
    CONN_SENDING,   /* a part of the answer goes out; then the handler goes on */
    CONN_TUNNEL,    /* an upgrade was agreed on: bytes go through as they come */
    CONN_WRITING,   /* the answer goes out */
    CONN_SKIPPING,  /* answered early; the rest of a small body is passed over */
    CONN_GREETING,  /* TLS: the handshake */
    CONN_LINGERING, /* our side is closed; the peer may still be sending */
    CONN_CLOSED     /* unlinked; freed at the end of the turn */
};

/* What bounds a connection's time; one list each, oldest first. */
enum conn_timer {
    TIMER_IDLE,    /* idle_timeout, then closed silently */
    TIMER_HEAD,    /* head_timeout, then 408; of a handshake, then closed */
    TIMER_RECEIVE, /* a part of request_timeout, then 408 unless enough of a body came */
    TIMER_NONE,    /* the request's own waits have deadlines */
    TIMER_SEND,    /* request_timeout, then closed */
    TIMER_TUNNEL,  /* upstream_timeout without a byte, then closed */
    TIMER_LINGER,  /* LINGER_US, then closed unless much came */
    TIMER_COUNT
};

/* A request on its way. */
struct exchange {
    struct req req;
    struct http *http;
    struct buf in;      /* this head, its body when both came together, what is behind them */
    struct buf body;    /* a body that came in pieces, or a piece of one */
    size_t held_bytes;  /* counted in the worker's */
    struct buf out;     /* what goes before the reply's body: head, or begin of a chunk */
    struct str tail;    /* what goes behind it; constant */
    size_t taken_bytes; /* of in: consumed once the answer is out */
    size_t sent_bytes;  /* of out, the reply's body and tail together */
    uint64_t max_body;
    bool is_streaming;           /* the handler takes the body in pieces */
    bool owes_continue;          /* the peer waits for a 100 before it sends the body */
    void (*pump)(struct req *r); /* of a tunnel: called for every event of the socket */
    struct exchange *next;       /* in the pool */
};

struct conn_io;

struct conn {
    struct worker *worker;
    struct exchange *x; /* NULL while idle */
    int fd;
    const struct conn_io *io; /* NULL = a plain socket; gateway/http/conn_io.h */
    void *io_data;            /* io's own */
    enum conn_state state;
    enum route_where where;
    bool is_readable;        /* the kernel may have bytes for us */
    bool is_listening;       /* the read event is registered */
    bool is_queued;          /* in the worker's list of those that yielded */
    bool is_cut_off;         /* its answer broke off: nothing may look like its end */
    bool is_shed;            /* beyond max_connections: open just for its refusal */
    unsigned pipelined;      /* requests answered since it last went through the loop */
    uint64_t received_bytes; /* since a body, or lingering, began */
    uint64_t received_then;  /* of them when its timer began */
    uint64_t since_us;       /* when body or lingering began */
    uint64_t waited_us;      /* for pieces of a body, since the last look at its rate */
    uint64_t file_then;      /* what was left of a file when its timer began */
    struct event readable;
    struct event writable;
    enum conn_timer timer;
    uint64_t timer_since_us;
    struct conn *timer_next;
    struct conn *timer_prev;
    struct conn *next; /* yielded, closed or free */
};

/* Takes an accepted socket. */
void conn_open(struct worker *w, int fd, enum route_where where);
/* Takes one that there is no room for: it is told so and ends. may_stay: until its peer has read it. */
void conn_shed(struct worker *w, int fd, enum route_where where, bool may_stay);
/* Unlinks it; why is constant text for the log and the counters. Its request, if one waits for
 * anything but its part to be sent, must have been answered. */
void conn_close(struct conn *c, const char *why);
/* Its request has been answered, or has a part to send, after a wait. */
void conn_go_on(struct conn *c);
/* It yielded the loop and may go on. */
void conn_resume(struct conn *c);
/* The peer's address as 16 bytes, IPv4 as ::ffff:a.b.c.d. False when there is none any more. */
bool conn_peer(const struct conn *c, uint8_t out[16]);
/* Its list's time is over. */
void conn_expire(struct conn *c);
/* Counts what its request holds until it is answered: when it begins to wait. */
void conn_count_memory(struct conn *c);

#endif
