/*
 * tracks: a ring of places. A take of the ring over the journal is in the order of the stream, so an end is
 * found in it by halving; of a shared queue, whose positions are those of its partitions, nothing is noted.
 */
#include "gateway/trace/tracks.h"

#include "base/check.h"

void tracks_init(struct tracks *t)
{
    t->next = t->count = 0;
    check(pthread_mutex_init(&t->lock, NULL) == 0);
}

void tracks_fini(struct tracks *t)
{
    pthread_mutex_destroy(&t->lock);
}

void tracks_note(struct tracks *t, pos_t end, const struct trail_link *who)
{
    pthread_mutex_lock(&t->lock);
    t->kept[t->next] = (struct track){end, *who};
    t->next = (t->next + 1) % TRACKS_KEPT;
    t->count += t->count < TRACKS_KEPT;
    pthread_mutex_unlock(&t->lock);
}

/* Has the take an entry that ends there? */
static bool tracks_has(const struct take *take, pos_t end)
{
    size_t from = 0, to = take->count;

    while (from < to) {
        size_t middle = from + (to - from) / 2;

        if (take->entries[middle].end < end)
            from = middle + 1;
        else
            to = middle;
    }
    return from < take->count && take->entries[from].end == end;
}

unsigned tracks_find(struct tracks *t, const struct take *take, struct trail_link *out,
                     unsigned max)
{
    unsigned found = 0;

    pthread_mutex_lock(&t->lock);
    for (unsigned i = 0; i < t->count; i++) {
        const struct track *k = &t->kept[(t->next + TRACKS_KEPT - t->count + i) % TRACKS_KEPT];

        if (!tracks_has(take, k->end))
            continue;
        if (found < max)
            out[found] = k->who;
        found++;
    }
    pthread_mutex_unlock(&t->lock);
    return found;
}
