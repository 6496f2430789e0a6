/*
 * conf: the values a settings row may hold, from text and back.
 *
 * SIZE "64MiB" (bytes; B KiB MiB GiB TiB, plain = bytes), TIME "250ms" (microseconds; us ms s m h),
 * COUNT "16", BOOL "true|false|on|off|1|0|yes|no", TEXT anything. Used by schema/settings.c; any
 * thread.
 */
#ifndef BASE_CONF_H
#define BASE_CONF_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

must_check bool conf_size(struct str text, uint64_t *bytes);
must_check bool conf_time(struct str text, uint64_t *us);
must_check bool conf_count(struct str text, uint64_t *count);
must_check bool conf_bool(struct str text, bool *value);
/* The shortest text that reads back as the same value; out holds at least 32 bytes. */
void conf_show_size(uint64_t bytes, char out[32]);
void conf_show_time(uint64_t us, char out[32]);

/* Is that the name, dashes standing for underscores? */
bool conf_is_name(struct str given, struct str name);

#endif
