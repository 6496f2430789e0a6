/*
 * bind_page: MLflow's page tokens, base64 of {"offset": n}.
 *
 * Decoding goes as Python does it, because the messages quote what came out on the way: base64, then
 * json.loads, then int() of the offset. A document that is no object, and an offset that is a list,
 * break MLflow inside its store, whose answer is INTERNAL_ERROR with Python's words. A negative or
 * a huge offset is PostgreSQL's to refuse; here its answer is given at once. A token of more than
 * TOKEN_BYTES_MAX is not looked at.
 */
#include "ingest/bind.h"

#include <inttypes.h>
#include <math.h>

#include "base/base64.h"
#include "base/buf.h"
#include "ingest/bind_value.h"
#include "ingest/document.h"
#include "ingest/names.h"
#include "ingest/python.h"
#include "schema/errors.h"

enum { TOKEN_BYTES_MAX = 64 << 10 }; /* ours have some 40 */

/* The text as base64 of a Python str, which must be ASCII. */
static bool bind_page_decode(struct arena *a, struct str text, struct str *bytes)
{
    for (size_t i = 0; i < text.n; i++)
        if ((unsigned char)text.p[i] >= 0x80)
            return false;
    return base64_decode(a, text, bytes);
}

/* `Invalid page token, <what><Python's repr>` */
static err_t bind_page_fail(struct arena *a, const char *what, yyjson_val *value, struct str bytes,
                            struct fail *f)
{
    struct buf text;
    struct str message;

    buf_init(&text);
    buf_printf(&text, "Invalid page token, %s", what);
    if (value && yyjson_is_str(value))
        buf_add_str(&text, names_cut(document_str(value), NAMES_QUOTE_MAX));
    else if (value)
        document_repr(a, &text, value, NAMES_QUOTE_MAX);
    else
        python_repr_bytes(&text, str_head(bytes, NAMES_QUOTE_MAX));
    message = arena_dup(a, buf_str(&text));
    buf_fini(&text);
    return fail_str(f, ERR_BAD_PARAM, message);
}

/* `if not value` */
static bool bind_page_is_false(yyjson_val *v)
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

static err_t bind_page_offset(struct arena *a, yyjson_val *v, int64_t *offset, struct fail *f)
{
    enum python_int found = PYTHON_BIG_INT;

    if (yyjson_is_ctn(v))
        return fail(f, ERR_INTERNAL,
                    "int() argument must be a string, a bytes-like object or a real number, not "
                    "'%s'",
                    document_type(v));
    if (yyjson_is_str(v)) {
        found = python_int(document_str(v), offset);
    } else if (yyjson_is_real(v)) {
        double d = unsafe_yyjson_get_real(v);

        if (isinf(d))
            return fail_str(f, ERR_INTERNAL, STR("cannot convert float infinity to integer"));
        if (isnan(d))
            found = PYTHON_NOT_INT;
        else if (fabs(d) < 0x1p63)
            *offset = (int64_t)d, found = PYTHON_INT;
    } else if (yyjson_is_bool(v)) {
        *offset = 1, found = PYTHON_INT;
    } else if (yyjson_is_sint(v) || (yyjson_is_uint(v) && unsafe_yyjson_get_uint(v) <= INT64_MAX)) {
        *offset = unsafe_yyjson_get_sint(v), found = PYTHON_INT;
    } else if (yyjson_is_raw(v) && !document_is_big_int(v)) {
        return fail_str(f, ERR_INTERNAL, STR("cannot convert float infinity to integer"));
    }
    if (found == PYTHON_NOT_INT)
        return bind_page_fail(a, "not stringable ", v, STR(""), f);
    if (found == PYTHON_BIG_INT)
        return fail_str(f, ERR_BAD_REQUEST, STR("bigint out of range"));
    if (*offset < 0)
        return fail_str(f, ERR_BAD_REQUEST, STR("OFFSET must not be negative"));
    return OK;
}

err_t bind_page_token(struct arena *a, struct str token, int64_t *offset, struct fail *f)
{
    struct document_error why;
    yyjson_val *root, *value;
    struct str bytes;

    *offset = 0;
    if (token.n == 0)
        return OK;
    if (token.n > TOKEN_BYTES_MAX || !bind_page_decode(a, token, &bytes))
        return fail_str(f, ERR_BAD_PARAM, STR("Invalid page token, could not base64-decode"));
    root = document_read(a, bytes, &why);
    if (root == NULL)
        return bind_page_fail(a, "decoded value=", NULL, bytes, f);
    if (!yyjson_is_obj(root))
        return fail(f, ERR_INTERNAL, "'%s' object has no attribute 'get'", document_type(root));
    value = document_get(root, STR("offset"));
    if (bind_page_is_false(value))
        return bind_page_fail(a, "parsed value=", root, STR(""), f);
    return bind_page_offset(a, value, offset, f);
}

struct str bind_make_page_token(struct arena *a, int64_t offset)
{
    return base64_encode(a, arena_printf(a, "{\"offset\": %" PRId64 "}", offset));
}
