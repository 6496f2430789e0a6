/*
 * model_filter: the filter and order of a search of logged models, to its statement, and its page
 * tokens.
 *
 * Input: lines. Those that begin with "order " are fields of order_by, the first that begins with
 * "token " is a page token, the others together are the filter.
 */
#include "gateway/search/model_filter.h"

#include "base/buf.h"
#include "gateway/search/model_search.h"
#include "gateway/search/model_token.h"
#include "schema/errors.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/query.h"

enum { ORDERS_MAX = 16 };

/* The statement does not depend on the client's texts. */
static void check_search(struct arena *a, struct model_search *s, struct model_clause *clauses)
{
    struct query q, r;
    struct fail f;
    err_t e;

    fail_init(&f, a);
    if ((e = model_search_query(a, s, &q, &f))) {
        fuzz_check_refusal(e, &f);
        return;
    }
    fuzz_check_query(&q);
    for (size_t i = 0; i < s->clauses_count; i++) {
        if (clauses[i].entity != ENTITY_ATTRIBUTE)
            clauses[i].key = STR("other");
        if (clauses[i].kind == MODEL_TEXT)
            clauses[i].text = STR("other");
    }
    if (model_search_query(a, s, &r, &f) == OK)
        check(strcmp(q.text, r.text) == 0 && q.nvalues == r.nvalues);
}

static void check_token(struct arena *a, struct str text, const struct model_token *t)
{
    int64_t offset = -1, again = -1;
    struct fail f;
    err_t e;

    fail_init(&f, a);
    if ((e = model_token_read(a, text, t, &offset, &f)))
        fuzz_check_refusal(e, &f);
    else
        check(offset >= 0);
    check(model_token_read(a, model_token_make(a, t, 12), t, &again, &f) == OK && again == 12);
}

static void fuzz_one(struct arena *a, struct str in)
{
    static const int64_t ids[] = {1, 2};
    static const struct str id_texts[] = {STR_INIT("1"), STR_INIT("2")};
    struct model_order orders[ORDERS_MAX];
    struct model_search s = {
        .orders = orders, .experiment_ids = ids, .ids_count = 2, .limit = 10, .offset = 3};
    struct model_token t = {.experiment_ids = id_texts, .ids_count = 2, .orders = orders};
    struct model_clause *clauses = NULL;
    struct str token = {"", 0};
    struct buf text;
    struct fail f;
    err_t e;

    if (!fuzz_is_utf8(in))
        return; /* nothing else passes bind */
    buf_init(&text);
    fail_init(&f, a);
    while (in.n) {
        struct str line = fuzz_line(&in);

        if (str_starts(line, STR("order ")) && s.orders_count < ORDERS_MAX) {
            orders[s.orders_count] = (struct model_order){.field = str_skip(line, 6),
                                                          .is_descending = s.orders_count % 2};
            s.orders_count++;
        } else if (str_starts(line, STR("token ")) && token.n == 0) {
            token = str_skip(line, 6);
        } else {
            buf_add_str(&text, buf_len(&text) ? STR("\n") : STR(""));
            buf_add_str(&text, line);
        }
    }
    t.filter = buf_str(&text);
    t.orders_count = s.orders_count;
    check_token(a, token, &t);
    if ((e = model_filter_parse(a, t.filter, &clauses, &s.clauses_count, &f)) ||
        (e = model_filter_check(a, clauses, s.clauses_count, &f)) ||
        (e = model_search_check_order(a, orders, s.orders_count, &f)) ||
        (e = model_filter_fits(clauses, s.clauses_count, &f))) {
        fuzz_check_refusal(e, &f);
    } else {
        s.clauses = clauses;
        check_search(a, &s, clauses);
    }
    buf_fini(&text);
}
