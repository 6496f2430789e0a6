/*
 * input: where a request's parameters come from.
 *
 *   GET with a parameter in the query: the query. Names are m's snake_case ones, the first value
 *       counts, a repeated field takes all; everything is a string. So the query is written down
 *       as the JSON object that MLflow makes of it, and binding has one kind of source.
 *   otherwise: the body, whatever the method; POST must say that it is JSON. A string in it is read a second time, for clients of
 *       long ago. What is no JSON counts as an empty object.
 *
 * A body that is an array, a number or a boolean, or a string that holds no object, stops MLflow
 * with an HTML page and status 500; here it is ERR_BAD_PARAM.
 *
 * Percent-encoding: a sequence that is no UTF-8 stays as it was sent; runs of raw non-ASCII bytes
 * are kept apart from it.
 */
#include "ingest/input.h"

#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "ingest/python.h"
#include "schema/errors.h"

err_t input_check_type(const struct bind_input *in, struct fail *f)
{
    struct str rest = in->content_type;

    if (in->is_get || in->any_type)
        return OK;
    if (!in->has_content_type)
        return fail_str(f, ERR_BAD_PARAM, STR("Bad Request. Content-Type header is missing."));
    if (!str_eq(str_cut(&rest, ';'), STR("application/json")))
        return fail_str(f, ERR_BAD_PARAM,
                        STR("Bad Request. Content-Type must be one of ['application/json']."));
    return OK;
}

bool input_is_msgpack(const struct bind_input *in)
{
    struct str rest = in->content_type;

    return !in->is_get && in->has_content_type &&
           str_eq(str_cut(&rest, ';'), STR("application/msgpack"));
}

/* -- query --------------------------------------------------------------------------------- */

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'                     ? c - '0'
           : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10
                                                    : -1;
}

/* Appends bytes, what is no UTF-8 percent-encoded again. */
static void input_requote(struct buf *out, struct str bytes)
{
    const unsigned char *p = (const unsigned char *)bytes.p;
    size_t i = 0;

    while (i < bytes.n) {
        size_t len = python_utf8(p + i, bytes.n - i);

        if (len)
            buf_add(out, p + i, len);
        else
            buf_printf(out, "%%%02X", p[i]);
        i += len ? len : 1;
    }
}

/* urllib's unquote_plus with MLflow's treatment of bytes that are no UTF-8. */
static struct str input_unquote(struct arena *a, struct str s)
{
    struct buf out;
    char *run = arena_alloc(a, s.n);
    struct str text;
    size_t i = 0;

    buf_init(&out);
    while (i < s.n) {
        bool is_ascii = (unsigned char)s.p[i] < 0x80;
        size_t n = 0;

        for (; i < s.n && ((unsigned char)s.p[i] < 0x80) == is_ascii; i++) {
            int high = s.p[i] == '%' && s.n - i > 2 ? hex_digit(s.p[i + 1]) : -1;
            int low = high >= 0 ? hex_digit(s.p[i + 2]) : -1;

            if (low >= 0) {
                run[n++] = (char)(high << 4 | low);
                i += 2;
            } else {
                run[n++] = s.p[i] == '+' ? ' ' : s.p[i];
            }
        }
        input_requote(&out, (struct str){run, n});
    }
    text = arena_dup(a, buf_str(&out));
    buf_fini(&out);
    return text;
}

struct input_pair *input_query(struct arena *a, struct str query, size_t *count)
{
    struct input_pair *items;
    size_t most = 1, n = 0;

    for (size_t i = 0; i < query.n; i++)
        most += query.p[i] == '&';
    items = arena_array(a, most, sizeof(*items));
    while (query.n) {
        struct str piece = str_cut(&query, '&');
        struct str name;

        if (piece.n == 0) /* is none */
            continue;
        name = str_cut(&piece, '=');
        items[n++] = (struct input_pair){input_unquote(a, name), input_unquote(a, piece)};
    }
    *count = n;
    return items;
}

static err_t input_bool(struct json *j, struct str value, struct fail *f)
{
    bool is_true = str_ieq(value, STR("true"));

    if (!is_true && !str_ieq(value, STR("false")))
        return fail(f, ERR_BAD_PARAM, "Invalid boolean value: %.*s, must be 'true' or 'false'.",
                    STR_ARG(value));
    json_bool(j, is_true);
    return OK;
}

/* Writes the field as JSON when the query has it. */
static err_t input_query_field(struct json *j, const struct bind_field *field,
                               const struct input_pair *items, size_t n, struct fail *f)
{
    bool is_list = field->kind == BIND_STRINGS || field->kind == BIND_MESSAGES;
    bool is_found = false;
    err_t e = OK;

    for (size_t i = 0; i < n && !e && (is_list || !is_found); i++) {
        if (!str_eq(items[i].name, field->name))
            continue;
        if (!is_found) {
            json_key_str(j, field->name);
            if (is_list)
                json_open_list(j);
        }
        is_found = true;
        if (field->kind == BIND_BOOL)
            e = input_bool(j, items[i].value, f);
        else
            json_str(j, items[i].value);
    }
    if (is_found && is_list)
        json_close_list(j);
    return e;
}

static err_t input_from_query(struct arena *a, const struct input_pair *items, size_t n,
                              const struct bind_message *m, yyjson_val **root, struct fail *f)
{
    struct document_error why;
    struct json j;
    struct buf text;
    err_t e = OK;

    buf_init(&text);
    json_init(&j, &text, JSON_COMPACT);
    json_open(&j);
    for (size_t i = 0; i < m->nfields && !e; i++)
        e = input_query_field(&j, &m->fields[i], items, n, f);
    if (!e) {
        json_close(&j);
        *root = document_read_plain(a, buf_str(&text), &why);
        check(*root != NULL);
    }
    buf_fini(&text);
    return e;
}

/* -- body ---------------------------------------------------------------------------------- */

static err_t input_from_body(struct arena *a, const struct bind_input *in, yyjson_val **root,
                             struct document_error *why, struct fail *f)
{
    struct document_ahead here = {.why = *why};
    const struct document_ahead *read = in->ahead ? in->ahead : &here;

    if (read == &here)
        document_read_ahead(a, in->body, &here);
    *root = read->root;
    *why = read->why;
    if (yyjson_is_null(*root)) {
        *why = (struct document_error){"it is null", 0};
        *root = NULL;
    }
    if (yyjson_is_str(*root)) {
        *root = read->inner;
        *why = read->inner_why;
        if (*root == NULL)
            return fail(f, ERR_BAD_PARAM,
                        "The request body is a JSON string that holds no JSON object: %s.",
                        why->text);
        if (yyjson_is_null(*root))
            *root = document_read_plain(a, STR("{}"), why);
    }
    if (*root && !yyjson_is_obj(*root))
        return fail(f, ERR_BAD_PARAM, "The request body must be a JSON object. Got a %s.",
                    yyjson_is_arr(*root)    ? "list"
                    : yyjson_is_str(*root)  ? "string"
                    : yyjson_is_bool(*root) ? "boolean"
                                            : "number");
    return OK;
}

err_t input_read(struct arena *a, const struct bind_input *in, const struct bind_message *m,
                 yyjson_val **root, struct document_error *why, struct fail *f)
{
    size_t n;
    err_t e;

    if (in->is_get && in->query.n) {
        const struct input_pair *items = input_query(a, in->query, &n);

        if (n > 0)
            return input_from_query(a, items, n, m, root, f);
    }
    if ((e = input_check_type(in, f)))
        return e;
    return input_from_body(a, in, root, why, f);
}
