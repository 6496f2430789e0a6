/*
 * bind: a request to a C struct, exactly as MLflow's handlers read it.
 *
 * MLflow decodes into protobuf and ignores the error of a value that does not convert: fields bound
 * before it stay, it and all later ones stay unset. Then validators look at the raw JSON. bind.c
 * tells the whole story; the messages stand in messages.def, one row per field, and give
 * struct msg_<name> and the table MSG_<name>. Pure functions over the caller's arena; any thread.
 */
#ifndef INGEST_BIND_H
#define INGEST_BIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/fail.h"
#include "base/str.h"

/* What the front end knows of a request's parameters. */
struct bind_input {
    bool is_get;           /* GET or HEAD: the query counts when it has a parameter */
    bool has_content_type;
    struct str content_type;
    struct str query;      /* after the '?', still percent-encoded */
    struct str body;
};

struct opt_str {
    struct str s; /* empty when unset */
    bool is_set;
};
struct opt_i64 {
    int64_t v; /* 0 when unset */
    bool is_set;
};
struct opt_f64 {
    double v;
    bool is_set;
};
struct opt_bool {
    bool v;
    bool is_set;
};

enum bind_kind {
    BIND_STRING,
    BIND_INT64,
    BIND_INT32,
    BIND_DOUBLE,
    BIND_BOOL,
    BIND_STATUS,    /* enum RunStatus: opt_i64 1..5 */
    BIND_VIEW_TYPE, /* enum ViewType: opt_i64 1..3 */
    BIND_STRINGS,   /* repeated string */
    BIND_MESSAGE,
    BIND_MESSAGES
};

/* Validators on the raw JSON, run in the order of the rows; TYPE_FIRST swaps REQUIRED and the type. */
enum bind_check {
    CHECK_REQUIRED = 1,
    CHECK_STRING = 2,
    CHECK_INTLIKE = 4,
    CHECK_FLOATLIKE = 8,
    CHECK_ARRAY = 16,
    CHECK_TYPE_FIRST = 32,
    CHECK_RUN_UUID = 64 /* run_uuid satisfies "required" when run_id is absent or null */
};

struct bind_message;

struct bind_field {
    struct str name;  /* snake_case */
    struct str camel;
    enum bind_kind kind;
    unsigned checks;  /* enum bind_check */
    size_t offset;    /* in the message's struct */
    const struct bind_message *message; /* of BIND_MESSAGE and BIND_MESSAGES */
};

struct bind_message {
    const char *name;
    const struct bind_field *fields; /* in the order of the proto, which is that of GET */
    size_t nfields;
    size_t size; /* of the struct */
};

/* Lists. */
struct list_str {
    struct str *items;
    size_t n;
    bool is_set;
};

#define BIND_C_STRING(name) struct opt_str name;
#define BIND_C_INT64(name) struct opt_i64 name;
#define BIND_C_INT32(name) struct opt_i64 name;
#define BIND_C_DOUBLE(name) struct opt_f64 name;
#define BIND_C_BOOL(name) struct opt_bool name;
#define BIND_C_STATUS(name) struct opt_i64 name;
#define BIND_C_VIEW_TYPE(name) struct opt_i64 name;
#define BIND_C_STRINGS(name) struct list_str name;

/* struct msg_x and const struct bind_message MSG_x for every message of messages.def. */
#define MESSAGE(name) struct msg_##name {
#define FIELD(kind, name, camel, checks) BIND_C_##kind(name)
#define FIELD_MESSAGE(name, camel, type, checks)                                                   \
    struct msg_##type name;                                                                        \
    bool has_##name;
#define FIELD_MESSAGES(name, camel, type, checks)                                                  \
    struct {                                                                                       \
        struct msg_##type *items;                                                                  \
        size_t n;                                                                                  \
        bool is_set;                                                                               \
    } name;
#define END_MESSAGE(name)                                                                          \
    }                                                                                              \
    ;
#include "ingest/messages.def"
#undef MESSAGE
#undef FIELD
#undef FIELD_MESSAGE
#undef FIELD_MESSAGES
#undef END_MESSAGE

#define MESSAGE(name) extern const struct bind_message MSG_##name;
#define FIELD(kind, name, camel, checks)
#define FIELD_MESSAGE(name, camel, type, checks)
#define FIELD_MESSAGES(name, camel, type, checks)
#define END_MESSAGE(name)
#include "ingest/messages.def"
#undef MESSAGE
#undef FIELD
#undef FIELD_MESSAGE
#undef FIELD_MESSAGES
#undef END_MESSAGE

/* Fills *out (a struct msg_x) from the request, then runs m's validators. Strings live in a or
 * point into the input. ERR_BAD_PARAM with MLflow's words. */
must_check err_t bind_request(struct arena *a, const struct bind_input *in,
                              const struct bind_message *m, void *out, struct fail *f);

/* Python's int(text) on an experiment id: blanks, signs and single underscores pass; false when
 * it is no integer or beyond int64. */
must_check bool bind_python_int(struct str text, int64_t *out);

/* The offset in MLflow's page token (base64 of {"offset": n}); empty token = 0. */
must_check err_t bind_page_token(struct arena *a, struct str token, int64_t *offset,
                                 struct fail *f);
/* The token that says offset. */
struct str bind_make_page_token(struct arena *a, int64_t offset);

#endif
