/*
 * param: werkzeug's request.args and request.get_json(silent=True).
 *
 * Of a name that is in the query twice the first counts, of one that is in an object twice the last. A body
 * that is no JSON, or no object, has no members; one whose Content-Type is not JSON is not looked at.
 */
#include "gateway/search/param.h"

#include "ingest/input.h"
#include "schema/errors.h"

bool param_is_json(const struct req *r)
{
    struct str type = r->input.content_type;
    struct str kind = str_trim(str_cut(&type, ';'));

    return r->input.has_content_type &&
           (str_ieq(kind, STR("application/json")) ||
            (kind.n >= 17 && str_ieq(str_head(kind, 12), STR("application/")) &&
             str_ieq(str_skip(kind, kind.n - 5), STR("+json"))));
}

yyjson_val *param_of_body(struct req *r, const char *name)
{
    if (!param_is_json(r) || r->input.body.n == 0)
        return NULL;
    if (!r->input.ahead) {
        document_read_ahead(&r->arena, r->input.body, &r->ahead);
        r->input.ahead = &r->ahead;
    }
    if (!yyjson_is_obj(r->input.ahead->root))
        return NULL;
    return document_get(r->input.ahead->root, str_of(name));
}

static yyjson_val *param_of_query(struct req *r, const char *name)
{
    size_t n;
    const struct input_pair *items = input_query(&r->arena, r->head->query, &n);

    for (size_t i = 0; i < n; i++) {
        yyjson_val *v;

        if (!str_eq(items[i].name, str_of(name)))
            continue;
        v = arena_zalloc(&r->arena, sizeof(*v));
        unsafe_yyjson_set_strn(v, arena_dup(&r->arena, items[i].value).p, items[i].value.n);
        return v;
    }
    return NULL;
}

err_t param_get(struct req *r, const char *name, yyjson_val **out, struct fail *f)
{
    bool is_query = (r->head->method & (HTTP_M_GET | HTTP_M_HEAD)) ||
                    (r->head->method == HTTP_M_DELETE && !param_is_json(r));

    *out = is_query ? param_of_query(r, name) : param_of_body(r, name);
    if (*out)
        return OK;
    return fail(f, ERR_BAD_PARAM,
                "Missing value for required parameter '%s'. See the API docs for more information "
                "about request parameters.",
                name);
}

bool param_is_false(yyjson_val *v)
{
    if (v == NULL || yyjson_is_null(v) || yyjson_is_false(v))
        return true;
    if (yyjson_is_str(v))
        return yyjson_get_len(v) == 0;
    if (yyjson_is_num(v))
        return yyjson_get_num(v) == 0;
    return yyjson_is_ctn(v) && unsafe_yyjson_get_len(v) == 0;
}
