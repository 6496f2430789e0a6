/*
 * A letter is chosen when every kind of condition that was given fits: it has one of the ids, is of
 * the run, holds the words of --reason in its reason (letter case aside) or has it as its SQLSTATE,
 * and was refused no earlier than --since says. --since takes a time that has passed (90s, 2h) or
 * a moment in UTC: 2026-01-31, 2026-01-31T12:00, 2026-01-31T12:00:00Z.
 *
 * Letters are dropped by it, so what would fit all of them by mistake is refused: empty words (a
 * variable of the shell that is not set), a year before there were letters; and so is a day that
 * its month does not have.
 */
#define _GNU_SOURCE /* strptime, timegm, memmem */
#include "gateway/artifact/letter_choice.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/conf.h"
#include "schema/errors.h"

void letter_id_text(uint64_t id, char out[LETTER_ID])
{
    snprintf(out, LETTER_ID, "%016" PRIx64, id);
}

static bool choice_is_id(const char *word)
{
    return strlen(word) == LETTER_ID - 1 &&
           strspn(word, "0123456789abcdef") == (size_t)LETTER_ID - 1;
}

/* timegm makes 3 March of 31 February. */
static bool choice_is_day(const struct tm *tm)
{
    struct tm day = {.tm_year = tm->tm_year, .tm_mon = tm->tm_mon, .tm_mday = tm->tm_mday};

    return timegm(&day) >= 0 && day.tm_mday == tm->tm_mday;
}

static bool choice_moment(const char *text, int64_t *ms)
{
    static const char *const forms[] = {"%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M",
                                        "%Y-%m-%d"};

    for (size_t i = 0; i < array_len(forms); i++) {
        struct tm tm = {0};
        const char *end = strptime(text, forms[i], &tm);

        if (end && *end == 0 && choice_is_day(&tm)) {
            *ms = (int64_t)timegm(&tm) * 1000;
            return true;
        }
    }
    return false;
}

static err_t choice_since(struct letter_choice *c, const char *text, int64_t now_ms, struct fail *f)
{
    uint64_t us;

    if (conf_time(str_of(text), &us) && us / 1000 <= INT64_MAX) {
        c->since_ms = now_ms - (int64_t)(us / 1000);
        return OK;
    }
    if (choice_moment(text, &c->since_ms))
        return OK;
    return fail(f, ERR_SETTING, "--since %s: want a time such as 2h, or 2026-01-31T12:00:00Z",
                text);
}

err_t letter_choice_parse(struct letter_choice *c, int argc, char **argv, int64_t now_ms,
                          struct fail *f)
{
    err_t e;

    *c = (struct letter_choice){.ids = argv, .since_ms = INT64_MIN};
    for (int i = 0; i < argc; i++) {
        const char *word = argv[i];
        bool has_next = i + 1 < argc;

        if (strcmp(word, "--all") == 0) {
            c->is_all = true;
        } else if (strcmp(word, "--yes") == 0) {
            c->is_sure = true;
        } else if (strcmp(word, "--run") == 0 && has_next) {
            c->run = argv[++i];
        } else if (strcmp(word, "--reason") == 0 && has_next) {
            c->reason = argv[++i];
            if (!c->reason[0])
                return fail(f, ERR_SETTING, "--reason: want words of the reason, or a SQLSTATE");
        } else if (strcmp(word, "--since") == 0 && has_next) {
            if ((e = choice_since(c, argv[++i], now_ms, f)))
                return e;
        } else if (choice_is_id(word)) {
            argv[c->id_count++] = argv[i];
        } else {
            return fail(f, ERR_SETTING, "\"%s\" is not the id of a letter (16 hex digits)", word);
        }
    }
    return OK;
}

bool letter_choice_is_made(const struct letter_choice *c)
{
    return c->is_all || c->id_count || c->run || c->reason || c->since_ms != INT64_MIN;
}

static bool choice_has_words(struct str text, const char *words)
{
    size_t n = strlen(words);

    for (size_t i = 0; i + n <= text.n; i++) {
        if (str_ieq((struct str){text.p + i, n}, str_of(words)))
            return true;
    }
    return false;
}

static bool choice_has_id(const struct letter_choice *c, uint64_t id)
{
    char text[LETTER_ID];

    letter_id_text(id, text);
    for (int i = 0; i < c->id_count; i++) {
        if (strcmp(c->ids[i], text) == 0)
            return true;
    }
    return c->id_count == 0;
}

bool letter_choice_takes(const struct letter_choice *c, const struct deadletter *d)
{
    return d->time_ms >= c->since_ms && (!c->run || str_eq(d->run_id, str_of(c->run))) &&
           (!c->reason || str_eq(d->sqlstate, str_of(c->reason)) ||
            choice_has_words(d->reason, c->reason)) &&
           choice_has_id(c, deadletter_id(d));
}
