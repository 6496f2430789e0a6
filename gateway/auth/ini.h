/*
 * ini: a file of sections and options, as Python's configparser reads it.
 *
 * Pure functions; any thread.
 */
#ifndef GATEWAY_INI_H
#define GATEWAY_INI_H

#include "base/arena.h"
#include "base/fail.h"
#include "base/str.h"

struct ini_option;

struct ini {
    /* private */
    struct ini_option *first, *last;
    struct arena *arena;
};

/* Reads text into a; ERR_SETTING says which line is none. */
must_check err_t ini_read(struct ini *ini, struct str text, struct arena *a, struct fail *f);
/* Has it such a section? */
bool ini_has_section(const struct ini *ini, struct str section);
/* The value of an option, interpolated; *out has p NULL when there is none. */
must_check err_t ini_get(const struct ini *ini, struct str section, struct str name,
                         struct str *out, struct fail *f);

#endif
