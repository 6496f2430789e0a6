/* graphql_parse: documents written back from their trees, what is refused, and the bounds. */
#include "gateway/graphql/graphql_parse.c"

#include "tests/unit/arena_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

/* -- a tree as text -------------------------------------------------------------------------- */

static void show_value(struct buf *out, const struct graphql_value *v)
{
    static const char open[] = "$dfsbne[{", close[] = "        ]}";

    if (v->name.p)
        buf_printf(out, "%.*s:", STR_ARG(v->name));
    buf_add_byte(out, open[v->kind]);
    if (v->kind < LITERAL_LIST) {
        buf_add_str(out, v->text);
        return;
    }
    for (const struct graphql_value *item = v->items; item; item = item->next) {
        show_value(out, item);
        buf_add_byte(out, ' ');
    }
    buf_add_byte(out, close[v->kind + 1]);
}

static void show_values(struct buf *out, const struct graphql_value *v)
{
    if (v == NULL)
        return;
    buf_add_byte(out, '(');
    for (; v; v = v->next) {
        show_value(out, v);
        if (v->next)
            buf_add_byte(out, ' ');
    }
    buf_add_byte(out, ')');
}

static void show_directives(struct buf *out, const struct graphql_directive *d)
{
    for (; d; d = d->next) {
        buf_printf(out, "@%.*s", STR_ARG(d->name));
        show_values(out, d->arguments);
    }
}

static void show_selections(struct buf *out, const struct graphql_selection *s)
{
    buf_add_byte(out, '{');
    for (; s; s = s->next) {
        if (s->kind == SELECT_SPREAD)
            buf_printf(out, "...%.*s%s", STR_ARG(s->name), s->fragment ? "" : "?");
        else if (s->kind == SELECT_INLINE)
            buf_printf(out, "...on %.*s", STR_ARG(s->name));
        else if (s->has_alias)
            buf_printf(out, "%.*s=%.*s", STR_ARG(s->key), STR_ARG(s->name));
        else
            buf_add_str(out, s->name);
        show_values(out, s->arguments);
        show_directives(out, s->directives);
        if (s->has_items)
            show_selections(out, s->items);
        if (s->next)
            buf_add_byte(out, ' ');
    }
    buf_add_byte(out, '}');
}

static void show_type(struct buf *out, const struct graphql_type *t)
{
    if (t->of) {
        buf_add_byte(out, '[');
        show_type(out, t->of);
        buf_add_byte(out, ']');
    } else {
        buf_add_str(out, t->name);
    }
    if (t->is_required)
        buf_add_byte(out, '!');
}

static struct str show(const struct graphql_document *doc)
{
    static const char kinds[] = "qmsf";
    struct buf out;
    struct str text;

    buf_init(&out);
    for (const struct graphql_definition *d = doc->definitions; d; d = d->next) {
        buf_printf(&out, "%c %.*s%s%.*s", kinds[d->kind], STR_ARG(d->name),
                   d->kind == DEFINE_FRAGMENT ? ":" : "", STR_ARG(d->condition));
        for (const struct graphql_variable *v = d->variables; v; v = v->next) {
            buf_printf(&out, " $%.*s:", STR_ARG(v->name));
            show_type(&out, v->type);
            if (v->fallback)
                show_value(&out, v->fallback);
            show_directives(&out, v->directives);
        }
        show_directives(&out, d->directives);
        show_selections(&out, d->items);
        if (d->next)
            buf_add_byte(&out, '\n');
    }
    text = arena_dup(&arena, buf_str(&out));
    buf_fini(&out);
    return text;
}

/* -- tests ----------------------------------------------------------------------------------- */

struct row {
    const char *text;
    const char *want;
};

static const struct row rows[] = {
    {"{a}", "q {a}"},
    {"query{a b,c}", "q {a b c}"},
    {"query query{query mutation fragment on}", "q query{query mutation fragment on}"},
    {"mutation M @d(x:1){a} subscription{b}", "m M@d(x:d1){a}\ns {b}"},
    {"{x:a(i:-1 f:1.5 s:\"t\" b:true n:null e:E v:$v l:[1[]] o:{p:{}q:[$w]})@d @e{__typename}}",
     "q {x=a(i:d-1 f:f1.5 s:st b:btrue n:nnull e:eE v:$v l:[d1 [] ] o:{p:{} q:[$w ] })@d@e"
     "{__typename}}"},
    {"query($a:T,$b:[T!]!=[1]@d $c:[[T]]={x:E}){a}", "q  $a:T $b:[T!]![d1 ]@d $c:[[T]]{x:eE }{a}"},
    {"{...F ...G@d ...on T@d{a} ...{b} ...@d{c}} fragment F on T@d{a}",
     "q {...F ...G?@d ...on T@d{a} ...on {b} ...on @d{c}}\nf F:T@d{a}"},
    {"fragment F on T{...F} fragment F on U{a}", "f F:T{...F}\nf F:U{a}"},
};

static const struct row refused[] = {
    {"", "Expected an operation or a fragment, found '<EOF>'"},
    {"{", "Expected Name, found '<EOF>'"},
    {"{}", "Expected Name, found '}'"},
    {"{a", "Expected Name, found '<EOF>'"},
    {"{a}}", "Expected an operation or a fragment, found '}'"},
    {"{a:}", "Expected Name, found '}'"},
    {"{a()}", "Expected Name, found ')'"},
    {"{a(x)}", "Expected ':', found ')'"},
    {"{a(x:)}", "Expected a value, found ')'"},
    {"{a(x:[1)}", "Expected a value, found ')'"},
    {"{a(x:{1})}", "Expected Name, found '1'"},
    {"{a{}}", "Expected Name, found '}'"},
    {"{...on}", "Expected Name, found '}'"},
    {"{...1}", "Expected '{', found '1'"},
    {"{a @}", "Expected Name, found '}'"},
    {"query(){a}", "Expected '$', found ')'"},
    {"query($a){a}", "Expected ':', found ')'"},
    {"query($a:){a}", "Expected Name, found ')'"},
    {"query($a:[T){a}", "Expected ']', found ')'"},
    {"query($a:T=$b){a}", "Expected a value, found '$'"},
    {"query Q", "Expected '{', found '<EOF>'"},
    {"fragment on on T{a}", "Expected the name of the fragment, found 'on'"},
    {"fragment F T{a}", "Expected 'on', found 'T'"},
    {"fragment F on{a}", "Expected Name, found '{'"},
    {"type T{a:B}", "Expected an operation or a fragment, found 'type'"},
    {"\"d\" {a}", "Expected an operation or a fragment, found '\"d\"'"},
    {"{a?}", "Unexpected character"},
};

static void test_trees_say_what_was_written(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        struct graphql_document doc;

        assert_int_equal(graphql_parse(&arena, str_of(rows[i].text), &doc, NULL), OK);
        assert_string_equal(arena_cstr(&arena, show(&doc)), rows[i].want);
    }
}

static void test_what_is_no_document_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_len(refused); i++) {
        struct graphql_document doc;
        struct fail f;

        fail_init(&f, &arena);
        assert_int_equal(graphql_parse(&arena, str_of(refused[i].text), &doc, &f), ERR_BAD_PARAM);
        assert_non_null(strstr(arena_cstr(&arena, f.text), refused[i].want));
    }
}

static void test_of_fragments_with_one_name_the_last_counts(void **state)
{
    struct graphql_document doc;

    (void)state;
    assert_int_equal(graphql_parse(&arena, str_of(rows[array_len(rows) - 1].text), &doc, NULL), OK);
    assert_ptr_equal(doc.definitions->items->fragment, doc.definitions->next);
}

/* n times before, then after n times. */
static struct str nested(const char *begin, const char *before, const char *middle,
                         const char *after, int n, const char *end)
{
    struct str text;
    struct buf out;

    buf_init(&out);
    buf_add_str(&out, str_of(begin));
    for (int i = 0; i < n; i++)
        buf_add_str(&out, str_of(before));
    buf_add_str(&out, str_of(middle));
    for (int i = 0; i < n; i++)
        buf_add_str(&out, str_of(after));
    buf_add_str(&out, str_of(end));
    text = arena_dup(&arena, buf_str(&out));
    buf_fini(&out);
    return text;
}

static void test_depth_is_bounded(void **state)
{
    enum { MOST = GRAPHQL_NESTING_MAX };
    struct graphql_document doc;

    (void)state;
    assert_int_equal(graphql_parse(&arena, nested("", "{a", "", "}", MOST, ""), &doc, NULL), OK);
    assert_int_equal(graphql_parse(&arena, nested("", "{a", "", "}", MOST + 1, ""), &doc, NULL),
                     ERR_BAD_PARAM);
    assert_int_equal(graphql_parse(&arena, nested("", "{...", "{a}", "}", MOST, ""), &doc, NULL),
                     ERR_BAD_PARAM);
    assert_int_equal(
        graphql_parse(&arena, nested("{a(x:", "[", "", "]", MOST - 1, ")}"), &doc, NULL), OK);
    assert_int_equal(
        graphql_parse(&arena, nested("{a(x:", "{y:", "1", "}", MOST, ")}"), &doc, NULL),
        ERR_BAD_PARAM);
    assert_int_equal(
        graphql_parse(&arena, nested("query($a:", "[", "T", "]", MOST, "){a}"), &doc, NULL), OK);
    assert_int_equal(
        graphql_parse(&arena, nested("query($a:", "[", "T", "]", MOST + 1, "){a}"), &doc, NULL),
        ERR_BAD_PARAM);
}

static void test_size_is_bounded(void **state)
{
    enum { BYTES = GRAPHQL_BYTES_MAX, OPERATIONS = GRAPHQL_OPERATIONS_MAX };
    struct graphql_document doc;

    (void)state;
    assert_int_equal(graphql_parse(&arena, nested("{a}", " ", "", "", BYTES - 3, ""), &doc, NULL),
                     OK);
    assert_int_equal(graphql_parse(&arena, nested("{a}", " ", "", "", BYTES - 2, ""), &doc, NULL),
                     ERR_BAD_PARAM);
    assert_int_equal(graphql_parse(&arena, nested("", "{a}", "", "", OPERATIONS, ""), &doc, NULL),
                     OK);
    assert_int_equal(
        graphql_parse(&arena, nested("", "{a}", "", "", OPERATIONS + 1, ""), &doc, NULL),
        ERR_BAD_PARAM);
}

/* Every cut of a document that holds all there is: never a crash, and only the whole is a document. */
static void test_cut_documents_are_refused(void **state)
{
    static const char whole[] =
        "query Q($a:[T!]!={b:[1 2.5 \"c\" E true null]}@d)@d(e:$a){f:g(h:$a){...F ...on T{i}}}";
    struct graphql_document doc;

    (void)state;
    for (size_t n = 0; n < sizeof(whole) - 1; n++)
        assert_int_equal(graphql_parse(&arena, (struct str){whole, n}, &doc, NULL), ERR_BAD_PARAM);
    assert_int_equal(graphql_parse(&arena, str_of(whole), &doc, NULL), OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trees_say_what_was_written),
        cmocka_unit_test(test_what_is_no_document_is_refused),
        cmocka_unit_test(test_of_fragments_with_one_name_the_last_counts),
        cmocka_unit_test(test_depth_is_bounded),
        cmocka_unit_test(test_size_is_bounded),
        cmocka_unit_test(test_cut_documents_are_refused),
    };

    return cmocka_run_group_tests(tests, arena_begin, arena_end);
}
