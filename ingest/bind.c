/*
 * bind: a request to a C struct, as MLflow's _get_request_message does it.
 *
 *   source (input.c) -> (a) two spellings of one field? refuse -> (b) bind -> (c) validators
 *
 * (b) is protobuf's ParseDict, whose ParseError MLflow swallows: keys are taken in the order of the
 * dict (a repeated key stands at its first place with its last value), and the first value that
 * does not convert ends the whole binding, in nested lists too. What was bound before it stays,
 * half-filled items included. Which values convert is bind_value.c's. Details that look odd are
 * protobuf's: a string binds to a message as an empty one (its characters are looked up as fields),
 * an unknown key like "[a.b]" ends the binding (extension syntax).
 *
 * (c) looks at the raw JSON by snake_case name. The validators of types run only when (b) ended
 * early; "required" always does.
 *
 * Where MLflow's own code breaks with 500 (a list where int() is asked, an integer beyond double),
 * the answer here is the 400 of the same validator. Last, no bound text may hold a NUL, because
 * PostgreSQL takes none: unless the row says CHECK_NUL_LATER, that is refused here once for all
 * handlers.
 *
 * Not done here: what values mean, and any look at the database.
 */
#include "ingest/bind.h"

#include <string.h>

#include "base/buf.h"
#include "ingest/bind_value.h"
#include "ingest/document.h"
#include "ingest/input.h"
#include "ingest/names.h"
#include "ingest/python.h"
#include "schema/errors.h"

/* -- the tables ---------------------------------------------------------------------------- */

#define MESSAGE(name) static const struct bind_field fields_##name[] = {
#define FIELD(message, kind, name, camel, checks) \
    {STR_INIT(#name),                             \
     STR_INIT(camel),                             \
     BIND_##kind,                                 \
     checks,                                      \
     offsetof(struct msg_##message, name),        \
     NULL},
#define FIELD_MESSAGES(message, name, camel, type, checks) \
    {                                                      \
        STR_INIT(#name),                                   \
        STR_INIT(camel),                                   \
        BIND_MESSAGES,                                     \
        checks,                                            \
        offsetof(struct msg_##message, name),              \
        &MSG_##type},
#define FIELD_MESSAGE(message, name, camel, type, checks)                                          \
    {STR_INIT(#name), STR_INIT(camel), BIND_MESSAGE, checks, offsetof(struct msg_##message, name), \
     &MSG_##type},
#define END_MESSAGE(name)                                                                   \
    }                                                                                       \
    ;                                                                                       \
    const struct bind_message MSG_##name = {#name, fields_##name, array_len(fields_##name), \
                                            sizeof(struct msg_##name)};
#include "ingest/messages.def"
#undef MESSAGE
#undef FIELD
#undef FIELD_MESSAGES
#undef FIELD_MESSAGE
#undef END_MESSAGE

enum {
    FIELDS_MAX = 16,
    HISTORY_RUNS_MAX = 100,
    HISTORY_POINTS_MAX = 2500,
    PAGE_MAX = 50000,
    PAGE_MAX_MODELS = 1000,
    PAGE_MAX_VERSIONS = 200000
};

static const struct str api_docs =
    STR_INIT(" See the API docs for more information about request parameters.");

/* -- a dict and its fields ----------------------------------------------------------------- */

/* Where a field stands in an object. */
struct slot {
    yyjson_val *snake; /* value under the snake_case name; NULL = absent */
    yyjson_val *camel; /* under camelCase, when that is another name */
    size_t place;      /* of the first of them */
};

struct slots {
    struct slot of[FIELDS_MAX]; /* as the message's fields */
    size_t stop;                /* place of the first key in extension syntax, or SIZE_MAX */
};

/* `\[[a-zA-Z0-9\._]*\]$`: Python's $ lets a line feed follow. */
static bool bind_is_extension(struct str s)
{
    if (s.n > 2 && s.p[s.n - 1] == '\n')
        s.n--;
    if (s.n < 2 || s.p[0] != '[' || s.p[s.n - 1] != ']')
        return false;
    for (size_t i = 1; i + 1 < s.n; i++)
        if ((unsigned char)s.p[i] >= 0x80 ||
            !(python_is_alnum((unsigned char)s.p[i]) || s.p[i] == '.' || s.p[i] == '_'))
            return false;
    return true;
}

/* The index of the field that goes by name, nfields when none does. */
static size_t bind_find(const struct bind_message *m, struct str name, bool *is_camel)
{
    for (size_t i = 0; i < m->nfields; i++) {
        *is_camel = false;
        if (str_eq(m->fields[i].name, name))
            return i;
        *is_camel = true;
        if (str_eq(m->fields[i].camel, name))
            return i;
    }
    return m->nfields;
}

static void bind_look(yyjson_val *obj, const struct bind_message *m, struct slots *slots)
{
    yyjson_val *key, *value;
    size_t i, n;

    check(m->nfields <= FIELDS_MAX);
    memset(slots, 0, sizeof(*slots));
    slots->stop = SIZE_MAX;
    yyjson_obj_foreach(obj, i, n, key, value) {
        bool is_camel;
        size_t at = bind_find(m, document_str(key), &is_camel);
        struct slot *slot = &slots->of[at];

        if (at == m->nfields) {
            if (slots->stop == SIZE_MAX && bind_is_extension(document_str(key)))
                slots->stop = i;
            continue;
        }
        if (!slot->snake && !slot->camel)
            slot->place = i;
        if (is_camel)
            slot->camel = value;
        else
            slot->snake = value;
    }
}

/* -- (a) two spellings --------------------------------------------------------------------- */

/* Recursion is as deep as messages nest. */
static err_t bind_refuse_twins(yyjson_val *v, const struct bind_message *m, struct fail *f)
{
    struct slots slots;
    err_t e = OK;

    if (!yyjson_is_obj(v))
        return OK;
    bind_look(v, m, &slots);
    for (size_t i = 0; i < m->nfields && !e; i++) {
        const struct bind_field *field = &m->fields[i];
        const struct slot *slot = &slots.of[i];
        yyjson_val *value = slot->snake ? slot->snake : slot->camel;
        yyjson_val *item;
        size_t at, n;

        if (slot->snake && slot->camel)
            return fail(f, ERR_BAD_PARAM,
                        "Request specifies both '%s' and '%s'; provide only one of them.",
                        field->name.p, field->camel.p);
        if (!field->message)
            continue;
        if (!yyjson_is_arr(value)) {
            e = bind_refuse_twins(value, field->message, f);
            continue;
        }
        yyjson_arr_foreach(value, at, n, item) {
            if ((e = bind_refuse_twins(item, field->message, f)))
                break;
        }
    }
    return e;
}

/* -- (b) values ---------------------------------------------------------------------------- */

struct binder {
    struct arena *arena;
    struct fail *fail;
    err_t err; /* of BROKEN */
};

static err_t bind_invalid(struct arena *a, const char *name, yyjson_val *value, struct fail *f)
{
    struct buf text;
    struct str message;

    buf_init(&text);
    buf_add_str(&text, STR("Invalid value "));
    document_dump(a, &text, value, NAMES_QUOTE_MAX);
    buf_printf(&text, " for parameter '%s' supplied:  Hint: Value was of type '%s'.", name,
               document_type(value));
    buf_add_str(&text, api_docs);
    message = arena_dup(a, buf_str(&text));
    buf_fini(&text);
    return fail_str(f, ERR_BAD_PARAM, message);
}

static enum bound bind_message(struct binder *b, yyjson_val *v, const struct bind_message *m,
                               char *out);

/* The layout that FIELD_MESSAGES gives every list of messages. */
struct list_any {
    void *items;
    size_t n;
    bool is_set;
};

static enum bound bind_messages(struct binder *b, yyjson_val *v, const struct bind_message *m,
                                struct list_any *out)
{
    enum bound bound = BOUND;
    yyjson_val *item;
    size_t i, n;
    char *items;

    if (!yyjson_is_arr(v))
        return ENDED;
    items = arena_array(b->arena, unsafe_yyjson_get_len(v), m->size);
    *out = (struct list_any){items, 0, true};
    yyjson_arr_foreach(v, i, n, item) {
        char *to = items + i * m->size;

        memset(to, 0, m->size);
        out->n++; /* also when it stays half-filled */
        if ((bound = bind_message(b, item, m, to)) != BOUND)
            break;
    }
    return bound;
}

static enum bound bind_field(struct binder *b, yyjson_val *v, const struct bind_field *field,
                             char *out)
{
    struct opt_i64 *integer = (void *)out;
    struct opt_f64 *real = (void *)out;
    struct opt_str *text = (void *)out;
    enum bound bound = ENDED;

    switch (field->kind) {
    case BIND_STRING:
        bound = bind_value_string(v, &text->s);
        text->is_set = bound == BOUND;
        return bound;
    case BIND_DOUBLE:
        bound = bind_value_double(v, &real->v);
        real->is_set = bound == BOUND;
        break;
    case BIND_BOOL:
        if (!yyjson_is_bool(v))
            return ENDED;
        *(struct opt_bool *)(void *)out = (struct opt_bool){unsafe_yyjson_get_bool(v), true};
        return BOUND;
    case BIND_STRINGS: return bind_value_strings(b->arena, v, (void *)out);
    case BIND_MESSAGES: return bind_messages(b, v, field->message, (void *)out);
    case BIND_MESSAGE: return bind_message(b, v, field->message, out);
    case BIND_INT64: bound = bind_value_integer(v, INT64_MIN, INT64_MAX, &integer->v); break;
    case BIND_INT32: bound = bind_value_integer(v, INT32_MIN, INT32_MAX, &integer->v); break;
    case BIND_STATUS: bound = bind_value_status(v, &integer->v); break;
    case BIND_VIEW_TYPE: bound = bind_value_view(v, &integer->v); break;
    case BIND_MODEL_STATUS: bound = bind_value_model_status(v, &integer->v); break;
    }
    if (field->kind != BIND_DOUBLE)
        integer->is_set = bound == BOUND;
    if (bound == BROKEN)
        b->err = bind_invalid(b->arena, field->name.p, v, b->fail);
    return bound;
}

/* What ParseDict makes of something that is no object where a message is asked. */
static enum bound bind_no_object(yyjson_val *v, const struct bind_message *m)
{
    yyjson_val *item;
    bool is_camel;
    size_t i, n;

    if (yyjson_is_str(v))
        return BOUND;
    if (!yyjson_is_arr(v))
        return ENDED;
    yyjson_arr_foreach(v, i, n, item) {
        if (!yyjson_is_str(item) || bind_is_extension(document_str(item)) ||
            bind_find(m, document_str(item), &is_camel) < m->nfields)
            return ENDED;
    }
    return BOUND;
}

/* Recursion is as deep as messages nest. */
static enum bound bind_message(struct binder *b, yyjson_val *v, const struct bind_message *m,
                               char *out)
{
    struct slots slots;
    size_t order[FIELDS_MAX];
    size_t n = 0;

    if (!yyjson_is_obj(v))
        return bind_no_object(v, m);
    bind_look(v, m, &slots);
    for (size_t i = 0; i < m->nfields; i++) { /* insertion sort by place */
        size_t to = n;

        if (!slots.of[i].snake && !slots.of[i].camel)
            continue;
        for (; to > 0 && slots.of[order[to - 1]].place > slots.of[i].place; to--)
            order[to] = order[to - 1];
        order[to] = i;
        n++;
    }
    for (size_t k = 0; k < n; k++) {
        const struct slot *slot = &slots.of[order[k]];
        const struct bind_field *field = &m->fields[order[k]];
        yyjson_val *value = slot->snake ? slot->snake : slot->camel;
        enum bound bound;

        if (slot->place > slots.stop)
            return ENDED;
        if (yyjson_is_null(value))
            continue;
        bound = bind_field(b, value, field, out + field->offset);
        if (bound == ENDED || bound == BROKEN)
            return bound;
    }
    return slots.stop == SIZE_MAX ? BOUND : ENDED;
}

/* -- (c) validators ------------------------------------------------------------------------ */

static bool bind_has_type(yyjson_val *v, unsigned checks)
{
    return (!(checks & CHECK_STRING) || yyjson_is_str(v)) &&
           (!(checks & CHECK_INTLIKE) || bind_value_is_intlike(v)) &&
           (!(checks & CHECK_FLOATLIKE) || bind_value_is_floatlike(v)) &&
           (!(checks & CHECK_ARRAY) || yyjson_is_arr(v)) &&
           (!(checks & CHECK_BOOL) || yyjson_is_bool(v)) &&
           (!(checks & CHECK_STRINGS) || bind_value_is_list_of_strings(v));
}

/* v may be NULL, which is Python's None. */
static bool bind_is_missing(yyjson_val *v)
{
    return v == NULL || yyjson_is_null(v) || (yyjson_is_str(v) && document_str(v).n == 0);
}

static err_t bind_missing(const char *name, struct fail *f)
{
    return fail(f, ERR_BAD_PARAM, "Missing value for required parameter '%s'.%s", name, api_docs.p);
}

/* The required fields of the items of a list. */
static err_t bind_check_items(struct arena *a, const struct bind_field *field, yyjson_val *list,
                              struct fail *f)
{
    const struct bind_message *m = field->message;
    yyjson_val *item;
    size_t i, n;

    if (!yyjson_is_arr(list))
        return bind_invalid(a, field->name.p, list, f);
    yyjson_arr_foreach(list, i, n, item) {
        struct slots slots;

        if (!yyjson_is_obj(item))
            return bind_invalid(a, arena_printf(a, "%s[%zu]", field->name.p, i).p, item, f);
        bind_look(item, m, &slots);
        for (size_t k = 0; k < m->nfields; k++)
            if ((m->fields[k].checks & CHECK_REQUIRED) && bind_is_missing(slots.of[k].snake))
                return bind_missing(
                    arena_printf(a, "%s[%zu].%s", field->name.p, i, m->fields[k].name.p).p, f);
    }
    return OK;
}

/* The bounds of get-history-bulk-interval. */
static err_t bind_check_history(struct arena *a, const struct bind_field *field, yyjson_val *v,
                                struct fail *f)
{
    int64_t n;

    if (field->checks & CHECK_HISTORY_RUNS) {
        n = (int64_t)yyjson_arr_size(v);
        return n <= HISTORY_RUNS_MAX
                   ? OK
                   : fail(f, ERR_BAD_PARAM,
                          "GetMetricHistoryBulkInterval request must specify at most %d run_ids."
                          " Received %lld run_ids.%s",
                          HISTORY_RUNS_MAX, (long long)n, api_docs.p);
    }
    if (!bind_value_python_int(v, &n))
        return bind_invalid(a, field->name.p, v, f);
    if (n < 1 || n > HISTORY_POINTS_MAX)
        return fail(f, ERR_BAD_PARAM, "max_results must be between 1 and %d.%s", HISTORY_POINTS_MAX,
                    api_docs.p);
    return OK;
}

/* The bound of a search's max_results. */
static bool bind_is_page(yyjson_val *v, unsigned checks)
{
    int64_t most = checks & CHECK_MAX_RESULTS    ? PAGE_MAX
                   : checks & CHECK_MAX_MODELS   ? PAGE_MAX_MODELS
                   : checks & CHECK_MAX_VERSIONS ? PAGE_MAX_VERSIONS
                                                 : 0;

    return most == 0 || bind_value_is_page(v, most);
}

static err_t bind_check_field(struct arena *a, yyjson_val *root, const struct bind_field *field,
                              yyjson_val *v, bool has_ended, struct fail *f)
{
    unsigned checks = field->checks;
    bool is_typed;

    if (v == NULL && !(checks & CHECK_REQUIRED))
        return OK;
    if ((checks & CHECK_RUN_UUID) && (v == NULL || yyjson_is_null(v))) {
        yyjson_val *run_uuid = document_get(root, STR("run_uuid"));

        v = run_uuid ? run_uuid : v;
    }
    is_typed = !has_ended || bind_has_type(v, checks);
    if ((checks & CHECK_TYPE_FIRST) && !is_typed)
        return bind_invalid(a, field->name.p, v, f);
    if ((checks & CHECK_REQUIRED) && bind_is_missing(v))
        return bind_missing(field->name.p, f);
    if (!is_typed || !bind_is_page(v, checks))
        return bind_invalid(a, field->name.p, v, f);
    if (checks & (CHECK_HISTORY_RUNS | CHECK_HISTORY_POINTS))
        return bind_check_history(a, field, v, f);
    if (checks & CHECK_ITEMS)
        return bind_check_items(a, field, v, f);
    return OK;
}

static err_t bind_validate(struct arena *a, yyjson_val *root, const struct bind_message *m,
                           bool has_ended, struct fail *f)
{
    struct slots slots;
    unsigned rank = 0;
    bool is_last;
    err_t e;

    bind_look(root, m, &slots);
    do {
        is_last = true;
        for (size_t i = 0; i < m->nfields; i++) {
            const struct bind_field *field = &m->fields[i];

            if (field->checks >= CHECK_RANK(rank + 1))
                is_last = false;
            else if (field->checks >= CHECK_RANK(rank) &&
                     (e = bind_check_field(a, root, field, slots.of[i].snake, has_ended, f)))
                return e;
        }
        rank++;
    } while (!is_last);
    return OK;
}

/* Recursion is as deep as messages nest. */
static err_t bind_refuse_nul(const struct bind_message *m, const char *msg, struct fail *f)
{
    err_t e = OK;

    for (size_t i = 0; i < m->nfields && !e; i++) {
        const struct bind_field *field = &m->fields[i];
        const void *at = msg + field->offset;

        if (field->checks & CHECK_NUL_LATER)
            continue;
        if (field->kind == BIND_STRING) {
            e = names_check_nul(((const struct opt_str *)at)->s, f);
        } else if (field->kind == BIND_STRINGS) {
            const struct list_str *list = at;

            for (size_t k = 0; k < list->n && !e; k++)
                e = names_check_nul(list->items[k], f);
        } else if (field->kind == BIND_MESSAGES) {
            const struct list_any *list = at;

            for (size_t k = 0; k < list->n && !e; k++)
                e = bind_refuse_nul(field->message,
                                    (const char *)list->items + k * field->message->size, f);
        } else if (field->kind == BIND_MESSAGE) {
            e = bind_refuse_nul(field->message, at, f);
        }
    }
    return e;
}

/* -- the whole ----------------------------------------------------------------------------- */

err_t bind_document(struct arena *a, yyjson_val *root, const struct bind_message *m, void *out,
                    struct fail *f)
{
    struct binder b = {.arena = a, .fail = f};
    struct document_error why;
    enum bound bound;
    err_t e;

    memset(out, 0, m->size);
    if (root == NULL)
        root = document_read_plain(a, STR("{}"), &why);
    if ((e = bind_refuse_twins(root, m, f)))
        return e;
    bound = bind_message(&b, root, m, out);
    if (bound == BROKEN)
        return b.err;
    if ((e = bind_validate(a, root, m, bound == ENDED, f)))
        return e;
    return bind_refuse_nul(m, out, f);
}

err_t bind_request(struct arena *a, const struct bind_input *in, const struct bind_message *m,
                   void *out, struct fail *f)
{
    struct document_error why = {"", 0};
    yyjson_val *root;
    err_t e;

    if ((e = input_read(a, in, m, &root, &why, f)))
        return e;
    return bind_document(a, root, m, out, f);
}

bool bind_python_int(struct str text, int64_t *out)
{
    return python_int(text, out) == PYTHON_INT;
}
