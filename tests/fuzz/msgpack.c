/*
 * msgpack: bytes as a document, and a batch in msgpack as the batch in JSON.
 *
 * Input: the bytes. What is read is written as JSON, which must read back to the same JSON, and a
 * batch must be taken or refused alike in both forms.
 */
#include "ingest/document_msgpack.h"

#include <math.h>

#include "ingest/decode.h"
#include "schema/limits.h"
#include "tests/fuzz/fuzz.h"

enum { BUDGET = 1000 };

/* Lists and objects hold what they say, and nothing is deeper than promised. Returns the values. */
static size_t check_value(yyjson_val *v, unsigned depth)
{
    yyjson_val *key, *item;
    size_t i, n, values = 1;

    if (yyjson_is_str(v))
        check(fuzz_is_utf8(document_str(v)));
    if (!yyjson_is_ctn(v))
        return values;
    check(depth < LIMIT_JSON_DEPTH);
    if (yyjson_is_arr(v)) {
        yyjson_arr_foreach(v, i, n, item)
            values += check_value(item, depth + 1);
        return values;
    }
    yyjson_obj_foreach(v, i, n, key, item) {
        check(yyjson_is_str(key));
        values += check_value(key, depth + 1) + check_value(item, depth + 1);
    }
    return values;
}

/* Is there a double that JSON writes as another kind of value, or cannot write? */
static bool has_odd_number(yyjson_val *v)
{
    yyjson_val *key, *item;
    size_t i, n;

    if (yyjson_is_real(v))
        return true;
    if (yyjson_is_arr(v)) {
        yyjson_arr_foreach(v, i, n, item)
            if (has_odd_number(item))
                return true;
    } else if (yyjson_is_obj(v)) {
        yyjson_obj_foreach(v, i, n, key, item)
            if (has_odd_number(item))
                return true;
    }
    return false;
}

static void check_as_json(struct arena *a, yyjson_val *v, struct str bytes)
{
    struct bind_input packed = {
        .has_content_type = true, .content_type = STR("application/msgpack"), .body = bytes};
    struct bind_input plain = {.has_content_type = true, .content_type = STR("application/json")};
    struct document_error why = {"", 0};
    struct decoded x, y;
    struct buf once, twice;
    struct fail f;
    yyjson_val *again;
    err_t e;

    buf_init(&once);
    buf_init(&twice);
    fail_init(&f, a);
    document_dump_line(a, &once, v);
    again = document_read(a, buf_str(&once), &why);
    check(again != NULL);
    document_dump_line(a, &twice, again);
    check(str_eq(buf_str(&once), buf_str(&twice)));
    plain.body = buf_str(&once);
    e = decode_log_batch(a, &packed, true, &x, &f);
    if (e)
        fuzz_check_refusal(e, &f);
    if (yyjson_is_obj(v) && !has_odd_number(v)) {
        check(decode_log_batch(a, &plain, true, &y, &f) == e);
        check(e || (str_eq(x.run_id, y.run_id) && x.batch.npoints == y.batch.npoints &&
                    x.batch.nparams == y.batch.nparams && x.batch.ntags == y.batch.ntags));
    }
    buf_fini(&once);
    buf_fini(&twice);
}

static void fuzz_one(struct arena *a, struct str in)
{
    struct document_error why = {NULL, 0};
    size_t budget = BUDGET;
    struct str rest = in;
    yyjson_val *v = document_read_msgpack(a, &rest, &budget, &why);

    if (v == NULL) {
        check(why.text && *why.text && why.at <= in.n);
        return;
    }
    check(rest.p + rest.n == in.p + in.n && rest.n < in.n);
    check(check_value(v, 0) == BUDGET - budget);
    check_as_json(a, v, str_head(in, in.n - rest.n));
}
