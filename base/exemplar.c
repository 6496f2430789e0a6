/*
 * exemplar: slots under sequence numbers.
 *
 * The writer never waits, because it is on the way of a request. All fields are atomic, so that a torn
 * read is two old and new numbers and not undefined, and the sequence tells that it was torn. The fences
 * are those of a seqlock: stores of the fields stay between the two stores of the sequence, and a
 * reader's loads between its two loads.
 */
#include "base/exemplar.h"

static void put(_Atomic uint64_t *to, uint64_t v)
{
    atomic_store_explicit(to, v, memory_order_relaxed);
}

static uint64_t get(const _Atomic uint64_t *from)
{
    return atomic_load_explicit(from, memory_order_relaxed);
}

void exemplar_note(struct exemplars *e, const struct exemplar *from)
{
    struct exemplar_slot *s = &e->slots[hist_bucket(from->us)];
    uint64_t sequence = get(&s->sequence);

    put(&s->sequence, sequence + 1);
    atomic_thread_fence(memory_order_release);
    put(&s->high, from->trace[0]);
    put(&s->low, from->trace[1]);
    put(&s->us, from->us);
    atomic_store_explicit(&s->wall_ms, from->wall_ms, memory_order_relaxed);
    atomic_store_explicit(&s->sequence, sequence + 2, memory_order_release);
}

static bool exemplar_get(const struct exemplar_slot *s, struct exemplar *out)
{
    uint64_t sequence = atomic_load_explicit(&s->sequence, memory_order_acquire);

    if (sequence == 0 || sequence % 2)
        return false;
    out->trace[0] = get(&s->high);
    out->trace[1] = get(&s->low);
    out->us = get(&s->us);
    out->wall_ms = atomic_load_explicit(&s->wall_ms, memory_order_relaxed);
    atomic_thread_fence(memory_order_acquire);
    return get(&s->sequence) == sequence;
}

void exemplar_gather(const struct exemplars *e, struct exemplar_view *v)
{
    struct exemplar found;

    for (unsigned i = 0; i <= HIST_BOUNDS; i++) {
        if (exemplar_get(&e->slots[i], &found) && found.wall_ms > v->slots[i].wall_ms)
            v->slots[i] = found;
    }
}
