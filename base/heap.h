/*
 * heap: a thread whose freed memory goes back to the kernel at once.
 *
 * Any thread, for itself, before it allocates what is large. Without jemalloc nothing happens.
 */
#ifndef BASE_HEAP_H
#define BASE_HEAP_H

#include <stdbool.h>

/* False when there is no such heap: the thread keeps the one it has. */
bool heap_give_back(void);

#endif
