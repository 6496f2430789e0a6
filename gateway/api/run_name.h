/*
 * run_name: names and ids for new runs.
 *
 * Any thread; the random bytes are the kernel's.
 */
#ifndef GATEWAY_RUN_NAME_H
#define GATEWAY_RUN_NAME_H

#include "base/arena.h"
#include "base/str.h"

/* A random UUID (version 4) as 32 hex digits. */
struct str run_name_id(struct arena *a);
/* adjective-noun-number, at most 20 characters. */
struct str run_name_make(struct arena *a);

#endif
