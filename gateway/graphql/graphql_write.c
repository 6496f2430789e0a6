/*
 * graphql_write: a walk over a plan and a JSON tree side by side.
 *
 *   entity.c's JSON text > yyjson tree > the keys of the plan, in their order > the answer
 *
 * So there is one place that knows how an entity is made of rows, and GraphQL's names are a column of
 * graphql.def. The tree holds one entity and lies in a buffer that is used again for the next.
 * Numbers stay text: a long is quoted, a double passed on.
 *
 * What the REST answer leaves out has protobuf's default here, as MLflow's resolvers read it from the
 * message: "" and "0", an object all of whose fields are defaults, an empty list. An enum has no
 * default: graphene refuses 0, and so null stands there and an error is added.
 */
#include "gateway/graphql/graphql_write.h"

#include "yyjson.h"

void graphql_write_init(struct graphql_write *w, struct json *j, struct graphql_errors *errors)
{
    *w = (struct graphql_write){.json = j, .errors = errors};
    buf_init(&w->text);
    buf_init(&w->tree);
}

void graphql_write_fini(struct graphql_write *w)
{
    buf_fini(&w->text);
    buf_fini(&w->tree);
}

void graphql_write_begin(struct graphql_write *w, struct json *j)
{
    buf_reset(&w->text);
    json_init(j, &w->text, JSON_COMPACT);
}

void graphql_write_typename(struct json *j, const struct graphql_plan *plan)
{
    json_str(j, graphql_type(plan->type)->name);
}

static struct str text_of(yyjson_val *v)
{
    return (struct str){unsafe_yyjson_get_str(v), unsafe_yyjson_get_len(v)};
}

static void write_error(struct graphql_write *w, const struct graphql_plan *plan, struct str text)
{
    json_null(w->json);
    graphql_errors_add(w->errors, plan->selection->at, text);
}

static void write_float(struct graphql_write *w, const struct graphql_plan *plan, yyjson_val *v)
{
    if (v == NULL)
        json_raw(w->json, STR("0.0"));
    else if (yyjson_is_raw(v))
        json_raw(w->json, text_of(v));
    else if (plan->field->shape == SHAPE_NAN_AS_NULL)
        json_null(w->json);
    else
        write_error(w, plan, STR("Float cannot represent non numeric value: nan"));
}

static void write_scalar(struct graphql_write *w, const struct graphql_plan *plan, yyjson_val *v)
{
    if (yyjson_is_null(v)) {
        json_null(w->json);
        return;
    }
    switch (plan->type) {
    case TYPE_String: json_str(w->json, v ? text_of(v) : STR("")); break;
    case TYPE_LongString: json_str(w->json, v ? text_of(v) : STR("0")); break;
    case TYPE_Boolean: json_bool(w->json, yyjson_is_true(v)); break;
    case TYPE_Float: write_float(w, plan, v); break;
    default:
        if (v)
            json_str(w->json, text_of(v));
        else
            write_error(w, plan,
                        SAY_TEXT(w->errors->arena, STR("Enum '"), graphql_type(plan->type)->name,
                                 STR("' cannot represent value: 0")));
    }
}

static void write_value(struct graphql_write *w, const struct graphql_plan *plan, yyjson_val *v);

static void write_one(struct graphql_write *w, const struct graphql_plan *plan, yyjson_val *v)
{
    if (graphql_type(plan->type)->kind != KIND_OBJECT) {
        write_scalar(w, plan, v);
        return;
    }
    json_open(w->json);
    for (size_t i = 0; i < plan->nitems; i++) {
        const struct graphql_plan *item = &plan->items[i];

        json_key_str(w->json, item->key);
        if (item->field == NULL)
            graphql_write_typename(w->json, item);
        else
            write_value(w, item, yyjson_obj_getn(v, item->field->key.p, item->field->key.n));
    }
    json_close(w->json);
}

static void write_value(struct graphql_write *w, const struct graphql_plan *plan, yyjson_val *v)
{
    enum graphql_shape shape = plan->field->shape;
    yyjson_val *item;
    size_t i, max;

    if (shape == SHAPE_ABSENT) {
        json_null(w->json);
        return;
    }
    if (shape != SHAPE_LIST && shape != SHAPE_LIST_OF_NULLABLE) {
        write_one(w, plan, v);
        return;
    }
    json_open_list(w->json);
    yyjson_arr_foreach(v, i, max, item) {
        write_one(w, plan, item);
    }
    json_close_list(w->json);
}

void graphql_write_entity(struct graphql_write *w, const struct graphql_plan *plan)
{
    struct str text = buf_str(&w->text);
    size_t room = yyjson_read_max_memory_usage(text.n, YYJSON_READ_NUMBER_AS_RAW);
    yyjson_alc pool;
    yyjson_doc *doc;

    buf_reset(&w->tree);
    check(yyjson_alc_pool_init(&pool, buf_room(&w->tree, room), room));
    /* without the flag for reading in place the text is not written to */
    doc =
        yyjson_read_opts((char *)(uintptr_t)text.p, text.n, YYJSON_READ_NUMBER_AS_RAW, &pool, NULL);
    check(doc != NULL); /* our own JSON */
    write_one(w, plan, yyjson_doc_get_root(doc));
}
