/*
 * A look-up is a thread of its own, because getaddrinfo can be neither bounded nor interrupted. What
 * it works on has two owners, the asker and the thread; the last of them frees it, so the asker may
 * go whenever it likes. An asker that keeps an unanswered question instead of asking anew has one
 * thread at most.
 *
 * The answer is the list of hosts with each address as an item of its own, which libpq tries in
 * order, as it would have done with what it had looked up itself. host stays the name, because a
 * server's certificate is compared with it. A host without an address is left out: libpq would look
 * it up again. Directories of Unix sockets and numeric addresses pass as they are.
 *
 * Not looked up here: hosts of a service file, which only libpq reads.
 */
#include "schema/pg_names.h"

#include <libpq-fe.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"

struct pg_names {
    _Atomic unsigned owners;
    _Atomic bool is_known;
    int fd;
    struct arena arena; /* the asker's until the thread starts, then the thread's until is_known */
    struct str hosts;   /* as in the connection string */
    struct str ports;
    const char *host; /* the answer */
    const char *hostaddr;
    const char *port;
    const char *trouble;
};

/* -- what the connection string says ---------------------------------------------------------- */

static const char *option_value(const PQconninfoOption *options, const char *keyword,
                                const char *variable)
{
    const char *from_environment;

    for (; options->keyword; options++) {
        if (strcmp(options->keyword, keyword) == 0 && options->val && options->val[0])
            return options->val;
    }
    from_environment = getenv(variable);
    return from_environment ? from_environment : "";
}

static int names_resolve(const char *host, int flags, struct addrinfo **out)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = flags};

    return getaddrinfo(host, NULL, &hints, out);
}

/* Is it a name, and not a directory, an address or nothing? */
static bool is_name(struct str host)
{
    struct addrinfo *found;
    char text[256];

    if (host.n == 0 || host.p[0] == '/' || host.p[0] == '@' || host.n >= sizeof(text))
        return false;
    str_to_cstr(host, text, sizeof(text));
    if (names_resolve(text, AI_NUMERICHOST, &found))
        return true;
    freeaddrinfo(found);
    return false;
}

/* Takes hosts and ports over; false when none is to be looked up. */
static bool names_read(struct pg_names *n, const PQconninfoOption *options)
{
    struct str rest;

    if (option_value(options, "service", "PGSERVICE")[0] ||
        option_value(options, "hostaddr", "PGHOSTADDR")[0])
        return false;
    n->hosts = arena_dup(&n->arena, str_of(option_value(options, "host", "PGHOST")));
    n->ports = arena_dup(&n->arena, str_of(option_value(options, "port", "PGPORT")));
    for (rest = n->hosts; rest.n;) {
        if (is_name(str_trim(str_cut(&rest, ','))))
            return true;
    }
    return false;
}

/* -- the thread -------------------------------------------------------------------------------- */

struct lists {
    struct buf host, hostaddr, port;
};

static void lists_add(struct lists *l, struct str host, const char *address, struct str port)
{
    if (buf_len(&l->port)) {
        buf_add_byte(&l->host, ',');
        buf_add_byte(&l->hostaddr, ',');
    }
    buf_add_str(&l->host, host);
    buf_add_str(&l->hostaddr, str_of(address));
    buf_add_str(&l->port, port);
    buf_add_byte(&l->port, ',');
}

/* One item for each address; the words when there is none. */
static const char *lists_look_up(struct lists *l, struct str host, struct str port)
{
    struct addrinfo *found;
    char text[256];
    int error;

    str_to_cstr(host, text, sizeof(text));
    if ((error = names_resolve(text, 0, &found)))
        return gai_strerror(error);
    for (const struct addrinfo *a = found; a; a = a->ai_next) {
        char address[64];

        if (getnameinfo(a->ai_addr, a->ai_addrlen, address, sizeof(address), NULL, 0,
                        NI_NUMERICHOST) == 0)
            lists_add(l, host, address, port);
    }
    freeaddrinfo(found);
    return NULL;
}

static void names_answer(struct pg_names *n, struct lists *l)
{
    struct str hosts = n->hosts, ports = n->ports;
    bool is_port_shared = str_find(ports, ',') == ports.n;

    while (hosts.n) {
        struct str host = str_trim(str_cut(&hosts, ','));
        struct str port = is_port_shared ? ports : str_cut(&ports, ',');
        const char *why = NULL;

        if (is_name(host))
            why = lists_look_up(l, host, port);
        else
            lists_add(l, host, "", port);
        if (why)
            n->trouble = arena_printf(&n->arena, "host \"%.*s\": %s", STR_ARG(host), why).p;
    }
    if (buf_len(&l->port) == 0)
        return;
    n->trouble = NULL;
    n->host = arena_cstr(&n->arena, buf_str(&l->host));
    n->hostaddr = arena_cstr(&n->arena, buf_str(&l->hostaddr));
    if (!is_port_shared) /* without the last comma */
        n->port = arena_cstr(&n->arena, str_head(buf_str(&l->port), buf_len(&l->port) - 1));
}

static void names_leave(struct pg_names *n)
{
    if (atomic_fetch_sub(&n->owners, 1) > 1)
        return;
    close(n->fd);
    arena_fini(&n->arena);
    free(n);
}

static void *names_main(void *arg)
{
    struct pg_names *n = arg;
    struct lists l;

    buf_init(&l.host);
    buf_init(&l.hostaddr);
    buf_init(&l.port);
    names_answer(n, &l);
    buf_fini(&l.host);
    buf_fini(&l.hostaddr);
    buf_fini(&l.port);
    atomic_store(&n->is_known, true);
    (void)eventfd_write(n->fd, 1); /* of the first write on a fresh one nothing can fail */
    names_leave(n);
    return NULL;
}

/* -- the asker --------------------------------------------------------------------------------- */

/* False when there can be no thread: libpq looks the names up then, as if nobody had asked. */
static bool names_spawn(struct pg_names *n)
{
    pthread_t thread;

    n->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (n->fd < 0)
        return false;
    if (pthread_create(&thread, NULL, names_main, n)) {
        close(n->fd);
        return false;
    }
    pthread_detach(thread);
    return true;
}

static struct pg_names *names_new(void)
{
    struct pg_names *n = calloc(1, sizeof(*n));

    check(n);
    atomic_init(&n->owners, 2);
    arena_init(&n->arena, 512);
    return n;
}

static struct pg_names *names_begin(struct pg_names *n, bool has_names)
{
    if (has_names && names_spawn(n))
        return n;
    arena_fini(&n->arena);
    free(n);
    return NULL;
}

struct pg_names *pg_names_ask(const char *uri)
{
    PQconninfoOption *options = PQconninfoParse(uri, NULL);
    struct pg_names *n;

    if (!options)
        return NULL; /* libpq says what is wrong with it */
    n = names_new();
    n = names_begin(n, names_read(n, options));
    PQconninfoFree(options);
    return n;
}

struct pg_names *pg_names_ask_host(struct str host)
{
    struct pg_names *n = names_new();

    n->hosts = arena_dup(&n->arena, host);
    n->ports = STR("");
    return names_begin(n, is_name(host));
}

int pg_names_fd(const struct pg_names *n)
{
    return n->fd;
}

bool pg_names_are_known(const struct pg_names *n)
{
    return atomic_load(&n->is_known);
}

const char *pg_names_trouble(const struct pg_names *n)
{
    return n->trouble;
}

const char *pg_names_host(const struct pg_names *n)
{
    return n->host;
}

const char *pg_names_hostaddr(const struct pg_names *n)
{
    return n->hostaddr;
}

const char *pg_names_port(const struct pg_names *n)
{
    return n->port;
}

void pg_names_drop(struct pg_names *n)
{
    if (n)
        names_leave(n);
}
