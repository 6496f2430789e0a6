/*
 * idmap: a hash map from byte strings to 64-bit values.
 *
 * Open addressing, linear probing, XXH3; grows by doubling at 3/4. Keys are borrowed: they must
 * outlive the map or idmap_reset(). One owner, one thread. Bounded by whoever bounds what is put
 * in.
 */
#ifndef BASE_IDMAP_H
#define BASE_IDMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

struct idmap_slot;

struct idmap {
    /* private */
    struct idmap_slot *slots;
    size_t cap; /* power of two, or 0 */
    size_t count;
};

void idmap_init(struct idmap *m);
void idmap_fini(struct idmap *m);
/* Forgets all keys, keeps the memory. */
void idmap_reset(struct idmap *m);
size_t idmap_count(const struct idmap *m);
/* Where key's value stands; a new key gets value 0 and *is_new. Valid until the next put. */
uint64_t *idmap_put(struct idmap *m, struct str key, bool *is_new);
/* NULL when absent. */
uint64_t *idmap_get(const struct idmap *m, struct str key);
/* True when the key was there. */
bool idmap_remove(struct idmap *m, struct str key);

#endif
