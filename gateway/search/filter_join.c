/*
 * filter_join: a statement's tokens, joined.
 *
 * sqlparse groups comparisons but for IN, IS NULL, IS NOT NULL and NOT IN, so MLflow joins these
 * itself. It takes three or four tokens at a time from where an identifier begins, and when they are
 * none of the four it goes on behind them: that habit decides what is refused, and is kept.
 */
#include "gateway/search/filter_join.h"

#include <string.h>

enum filter_op filter_op_of(struct str text)
{
    static const char *const names[] = {[OP_EQ] = "=",
                                        [OP_NE] = "!=",
                                        [OP_LT] = "<",
                                        [OP_LE] = "<=",
                                        [OP_GT] = ">",
                                        [OP_GE] = ">=",
                                        [OP_LIKE] = "LIKE",
                                        [OP_ILIKE] = "ILIKE",
                                        [OP_IN] = "IN",
                                        [OP_NOT_IN] = "NOT IN",
                                        [OP_IS_NULL] = "IS NULL",
                                        [OP_IS_NOT_NULL] = "IS NOT NULL"};

    for (size_t i = 0; i < array_len(names); i++) {
        if (str_eq(text, str_of(names[i])))
            return (enum filter_op)i;
    }
    return OP_OTHER;
}

/* Its letters are ASCII, or U+0131 and U+017F; others stay. */
struct str filter_upper(struct arena *a, struct str s)
{
    char *out = arena_alloc(a, s.n + 1);
    size_t n = 0;

    for (size_t i = 0; i < s.n; i++) {
        struct str rest = str_skip(s, i);
        char c = s.p[i];

        if (str_starts(rest, STR("\xC4\xB1")) || str_starts(rest, STR("\xC5\xBF"))) {
            c = (unsigned char)c == 0xC4 ? 'I' : 'S';
            i++;
        } else if (c >= 'a' && c <= 'z') {
            c = (char)(c - 0x20);
        }
        out[n++] = c;
    }
    return (struct str){out, n};
}

static void filter_take_comparison(struct str text, const struct filter_node *n, struct joined *j)
{
    j->node = NULL;
    j->parts.whole = n;
    for (uint32_t i = 0; i < n->count; i++) {
        const struct filter_node *part = n->tokens[i];

        if (filter_node_is_space(part))
            continue;
        j->parts.count++;
        if (j->parts.count == 1)
            j->parts.left = part;
        else if (j->parts.count == 2)
            j->parts.op = filter_node_text(text, part);
        else if (j->parts.count == 3)
            j->parts.right = part;
    }
}

static void filter_take(struct str text, const struct filter_node *n, struct joined *j)
{
    memset(j, 0, sizeof(*j));
    j->node = n;
    if (n->class == GROUP_COMPARISON)
        filter_take_comparison(text, n, j);
}

/* IN, IS NULL, IS NOT NULL, NOT IN at t[0], n tokens being left; how many tokens it takes, or 0. */
static size_t filter_join_at(struct str text, struct filter_node *const *t, size_t n,
                             struct joined *j)
{
    size_t taken = 3;

    memset(j, 0, sizeof(*j));
    j->parts = (struct compared){.left = t[0], .count = 3};
    if (filter_node_is(t[1], WORD_IN) && t[2]->class == GROUP_PARENTHESIS) {
        j->parts.op = filter_node_text(text, t[1]);
        j->parts.right = t[2];
    } else if (filter_node_is(t[1], WORD_IS) && filter_node_is(t[2], WORD_NULL)) {
        j->parts.op = STR("IS NULL");
    } else if (filter_node_is(t[1], WORD_IS) && filter_node_is(t[2], WORD_NOT_NULL)) {
        j->parts.op = STR("IS NOT NULL");
    } else if (n > 3 && filter_node_is(t[1], WORD_NOT) && filter_node_is(t[2], WORD_IN) &&
               t[3]->class == GROUP_PARENTHESIS) {
        j->parts.op = STR("NOT IN");
        j->parts.right = t[3];
        taken = 4;
    } else {
        return 0;
    }
    return taken;
}

size_t filter_join(struct arena *a, struct str text, const struct filter_node *statement,
                   struct joined *out)
{
    struct filter_node **t = arena_array(a, statement->count, sizeof(t[0]));
    size_t n = 0, count = 0, taken;

    for (uint32_t i = 0; i < statement->count; i++) {
        if (!filter_node_is_space(statement->tokens[i]))
            t[n++] = statement->tokens[i];
    }
    for (size_t i = 0; i < n; i += taken) {
        taken = 1;
        if (n - i >= 3 && t[i]->class == GROUP_IDENTIFIER) {
            taken = filter_join_at(text, t + i, n - i, &out[count]);
            if (taken) {
                count++;
                continue;
            }
            taken = n - i < 4 ? 3 : 4;
        }
        for (size_t k = 0; k < taken; k++)
            filter_take(text, t[i + k], &out[count++]);
    }
    return count;
}
