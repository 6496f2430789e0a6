/*
 * A map whose keys live in an arena. A pod has 16 partitions or the topic's; a thousand pods that come
 * and go are a megabyte. What is forgotten costs a question to PostgreSQL and nothing else.
 */
#include "gateway/peers/marks.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/idmap.h"

struct marks {
    pthread_mutex_t lock;
    struct idmap map;
    struct arena names;
};

struct marks *marks_new(void)
{
    struct marks *m = calloc(1, sizeof(*m));

    check(m && pthread_mutex_init(&m->lock, NULL) == 0);
    idmap_init(&m->map);
    arena_init(&m->names, 4096);
    return m;
}

void marks_free(struct marks *m)
{
    if (!m)
        return;
    pthread_mutex_destroy(&m->lock);
    idmap_fini(&m->map);
    arena_fini(&m->names);
    free(m);
}

static uint64_t *marks_place(struct marks *m, struct str name)
{
    uint64_t *pos = idmap_get(&m->map, name);
    bool is_new;

    if (pos)
        return pos;
    if (idmap_count(&m->map) >= MARKS_MAX) {
        idmap_reset(&m->map);
        arena_reset(&m->names);
    }
    return idmap_put(&m->map, arena_dup(&m->names, name), &is_new);
}

void marks_raise(struct marks *m, struct str name, pos_t pos)
{
    uint64_t *at;

    pthread_mutex_lock(&m->lock);
    at = marks_place(m, name);
    *at = *at > pos ? *at : pos;
    pthread_mutex_unlock(&m->lock);
}

pos_t marks_get(struct marks *m, struct str name)
{
    const uint64_t *at;
    pos_t pos;

    pthread_mutex_lock(&m->lock);
    at = idmap_get(&m->map, name);
    pos = at ? *at : 0;
    pthread_mutex_unlock(&m->lock);
    return pos;
}
