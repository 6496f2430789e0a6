/*
 * heap: a thread whose freed memory goes back to the kernel at once.
 *
 * jemalloc keeps freed pages for ten seconds, for who asks next. That is right for requests, of which the
 * next one comes in a moment. Arrays that grow by doubling leave as much behind as they hold in the
 * end, and a flusher's window of 200 000 points has several: for them there is an arena of jemalloc's own
 * whose pages decay in no time. For the whole program (`oversize_threshold`) it halved what long msgpack
 * streams reach, whose blocks are as large (docs/performance.md).
 *
 * The symbol is weak: builds under a sanitizer have another allocator.
 */
#include "base/heap.h"

#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

int mallctl(const char *name, void *old, size_t *old_bytes, void *set, size_t set_bytes)
    __attribute__((weak));

bool heap_give_back(void)
{
    ssize_t at_once = 0;
    unsigned arena = 0;
    size_t bytes = sizeof(arena);
    char name[64];

    if (!mallctl || mallctl("arenas.create", &arena, &bytes, NULL, 0) != 0)
        return false;
    snprintf(name, sizeof(name), "arena.%u.dirty_decay_ms", arena);
    if (mallctl(name, NULL, NULL, &at_once, sizeof(at_once)) != 0)
        return false;
    snprintf(name, sizeof(name), "arena.%u.muzzy_decay_ms", arena);
    if (mallctl(name, NULL, NULL, &at_once, sizeof(at_once)) != 0)
        return false;
    return mallctl("thread.arena", NULL, NULL, &arena, sizeof(arena)) == 0;
}
