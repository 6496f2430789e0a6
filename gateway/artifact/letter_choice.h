/*
 * letter_choice: which dead letters a command is about, from its words.
 *
 * Plain data that points into the words. Any thread.
 */
#ifndef GATEWAY_LETTER_CHOICE_H
#define GATEWAY_LETTER_CHOICE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fail.h"
#include "schema/deadletter.h"

enum { LETTER_ID = 17 }; /* digits of an id, and the end */

struct letter_choice {
    char **ids; /* those words that are no flags, in place */
    int id_count;
    const char *run;    /* NULL = any */
    const char *reason; /* a part of the reason, or the SQLSTATE; NULL = any */
    int64_t since_ms;   /* refused then or later */
    bool is_all;
    bool is_sure; /* --yes */
};

/* Takes words such as ID... --run ID --reason TEXT --since 2h --all --yes; now_ms is the time that
 * --since counts back from. Sorts argv. */
must_check err_t letter_choice_parse(struct letter_choice *c, int argc, char **argv, int64_t now_ms,
                                     struct fail *f);
/* Does it name anything? */
bool letter_choice_is_made(const struct letter_choice *c);
bool letter_choice_takes(const struct letter_choice *c, const struct deadletter *d);
/* An id as it is shown and asked for. */
void letter_id_text(uint64_t id, char out[LETTER_ID]);

#endif
