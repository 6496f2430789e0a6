/*
 * peer: a listening socket on the test's own loop, which answers as the test says.
 *
 * answer() is called once for each whole request and writes an answer into out; it returns its
 * length, 0 to close the connection without one, or PEER_SILENT to say nothing.
 */
#ifndef TESTS_UNIT_PEER_H
#define TESTS_UNIT_PEER_H

#include <arpa/inet.h>
#include <event2/event.h>
#include <event2/util.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PEER_CONNS = 64, PEER_BYTES = 65536 };

#define PEER_SILENT SIZE_MAX

struct peer_conn {
    struct peer *peer;
    int fd;
    struct event *reading;
    size_t n;
    char in[PEER_BYTES];
};

struct peer {
    struct event_base *loop;
    int fd;
    struct event *accepting;
    char url[64];
    size_t (*answer)(struct peer *p, const char *request, char *out);
    unsigned requests;
    unsigned accepted;
    bool closes; /* after each answer */
    struct peer_conn *conns[PEER_CONNS];
};

static inline void peer_drop(struct peer_conn *c)
{
    if (c->reading)
        event_free(c->reading);
    if (c->fd >= 0)
        close(c->fd);
    c->reading = NULL;
    c->fd = -1;
}

/* Length of the request at the front of in, or 0 while it is not whole. */
static inline size_t peer_request(struct peer_conn *c)
{
    const char *end;
    const char *length;
    size_t whole;

    c->in[c->n] = '\0';
    end = strstr(c->in, "\r\n\r\n");
    if (end == NULL)
        return 0;
    length = strstr(c->in, "Content-Length: ");
    whole = (size_t)(end + 4 - c->in) + (length ? strtoul(length + 16, NULL, 10) : 0);
    return c->n >= whole ? whole : 0;
}

static inline void peer_on_readable(evutil_socket_t fd, short what, void *arg)
{
    static char out[PEER_BYTES];
    struct peer_conn *c = arg;
    ssize_t n = recv(fd, c->in + c->n, sizeof(c->in) - 1 - c->n, 0);
    size_t whole;

    (void)what;
    if (n <= 0) {
        peer_drop(c);
        return;
    }
    c->n += (size_t)n;
    while (c->fd >= 0 && (whole = peer_request(c)) > 0) {
        size_t m;

        c->peer->requests++;
        m = c->peer->answer(c->peer, c->in, out);
        memmove(c->in, c->in + whole, c->n - whole);
        c->n -= whole;
        if (m == PEER_SILENT)
            continue;
        if (m && send(fd, out, m, MSG_NOSIGNAL) != (ssize_t)m)
            abort();
        if (m == 0 || c->peer->closes)
            peer_drop(c);
    }
}

static inline void peer_on_accept(evutil_socket_t fd, short what, void *arg)
{
    struct peer *p = arg;
    struct peer_conn *c = calloc(1, sizeof(*c));

    (void)what;
    c->peer = p;
    c->fd = accept(fd, NULL, NULL);
    evutil_make_socket_nonblocking(c->fd);
    c->reading = event_new(p->loop, c->fd, EV_READ | EV_PERSIST, peer_on_readable, c);
    event_add(c->reading, NULL);
    if (p->accepted >= PEER_CONNS)
        abort();
    p->conns[p->accepted++] = c;
}

static inline void peer_open(struct peer *p, struct event_base *loop,
                             size_t (*answer)(struct peer *p, const char *request, char *out))
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(in);

    *p = (struct peer){.loop = loop, .answer = answer};
    p->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (bind(p->fd, (struct sockaddr *)&in, n) != 0 || listen(p->fd, 128) != 0 ||
        getsockname(p->fd, (struct sockaddr *)&in, &n) != 0)
        abort();
    snprintf(p->url, sizeof(p->url), "http://127.0.0.1:%d", ntohs(in.sin_port));
    p->accepting = event_new(loop, p->fd, EV_READ | EV_PERSIST, peer_on_accept, p);
    event_add(p->accepting, NULL);
}

static inline void peer_close(struct peer *p)
{
    for (unsigned i = 0; i < p->accepted; i++) {
        peer_drop(p->conns[i]);
        free(p->conns[i]);
    }
    event_free(p->accepting);
    close(p->fd);
}

/* A 200 with that JSON. */
static inline size_t peer_json(char *out, const char *json)
{
    return (size_t)snprintf(out, PEER_BYTES,
                            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                            "Content-Length: %zu\r\n\r\n%s",
                            strlen(json), json);
}

#endif
