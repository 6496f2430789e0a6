/*
 * version_tag: a JSON list of {"name": "...", "version": n}, as json.dumps writes it.
 *
 * MLflow adds a version to the list that is there. When the list holds it already, which takes a
 * model that was deleted and made anew, the list becomes that one version: so here. Entries are
 * equal as Python's dicts are, in any order of keys, true being 1.
 */
#include "gateway/api/version_tag.h"

#include "base/buf.h"
#include "base/json.h"
#include "ingest/document.h"
#include "schema/errors.h"

static bool is_entry(struct arena *a, yyjson_val *item, struct str name, int64_t version)
{
    yyjson_val *v;
    size_t n = 0;

    if (!yyjson_is_obj(item))
        return false;
    (void)document_pairs(a, item, &n);
    v = document_get(item, STR("name"));
    if (n != 2 || !yyjson_is_str(v) || !str_eq(document_str(v), name))
        return false;
    v = document_get(item, STR("version"));
    return (yyjson_is_num(v) && yyjson_get_num(v) == (double)version) ||
           (yyjson_is_true(v) && version == 1);
}

static void add_entry(struct buf *out, struct str name, int64_t version)
{
    struct json j;

    json_init(&j, out, JSON_LINE);
    json_open(&j);
    json_pair_str(&j, "name", name);
    json_pair_i64(&j, "version", version);
    json_close(&j);
}

err_t version_tag_add(struct arena *a, struct str before, struct str name, int64_t version,
                      struct str *out, struct fail *f)
{
    struct document_error why;
    yyjson_val *list = NULL, *item;
    bool is_there = false;
    struct buf text;
    size_t i, n;

    if (before.n) {
        list = document_read_text(a, before, &why);
        if (!yyjson_is_arr(list))
            return fail(f, ERR_INTERNAL, "The tag " VERSION_TAG " of the model is no JSON list.");
    }
    yyjson_arr_foreach(list, i, n, item)
        is_there |= is_entry(a, item, name, version);
    buf_init(&text);
    buf_add_byte(&text, '[');
    yyjson_arr_foreach(list, i, n, item) {
        if (is_there)
            break;
        document_dump_line(a, &text, item);
        buf_add_str(&text, STR(", "));
    }
    add_entry(&text, name, version);
    buf_add_byte(&text, ']');
    *out = arena_dup(a, buf_str(&text));
    buf_fini(&text);
    return OK;
}
