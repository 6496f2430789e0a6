/*
 * filter_group: sqlparse 0.6.1's grouping engine over arrays.
 *
 * sqlparse goes over the tree of a statement some twenty times; each pass gathers neighbours of one
 * kind into a group (parentheses, dotted names, comparisons, ...). Which comparison is seen, and
 * which tokens are left over for the message, depends on the order of the passes and on their
 * habits, so they are all here, in the same order:
 *
 *     comments (in filter_split) > [ ] > ( ) > CASE > IF > FOR > BEGIN > OVER > functions > WHERE
 *     > a.b > a[1] > names > ASC/DESC > :: > AT TIME ZONE > DATE '...' > operators > comparisons
 *     > AS > aliases > := > trailing comments > a, b > VALUES
 *
 * A pass that joins by a middle token (pass_join) walks a copy of the list as it was, while it
 * changes the list: position of a token = its index in the copy less what was gathered before. A
 * token inside a new group thus gets the place of the group, and that is relied on: it becomes the
 * left neighbour of what follows. struct edit keeps both views: [0, k) is done, the rest is the
 * copy from j on.
 *
 * No pass recurses: lists are noted from the outside in and visited from the inside out. Passes
 * without a token that could start them are skipped (filter_seen). The nesting limit is looked at
 * once, in the last pass that sqlparse looks at it in, because groups never go away.
 */
#include "gateway/search/filter_group.h"

#include <string.h>

#define NOWHERE UINT32_MAX

struct grouper {
    struct arena *a;
    struct filter_node *root;
    struct filter_node **copy; /* a list as it was before a pass */
    struct filter_node **work; /* lists to visit, outer before inner */
    uint32_t work_count;
    uint32_t work_cap;
    bool is_too_deep;
};

struct edit {
    struct grouper *g;
    struct filter_node *list;
    uint32_t k; /* list->tokens[0, k) is done */
    uint32_t j; /* g->copy[j, n) follows */
    uint32_t n;
    bool has_no_semicolon; /* as far as somebody has looked */
};

/* -- nodes ------------------------------------------------------------------------------------ */

struct str filter_node_text(struct str text, const struct filter_node *n)
{
    return (struct str){text.p + n->start, n->end - n->start};
}

bool filter_node_is_space(const struct filter_node *n)
{
    return n->type == LEX_WHITESPACE || n->type == LEX_NEWLINE;
}

bool filter_node_is(const struct filter_node *n, enum lex_word word)
{
    return n->type == LEX_KEYWORD && n->word == word;
}

static bool is_keyword(const struct filter_node *n)
{
    return n->type >= LEX_KEYWORD && n->type <= LEX_TZCAST;
}

static bool is_number(const struct filter_node *n)
{
    return n->type == LEX_INTEGER || n->type == LEX_FLOAT || n->type == LEX_HEXADECIMAL;
}

static bool is_any_name(const struct filter_node *n)
{
    return n->type == LEX_NAME || n->type == LEX_BUILTIN || n->type == LEX_PLACEHOLDER;
}

/* The plain types that may be operands. */
static bool is_value(const struct filter_node *n)
{
    return n->type == LEX_INTEGER || n->type == LEX_FLOAT || n->type == LEX_SINGLE ||
           n->type == LEX_SYMBOL || n->type == LEX_NAME || n->type == LEX_PLACEHOLDER;
}

struct filter_node *filter_node_new(struct arena *a, enum group_class class, uint32_t cap)
{
    struct filter_node *n = arena_zalloc(a, sizeof(*n));

    n->class = (uint8_t) class;
    n->cap = cap ? cap : 1;
    n->tokens = arena_array(a, n->cap, sizeof(struct filter_node *));
    return n;
}

void filter_node_add(struct arena *a, struct filter_node *n, struct filter_node *child)
{
    if (n->count == n->cap) {
        struct filter_node **more = arena_array(a, (size_t)n->cap * 2, sizeof(more[0]));

        memcpy(more, n->tokens, n->count * sizeof(more[0]));
        n->tokens = more;
        n->cap *= 2;
    }
    if (n->end == 0)
        n->start = child->start;
    n->end = child->end;
    n->tokens[n->count++] = child;
}

/* -- editing one list -------------------------------------------------------------------------- */

static void edit_begin(struct edit *e, struct grouper *g, struct filter_node *list)
{
    *e = (struct edit){.g = g, .list = list, .n = list->count};
    memcpy(g->copy, list->tokens, list->count * sizeof(list->tokens[0]));
}

static void edit_end(struct edit *e)
{
    while (e->j < e->n)
        e->list->tokens[e->k++] = e->g->copy[e->j++];
    e->list->count = e->k;
}

static uint32_t edit_count(const struct edit *e)
{
    return e->k + e->n - e->j;
}

static struct filter_node *edit_at(const struct edit *e, uint32_t pos)
{
    if (pos >= edit_count(e))
        return NULL;
    return pos < e->k ? e->list->tokens[pos] : e->g->copy[e->j + (pos - e->k)];
}

/* The next token that is not blank, after pos. */
static uint32_t edit_next(const struct edit *e, uint32_t pos)
{
    uint32_t count = edit_count(e);

    while (++pos < count) {
        if (!filter_node_is_space(edit_at(e, pos)))
            return pos;
    }
    return NOWHERE;
}

static uint32_t edit_previous(const struct edit *e, uint32_t pos)
{
    while (pos-- > 0) {
        if (!filter_node_is_space(edit_at(e, pos)))
            return pos;
    }
    return NOWHERE;
}

/* Gathers [from, to] into one node: a new one, or, to extend, the group at from when it is of that
 * class already (GROUP_LEAF stands for any class). */
static struct filter_node *edit_group(struct edit *e, uint32_t from, uint32_t to,
                                      enum group_class class, bool to_extend)
{
    struct filter_node **tokens = e->list->tokens;
    struct filter_node *n;
    uint32_t i = from;

    while (e->k <= to && e->j < e->n)
        tokens[e->k++] = e->g->copy[e->j++];
    if (to_extend && tokens[from]->class != GROUP_LEAF &&
        (tokens[from]->class == class || class == GROUP_LEAF)) {
        n = tokens[from];
        i++;
    } else {
        n = filter_node_new(e->g->a, class, to + 1 - from);
    }
    for (; i <= to; i++)
        filter_node_add(e->g->a, n, tokens[i]);
    memmove(tokens + from + 1, tokens + to + 1, (e->k - to - 1) * sizeof(tokens[0]));
    e->k -= to - from;
    tokens[from] = n;
    return n;
}

/* -- visiting ---------------------------------------------------------------------------------- */

static void work_push(struct grouper *g, struct filter_node *n)
{
    if (g->work_count == g->work_cap) {
        uint32_t cap = g->work_cap ? g->work_cap * 2 : 64;
        struct filter_node **more = arena_array(g->a, cap, sizeof(more[0]));

        if (g->work_count)
            memcpy(more, g->work, g->work_count * sizeof(more[0]));
        g->work = more;
        g->work_cap = cap;
    }
    g->work[g->work_count++] = n;
}

static void work_push_children(struct grouper *g, const struct filter_node *list,
                               enum group_class but)
{
    for (uint32_t i = 0; i < list->count; i++) {
        struct filter_node *n = list->tokens[i];

        if (n->class == GROUP_LEAF || n->class == but)
            continue;
        n->depth = (uint8_t)(list->depth + 1);
        if (n->depth > GROUP_DEPTH_MAX)
            g->is_too_deep = true;
        else
            work_push(g, n);
    }
}

/* Calls pass for all groups that are not within a group of class but, inner ones first: a pass may
 * put more into a group that is there already, and that is not looked at again. What is nested too
 * deep is left out: the statement is refused in the end. */
static void visit(struct grouper *g, enum group_class but,
                  void (*pass)(struct grouper *g, struct filter_node *list))
{
    g->work_count = 0;
    work_push(g, g->root);
    for (uint32_t i = 0; i < g->work_count; i++)
        work_push_children(g, g->work[i], but);
    for (uint32_t i = g->work_count; i-- > 0;)
        pass(g, g->work[i]);
}

/* -- passes that look for a beginning and an end
 * -------------------------------------------------- */

struct matching {
    enum group_class class;
    enum lex_type type;
    enum lex_word open, open_too, close;
};

static const struct matching matchings[] = {
    {GROUP_BRACKETS, LEX_PUNCTUATION, WORD_BRACKET_OPEN, WORD_NONE, WORD_BRACKET_CLOSE},
    {GROUP_PARENTHESIS, LEX_PUNCTUATION, WORD_PAREN_OPEN, WORD_NONE, WORD_PAREN_CLOSE},
    {GROUP_CASE, LEX_KEYWORD, WORD_CASE, WORD_NONE, WORD_END},
    {GROUP_IF, LEX_KEYWORD, WORD_IF, WORD_NONE, WORD_END_IF},
    {GROUP_FOR, LEX_KEYWORD, WORD_FOR, WORD_FOREACH, WORD_END_LOOP},
    {GROUP_BEGIN, LEX_KEYWORD, WORD_BEGIN, WORD_NONE, WORD_END},
};

static void group_matching(struct grouper *g, struct filter_node *list, const struct matching *m)
{
    uint32_t *opens = arena_array(g->a, list->count, sizeof(opens[0]));
    uint32_t opens_count = 0;
    struct edit e;

    edit_begin(&e, g, list);
    for (uint32_t i = 0; i < e.n; i++) {
        struct filter_node *n = g->copy[i];
        uint32_t pos = e.k;

        list->tokens[e.k++] = g->copy[e.j++];
        if (n->type != (uint8_t)m->type || n->word == WORD_NONE)
            continue;
        if (n->word == m->open || n->word == m->open_too)
            opens[opens_count++] = pos;
        else if (n->word == m->close && opens_count > 0)
            edit_group(&e, opens[--opens_count], pos, m->class, false);
    }
    edit_end(&e);
}

#define MATCHING(name, index)                                             \
    static void group_##name(struct grouper *g, struct filter_node *list) \
    {                                                                     \
        group_matching(g, list, &matchings[index]);                       \
    }
MATCHING(brackets, 0)
MATCHING(parenthesis, 1)
MATCHING(case, 2)
MATCHING(if, 3)
MATCHING(for, 4)
MATCHING(begin, 5)
#undef MATCHING

/* -- passes of their own kind
 * ----------------------------------------------------------------------- */

static void group_over(struct grouper *g, struct filter_node *list)
{
    struct filter_node *n;
    struct edit e;

    edit_begin(&e, g, list);
    for (uint32_t pos = 0; (n = edit_at(&e, pos)) != NULL; pos++) {
        uint32_t next;

        if (!filter_node_is(n, WORD_OVER) || (next = edit_next(&e, pos)) == NOWHERE)
            continue;
        n = edit_at(&e, next);
        if (n->class == GROUP_PARENTHESIS || is_any_name(n))
            edit_group(&e, pos, next, GROUP_OVER, false);
    }
    edit_end(&e);
}

static bool is_create_table(const struct filter_node *list)
{
    bool has_create = false, has_table = false, has_as = false;

    for (uint32_t i = 0; i < list->count; i++) {
        has_create = has_create || list->tokens[i]->word == WORD_CREATE;
        has_table = has_table || list->tokens[i]->word == WORD_TABLE;
        has_as = has_as || list->tokens[i]->word == WORD_AS;
    }
    return has_create && has_table && !has_as;
}

static void group_functions(struct grouper *g, struct filter_node *list)
{
    struct filter_node *n;
    struct edit e;

    if (is_create_table(list))
        return;
    edit_begin(&e, g, list);
    for (uint32_t pos = 0; (n = edit_at(&e, pos)) != NULL; pos++) {
        uint32_t next, over;

        if (!is_any_name(n) || (next = edit_next(&e, pos)) == NOWHERE)
            continue;
        if (edit_at(&e, next)->class != GROUP_PARENTHESIS)
            continue;
        over = edit_next(&e, next);
        if (over != NOWHERE && edit_at(&e, over)->class == GROUP_OVER)
            next = over;
        edit_group(&e, pos, next, GROUP_FUNCTION, false);
    }
    edit_end(&e);
}

static bool ends_where(const struct filter_node *n)
{
    if (n->type != LEX_KEYWORD)
        return false;
    switch (n->word) {
    case WORD_ORDER_BY:
    case WORD_GROUP_BY:
    case WORD_LIMIT:
    case WORD_UNION:
    case WORD_UNION_ALL:
    case WORD_EXCEPT:
    case WORD_INTERSECT:
    case WORD_HAVING:
    case WORD_RETURNING:
    case WORD_INTO: return true;
    default: return false;
    }
}

static void group_where(struct grouper *g, struct filter_node *list)
{
    bool is_closed = list->class == GROUP_PARENTHESIS || list->class == GROUP_BRACKETS;
    struct filter_node *n;
    struct edit e;

    edit_begin(&e, g, list);
    for (uint32_t pos = 0; (n = edit_at(&e, pos)) != NULL; pos++) {
        uint32_t end = pos;

        if (!filter_node_is(n, WORD_WHERE))
            continue;
        while ((n = edit_at(&e, ++end)) != NULL && !ends_where(n))
            ;
        /* Without an end it takes the rest, but not the bracket that closes the list. */
        end -= n == NULL && is_closed ? 2 : 1;
        edit_group(&e, pos, end, GROUP_WHERE, false);
    }
    edit_end(&e);
}

static void group_identifier(struct grouper *g, struct filter_node *list)
{
    for (uint32_t i = 0; i < list->count; i++) {
        struct filter_node *n = list->tokens[i];

        if (n->type != LEX_NAME && n->type != LEX_SYMBOL)
            continue;
        list->tokens[i] = filter_node_new(g->a, GROUP_IDENTIFIER, 1);
        filter_node_add(g->a, list->tokens[i], n);
    }
}

static void group_order(struct grouper *g, struct filter_node *list)
{
    struct filter_node *n;
    struct edit e;

    edit_begin(&e, g, list);
    for (uint32_t pos = 0; (n = edit_at(&e, pos)) != NULL; pos++) {
        uint32_t before;

        if (n->type != LEX_ORDER || (before = edit_previous(&e, pos)) == NOWHERE)
            continue;
        n = edit_at(&e, before);
        if (n->class == GROUP_IDENTIFIER || is_number(n)) {
            edit_group(&e, before, pos, GROUP_IDENTIFIER, false);
            pos = before;
        }
    }
    edit_end(&e);
}

static bool may_have_alias(const struct filter_node *n)
{
    return n->class == GROUP_PARENTHESIS || n->class == GROUP_FUNCTION || n->class == GROUP_CASE ||
           n->class == GROUP_IDENTIFIER || n->class == GROUP_OPERATION ||
           n->class == GROUP_COMPARISON || is_number(n);
}

static void group_aliased(struct grouper *g, struct filter_node *list)
{
    struct filter_node *n;
    struct edit e;

    edit_begin(&e, g, list);
    for (uint32_t pos = 0; (n = edit_at(&e, pos)) != NULL; pos++) {
        uint32_t next;

        if (!may_have_alias(n) || (next = edit_next(&e, pos)) == NOWHERE)
            continue;
        if (edit_at(&e, next)->class == GROUP_IDENTIFIER)
            edit_group(&e, pos, next, GROUP_IDENTIFIER, true);
    }
    edit_end(&e);
}

static void align_comments(struct grouper *g, struct filter_node *list)
{
    struct filter_node *n;
    struct edit e;

    edit_begin(&e, g, list);
    for (uint32_t pos = 0; (n = edit_at(&e, pos)) != NULL; pos++) {
        uint32_t before;

        if (n->class != GROUP_COMMENT || (before = edit_previous(&e, pos)) == NOWHERE)
            continue;
        if (edit_at(&e, before)->class != GROUP_LEAF) {
            edit_group(&e, before, pos, GROUP_LEAF, true);
            pos = before;
        }
    }
    edit_end(&e);
}

/* Only the statement itself. */
static void group_values(struct grouper *g)
{
    uint32_t start = NOWHERE, end = NOWHERE;
    struct edit e;

    edit_begin(&e, g, g->root);
    for (uint32_t pos = 0; pos < e.n; pos++) {
        if (start == NOWHERE && filter_node_is(g->copy[pos], WORD_VALUES))
            start = pos;
        if (start != NOWHERE && g->copy[pos]->class == GROUP_PARENTHESIS)
            end = pos;
    }
    if (end != NOWHERE)
        edit_group(&e, start, end, GROUP_VALUES, true);
    edit_end(&e);
}

/* -- passes that join by a middle token
 * --------------------------------------------------------- */

struct join {
    enum group_class class;
    bool to_extend;
    bool (*match)(const struct filter_node *n);
    bool (*may_precede)(const struct filter_node *n);
    bool (*may_follow)(const struct filter_node *n); /* n may be NULL */
    /* What is gathered; NULL: from the token before to the one after. Moves *from or *to. */
    void (*place)(struct edit *e, uint32_t pos, uint32_t *from, uint32_t *to);
};

static bool any_node(const struct filter_node *n)
{
    return n != NULL;
}

static bool always(const struct filter_node *n)
{
    (void)n;
    return true;
}

static bool match_period(const struct filter_node *n)
{
    return (n->type == LEX_PUNCTUATION && n->word == WORD_PERIOD) ||
           (n->type == LEX_OPERATOR && (n->word == WORD_ARROW || n->word == WORD_ARROW_TEXT));
}

static bool before_period(const struct filter_node *n)
{
    return n->class == GROUP_BRACKETS || n->class == GROUP_IDENTIFIER || n->type == LEX_NAME ||
           n->type == LEX_SYMBOL;
}

static void place_period(struct edit *e, uint32_t pos, uint32_t *from, uint32_t *to)
{
    const struct filter_node *n = *to == NOWHERE ? NULL : edit_at(e, *to);

    (void)from;
    if (n == NULL ||
        !(n->class == GROUP_BRACKETS || n->class == GROUP_FUNCTION || n->type == LEX_NAME ||
          n->type == LEX_SYMBOL || n->type == LEX_WILDCARD || n->type == LEX_SINGLE))
        *to = pos;
}

static bool match_array(const struct filter_node *n)
{
    return n->class == GROUP_BRACKETS;
}

static bool before_array(const struct filter_node *n)
{
    return n->class == GROUP_FUNCTION || before_period(n);
}

static void place_array(struct edit *e, uint32_t pos, uint32_t *from, uint32_t *to)
{
    (void)e;
    (void)from;
    *to = pos;
}

static bool match_cast(const struct filter_node *n)
{
    return n->type == LEX_PUNCTUATION && n->word == WORD_CAST;
}

static bool match_tzcast(const struct filter_node *n)
{
    return n->type == LEX_TZCAST;
}

static bool after_tzcast(const struct filter_node *n)
{
    return n != NULL && (filter_node_is(n, WORD_AS) || n->type == LEX_SINGLE);
}

static bool match_typed(const struct filter_node *n)
{
    return n->type == LEX_BUILTIN || filter_node_is(n, WORD_TIMESTAMP);
}

static bool match_typed_literal(const struct filter_node *n)
{
    return n->class == GROUP_TYPED_LITERAL;
}

static bool after_typed(const struct filter_node *n)
{
    return n != NULL && n->type == LEX_SINGLE;
}

static bool is_unit(const struct filter_node *n)
{
    return n != NULL && n->type == LEX_KEYWORD &&
           (n->word == WORD_DAY || n->word == WORD_HOUR || n->word == WORD_MINUTE ||
            n->word == WORD_MONTH || n->word == WORD_SECOND || n->word == WORD_YEAR);
}

static void place_typed(struct edit *e, uint32_t pos, uint32_t *from, uint32_t *to)
{
    (void)e;
    (void)to;
    *from = pos;
}

static bool match_operator(const struct filter_node *n)
{
    return n->type == LEX_OPERATOR || n->type == LEX_WILDCARD;
}

static bool is_comparable(const struct filter_node *n)
{
    return n->class == GROUP_PARENTHESIS || n->class == GROUP_FUNCTION ||
           n->class == GROUP_IDENTIFIER || n->class == GROUP_OPERATION ||
           n->class == GROUP_TYPED_LITERAL || is_value(n);
}

static bool is_operand(const struct filter_node *n)
{
    return n != NULL &&
           (n->class == GROUP_BRACKETS || is_comparable(n) ||
            filter_node_is(n, WORD_CURRENT_DATE) || filter_node_is(n, WORD_CURRENT_TIME) ||
            filter_node_is(n, WORD_CURRENT_TIMESTAMP));
}

static void place_operator(struct edit *e, uint32_t pos, uint32_t *from, uint32_t *to)
{
    (void)from;
    (void)to;
    edit_at(e, pos)->type = LEX_OPERATOR;
}

static bool match_comparison(const struct filter_node *n)
{
    return n->type == LEX_COMPARISON;
}

static bool is_compared(const struct filter_node *n)
{
    return n != NULL && (is_comparable(n) || (is_keyword(n) && n->word == WORD_NULL));
}

static bool match_as(const struct filter_node *n)
{
    return is_keyword(n) && n->word == WORD_AS;
}

static bool before_as(const struct filter_node *n)
{
    return !is_keyword(n) || n->word == WORD_NULL;
}

static bool after_as(const struct filter_node *n)
{
    return n != NULL && n->type != LEX_DML && n->type != LEX_DDL && n->type != LEX_CTE;
}

static bool match_assignment(const struct filter_node *n)
{
    return n->type == LEX_ASSIGNMENT;
}

static bool is_assigned(const struct filter_node *n)
{
    return n != NULL && n->type != LEX_KEYWORD;
}

/* It reaches to the end of the statement, if there is one. */
static void place_assignment(struct edit *e, uint32_t pos, uint32_t *from, uint32_t *to)
{
    const struct filter_node *n;

    (void)pos;
    (void)from;
    if (e->has_no_semicolon)
        return;
    for (uint32_t i = *to + 1; (n = edit_at(e, i)) != NULL; i++) {
        if (n->type == LEX_PUNCTUATION && n->word == WORD_SEMICOLON) {
            *to = i;
            return;
        }
    }
    e->has_no_semicolon = true;
}

static bool match_comma(const struct filter_node *n)
{
    return n->type == LEX_PUNCTUATION && n->word == WORD_COMMA;
}

static bool is_listed(const struct filter_node *n)
{
    return n != NULL && (n->class == GROUP_FUNCTION || n->class == GROUP_CASE ||
                         n->class == GROUP_IDENTIFIER || n->class == GROUP_COMPARISON ||
                         n->class == GROUP_IDENTIFIER_LIST || n->class == GROUP_OPERATION ||
                         is_value(n) || n->type == LEX_KEYWORD || n->type == LEX_WILDCARD);
}

/* A bracket or keyword that opens or closes the list itself is nobody's neighbour. */
static bool is_delimiter(const struct edit *e, const struct filter_node *n)
{
    if (e->list->class < GROUP_BRACKETS || e->list->class > GROUP_BEGIN)
        return false;
    return n != NULL && (n == edit_at(e, 0) || n == edit_at(e, edit_count(e) - 1));
}

static void pass_join(struct grouper *g, struct filter_node *list, const struct join *j)
{
    struct filter_node *before = NULL;
    uint32_t before_pos = 0;
    uint32_t first = 0;
    struct edit e;
    int64_t gathered = 0;

    while (first < list->count && !j->match(list->tokens[first]))
        first++;
    if (first == list->count)
        return;
    edit_begin(&e, g, list);
    for (uint32_t i = 0; i < e.n; i++) {
        struct filter_node *n = g->copy[i];
        uint32_t pos = (uint32_t)(i - gathered);
        uint32_t from, to;

        if (gathered > i || filter_node_is_space(n))
            continue;
        if (before && i >= first && j->match(n)) {
            struct filter_node *after;

            from = before_pos;
            to = edit_next(&e, pos);
            after = to == NOWHERE ? NULL : edit_at(&e, to);
            if (j->may_precede(before) && j->may_follow(after) && !is_delimiter(&e, before) &&
                !is_delimiter(&e, after)) {
                if (j->place)
                    j->place(&e, pos, &from, &to);
                before = edit_group(&e, from, to, j->class, j->to_extend);
                before_pos = from;
                gathered += to - from;
                continue;
            }
        }
        before = n;
        before_pos = pos;
    }
    edit_end(&e);
}

static const struct join join_period = {GROUP_IDENTIFIER, true,   match_period,
                                        before_period,    always, place_period};
static const struct join join_array = {GROUP_IDENTIFIER, true,   match_array,
                                       before_array,     always, place_array};
static const struct join join_cast = {GROUP_IDENTIFIER, true, match_cast, any_node, any_node, NULL};
static const struct join join_tzcast = {GROUP_IDENTIFIER, true,         match_tzcast,
                                        any_node,         after_tzcast, NULL};
static const struct join join_typed = {GROUP_TYPED_LITERAL, false,      match_typed, any_node,
                                       after_typed,         place_typed};
static const struct join join_unit = {
    GROUP_TYPED_LITERAL, true, match_typed_literal, any_node, is_unit, place_typed};
static const struct join join_operator = {GROUP_OPERATION, false,      match_operator,
                                          is_operand,      is_operand, place_operator};
static const struct join join_comparison = {GROUP_COMPARISON, false,       match_comparison,
                                            is_compared,      is_compared, NULL};
static const struct join join_as = {GROUP_IDENTIFIER, true, match_as, before_as, after_as, NULL};
static const struct join join_assignment = {GROUP_ASSIGNMENT, true,        match_assignment,
                                            is_assigned,      is_assigned, place_assignment};
static const struct join join_comma = {
    GROUP_IDENTIFIER_LIST, true, match_comma, is_listed, is_listed, NULL};

#define JOIN(name)                                                        \
    static void group_##name(struct grouper *g, struct filter_node *list) \
    {                                                                     \
        pass_join(g, list, &join_##name);                                 \
    }
JOIN(period)
JOIN(cast)
JOIN(tzcast)
JOIN(typed)
JOIN(unit)
JOIN(operator)
JOIN(comparison)
JOIN(as)
JOIN(assignment)
JOIN(comma)
#undef JOIN

/* -- the order of the passes
 * --------------------------------------------------------------------- */

static void group_blocks(struct grouper *g, const struct filter_seen *seen)
{
    if (seen->words[WORD_BRACKET_CLOSE])
        visit(g, GROUP_BRACKETS, group_brackets);
    if (seen->words[WORD_PAREN_CLOSE])
        visit(g, GROUP_PARENTHESIS, group_parenthesis);
    if (seen->words[WORD_CASE])
        visit(g, GROUP_CASE, group_case);
    if (seen->words[WORD_IF])
        visit(g, GROUP_IF, group_if);
    if (seen->words[WORD_FOR] || seen->words[WORD_FOREACH])
        visit(g, GROUP_FOR, group_for);
    if (seen->words[WORD_BEGIN])
        visit(g, GROUP_BEGIN, group_begin);
    if (seen->words[WORD_OVER])
        visit(g, GROUP_OVER, group_over);
    if (seen->words[WORD_PAREN_CLOSE])
        visit(g, GROUP_FUNCTION, group_functions);
    if (seen->words[WORD_WHERE])
        visit(g, GROUP_WHERE, group_where);
}

static void group_names(struct grouper *g, const struct filter_seen *seen)
{
    if (seen->words[WORD_PERIOD] || seen->words[WORD_ARROW] || seen->words[WORD_ARROW_TEXT])
        visit(g, GROUP_IDENTIFIER, group_period);
    pass_join(g, g->root, &join_array);
    visit(g, GROUP_IDENTIFIER, group_identifier);
    if (seen->types[LEX_ORDER])
        visit(g, GROUP_IDENTIFIER, group_order);
    if (seen->words[WORD_CAST])
        visit(g, GROUP_IDENTIFIER, group_cast);
    if (seen->types[LEX_TZCAST])
        visit(g, GROUP_IDENTIFIER, group_tzcast);
    if (seen->types[LEX_BUILTIN] || seen->words[WORD_TIMESTAMP]) {
        visit(g, GROUP_TYPED_LITERAL, group_typed);
        visit(g, GROUP_TYPED_LITERAL, group_unit);
    }
}

static void group_expressions(struct grouper *g, const struct filter_seen *seen)
{
    if (seen->types[LEX_OPERATOR] || seen->types[LEX_WILDCARD])
        visit(g, GROUP_OPERATION, group_operator);
    if (seen->types[LEX_COMPARISON])
        visit(g, GROUP_COMPARISON, group_comparison);
    if (seen->words[WORD_AS])
        visit(g, GROUP_IDENTIFIER, group_as);
    visit(g, GROUP_STATEMENT, group_aliased);
    if (seen->types[LEX_ASSIGNMENT])
        visit(g, GROUP_ASSIGNMENT, group_assignment);
    if (seen->types[LEX_COMMENT_SINGLE] || seen->types[LEX_COMMENT_OTHER])
        visit(g, GROUP_STATEMENT, align_comments);
}

bool filter_group(struct arena *a, struct filter_node *statement, const struct filter_seen *seen)
{
    struct grouper g = {.a = a, .root = statement};

    g.copy = arena_array(a, statement->count, sizeof(g.copy[0]));
    group_blocks(&g, seen);
    group_names(&g, seen);
    group_expressions(&g, seen);
    g.is_too_deep = false;
    visit(&g, GROUP_IDENTIFIER_LIST, group_comma);
    if (seen->words[WORD_VALUES])
        group_values(&g);
    return !g.is_too_deep;
}
