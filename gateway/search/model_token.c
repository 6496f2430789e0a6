/*
 * model_token: base64 of {"experiment_ids": [...], "filter_string": ..., "order_by": ...,
 * "offset": n}, as Python's json.dumps writes it.
 *
 * Reading compares documents: the token's parts against the same parts of the request's own token,
 * the first that differs is told, both sides in Python's repr. What MLflow breaks on with an HTML page (a
 * token whose padding is wrong, bytes that are no UTF-8, JSON that is no object) is ERR_BAD_PARAM
 * here.
 */
#include "gateway/search/model_token.h"

#include <math.h>
#include <string.h>

#include "base/base64.h"
#include "base/buf.h"
#include "base/json.h"
#include "gateway/say.h"
#include "ingest/document.h"
#include "ingest/json_error.h"
#include "ingest/names.h"
#include "ingest/python.h"
#include "schema/errors.h"

static void write_or_null(struct json *j, const char *key, struct str text)
{
    json_key(j, key);
    if (text.n)
        json_str(j, text);
    else
        json_null(j);
}

static void write_orders(struct json *j, const struct model_token *t)
{
    json_key(j, "order_by");
    if (t->orders_count == 0) {
        json_null(j);
        return;
    }
    json_open_list(j);
    for (size_t i = 0; i < t->orders_count; i++) {
        const struct model_order *o = &t->orders[i];

        json_open(j);
        json_pair_str(j, "field_name", o->field);
        json_key(j, "ascending");
        json_bool(j, !o->is_descending);
        write_or_null(j, "dataset_name", o->dataset_name);
        write_or_null(j, "dataset_digest", o->dataset_digest);
        json_close(j);
    }
    json_close_list(j);
}

static struct str token_text(struct arena *a, const struct model_token *t, int64_t offset)
{
    struct buf text;
    struct str copy;
    struct json j;

    buf_init(&text);
    json_init(&j, &text, JSON_LINE);
    json_open(&j);
    json_key(&j, "experiment_ids");
    json_open_list(&j);
    for (size_t i = 0; i < t->ids_count; i++)
        json_str(&j, t->experiment_ids[i]);
    json_close_list(&j);
    write_or_null(&j, "filter_string", t->filter);
    write_orders(&j, t);
    json_pair_i64(&j, "offset", offset);
    json_close(&j);
    copy = arena_dup(a, buf_str(&text));
    buf_fini(&text);
    return copy;
}

struct str model_token_make(struct arena *a, const struct model_token *t, int64_t offset)
{
    return base64_encode(a, token_text(a, t, offset));
}

/* -- reading ---------------------------------------------------------------------------------- */

/* `if not value` */
static bool is_false(yyjson_val *v)
{
    switch (yyjson_get_type(v)) {
    case YYJSON_TYPE_STR:
    case YYJSON_TYPE_ARR:
    case YYJSON_TYPE_OBJ: return unsafe_yyjson_get_len(v) == 0;
    case YYJSON_TYPE_NUM: return yyjson_get_num(v) == 0;
    case YYJSON_TYPE_BOOL: return !unsafe_yyjson_get_bool(v);
    case YYJSON_TYPE_RAW: return false;
    default: return true;
    }
}

/* str(v) */
static struct str show(struct arena *a, yyjson_val *v)
{
    struct buf text;
    struct str copy;

    if (v && yyjson_is_str(v))
        return names_cut(document_str(v), NAMES_QUOTE_MAX);
    buf_init(&text);
    if (v)
        document_repr(a, &text, v, NAMES_QUOTE_MAX);
    else
        buf_add_str(&text, STR("None"));
    copy = arena_dup(a, buf_str(&text));
    buf_fini(&text);
    return copy;
}

/* One part of the token against that of the request. What is false counts as absent. */
static err_t compare(struct arena *a, yyjson_val *wanted, yyjson_val *found, const char *key,
                     struct str what, struct fail *f)
{
    wanted = document_get(wanted, str_of(key));
    found = document_get(found, str_of(key));
    if (yyjson_is_null(wanted))
        wanted = NULL;
    if (yyjson_is_null(found) || (found && strcmp(key, "experiment_ids") != 0 && is_false(found)))
        found = NULL;
    if (wanted && found ? yyjson_equals(wanted, found) : wanted == found)
        return OK;
    return SAY(a, f, ERR_BAD_PARAM, what, STR(". Expected: "), show(a, wanted), STR(". Found: "),
               show(a, found));
}

static err_t out_of_range(struct fail *f)
{
    return fail_str(f, ERR_BAD_REQUEST,
                    STR("(psycopg.errors.NumericValueOutOfRange) bigint out of range"));
}

/* int(offset) */
static err_t read_offset(struct arena *a, yyjson_val *v, int64_t *offset, struct fail *f)
{
    double d = yyjson_is_real(v) ? unsafe_yyjson_get_real(v) : 0;

    *offset = 0;
    if (is_false(v))
        return OK;
    if (yyjson_is_ctn(v))
        return fail(f, ERR_INTERNAL,
                    "int() argument must be a string, a bytes-like object or a real number, not "
                    "'%s'",
                    document_type(v));
    if (yyjson_is_str(v)) {
        switch (python_int(document_str(v), offset)) {
        case PYTHON_INT: break;
        case PYTHON_BIG_INT: return out_of_range(f);
        default:
            return SAY(a, f, ERR_INTERNAL, STR("invalid literal for int() with base 10: "),
                       say_repr(a, names_cut(document_str(v), NAMES_QUOTE_MAX)));
        }
    } else if (isnan(d)) {
        return fail_str(f, ERR_INTERNAL, STR("cannot convert float NaN to integer"));
    } else if (isinf(d) || (yyjson_is_raw(v) && !document_is_big_int(v))) {
        return fail_str(f, ERR_INTERNAL, STR("cannot convert float infinity to integer"));
    } else if (yyjson_is_raw(v) || fabs(d) >= 0x1p63 ||
               (yyjson_is_uint(v) && unsafe_yyjson_get_uint(v) > INT64_MAX)) {
        return out_of_range(f);
    } else {
        *offset = yyjson_is_real(v)   ? (int64_t)d
                  : yyjson_is_bool(v) ? 1
                                      : unsafe_yyjson_get_sint(v);
    }
    if (*offset < 0)
        return fail_str(f, ERR_BAD_REQUEST,
                        STR("(psycopg.errors.InvalidRowCountInResultOffsetClause) OFFSET must not "
                            "be negative"));
    return OK;
}

static err_t refuse_token(struct arena *a, struct str text, struct str why, struct fail *f)
{
    return SAY(a, f, ERR_BAD_PARAM, STR("Invalid page token: "), names_cut(text, NAMES_QUOTE_MAX),
               STR(". "), why);
}

err_t model_token_read(struct arena *a, struct str text, const struct model_token *t,
                       int64_t *offset, struct fail *f)
{
    struct document_error why = {"", 0};
    yyjson_val *own, *root;
    struct str bytes;
    err_t e;

    *offset = 0;
    if (text.n == 0)
        return OK;
    if (!base64_decode(a, text, &bytes))
        return refuse_token(a, text, STR("Incorrect padding"), f);
    root = document_read_text(a, bytes, &why);
    if (root == NULL)
        return refuse_token(a, text, json_error(a, bytes), f);
    if (!yyjson_is_obj(root))
        return refuse_token(a, text, STR("It holds no object"), f);
    own = document_read_text(a, token_text(a, t, 0), &why);
    check(own != NULL);
    if ((e = compare(a, own, root, "experiment_ids",
                     STR("Experiment IDs in the page token do not match the requested experiment "
                         "IDs"),
                     f)) ||
        (e = compare(a, own, root, "filter_string",
                     STR("Filter string in the page token does not match the requested filter "
                         "string"),
                     f)) ||
        (e = compare(a, own, root, "order_by",
                     STR("Order by in the page token does not match the requested order by"), f)))
        return e;
    return read_offset(a, document_get(root, STR("offset")), offset, f);
}
