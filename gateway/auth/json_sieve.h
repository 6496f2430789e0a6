/*
 * json_sieve: takes members out of JSON that streams by, and has others judged.
 *
 * sieve_init, then sieve_feed with bytes as they come; sieve_fini. One thread. What it holds is bounded by
 * SIEVE_JUDGED, however long the text is.
 */
#ifndef GATEWAY_JSON_SIEVE_H
#define GATEWAY_JSON_SIEVE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

enum { SIEVE_SEGMENTS = 6, SIEVE_RULES = 31, SIEVE_HELD = 131072, SIEVE_JUDGED = 1048576 };

enum sieve_verdict { SIEVE_STAYS, SIEVE_GOES, SIEVE_CHANGED };

struct yyjson_mut_doc;
/* What becomes of a value that is whole: the root of doc, which it may change. Only an element of a list may
 * go. about: sieve_init's. */
typedef enum sieve_verdict (*sieve_judge)(void *about, struct yyjson_mut_doc *doc);

/* Where a member stands that goes: names from the root on, "*" for each element of a list. A last one "=x"
 * takes elements out of a list: those that are objects whose member "key" is "x". Ends with NULL; nothing
 * else is the root itself. With a judge what stands there is not taken out but judged, and no other rule
 * looks into it. */
struct sieve_rule {
    const char *path[SIEVE_SEGMENTS + 1];
    sieve_judge judge;
};

struct json_sieve {
    /* private */
    const struct sieve_rule *const *rules;
    struct sieve_level {
        bool is_list, has_some;
        uint32_t alive; /* bits of the rules that have come as far as this */
    } levels[SIEVE_SEGMENTS + 1];
    unsigned depth; /* levels that rules look into */
    uint32_t alive; /* of the value that comes next */
    size_t deeper;  /* containers around us that no rule looks into */
    int state;      /* enum sieve_state */
    bool is_string, is_escaped, is_scalar;
    bool is_dropped;   /* the value that comes, or we are in */
    bool is_held;      /* a value that goes or stays: its end tells */
    bool is_lost;      /* one was too long for its judge */
    sieve_judge judge; /* its own; NULL: by "key" */
    void *about;
    struct buf held; /* that, or the name of a member */
};

/* rules: those that hold, NULL behind them, SIEVE_RULES at most; they and about outlive it. */
void sieve_init(struct json_sieve *s, const struct sieve_rule *const *rules, void *about);
void sieve_fini(struct json_sieve *s);
/* Appends what stays to out. False: that is no JSON, or a value is too long to be judged; nothing is known of
 * it, and the rest must not go on. */
bool sieve_feed(struct json_sieve *s, struct str bytes, struct buf *out);

#endif
