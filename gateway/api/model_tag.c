/*
 * model_tag: a JSON list of models, one object each.
 *
 *   {"run_id", "artifact_path", "utc_time_created", "model_uuid", "flavors": {name: {...}}}
 *
 * is what MLflow keeps of a description, in this order, as json.dumps writes it: run_id and
 * artifact_path only when they are not null, the time as str() makes it, model_uuid null when there
 * is none, flavors without their `config`. Keys of equal names count as in a Python dict.
 *
 * Appending reads the list and writes it anew, as MLflow does, so that a list somebody else wrote
 * with other blanks comes out alike.
 *
 * MLflow makes an object of the whole description before it takes these parts out, and breaks with
 * 500 on some. Here a part that is kept is refused with 400 then, and the others are not looked at.
 */
#include "gateway/api/model_tag.h"

#include <math.h>
#include <stdio.h>
#include <time.h>

#include "base/buf.h"
#include "base/json.h"
#include "ingest/document.h"
#include "ingest/names.h"
#include "schema/errors.h"

/* The text may hold a NUL. */
static err_t entry_malformed(struct arena *a, struct str model_json, struct fail *f)
{
    struct buf text;
    struct str message;

    buf_init(&text);
    buf_add_str(&text, STR("Malformed model info. \n "));
    buf_add_str(&text, names_cut(model_json, NAMES_QUOTE_MAX));
    buf_add_str(&text, STR(" \n is not a valid JSON."));
    message = arena_dup(a, buf_str(&text));
    buf_fini(&text);
    return fail_str(f, ERR_BAD_PARAM, message);
}

/* The names as Python prints a set of them; a set has no order, here they have this one. */
static err_t entry_check(yyjson_val *model, struct fail *f)
{
    static const char *const names[] = {"artifact_path", "flavors", "run_id", "utc_time_created"};
    char list[128] = "";
    size_t n = 0;

    for (size_t i = 0; i < array_len(names); i++)
        if (!document_get(model, str_of(names[i])))
            n += (size_t)snprintf(list + n, sizeof(list) - n, "%s'%s'", n ? ", " : "", names[i]);
    if (n)
        return fail(f, ERR_BAD_PARAM, "Model json is missing mandatory fields: {%s}", list);
    return OK;
}

/* bool(v) of Python */
static bool entry_is_true(yyjson_val *v)
{
    switch (yyjson_get_type(v)) {
    case YYJSON_TYPE_NULL: return false;
    case YYJSON_TYPE_BOOL: return yyjson_is_true(v);
    case YYJSON_TYPE_NUM: return fpclassify(yyjson_get_num(v)) != FP_ZERO;
    case YYJSON_TYPE_STR: return document_str(v).n > 0;
    case YYJSON_TYPE_ARR: return yyjson_arr_size(v) > 0;
    case YYJSON_TYPE_OBJ: return yyjson_obj_size(v) > 0;
    default: return true;
    }
}

/* str(utc_time_created or datetime.now(utc)), quoted. */
static void entry_time(struct arena *a, struct buf *out, yyjson_val *v, int64_t now_ms)
{
    time_t seconds = (time_t)(now_ms / 1000);
    struct buf text;
    struct tm tm;

    if (yyjson_is_str(v) && entry_is_true(v)) {
        json_quote(out, document_str(v));
        return;
    }
    buf_init(&text);
    if (entry_is_true(v)) {
        document_repr(a, &text, v, SIZE_MAX);
    } else {
        gmtime_r(&seconds, &tm);
        buf_printf(&text, "%04d-%02d-%02d %02d:%02d:%02d.%03d000", tm.tm_year + 1900, tm.tm_mon + 1,
                   tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(now_ms % 1000));
    }
    json_quote(out, buf_str(&text));
    buf_fini(&text);
}

/* A flavor without its config. */
static void entry_flavor(struct arena *a, struct buf *out, yyjson_val *flavor)
{
    const char *comma = "";
    struct document_pair *pairs;
    size_t n;

    if (!yyjson_is_obj(flavor)) {
        document_dump_line(a, out, flavor);
        return;
    }
    pairs = document_pairs(a, flavor, &n);
    buf_add_byte(out, '{');
    for (size_t i = 0; i < n; i++) {
        if (str_eq(pairs[i].key, STR("config")))
            continue;
        buf_add_str(out, str_of(comma));
        json_quote(out, pairs[i].key);
        buf_add_str(out, STR(": "));
        document_dump_line(a, out, pairs[i].value);
        comma = ", ";
    }
    buf_add_byte(out, '}');
}

static void entry_flavors(struct arena *a, struct buf *out, yyjson_val *flavors)
{
    struct document_pair *pairs;
    size_t n = 0;

    pairs = yyjson_is_obj(flavors) ? document_pairs(a, flavors, &n) : NULL;
    buf_add_byte(out, '{');
    for (size_t i = 0; i < n; i++) {
        if (i)
            buf_add_str(out, STR(", "));
        json_quote(out, pairs[i].key);
        buf_add_str(out, STR(": "));
        entry_flavor(a, out, pairs[i].value);
    }
    buf_add_byte(out, '}');
}

err_t model_tag_entry(struct arena *a, struct str model_json, int64_t now_ms, struct str *entry,
                      struct fail *f)
{
    static const char *const plain[] = {"run_id", "artifact_path"};
    struct document_error why;
    yyjson_val *model = document_read_text(a, model_json, &why);
    yyjson_val *flavors;
    struct buf out;
    err_t e;

    if (!model)
        return entry_malformed(a, model_json, f);
    if (!yyjson_is_obj(model))
        return fail(f, ERR_BAD_PARAM, "Model json must be a JSON object. Got a %s.",
                    document_type(model));
    if ((e = entry_check(model, f)))
        return e;
    flavors = document_get(model, STR("flavors"));
    if (!yyjson_is_null(flavors) && !yyjson_is_obj(flavors))
        return fail(f, ERR_BAD_PARAM, "The flavors of a model must be a JSON object. Got a %s.",
                    document_type(flavors));
    buf_init(&out);
    buf_add_byte(&out, '{');
    for (size_t i = 0; i < array_len(plain); i++) {
        yyjson_val *v = document_get(model, str_of(plain[i]));

        if (yyjson_is_null(v))
            continue;
        buf_printf(&out, "\"%s\": ", plain[i]);
        document_dump_line(a, &out, v);
        buf_add_str(&out, STR(", "));
    }
    buf_add_str(&out, STR("\"utc_time_created\": "));
    entry_time(a, &out, document_get(model, STR("utc_time_created")), now_ms);
    buf_add_str(&out, STR(", \"model_uuid\": "));
    document_dump_line(a, &out, document_get(model, STR("model_uuid")));
    buf_add_str(&out, STR(", \"flavors\": "));
    entry_flavors(a, &out, flavors);
    buf_add_byte(&out, '}');
    *entry = arena_dup(a, buf_str(&out));
    buf_fini(&out);
    return OK;
}

err_t model_tag_append(struct arena *a, struct str before, struct str entry, struct str *out,
                       struct fail *f)
{
    struct document_error why;
    yyjson_val *list, *item;
    struct buf text;
    size_t i, n;

    if (!before.p) {
        *out = arena_printf(a, "[%.*s]", STR_ARG(entry));
        return OK;
    }
    list = document_read_text(a, before, &why);
    if (!yyjson_is_arr(list))
        return fail(f, ERR_INTERNAL, "The tag " MODEL_TAG " of the run is not a JSON list.");
    buf_init(&text);
    buf_add_byte(&text, '[');
    yyjson_arr_foreach(list, i, n, item) {
        document_dump_line(a, &text, item);
        buf_add_str(&text, STR(", "));
    }
    buf_add_str(&text, entry);
    buf_add_byte(&text, ']');
    *out = arena_dup(a, buf_str(&text));
    buf_fini(&text);
    return OK;
}
