/*
 * messages: struct msg_x and const struct bind_message MSG_x for every row group of messages.def.
 *
 * Plain data and read-only tables; any thread.
 */
#ifndef INGEST_MESSAGES_H
#define INGEST_MESSAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

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
struct list_str {
    struct str *items;
    size_t n;
    bool is_set;
};

enum bind_kind {
    BIND_STRING,
    BIND_INT64,
    BIND_INT32,
    BIND_DOUBLE,
    BIND_BOOL,
    BIND_STATUS,       /* enum RunStatus: opt_i64 1..5 */
    BIND_VIEW_TYPE,    /* enum ViewType: opt_i64 1..3 */
    BIND_MODEL_STATUS, /* enum LoggedModelStatus: opt_i64 0..3 */
    BIND_STRINGS,      /* repeated string */
    BIND_MESSAGES,
    BIND_MESSAGE /* one; unset, its fields are */
};

/* Validators on the raw JSON: REQUIRED, then the type, but only when some value did not convert. */
enum bind_check {
    CHECK_REQUIRED = 1,
    CHECK_STRING = 2,
    CHECK_INTLIKE = 4,
    CHECK_FLOATLIKE = 8,
    CHECK_ARRAY = 16,
    CHECK_TYPE_FIRST = 32, /* the type, then REQUIRED */
    CHECK_RUN_UUID = 64,   /* run_uuid satisfies "required" when run_id is absent or null */
    CHECK_STRINGS = 128,   /* after ARRAY: every item is a string */
    CHECK_ITEMS = 256, /* the items' own required fields, named in the message as list[i].field */
    CHECK_MAX_RESULTS = 512,     /* at most 50000 */
    CHECK_NUL_LATER = 1024,      /* the handler judges the text, and a NUL in it, itself */
    CHECK_HISTORY_RUNS = 2048,   /* after ARRAY: at most 100 items */
    CHECK_HISTORY_POINTS = 4096, /* 1 to 2500 */
    CHECK_MAX_MODELS = 8192,     /* at most 1000 */
    CHECK_MAX_VERSIONS = 16384,  /* at most 200000 */
    CHECK_BOOL = 32768
};
/* Fields of a lower rank are validated first, those of the same in the order of the rows. */
#define CHECK_RANK(n) ((unsigned)(n) << 16)

struct bind_message;
struct bind_field {
    struct str name; /* snake_case */
    struct str camel;
    enum bind_kind kind;
    unsigned checks;                    /* enum bind_check */
    size_t offset;                      /* in the message's struct */
    const struct bind_message *message; /* of BIND_MESSAGES and BIND_MESSAGE */
};

struct bind_message {
    const char *name;
    const struct bind_field *fields; /* in the order of the proto, which is that of GET */
    size_t nfields;
    size_t size; /* of the struct */
};

#define BIND_C_STRING(name)       struct opt_str name;
#define BIND_C_INT64(name)        struct opt_i64 name;
#define BIND_C_INT32(name)        struct opt_i64 name;
#define BIND_C_DOUBLE(name)       struct opt_f64 name;
#define BIND_C_BOOL(name)         struct opt_bool name;
#define BIND_C_STATUS(name)       struct opt_i64 name;
#define BIND_C_VIEW_TYPE(name)    struct opt_i64 name;
#define BIND_C_MODEL_STATUS(name) struct opt_i64 name;
#define BIND_C_STRINGS(name)      struct list_str name;

#define MESSAGE(name)                             struct msg_##name {
#define FIELD(message, kind, name, camel, checks) BIND_C_##kind(name)
#define FIELD_MESSAGES(message, name, camel, type, checks) \
    struct {                                               \
        struct msg_##type *items;                          \
        size_t n;                                          \
        bool is_set;                                       \
    } name;
#define FIELD_MESSAGE(message, name, camel, type, checks) struct msg_##type name;
#define END_MESSAGE(name) \
    }                     \
    ;                     \
    extern const struct bind_message MSG_##name;
#include "ingest/messages.def"
#undef MESSAGE
#undef FIELD
#undef FIELD_MESSAGES
#undef FIELD_MESSAGE
#undef END_MESSAGE

#endif
