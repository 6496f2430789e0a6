/* bind: what requests bind to, row by row against a stock MLflow's answers (bind_rows.def). */
#include "ingest/bind.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/json.h"

struct row {
    const struct bind_message *message;
    bool is_get;
    struct str input;
    struct str want;
};

#define ROW(message, body, want)  {&MSG_##message, false, STR_INIT(body), STR_INIT(want)},
#define OURS(message, body, want) ROW(message, body, want)
#define GET(message, query, want) {&MSG_##message, true, STR_INIT(query), STR_INIT(want)},
static const struct row rows[] = {
#include "tests/unit/bind_rows.def"
};

static void show_message(struct json *j, const struct bind_message *m, const char *msg);

/* The bound value of a field; nothing when it is unset. */
static void show_field(struct json *j, const struct bind_field *field, const char *msg)
{
    const void *at = msg + field->offset;
    const struct opt_str *text = at;
    const struct opt_f64 *real = at;
    const struct opt_i64 *integer = at;
    const struct list_str *texts = at;
    const struct list_any *list = at;
    char repr[JSON_DOUBLE_MAX];

    if (field->kind == BIND_STRING && text->is_set) {
        json_key_str(j, field->name);
        json_str(j, text->s);
    } else if (field->kind == BIND_DOUBLE && real->is_set) {
        json_key_str(j, field->name);
        json_str(j, (struct str){repr, json_repr_double(real->v, repr)});
    } else if (field->kind == BIND_MESSAGE) {
        json_key_str(j, field->name);
        show_message(j, field->message, msg + field->offset);
    } else if (field->kind == BIND_STRINGS && texts->n) {
        json_key_str(j, field->name);
        json_open_list(j);
        for (size_t i = 0; i < texts->n; i++)
            json_str(j, texts->items[i]);
        json_close_list(j);
    } else if (field->kind == BIND_MESSAGES && list->n) {
        json_key_str(j, field->name);
        json_open_list(j);
        for (size_t i = 0; i < list->n; i++)
            show_message(j, field->message, (const char *)list->items + i * field->message->size);
        json_close_list(j);
    } else if ((field->kind == BIND_INT64 || field->kind == BIND_INT32 ||
                field->kind == BIND_STATUS || field->kind == BIND_VIEW_TYPE) &&
               integer->is_set) {
        json_key_str(j, field->name);
        json_i64(j, integer->v);
    }
}

static void show_message(struct json *j, const struct bind_message *m, const char *msg)
{
    json_open(j);
    for (size_t i = 0; i < m->nfields; i++)
        show_field(j, &m->fields[i], msg);
    json_close(j);
}

static void test_rows_of_a_stock_server(void **state)
{
    unsigned wrong = 0;

    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        const struct row *row = &rows[i];
        struct bind_input in = {.is_get = row->is_get,
                                .has_content_type = !row->is_get,
                                .content_type = STR("application/json")};
        struct arena a;
        struct fail f;
        struct buf got;
        struct json j;
        void *msg;
        err_t e;

        arena_init(&a, 256);
        fail_init(&f, &a);
        buf_init(&got);
        if (row->is_get)
            in.query = row->input;
        in.body = row->is_get ? STR("{\"experiment_id\":\"body\"}") : row->input;
        msg = arena_alloc(&a, row->message->size);
        e = bind_request(&a, &in, row->message, msg, &f);
        if (e) {
            assert_int_equal(e, ERR_BAD_PARAM);
            buf_add_str(&got, f.text);
        } else {
            json_init(&j, &got, JSON_LINE);
            show_message(&j, row->message, msg);
        }
        if (!str_eq(buf_str(&got), row->want)) {
            wrong++;
            print_error("%s %.*s\n  got  %.*s\n  want %.*s\n", row->message->name,
                        STR_ARG(row->input), STR_ARG(buf_str(&got)), STR_ARG(row->want));
        }
        buf_fini(&got);
        arena_fini(&a);
    }
    assert_int_equal(wrong, 0);
    assert_true(array_len(rows) > 200);
}

static err_t bind_body(struct arena *a, struct str body, const struct bind_message *m, void *out,
                       struct fail *f)
{
    struct bind_input in = {
        .has_content_type = true, .content_type = STR("application/json"), .body = body};

    fail_init(f, a);
    return bind_request(a, &in, m, out, f);
}

/* A handler that forgets about NUL is safe; one that judges the text itself sees it. */
static void test_nul_is_refused_unless_the_row_says_later(void **state)
{
    struct msg_experiments_get_by_name name;
    struct msg_experiments_create create;
    struct msg_runs_search search;
    struct msg_set_tag tag;
    struct arena a;
    struct fail f;

    (void)state;
    arena_init(&a, 1024);
    assert_int_equal(bind_body(&a, STR("{\"experiment_name\":\"a\\u0000\"}"),
                               &MSG_experiments_get_by_name, &name, &f),
                     ERR_BAD_REQUEST);
    assert_int_equal(bind_body(&a, STR("{\"name\":\"a\",\"tags\":[{\"key\":\"\\u0000\"}]}"),
                               &MSG_experiments_create, &create, &f),
                     ERR_BAD_REQUEST);
    assert_int_equal(
        bind_body(&a, STR("{\"order_by\":[\"a\",\"\\u0000\"]}"), &MSG_runs_search, &search, &f),
        OK);
    assert_int_equal(search.order_by.items[1].n, 1);
    assert_int_equal(
        bind_body(&a, STR("{\"run_id\":\"r\",\"key\":\"a\\u0000\"}"), &MSG_set_tag, &tag, &f), OK);
    assert_int_equal(tag.key.s.n, 2);
    arena_fini(&a);
}

/* Nesting and text of any size cost neither stack nor a longer answer. */
static void test_hostile_bodies(void **state)
{
    struct msg_experiments_get m;
    struct buf body;
    struct arena a;
    struct fail f;

    (void)state;
    arena_init(&a, 1024);
    buf_init(&body);
    for (int i = 0; i < 200000; i++)
        buf_add_byte(&body, '[');
    assert_int_equal(bind_body(&a, buf_str(&body), &MSG_experiments_get, &m, &f), ERR_BAD_PARAM);
    for (int i = 0; i < 200000; i++)
        buf_add_byte(&body, ']');
    assert_int_equal(bind_body(&a, buf_str(&body), &MSG_experiments_get, &m, &f), ERR_BAD_PARAM);
    assert_true(str_starts(f.text, STR("Missing value for required parameter 'experiment_id'.")));
    buf_reset(&body);
    buf_add_str(&body, STR("{\"experiment_id\":[0"));
    for (int i = 0; i < 200000; i++)
        buf_add_str(&body, STR(",1"));
    buf_add_str(&body, STR("]}"));
    assert_int_equal(bind_body(&a, buf_str(&body), &MSG_experiments_get, &m, &f), ERR_BAD_PARAM);
    assert_true(f.text.n < NAMES_QUOTE_MAX + 300);
    buf_fini(&body);
    arena_fini(&a);
}

static void test_experiment_ids(void **state)
{
    int64_t v;

    (void)state;
    assert_true(bind_python_int(STR(" 1_0 "), &v));
    assert_true(v == 10);
    assert_false(bind_python_int(STR("1.0"), &v));
    assert_false(bind_python_int(STR("9223372036854775808"), &v));
    assert_false(bind_python_int(STR(""), &v));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_of_a_stock_server),
        cmocka_unit_test(test_nul_is_refused_unless_the_row_says_later),
        cmocka_unit_test(test_hostile_bodies),
        cmocka_unit_test(test_experiment_ids),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
