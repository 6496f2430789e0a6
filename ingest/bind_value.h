/*
 * bind_value: one JSON value to one C value, by the rules of protobuf's json_format on Python.
 *
 * For bind.c, which knows the fields. *out is set when the answer is BOUND. Pure functions; any
 * thread.
 */
#ifndef INGEST_BIND_VALUE_H
#define INGEST_BIND_VALUE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"
#include "ingest/messages.h"
#include "yyjson.h"

/* What became of a value. */
enum bound {
    BOUND,
    SKIPPED, /* an unknown enum name: as if it were not there */
    ENDED,   /* does not convert: binding ends here */
    BROKEN   /* stops MLflow's own code: to be refused in words */
};

must_check enum bound bind_value_integer(yyjson_val *v, int64_t min, int64_t max, int64_t *out);
must_check enum bound bind_value_double(yyjson_val *v, double *out);
/* RunStatus, ViewType and LoggedModelStatus, as their numbers. */
must_check enum bound bind_value_status(yyjson_val *v, int64_t *out);
must_check enum bound bind_value_view(yyjson_val *v, int64_t *out);
must_check enum bound bind_value_model_status(yyjson_val *v, int64_t *out);
must_check enum bound bind_value_string(yyjson_val *v, struct str *out);
/* ENDED leaves the strings before the bad one in *out. */
must_check enum bound bind_value_strings(struct arena *a, yyjson_val *v, struct list_str *out);

/* Python's int(v), float(v) succeeds. */
bool bind_value_is_intlike(yyjson_val *v);
bool bind_value_is_floatlike(yyjson_val *v);
bool bind_value_is_list_of_strings(yyjson_val *v);
/* Python's int(v), cut off at both ends of int64; false where it raises. */
must_check bool bind_value_python_int(yyjson_val *v, int64_t *out);
/* int(v) <= most, the bound of a search's max_results */
bool bind_value_is_page(yyjson_val *v, int64_t most);

#endif
