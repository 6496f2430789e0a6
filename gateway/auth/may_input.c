/*
 * may_input: what a request says of the things it is about.
 *
 * MLflow's checks read a request in two ways, and where they do, so it is here. may_param is Flask's
 * way: the query of a GET, the JSON object of a POST or PATCH, of a DELETE the object if it has one, else
 * the query; what the path says comes before all. may_field is that of the message which the handler
 * reads: the query of a GET that has one, else the body, a field by its own name or in camel case. A field
 * that is sent under both names is one that handler and check could see differently, so who sends it is
 * refused. So is a DELETE whose query and body disagree: most of their handlers read the body
 * whatever its type, so a thing that may be deleted, named in the query, would open the way to any
 * other.
 *
 * The body is read once: what was read here is where the handler looks, as if a helper had read it ahead.
 */
#include "gateway/auth/may_input.h"
#include "gateway/auth/may_rule.h"
#include "gateway/http/route.h"
#include "gateway/search/param.h"

#include <string.h>

#include "base/buf.h"
#include "ingest/document.h"
#include "ingest/document_msgpack.h"
#include "schema/errors.h"
#include "schema/limits.h"
#include "yyjson.h"

/* Of a PATCH or DELETE, and of what is passed on, the Content-Type says nothing about how it is read. */
static bool is_msgpack(const struct req *r)
{
    return input_is_msgpack(&r->input) && !r->input.any_type && r->route != route_upstream_whole();
}

static yyjson_val *input_object(struct may *m)
{
    struct req *r = m->r;
    yyjson_val *root;

    if (is_msgpack(r)) {
        struct str bytes = r->input.body;
        size_t budget = LIMIT_JSON_VALUES;
        struct document_error why;

        return document_read_msgpack(&r->arena, &bytes, &budget, &why);
    }
    if (r->input.body.n == 0)
        return NULL;
    if (!r->input.ahead) {
        document_read_ahead(&r->arena, r->input.body, &r->ahead);
        r->input.ahead = &r->ahead;
    }
    root = r->input.ahead->root;
    if (yyjson_is_str(root))
        root = r->input.ahead->inner;
    return yyjson_is_obj(root) ? root : NULL;
}

void may_input(struct may *m)
{
    struct req *r = m->r;

    m->is_get = r->head->method == HTTP_M_GET;
    m->has_json = param_is_json(r); /* as handlers that read Flask's way judge it */
    m->query = input_query(&r->arena, r->head->query, &m->nquery);
    m->body = input_object(m);
}

/* -- values ------------------------------------------------------------------------------------- */

struct str may_text(struct may *m, yyjson_val *v)
{
    struct str text;
    struct buf out;

    if (yyjson_is_str(v))
        return document_str(v);
    if (v == NULL || yyjson_is_null(v))
        return STR("");
    buf_init(&out);
    document_dump(&m->r->arena, &out, v, 256);
    text = arena_dup(&m->r->arena, buf_str(&out));
    buf_fini(&out);
    return text;
}

/* "run_id" as "runId". */
static struct str camel(struct arena *a, struct str name)
{
    char *out = arena_alloc(a, name.n);
    size_t n = 0;

    for (size_t i = 0; i < name.n; i++) {
        bool is_joint = name.p[i] == '_' && i + 1 < name.n;

        if (is_joint)
            i++;
        out[n++] = (char)(is_joint && name.p[i] >= 'a' && name.p[i] <= 'z' ? name.p[i] - 'a' + 'A'
                                                                           : name.p[i]);
    }
    return (struct str){out, n};
}

yyjson_val *may_member(struct may *m, yyjson_val *obj, const char *name)
{
    struct str snake = str_of(name), other;
    yyjson_val *v, *w;

    if (!yyjson_is_obj(obj))
        return NULL;
    v = document_get(obj, snake);
    if (str_find(snake, '_') < snake.n) {
        other = camel(&m->r->arena, snake);
        w = document_get(obj, other);
        if (v && w)
            may_refuse(m);
        if (!v)
            v = w;
    }
    return yyjson_is_null(v) ? NULL : v;
}

bool may_query(struct may *m, const char *name, struct str *out)
{
    for (size_t i = 0; i < m->nquery; i++) {
        if (str_eq(m->query[i].name, str_of(name))) {
            *out = m->query[i].value;
            return true;
        }
    }
    *out = STR("");
    return false;
}

size_t may_query_all(struct may *m, const char *name, struct str **out)
{
    size_t n = 0;

    *out = arena_array(&m->r->arena, m->nquery, sizeof(**out));
    for (size_t i = 0; i < m->nquery; i++) {
        if (str_eq(m->query[i].name, str_of(name)))
            (*out)[n++] = m->query[i].value;
    }
    return n;
}

/* -- Flask's way ---------------------------------------------------------------------------------- */

/* The query of a DELETE without JSON is what is judged; does its handler, which may read the body,
 * see the same? */
static void param_judge_delete(struct may *m, const char *name, struct str text)
{
    yyjson_val *v = may_member(m, m->body, name);

    if (v && !str_eq(may_text(m, v), text))
        may_refuse(m);
}

static bool param_find(struct may *m, const char *name, struct str *out)
{
    bool is_delete = m->r->head->method == HTTP_M_DELETE;
    yyjson_val *v;

    for (size_t i = 0; i < m->path.nargs; i++) {
        if (str_eq(m->path.names[i], str_of(name))) {
            *out = m->path.values[i];
            return true;
        }
    }
    if (m->is_get)
        return may_query(m, name, out);
    if (is_delete && !m->has_json) {
        if (!may_query(m, name, out))
            return false;
        param_judge_delete(m, name, *out);
        return true;
    }
    v = m->has_json && m->body ? document_get(m->body, str_of(name)) : NULL;
    *out = may_text(m, v);
    return v != NULL;
}

/* A run may be named four times over, and which of them the handler takes depends on what stands beside
 * them: whoever names two runs is refused. */
static void param_judge_runs(struct may *m)
{
    static const struct str names[] = {STR_INIT("run_id"), STR_INIT("runId"), STR_INIT("run_uuid"),
                                       STR_INIT("runUuid")};
    struct str first = STR("");

    for (size_t i = 0; m->body && i < array_len(names); i++) {
        struct str id = may_text(m, document_get(m->body, names[i]));

        if (id.n && first.n && !str_eq(id, first))
            may_refuse(m);
        if (first.n == 0)
            first = id;
    }
}

err_t may_param(struct may *m, const char *name, struct str *out, struct fail *f)
{
    if (strcmp(name, "run_id") == 0)
        param_judge_runs(m);
    if (param_find(m, name, out))
        return OK;
    if (strcmp(name, "run_id") == 0)
        return may_param(m, "run_uuid", out, f);
    return fail(f, ERR_BAD_PARAM,
                "Missing value for required parameter '%s'. See the API docs for more information"
                " about request parameters.",
                name);
}

/* -- the message's way ------------------------------------------------------------------------------ */

bool may_from_query(const struct may *m)
{
    return m->is_get && m->nquery > 0;
}

yyjson_val *may_value(struct may *m, const char *name)
{
    return may_from_query(m) ? NULL : may_member(m, m->body, name);
}

bool may_field(struct may *m, const char *name, struct str *out)
{
    yyjson_val *v;

    if (may_from_query(m))
        return may_query(m, name, out);
    v = may_value(m, name);
    *out = may_text(m, v);
    return v != NULL;
}

bool may_flag(struct may *m, const char *name, bool *out)
{
    yyjson_val *v = may_value(m, name);

    *out = yyjson_is_true(v);
    return v != NULL;
}

size_t may_list(struct may *m, const char *name, struct str **out)
{
    yyjson_val *list, *item;
    size_t i, max, n = 0;

    if (may_from_query(m))
        return may_query_all(m, name, out);
    list = may_value(m, name);
    if (!yyjson_is_arr(list)) {
        *out = NULL;
        return 0;
    }
    *out = arena_array(&m->r->arena, yyjson_arr_size(list), sizeof(**out));
    yyjson_arr_foreach(list, i, max, item) {
        (*out)[n++] = may_text(m, item);
    }
    return n;
}
