/*
 * filter: a search's filter and order, of every dialect, to the statement that finds the keys.
 *
 * Input: the dialect (runs, experiments, models, versions), a line; then lines. Those that begin
 * with "order " are items of order_by, the others together the filter.
 *
 * The statement must hold each value's place once and in order, and nothing of what the client
 * wrote: made again from clauses with other texts in them, it must be the same.
 */
#include "gateway/search/filter.h"

#include "base/buf.h"
#include "gateway/search/filter_lex.h"
#include "gateway/search/order.h"
#include "gateway/search/query.h"
#include "gateway/search/search_sql.h"
#include "schema/errors.h"
#include "schema/tune.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/query.h"

enum { ORDERS_MAX = 64 };

static const struct str dialects[] = {
    [FILTER_RUNS] = STR_INIT("runs"),
    [FILTER_EXPERIMENTS] = STR_INIT("experiments"),
    [FILTER_MODELS] = STR_INIT("models"),
    [FILTER_VERSIONS] = STR_INIT("versions"),
};

static enum filter_dialect dialect_named(struct str name)
{
    for (size_t i = 0; i < array_len(dialects); i++)
        if (str_eq(dialects[i], name))
            return (enum filter_dialect)i;
    return name.n ? (enum filter_dialect)((unsigned char)name.p[0] % array_len(dialects))
                  : FILTER_RUNS;
}

/* Tokens cover the text without a gap. */
static void check_tokens(struct str text)
{
    struct filter_token t;
    struct filter_lex l;
    size_t at = 0;

    filter_lex_init(&l, text);
    while (filter_lex_next(&l, &t)) {
        check(t.start == at && t.end > t.start);
        at = t.end;
    }
    check(at == text.n);
}

static err_t make_query(struct arena *a, enum filter_dialect d, const struct search *s,
                        struct query *q, struct fail *f)
{
    err_t e;

    switch (d) {
    case FILTER_RUNS:
        if (search_runs_has_top(s) && (e = search_runs_top(a, s, q, f)))
            return e;
        return search_runs_query(a, s, q, f);
    case FILTER_EXPERIMENTS: return search_experiments_query(a, s, VIEW_ALL, q, f);
    case FILTER_MODELS: return search_models_query(a, s, q, f);
    default: return search_versions_query(a, s, q, f);
    }
}

/* Is the key the client's own? Those of attributes and datasets name columns, and whether prompts
 * are asked for decides over the statement. */
static bool has_free_key(enum filter_entity entity, struct str key)
{
    return (entity == ENTITY_METRIC || entity == ENTITY_PARAM || entity == ENTITY_TAG) &&
           !str_eq(key, STR("mlflow.prompt.is_prompt"));
}

/* The same search with the client's texts replaced. */
static struct search replaced(struct arena *a, const struct search *s)
{
    struct clause *clauses = arena_array(a, s->clauses_count, sizeof(*clauses));
    struct order *orders = arena_array(a, s->orders_count, sizeof(*orders));
    struct search other = *s;

    for (size_t i = 0; i < s->clauses_count; i++) {
        clauses[i] = s->clauses[i];
        clauses[i].op_text = STR("?");
        if (!has_free_key(clauses[i].entity, clauses[i].key) && clauses[i].entity == ENTITY_TAG)
            continue;
        if (has_free_key(clauses[i].entity, clauses[i].key))
            clauses[i].key = STR("other");
        if (clauses[i].kind == VALUE_TEXT)
            clauses[i].text = STR("other");
        if (clauses[i].kind == VALUE_LIST) {
            clauses[i].list = arena_array(a, clauses[i].list_count, sizeof(struct str));
            for (size_t k = 0; k < clauses[i].list_count; k++)
                clauses[i].list[k] = STR("other");
        }
    }
    for (size_t i = 0; i < s->orders_count; i++) {
        orders[i] = s->orders[i];
        if (has_free_key(orders[i].entity, orders[i].key))
            orders[i].key = STR("other");
    }
    other.clauses = clauses;
    other.orders = orders;
    return other;
}

static void check_search(struct arena *a, enum filter_dialect d, const struct search *s)
{
    struct search other = replaced(a, s);
    struct query q, r;
    struct fail f;
    err_t e;

    fail_init(&f, a);
    if ((e = make_query(a, d, s, &q, &f))) {
        fuzz_check_refusal(e, &f);
        return;
    }
    fuzz_check_query(&q);
    check(!q.has_nul && q.lone.p == NULL);
    if (make_query(a, d, &other, &r, &f) == OK)
        check(strcmp(q.text, r.text) == 0 && q.nvalues == r.nvalues);
}

static void fuzz_one(struct arena *a, struct str in)
{
    enum filter_dialect d = dialect_named(fuzz_line(&in));
    struct str orders[ORDERS_MAX];
    static const int64_t ids[] = {1, 2};
    /* With the indexes of values, the statement depends on how long a value is. */
    struct search s = {.limit = 10,
                       .offset = 3,
                       .experiment_ids = ids,
                       .ids_count = 1 + in.n % 2,
                       .view = VIEW_ACTIVE_ONLY,
                       .is_tuned = in.n <= TUNE_VALUE_BYTES && in.n % 4 < 2};
    struct clause *clauses = NULL;
    struct order *order = NULL;
    struct buf text;
    size_t n = 0;
    struct fail f;
    err_t e;

    buf_init(&text);
    fail_init(&f, a);
    while (in.n) {
        struct str line = fuzz_line(&in);

        if (str_starts(line, STR("order ")) && n < ORDERS_MAX) {
            orders[n++] = str_skip(line, 6);
            continue;
        }
        buf_add_str(&text, buf_len(&text) ? STR("\n") : STR(""));
        buf_add_str(&text, line);
    }
    check_tokens(buf_str(&text));
    if ((e = filter_parse(a, d, buf_str(&text), &clauses, &s.clauses_count, &f)) ||
        (e = order_parse(a, d, orders, n, &order, &s.orders_count, &f)) ||
        (e = filter_check(a, d, clauses, s.clauses_count, &f))) {
        fuzz_check_refusal(e, &f);
    } else {
        s.clauses = clauses;
        s.orders = order;
        check_search(a, d, &s);
    }
    buf_fini(&text);
}
