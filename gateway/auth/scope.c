/*
 * scope: marks in the texts of statements, and what becomes of them.
 *
 * A mark stands in the text where the condition would stand, so that whoever reads a statement sees what
 * limits it, and there is one text for both ways to run: with workspaces off it comes out as if it had
 * never had a mark. Texts are made ready when they are prepared on a session, once, so marks cost a
 * statement nothing afterwards but the value.
 *
 * Which tables lie in workspaces is not listed a second time: all that MLflow's schema creates do, but for
 * those of scope_is_open. A statement that names one behind FROM, JOIN, INTO, UPDATE or USING and has no
 * mark at all is a mistake of this program and is never sent. A mark at the wrong place is not found that
 * way: the tests ask every route for things of another workspace.
 */
#include "gateway/auth/scope.h"

#include <ctype.h>
#include <pthread.h>
#include <string.h>
#include <sys/random.h>
#include <xxhash.h>

#include "base/str.h"
#include "schema/sql_files.h"

static uint64_t seed;

static void seed_make(void)
{
    check(getrandom(&seed, sizeof(seed), 0) == sizeof(seed));
}

uint64_t scope_mark(const char *workspace)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    uint64_t mark;

    check(pthread_once(&once, seed_make) == 0);
    mark = XXH3_64bits_withSeed(workspace, strlen(workspace), seed);
    return mark ? mark : 1;
}

bool scope_is_bound(const char *text)
{
    return strstr(text, SCOPE_NAME) != NULL;
}

/* The mark at the front of *text, which is cut off. */
static bool scope_cut(struct str *text, const char *mark)
{
    if (!str_starts(*text, str_of(mark)))
        return false;
    *text = str_skip(*text, strlen(mark));
    return true;
}

const char *scope_text(struct buf *out, const char *text, const int *place)
{
    struct str rest = str_of(text);
    bool is_kept = true;

    if (str_find(rest, '{') == rest.n)
        return text;
    buf_reset(out);
    while (rest.n) {
        if (scope_cut(&rest, "{+")) {
            is_kept = place != NULL;
        } else if (scope_cut(&rest, "+}")) {
            is_kept = true;
        } else if (scope_cut(&rest, SCOPE_NAME)) {
            if (is_kept && place)
                buf_printf(out, "$%d::text", *place);
            else if (is_kept)
                buf_add_str(out, STR("'" SCOPE_DEFAULT "'"));
        } else if (!scope_cut(&rest, SCOPE_FOUND)) {
            if (is_kept)
                buf_add_byte(out, rest.p[0]);
            rest = str_skip(rest, 1);
        }
    }
    buf_add_byte(out, '\0');
    return buf_str(out).p;
}

/* Tables of MLflow's that no workspace has a share in. */
static bool scope_is_open(struct str table)
{
    static const char *const open[] = {"alembic_version", "workspaces", "job_locks",
                                       "scheduler_leases"};

    for (size_t i = 0; i < array_len(open); i++) {
        if (str_eq(table, str_of(open[i])))
            return true;
    }
    return false;
}

/* MLflow's name of the table, as its schema spells it; NULL = none that lies in workspaces. */
static const char *scope_table(struct str word)
{
    const char *at = sql_mlflow;

    if (word.n == 0 || scope_is_open(word))
        return NULL;
    while ((at = strstr(at, "CREATE TABLE "))) {
        at += strlen("CREATE TABLE ");
        if (strncmp(at, word.p, word.n) == 0 && at[word.n] == ' ')
            return at;
    }
    return NULL;
}

static struct str scope_word(struct str *rest)
{
    struct str word = {rest->p, 0};

    while (word.n < rest->n && (isalnum((unsigned char)rest->p[word.n]) || rest->p[word.n] == '_'))
        word.n++;
    *rest = str_skip(*rest, word.n);
    return word;
}

static bool scope_is_before_table(struct str word)
{
    return str_eq(word, STR("FROM")) || str_eq(word, STR("JOIN")) || str_eq(word, STR("INTO")) ||
           str_eq(word, STR("UPDATE")) || str_eq(word, STR("USING"));
}

const char *scope_forgotten(const char *text)
{
    struct str rest = str_of(text);
    bool is_next = false;

    if (strstr(text, "{+") || strstr(text, SCOPE_NAME) || strstr(text, SCOPE_FOUND))
        return NULL;
    while (rest.n) {
        struct str word = scope_word(&rest);
        const char *table = is_next ? scope_table(word) : NULL;

        if (table)
            return table;
        if (word.n)
            is_next = scope_is_before_table(word);
        else
            rest = str_skip(rest, 1);
    }
    return NULL;
}
