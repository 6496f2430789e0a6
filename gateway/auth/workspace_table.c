/*
 * workspace_table: SLOTS slots of two words, read without a lock.
 *
 *   asked_us          when the question was asked that found the workspace
 *   mark ^ asked_us   whose that is
 *
 * Every request of a workspace looks here, and most are of a few workspaces, so a lock for each slot or for
 * some of them would be the same one for all workers. A reader loads both words, and has what it looks for
 * when they make its mark. While somebody writes it may load words of two writes: those make the mark of
 * nobody (a mark is a seeded hash of 64 bits), the reader knows nothing, and asks PostgreSQL. Who has asked
 * looks again when no answer came.
 *
 * Writers are few, one for an answer or a piece of news, and take the mutex. An answer counts if nothing was
 * said since its question was asked: of two answers the one that was asked for later stands, and news leave
 * their time in the slot, whoever has it. So what was read before a delete does not bring the workspace back
 * when it comes after it. News of a workspace may thus cost another one of its slot an answer that is under
 * way, which is then asked for once more.
 *
 * How old a thing may be is the reader's to say: nothing is dropped for its age.
 */
#include "gateway/auth/workspace_table.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "gateway/auth/scope.h"
#include "gateway/auth/workspace.h"

enum { SLOTS = 4096 };

struct workspace_slot {
    _Atomic uint64_t asked_us;
    _Atomic uint64_t key;  /* mark ^ asked_us; both 0: nothing is known, because no mark is 0 */
    uint64_t forgotten_us; /* the newest news; under the lock */
};

struct workspace_table {
    pthread_mutex_t lock; /* of who writes */
    struct workspace_slot slots[SLOTS];
};

struct workspace_table *workspace_table_new(void)
{
    struct workspace_table *t = calloc(1, sizeof(*t));

    check(t != NULL && pthread_mutex_init(&t->lock, NULL) == 0);
    return t;
}

void workspace_table_free(struct workspace_table *t)
{
    if (!t)
        return;
    pthread_mutex_destroy(&t->lock);
    free(t);
}

/* When the slot's workspace was asked for, if that is the one; else 0. */
static uint64_t slot_get(const struct workspace_slot *slot, uint64_t mark)
{
    uint64_t asked_us = atomic_load(&slot->asked_us);

    return (atomic_load(&slot->key) ^ asked_us) == mark ? asked_us : 0;
}

static void slot_set(struct workspace_slot *slot, uint64_t mark, uint64_t asked_us)
{
    atomic_store(&slot->asked_us, asked_us);
    atomic_store(&slot->key, mark ^ asked_us);
}

uint64_t workspace_table_find(const struct workspace_table *t, uint64_t mark)
{
    return slot_get(&t->slots[mark % SLOTS], mark);
}

void workspace_table_note(struct workspace_table *t, uint64_t mark, uint64_t asked_us,
                          bool is_there)
{
    struct workspace_slot *slot = &t->slots[mark % SLOTS];
    uint64_t known_us;

    pthread_mutex_lock(&t->lock);
    known_us = slot_get(slot, mark);
    if (asked_us > slot->forgotten_us && asked_us >= known_us) {
        if (is_there)
            slot_set(slot, mark, asked_us);
        else if (known_us)
            slot_set(slot, 0, 0);
    }
    pthread_mutex_unlock(&t->lock);
}

/* mark 0: whoever has the slot. */
static void slot_forget(struct workspace_slot *slot, uint64_t mark, uint64_t now_us)
{
    if (now_us > slot->forgotten_us)
        slot->forgotten_us = now_us;
    if (mark == 0 || slot_get(slot, mark))
        slot_set(slot, 0, 0);
}

void workspace_table_forget(struct workspace_table *t, struct str name)
{
    uint64_t now_us = clock_us(), mark;
    char text[WORKSPACE_NAME_MAX + 1];

    if (!t)
        return;
    str_to_cstr(name, text, sizeof(text)); /* a longer one is nobody's */
    mark = scope_mark(text);
    pthread_mutex_lock(&t->lock);
    slot_forget(&t->slots[mark % SLOTS], mark, now_us);
    pthread_mutex_unlock(&t->lock);
}

void workspace_table_forget_all(struct workspace_table *t)
{
    uint64_t now_us = clock_us();

    if (!t)
        return;
    pthread_mutex_lock(&t->lock);
    for (size_t i = 0; i < SLOTS; i++)
        slot_forget(&t->slots[i], 0, now_us);
    pthread_mutex_unlock(&t->lock);
}
