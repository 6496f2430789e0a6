/*
 * order: MLflow 3.17.2's order_by clauses.
 *
 * sqlparse must see one name, with its direction, in the item; then shlex.split() cuts it at
 * blanks, with backticks turned into double quotes first. When there are two words the first,
 * without its quotes, is the identifier; when there is one, the identifier is the item as it was.
 * So `a b` in backticks with DESC behind it loses the backticks here and not in filter_identifier.
 *
 * The registry raises its errors where nothing catches them but the ones it makes itself; an open
 * quote there is an HTML page with status 500 in MLflow and ERR_BAD_PARAM here.
 */
#include "gateway/search/order.h"

#include "gateway/say.h"
#include "gateway/search/filter_split.h"
#include "ingest/names.h"
#include "ingest/python.h"
#include "schema/errors.h"
#include "schema/limits.h"

struct order_parser {
    struct arena *a;
    enum filter_dialect dialect;
    struct fail *f;
    const struct str *items;
    size_t n;
};

static err_t order_refuse(const struct order_parser *p, struct str item)
{
    return SAY(p->a, p->f, ERR_BAD_PARAM, STR("Invalid order_by clause '"), item,
               STR("'. Could not be parsed."));
}

/* -- shlex.split ------------------------------------------------------------------------------ */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* The first two words of text, with backticks as double quotes; *count is how many there are.
 * Returns Python's error, or NULL. */
static const char *order_words(struct arena *a, struct str text, struct str words[2], size_t *count)
{
    char *out = arena_alloc(a, text.n + 2);
    bool is_word = false;
    char quote = '\0';
    size_t start = 0, n = 0;

    *count = 0;
    for (size_t i = 0; i <= text.n; i++) {
        char c = i < text.n ? text.p[i] : ' ';

        c = c == '`' ? '"' : c;
        if (i == text.n && quote)
            return "No closing quotation";
        if (quote ? c == quote : c == '\'' || c == '"') {
            quote = quote ? '\0' : c;
            is_word = true;
        } else if (c == '\\' && quote != '\'') {
            char escaped;

            if (++i >= text.n)
                return "No escaped character";
            escaped = text.p[i] == '`' ? '"' : text.p[i];
            if (quote && escaped != '\\' && escaped != quote)
                out[n++] = '\\';
            out[n++] = escaped;
            is_word = true;
        } else if (quote == '\0' && is_blank(c)) {
            if (is_word && (*count)++ < 2)
                words[*count - 1] = (struct str){out + start, n - start};
            is_word = false;
            start = n;
        } else {
            out[n++] = c;
            is_word = true;
        }
    }
    return NULL;
}

/* -- one item --------------------------------------------------------------------------------- */

static bool order_is_timestamp(struct str item, const struct filter_node *n)
{
    return n->type == LEX_BUILTIN && str_eq(filter_node_text(item, n), STR("timestamp"));
}

/* The text that the item comes to: a name with its direction. False: it is something else. */
static bool order_text(const struct order_parser *p, struct str item,
                       const struct filter_node *statement, struct str *out)
{
    const struct filter_node *first = statement->tokens[0];
    const struct filter_node *last = statement->tokens[statement->count - 1];

    *out = filter_node_text(item, first);
    if (statement->count == 1 &&
        (first->class == GROUP_IDENTIFIER || order_is_timestamp(item, first)))
        return true;
    if (!order_is_timestamp(item, first) || last->type != LEX_ORDER)
        return false;
    for (uint32_t i = 1; i + 1 < statement->count; i++) {
        if (!filter_node_is_space(statement->tokens[i]))
            return false;
    }
    *out = SAY_TEXT(p->a, STR("timestamp "), filter_node_text(item, last));
    return true;
}

/* The identifier and direction of an item. */
static err_t order_split(const struct order_parser *p, struct str item, struct str *name,
                         bool *is_descending)
{
    struct filter_node *statement;
    struct str words[2];
    const char *error;
    size_t count;

    *is_descending = false;
    if (!filter_split(p->a, item, &statement, &count))
        return SAY(p->a, p->f, ERR_BAD_PARAM, STR("Error on parsing order_by clause '"), item,
                   STR("'"));
    if (count != 1 || !order_text(p, item, statement, name))
        return order_refuse(p, item);
    if ((error = order_words(p->a, *name, words, &count)) != NULL)
        return fail_str(p->f,
                        p->dialect == FILTER_MODELS || p->dialect == FILTER_VERSIONS ? ERR_BAD_PARAM
                                                                                     : ERR_INTERNAL,
                        str_of(error));
    if (count > 2)
        return order_refuse(p, item);
    if (count < 2)
        return OK;
    *name = words[0];
    *is_descending = str_ieq(words[1], STR("desc"));
    if (!*is_descending && !str_ieq(words[1], STR("asc")))
        return SAY(p->a, p->f, ERR_BAD_PARAM, STR("Invalid ordering key in order_by clause '"),
                   item, STR("'."));
    return OK;
}

/* str.strip() */
static struct str order_strip(struct str s)
{
    struct str rest = s;
    size_t end = 0;
    bool is_leading = true;

    while (rest.n) {
        bool is_space = python_is_space(python_next(&rest));

        if (is_space && is_leading) {
            s = rest;
            end = 0;
        } else if (!is_space) {
            is_leading = false;
            end = (size_t)(rest.p - s.p);
        }
    }
    return str_head(s, end);
}

static err_t order_model_item(const struct order_parser *p, struct str name, struct order *o)
{
    o->entity = ENTITY_ATTRIBUTE;
    if (str_eq(name, STR("name")))
        o->key = STR("name");
    else if (str_eq(name, STR("timestamp")) || str_eq(name, STR("last_updated_timestamp")))
        o->key = STR("last_updated_timestamp");
    else
        return SAY(p->a, p->f, ERR_BAD_PARAM, STR("Invalid order by key '"), name,
                   STR("' specified. Valid keys are '{'name', 'timestamp'}'"));
    return OK;
}

static err_t order_version_item(const struct order_parser *p, struct order *o)
{
    static const char *const keys[] = {"name", "version_number", "creation_timestamp",
                                       "last_updated_timestamp"};

    o->entity = ENTITY_ATTRIBUTE;
    for (size_t i = 0; i < array_len(keys); i++) {
        if (str_eq(o->key, str_of(keys[i])))
            return OK;
    }
    return SAY(p->a, p->f, ERR_BAD_PARAM, STR("Invalid order by key '"), o->key,
               STR("' specified. Valid keys are {'name', 'version_number', 'creation_timestamp', "
                   "'last_updated_timestamp'}"));
}

static err_t order_item(const struct order_parser *p, struct str item, struct order *o)
{
    struct str name;
    err_t e = order_split(p, item, &name, &o->is_descending);

    if (e)
        return e;
    name = order_strip(name);
    if (p->dialect == FILTER_MODELS)
        return order_model_item(p, name, o);
    e = filter_identifier(p->a, p->dialect, true, name, &o->entity, &o->key, p->f);
    if (e)
        return e;
    if (p->dialect == FILTER_VERSIONS)
        return order_version_item(p, o);
    if (p->dialect == FILTER_EXPERIMENTS && o->entity != ENTITY_ATTRIBUTE)
        return fail_str(p->f, ERR_BAD_PARAM, STR("Invalid order_by entity: tag"));
    if (o->entity == ENTITY_DATASET)
        return fail_str(p->f, ERR_BAD_PARAM, STR("Invalid identifier type 'dataset'"));
    if (o->entity == ENTITY_ATTRIBUTE)
        o->key = filter_canonical(o->key);
    return OK;
}

/* -- the list --------------------------------------------------------------------------------- */

enum { ORDER_HASH_BITS = 10 };

/* Which fields there were, so that a long list is not compared pair by pair. */
struct order_set {
    struct order_entry {
        const struct order *order;
        struct order_entry *next;
    } * buckets[1 << ORDER_HASH_BITS];
};

/* False: it is there already. */
static bool order_set_add(struct arena *a, struct order_set *s, const struct order *o)
{
    struct order_entry *entry;
    uint32_t h = 2166136261u ^ (uint32_t)o->entity;

    for (size_t i = 0; i < o->key.n; i++)
        h = (h ^ (unsigned char)o->key.p[i]) * 16777619u;
    h = (h ^ h >> 15) & ((1u << ORDER_HASH_BITS) - 1);
    for (entry = s->buckets[h]; entry; entry = entry->next) {
        if (entry->order->entity == o->entity && str_eq(entry->order->key, o->key))
            return false;
    }
    entry = arena_alloc(a, sizeof(*entry));
    *entry = (struct order_entry){o, s->buckets[h]};
    s->buckets[h] = entry;
    return true;
}

err_t order_parse(struct arena *a, enum filter_dialect d, const struct str *items, size_t n,
                  struct order **out, size_t *count, struct fail *f)
{
    struct order_parser p = {a, d, f, items, n};
    struct order_set *seen = n > 0 ? arena_zalloc(a, sizeof(*seen)) : NULL;
    size_t bytes = 0;

    *out = arena_zalloc(a, (n < ORDER_MAX ? n + 1 : ORDER_MAX + 1) * sizeof(**out));
    *count = 0;
    for (size_t i = 0; i < n; i++) {
        err_t e;

        bytes += items[i].n;
        if (bytes > LIMIT_FILTER)
            return order_refuse(&p, names_cut(items[i], NAMES_QUOTE_MAX));
        if ((e = order_item(&p, items[i], &(*out)[i])))
            return e;
        if (*count == ORDER_MAX)
            return fail_str(f, ERR_INTERNAL, STR("maximum recursion depth exceeded"));
        if (d != FILTER_EXPERIMENTS && !order_set_add(a, seen, &(*out)[i]))
            return SAY(a, f, ERR_INTERNAL, STR("`order_by` contains duplicate fields: "),
                       say_repr_list(a, items, n));
        (*count)++;
    }
    return OK;
}
