/*
 * The id is by chance and new at each start: a process that comes back is another one, and what was
 * published for the one before is not for it.
 */
#include "gateway/pod.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "gateway/http/client_tls.h"
#include "schema/errors.h"

static err_t pod_find_redis(struct pod *p, const struct settings *s, struct fail *f)
{
    if (!*s->redis_uri)
        return OK;
    if (!redis_uri_parse(str_of(s->redis_uri), &p->arena, &p->uri))
        return fail(f, ERR_SETTING,
                    "setting redis_uri: it is none"); /* settings_check says so first */
    p->has_redis = true;
    return p->uri.has_tls ? client_tls_open("redis_ca", s->redis_ca, &p->tls, f) : OK;
}

err_t pod_open(const struct settings *s, struct queue *q, struct runs *runs, struct pod **out,
               struct fail *f)
{
    struct pod *p = calloc(1, sizeof(*p));
    uint64_t id;
    err_t e;

    check(p && getrandom(&id, sizeof(id), 0) == (ssize_t)sizeof(id));
    snprintf(p->id, sizeof(p->id), "%016llx", (unsigned long long)id);
    p->settings = s;
    p->queue = q;
    p->runs = runs;
    p->marks = marks_new();
    p->rate = rate_new();
    arena_init(&p->arena, 512);
    if ((e = pod_find_redis(p, s, f))) {
        pod_close(p);
        return e;
    }
    *out = p;
    return OK;
}

void pod_close(struct pod *p)
{
    if (!p)
        return;
    client_tls_close(p->tls);
    marks_free(p->marks);
    rate_free(p->rate);
    arena_fini(&p->arena);
    free(p);
}

void pod_join(struct pod *p, struct inbox *inbox)
{
    unsigned n = atomic_load(&p->worker_count);

    check(n < POD_WORKERS);
    p->workers[n].inbox = inbox;
    atomic_store_explicit(&p->worker_count, n + 1, memory_order_release);
}

void pod_ring(struct pod *p)
{
    unsigned n = atomic_load_explicit(&p->worker_count, memory_order_acquire);

    for (unsigned i = 0; i < n; i++)
        inbox_ring(p->workers[i].inbox);
}

const char *pod_trouble(const struct pod *p)
{
    return p->has_redis && atomic_load(&p->pulse.away) > 0
               ? "away; reads may be behind other pods by their flush interval"
               : NULL;
}
