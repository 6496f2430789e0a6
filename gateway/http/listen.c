/*
 * listen: SO_REUSEPORT, without its trap.
 *
 * Every worker has a listener of its own on the same port, and the kernel deals connections out by
 * hash. The trap: a second program of the same user may join such a group unnoticed and take its
 * share. So the address is first bound without SO_REUSEPORT, which fails when anybody listens
 * there.
 *
 * A connection inherits the listener's options, so what is set here costs nothing for each. Peers
 * that vanish without a word (a node that lost power, a cable, a firewall that forgot) are found by
 * the kernel: keepalive probes when nothing is on its way, TCP_USER_TIMEOUT when something is. The latter also
 * ends a peer that is there and keeps its window shut for so long.
 *
 * Probes are many because they get lost: those of 20000 connections that were made together are
 * sent together, and loopback and veth have room for 1000 packets (netdev_max_backlog). With three
 * probes, 56 of 19500 peers that were well were given up on a busy machine.
 */
#include "gateway/http/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "schema/errors.h"

enum { BACKLOG = 4096 };

union any_address {
    struct sockaddr sa;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_storage room;
};

static err_t listen_refuse(const char *setting, const char *address, const char *why,
                           struct fail *f)
{
    return fail(f, ERR_SETTING, "cannot listen on %s (setting %s): %s", address, setting, why);
}

static err_t listen_resolve(const char *setting, const char *address, union any_address *out,
                            socklen_t *n, struct fail *f)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found;
    char host[256];
    const char *colon = strrchr(address, ':');
    struct str name;
    int e;

    if (colon == NULL)
        return listen_refuse(setting, address, "want host:port", f);
    name = (struct str){address, (size_t)(colon - address)};
    if (str_starts(name, STR("[")) && str_ends(name, STR("]")))
        name = (struct str){name.p + 1, name.n - 2};
    str_to_cstr(name, host, sizeof(host));
    e = getaddrinfo(host[0] ? host : NULL, colon + 1, &hints, &found);
    if (e)
        return listen_refuse(setting, address, gai_strerror(e), f);
    *n = found->ai_addrlen;
    memcpy(out, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    return OK;
}

static int listen_socket(const union any_address *a, socklen_t n, bool is_shared)
{
    int fd = socket(a->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int on = 1;

    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)); /* what is in TIME_WAIT is no one */
    if (is_shared)
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
    if (bind(fd, &a->sa, n) != 0) {
        int why = errno;

        close(fd);
        errno = why;
        return -1;
    }
    return fd;
}

static void listen_name(const union any_address *a, char url[LISTEN_URL_MAX])
{
    char host[INET6_ADDRSTRLEN] = "";

    if (a->sa.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &a->in6.sin6_addr, host, sizeof(host));
        snprintf(url, LISTEN_URL_MAX, "http://[%s]:%u", host, ntohs(a->in6.sin6_port));
    } else {
        inet_ntop(AF_INET, &a->in.sin_addr, host, sizeof(host));
        snprintf(url, LISTEN_URL_MAX, "http://%s:%u", host, ntohs(a->in.sin_port));
    }
}

err_t listen_open(const char *setting, const char *address, int *fds, unsigned count,
                  char url[LISTEN_URL_MAX], struct fail *f)
{
    union any_address a;
    socklen_t n;
    unsigned opened = 0;
    int probe;
    err_t e;

    if ((e = listen_resolve(setting, address, &a, &n, f)))
        return e;
    probe = listen_socket(&a, n, false);
    if (probe < 0)
        return listen_refuse(setting, address, strerror(errno), f);
    close(probe);
    for (; opened < count; opened++) {
        fds[opened] = listen_socket(&a, n, true);
        if (fds[opened] < 0)
            break;
        getsockname(fds[opened], &a.sa, &n); /* port 0 is a number now: the next ones take it */
    }
    if (opened < count) {
        e = listen_refuse(setting, address, strerror(errno), f);
        while (opened > 0)
            close(fds[--opened]);
        return e;
    }
    listen_name(&a, url);
    return OK;
}

void listen_set_peer_timeout(const int *fds, unsigned count, uint64_t timeout_us)
{
    int on = 1;
    int all_ms = (int)(timeout_us / 1000);
    int idle_s = all_ms >= 2000 ? all_ms / 2000 : 1; /* half of it; ten probes in the rest */
    int probe_s = all_ms >= 20000 ? all_ms / 20000 : 1;

    for (unsigned i = 0; i < count; i++) {
        setsockopt(fds[i], SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
        setsockopt(fds[i], IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
        setsockopt(fds[i], IPPROTO_TCP, TCP_KEEPINTVL, &probe_s, sizeof(probe_s));
        setsockopt(fds[i], IPPROTO_TCP, TCP_USER_TIMEOUT, &all_ms, sizeof(all_ms));
    }
}

err_t listen_begin(const int *fds, unsigned count, struct fail *f)
{
    for (unsigned i = 0; i < count; i++) {
        if (listen(fds[i], BACKLOG) != 0)
            return fail(f, ERR_SETTING, "listen: %s", strerror(errno));
    }
    return OK;
}
