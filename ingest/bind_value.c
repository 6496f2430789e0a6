/*
 * bind_value: one JSON value to one C value, by the rules of protobuf's json_format on Python.
 *
 *   integer   a JSON integer; a double without a fraction; a text that int() takes, or that
 *             float() takes as a whole number, without a blank in it. No boolean. In range.
 *   double    any number, a boolean, a text that float() takes but "nan". No bare NaN or infinity.
 *   enum      a name, or what int() makes of the value (1.5 is 1, true is 1). A text that is
 *             neither is skipped as if it were not there.
 *   string    a JSON string that has a UTF-8 form, so no lone surrogate.
 *
 * And the validators of MLflow's handlers, which ask Python rather than protobuf: int(v) or
 * float(v) succeeds. Where Python raises something MLflow does not catch, the value is BROKEN or
 * fails its validator, so that the client reads 400 instead of 500.
 */
#include "ingest/bind_value.h"

#include <math.h>
#include <string.h>

#include "ingest/document.h"
#include "ingest/python.h"
#include "schema/limits.h"

/* int(d) of a double without a fraction */
static enum bound value_whole(double d, int64_t *out)
{
    if (!(d >= -0x1p63 && d < 0x1p63) || d != floor(d))
        return ENDED;
    *out = (int64_t)d;
    return BOUND;
}

static enum bound value_integer_text(struct str s, int64_t *out)
{
    double d;

    if (s.n > LIMIT_NUMBER || memchr(s.p, ' ', s.n))
        return ENDED;
    switch (python_int(s, out)) {
    case PYTHON_INT: return BOUND;
    case PYTHON_BIG_INT: return ENDED;
    default: return python_float(s, &d) ? value_whole(d, out) : ENDED;
    }
}

enum bound bind_value_integer(yyjson_val *v, int64_t min, int64_t max, int64_t *out)
{
    int64_t i = 0;
    enum bound bound = ENDED;

    if (yyjson_is_str(v))
        bound = document_str(v).n ? value_integer_text(document_str(v), &i) : ENDED;
    else if (yyjson_is_real(v))
        bound = value_whole(unsafe_yyjson_get_real(v), &i);
    else if (yyjson_is_sint(v) || (yyjson_is_uint(v) && unsafe_yyjson_get_uint(v) <= INT64_MAX))
        bound = (i = unsafe_yyjson_get_sint(v), BOUND);
    if (bound != BOUND || i < min || i > max)
        return ENDED;
    *out = i;
    return BOUND;
}

/* float(v) of a text that is short enough to mean something */
static bool value_is_float(yyjson_val *v, double *out)
{
    return document_str(v).n <= LIMIT_NUMBER && python_float(document_str(v), out);
}

enum bound bind_value_double(yyjson_val *v, double *out)
{
    enum bound bound = ENDED;
    double d = 0;

    if (yyjson_is_num(v)) {
        d = yyjson_get_num(v);
        bound = isfinite(d) ? BOUND : ENDED;
    } else if (yyjson_is_bool(v)) {
        d = unsafe_yyjson_get_bool(v);
        bound = BOUND;
    } else if (yyjson_is_raw(v) && document_is_big_int(v)) { /* else it is an infinity */
        d = python_strtod(document_str(v));
        bound = isfinite(d) ? BOUND : BROKEN;
    } else if (yyjson_is_str(v)) {
        bound = !str_eq(document_str(v), STR("nan")) && value_is_float(v, &d) ? BOUND : ENDED;
    }
    if (bound == BOUND)
        *out = d;
    return bound;
}

static const struct str status_names[] = {STR_INIT("RUNNING"), STR_INIT("SCHEDULED"),
                                          STR_INIT("FINISHED"), STR_INIT("FAILED"),
                                          STR_INIT("KILLED")};
static const struct str view_names[] = {STR_INIT("ACTIVE_ONLY"), STR_INIT("DELETED_ONLY"),
                                        STR_INIT("ALL")};

static const struct str model_status_names[] = {
    STR_INIT("LOGGED_MODEL_STATUS_UNSPECIFIED"), STR_INIT("LOGGED_MODEL_PENDING"),
    STR_INIT("LOGGED_MODEL_READY"), STR_INIT("LOGGED_MODEL_UPLOAD_FAILED")};

/* names are of the numbers first, first + 1, ... */
static enum bound value_enum(yyjson_val *v, const struct str *names, size_t n, int64_t first,
                             int64_t *out)
{
    int64_t i = -1;

    if (yyjson_is_str(v)) {
        for (size_t k = 0; k < n; k++) {
            if (str_eq(names[k], document_str(v))) {
                *out = (int64_t)k + first;
                return BOUND;
            }
        }
        if (python_has_surrogate(document_str(v)))
            return BROKEN;
        if (document_str(v).n > LIMIT_NUMBER || python_int(document_str(v), &i) == PYTHON_NOT_INT)
            return SKIPPED;
    } else if (yyjson_is_real(v)) {
        double d = unsafe_yyjson_get_real(v);

        if (isnan(d))
            return SKIPPED;
        if (isinf(d))
            return BROKEN;
        i = d > -1 && d < 16 ? (int64_t)d : -1;
    } else if (yyjson_is_raw(v) && !document_is_big_int(v)) {
        return BROKEN;
    } else if (yyjson_is_bool(v)) {
        i = unsafe_yyjson_get_bool(v);
    } else if (yyjson_is_int(v)) {
        i = unsafe_yyjson_get_sint(v);
    }
    if (i < first || i >= first + (int64_t)n)
        return ENDED;
    *out = i;
    return BOUND;
}

enum bound bind_value_status(yyjson_val *v, int64_t *out)
{
    return value_enum(v, status_names, array_len(status_names), 1, out);
}

enum bound bind_value_view(yyjson_val *v, int64_t *out)
{
    return value_enum(v, view_names, array_len(view_names), 1, out);
}

enum bound bind_value_model_status(yyjson_val *v, int64_t *out)
{
    return value_enum(v, model_status_names, array_len(model_status_names), 0, out);
}

enum bound bind_value_string(yyjson_val *v, struct str *out)
{
    if (!yyjson_is_str(v) || python_has_surrogate(document_str(v)))
        return ENDED;
    *out = document_str(v);
    return BOUND;
}

enum bound bind_value_strings(struct arena *a, yyjson_val *v, struct list_str *out)
{
    enum bound bound = BOUND;
    yyjson_val *item;
    size_t i, n;

    if (!yyjson_is_arr(v))
        return ENDED;
    *out = (struct list_str){.items = arena_array(a, unsafe_yyjson_get_len(v), sizeof(struct str)),
                             .is_set = true};
    yyjson_arr_foreach(v, i, n, item) {
        if ((bound = bind_value_string(item, &out->items[out->n])) != BOUND)
            break;
        out->n++;
    }
    return bound;
}

/* -- validators ---------------------------------------------------------------------------- */

bool bind_value_is_intlike(yyjson_val *v)
{
    int64_t i;

    switch (yyjson_get_type(v)) {
    case YYJSON_TYPE_BOOL: return true;
    case YYJSON_TYPE_NUM: return !yyjson_is_real(v) || isfinite(unsafe_yyjson_get_real(v));
    case YYJSON_TYPE_RAW: return document_is_big_int(v);
    case YYJSON_TYPE_STR:
        return document_str(v).n <= LIMIT_NUMBER &&
               python_int(document_str(v), &i) != PYTHON_NOT_INT;
    default: return false;
    }
}

bool bind_value_is_floatlike(yyjson_val *v)
{
    double d;

    switch (yyjson_get_type(v)) {
    case YYJSON_TYPE_BOOL:
    case YYJSON_TYPE_NUM: return true;
    case YYJSON_TYPE_RAW:
        return !document_is_big_int(v) || isfinite(python_strtod(document_str(v)));
    case YYJSON_TYPE_STR: return value_is_float(v, &d);
    default: return false;
    }
}

bool bind_value_is_list_of_strings(yyjson_val *v)
{
    yyjson_val *item;
    size_t i, n;

    yyjson_arr_foreach(v, i, n, item)
        if (!yyjson_is_str(item))
            return false;
    return yyjson_is_arr(v);
}

bool bind_value_python_int(yyjson_val *v, int64_t *out)
{
    bool is_negative;
    double d;

    if (!bind_value_is_intlike(v))
        return false;
    if (yyjson_is_bool(v)) {
        *out = yyjson_is_true(v);
        return true;
    }
    if (yyjson_is_sint(v)) {
        *out = unsafe_yyjson_get_sint(v);
        return true;
    }
    if (yyjson_is_str(v) && python_int(document_str(v), out) == PYTHON_INT)
        return true;
    d = yyjson_is_num(v) ? yyjson_get_num(v) : 0;
    if (yyjson_is_num(v) && fabs(d) < 0x1p63) {
        *out = (int64_t)d; /* towards zero, as int() does */
        return true;
    }
    is_negative = yyjson_is_num(v) ? d < 0 : str_find(document_str(v), '-') < document_str(v).n;
    *out = is_negative ? INT64_MIN : INT64_MAX;
    return true;
}

bool bind_value_is_page(yyjson_val *v, int64_t most)
{
    int64_t i;

    return bind_value_python_int(v, &i) && i <= most;
}
