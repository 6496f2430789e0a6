/*
 * bind: a request to the struct of any message, and what handlers may rely on in it.
 *
 * Input: the message's name, a line; "get", "post" or "text" (another content type), a line; then
 * the query or the body. A name that there is not picks some message.
 */
#include "ingest/bind.h"

#include <math.h>

#include "ingest/document.h"
#include "schema/errors.h"
#include "tests/fuzz/fuzz.h"

static const struct bind_message *const messages[] = {
#define MESSAGE(name) &MSG_##name,
#define FIELD(message, kind, name, camel, checks)
#define FIELD_MESSAGES(message, name, camel, type, checks)
#define FIELD_MESSAGE(message, name, camel, type, checks)
#define END_MESSAGE(name)
#include "ingest/messages.def"
#undef MESSAGE
#undef FIELD
#undef FIELD_MESSAGES
#undef FIELD_MESSAGE
#undef END_MESSAGE
};

/* The layout of every list of messages (ingest/bind.c). */
struct list_any {
    void *items;
    size_t n;
    bool is_set;
};

static const struct bind_message *message_named(struct str name)
{
    size_t sum = 0;

    for (size_t i = 0; i < array_len(messages); i++)
        if (str_eq(name, str_of(messages[i]->name)))
            return messages[i];
    for (size_t i = 0; i < name.n; i++)
        sum += (unsigned char)name.p[i];
    return messages[sum % array_len(messages)];
}

/* A handler gives it to PostgreSQL as it is. */
static void check_text(struct str s, unsigned checks)
{
    check(fuzz_is_utf8(s));
    check((checks & CHECK_NUL_LATER) || s.n == 0 || memchr(s.p, '\0', s.n) == NULL);
}

static void check_message(const struct bind_message *m, const char *at);

static void check_field(const struct bind_field *field, const char *at)
{
    const struct opt_i64 *integer = (const void *)at;
    const struct list_str *texts = (const void *)at;
    const struct list_any *list = (const void *)at;

    switch (field->kind) {
    case BIND_STRING:
        check_text(((const struct opt_str *)(const void *)at)->s, field->checks);
        break;
    case BIND_DOUBLE: check(((const struct opt_f64 *)(const void *)at)->v == 0 ||
                            ((const struct opt_f64 *)(const void *)at)->is_set); break;
    case BIND_INT64: check(integer->is_set || integer->v == 0); break;
    case BIND_INT32: check(integer->v >= INT32_MIN && integer->v <= INT32_MAX); break;
    case BIND_STATUS: check(!integer->is_set || (integer->v >= 1 && integer->v <= 5)); break;
    case BIND_VIEW_TYPE: check(!integer->is_set || (integer->v >= 1 && integer->v <= 3)); break;
    case BIND_STRINGS:
        for (size_t i = 0; i < texts->n; i++)
            check_text(texts->items[i], field->checks);
        break;
    case BIND_MESSAGES:
        for (size_t i = 0; i < list->n; i++)
            check_message(field->message, (const char *)list->items + i * field->message->size);
        break;
    case BIND_MESSAGE: check_message(field->message, at); break;
    default: break;
    }
}

static void check_message(const struct bind_message *m, const char *at)
{
    for (size_t i = 0; i < m->nfields; i++)
        check_field(&m->fields[i], at + m->fields[i].offset);
}

static void fuzz_one(struct arena *a, struct str in)
{
    const struct bind_message *m = message_named(fuzz_line(&in));
    struct str how = fuzz_line(&in);
    bool is_get = str_eq(how, STR("get"));
    struct bind_input input = {.is_get = is_get,
                               .has_content_type = !is_get,
                               .content_type = str_eq(how, STR("text")) ? STR("text/plain")
                                                                        : STR("application/json"),
                               .query = is_get ? in : STR(""),
                               .body = is_get ? STR("") : in};
    void *out = arena_alloc(a, m->size);
    struct fail f;
    err_t e;

    fail_init(&f, a);
    if ((e = bind_request(a, &input, m, out, &f)))
        fuzz_check_refusal(e, &f);
    else
        check_message(m, out);
    check(e == OK || e == ERR_BAD_PARAM || e == ERR_BAD_REQUEST);
}
