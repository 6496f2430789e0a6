/*
 * shape: calls to bytes, as MLflow's Python client would write them.
 *
 * Fields stand in the client's order, NaN and the infinities are quoted, steps are always there.
 * Numbers are written by hand: a log-batch of a thousand points goes through here in some 30 us,
 * of which printf alone would take 500.
 *
 * A param's value follows from its name, so that the same param sent again is no conflict; there
 * are at most SHAPE_NAMES names of params and of tags in a run.
 */
#include "loadtest/shape.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { SHAPE_NAMES = 200 };

static const struct {
    const char *word;
    bool is_write;
} call_rows[CALL_COUNT] = {
#define CALL(name, word, is_write) {word, is_write},
#include "loadtest/calls.def"
#undef CALL
};

const char *call_word(enum call_kind kind)
{
    return call_rows[kind].word;
}

bool call_is_write(enum call_kind kind)
{
    return call_rows[kind].is_write;
}

void shape_init(struct shape *s, const struct plan *p, const struct target *t,
                const struct ledger *l)
{
    *s = (struct shape){.plan = p, .target = t, .ledger = l};
    buf_init(&s->body);
}

void shape_fini(struct shape *s)
{
    buf_fini(&s->body);
}

/* --- JSON ------------------------------------------------------------------------------------- */

static void add_number(struct buf *out, uint64_t n)
{
    char digits[20];
    size_t at = sizeof(digits);

    do {
        digits[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n);
    buf_add(out, digits + at, sizeof(digits) - at);
}

/* Millionths as 0.123456. */
static void add_micro(struct buf *out, int32_t micro)
{
    char text[10] = "-0.000000";
    uint32_t size = (uint32_t)(micro < 0 ? -micro : micro);

    text[1] = (char)('0' + size / 1000000);
    for (int i = 8; i > 2; i--) {
        text[i] = (char)('0' + size % 10);
        size /= 10;
    }
    buf_add(out, micro < 0 ? text : text + 1, micro < 0 ? 9 : 8);
}

static void add_value(struct buf *out, const struct point *p)
{
    switch (p->class) {
    case POINT_NAN: buf_add_str(out, STR("\"NaN\"")); break;
    case POINT_INF: buf_add_str(out, STR("\"Infinity\"")); break;
    case POINT_MINUS_INF: buf_add_str(out, STR("\"-Infinity\"")); break;
    default: add_micro(out, p->micro); break;
    }
}

/* The fields of a point, without braces. */
static void add_point(struct buf *out, const struct ledger *l, const struct point *p)
{
    char key[KEY_MAX];

    buf_add_str(out, STR("\"key\": \""));
    buf_add(out, key, ledger_key(l, p->key, key));
    buf_add_str(out, STR("\", \"value\": "));
    add_value(out, p);
    buf_add_str(out, STR(", \"timestamp\": "));
    add_number(out, (uint64_t)p->timestamp);
    buf_add_str(out, STR(", \"step\": "));
    add_number(out, (uint64_t)p->step);
}

static void shape_log_metric(struct shape *s, const struct call *c)
{
    const char *id = s->ledger->runs[c->run].id;
    struct point p = ledger_point(s->ledger, c->run, c->first);

    buf_add_str(&s->body, STR("{\"run_uuid\": \""));
    buf_add_str(&s->body, str_of(id));
    buf_add_str(&s->body, STR("\", "));
    add_point(&s->body, s->ledger, &p);
    buf_add_str(&s->body, STR(", \"run_id\": \""));
    buf_add_str(&s->body, str_of(id));
    buf_add_str(&s->body, STR("\"}"));
}

/* "params": [...], or "tags": n pairs that follow from first. */
static void add_pairs(struct buf *out, const char *list, const char *name, uint64_t n,
                      uint64_t first)
{
    if (n == 0)
        return;
    buf_printf(out, ", \"%s\": [", list);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t number = (first + i) % SHAPE_NAMES;

        buf_printf(out, "%s{\"key\": \"load/%s%" PRIu64 "\", \"value\": \"%s of %" PRIu64 "\"}",
                   i ? ", " : "", name, number, name, number);
    }
    buf_add_byte(out, ']');
}

static void shape_log_batch(struct shape *s, const struct call *c)
{
    buf_add_str(&s->body, STR("{\"run_id\": \""));
    buf_add_str(&s->body, str_of(s->ledger->runs[c->run].id));
    buf_add_str(&s->body, STR("\", \"metrics\": ["));
    for (uint32_t i = 0; i < c->count; i++) {
        struct point p = ledger_point(s->ledger, c->run, c->first + i);

        buf_add_str(&s->body, i ? STR(", {") : STR("{"));
        add_point(&s->body, s->ledger, &p);
        buf_add_byte(&s->body, '}');
    }
    buf_add_byte(&s->body, ']');
    if (c->kind == CALL_LOG_BATCH) {
        add_pairs(&s->body, "params", "p", s->plan->batch_params, c->first);
        add_pairs(&s->body, "tags", "t", s->plan->batch_tags, c->first);
    }
    buf_add_byte(&s->body, '}');
}

/* --- msgpack ---------------------------------------------------------------------------------- */

static void pack_text(struct buf *out, struct str s)
{
    if (s.n < 32) {
        buf_add_byte(out, (char)(0xA0 | s.n));
    } else {
        buf_add_byte(out, (char)0xD9);
        buf_add_byte(out, (char)s.n);
    }
    buf_add_str(out, s);
}

static void pack_list(struct buf *out, uint64_t n)
{
    buf_add_byte(out, (char)0xDC);
    buf_add_be16(out, (uint16_t)n);
}

static void pack_number(struct buf *out, int64_t n)
{
    buf_add_byte(out, (char)0xD3);
    buf_add_be64(out, (uint64_t)n);
}

static void pack_double(struct buf *out, const struct point *p)
{
    double v = p->micro / 1e6;
    uint64_t bytes;

    if (p->class == POINT_NAN)
        v = __builtin_nan("");
    else if (p->class == POINT_INF || p->class == POINT_MINUS_INF)
        v = p->class == POINT_INF ? __builtin_inf() : -__builtin_inf();
    memcpy(&bytes, &v, sizeof(bytes));
    buf_add_byte(out, (char)0xCB);
    buf_add_be64(out, bytes);
}

static void pack_point(struct buf *out, const struct ledger *l, const struct point *p)
{
    char key[KEY_MAX];

    buf_add_byte(out, (char)0x84);
    pack_text(out, STR("key"));
    pack_text(out, (struct str){key, ledger_key(l, p->key, key)});
    pack_text(out, STR("value"));
    pack_double(out, p);
    pack_text(out, STR("timestamp"));
    pack_number(out, p->timestamp);
    pack_text(out, STR("step"));
    pack_number(out, p->step);
}

static void pack_pairs(struct buf *out, const char *list, const char *name, uint64_t n,
                       uint64_t first)
{
    char text[64];

    if (n == 0)
        return;
    pack_text(out, str_of(list));
    pack_list(out, n);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t number = (first + i) % SHAPE_NAMES;

        buf_add_byte(out, (char)0x82);
        pack_text(out, STR("key"));
        snprintf(text, sizeof(text), "load/%s%" PRIu64, name, number);
        pack_text(out, str_of(text));
        pack_text(out, STR("value"));
        snprintf(text, sizeof(text), "%s of %" PRIu64, name, number);
        pack_text(out, str_of(text));
    }
}

static void pack_log_batch(struct shape *s, const struct call *c)
{
    bool is_batch = c->kind == CALL_LOG_BATCH;
    uint64_t params = is_batch ? s->plan->batch_params : 0;
    uint64_t tags = is_batch ? s->plan->batch_tags : 0;

    buf_add_byte(&s->body, (char)(0x82 + (params > 0) + (tags > 0)));
    pack_text(&s->body, STR("run_id"));
    pack_text(&s->body, str_of(s->ledger->runs[c->run].id));
    pack_text(&s->body, STR("metrics"));
    pack_list(&s->body, c->count);
    for (uint32_t i = 0; i < c->count; i++) {
        struct point p = ledger_point(s->ledger, c->run, c->first + i);

        pack_point(&s->body, s->ledger, &p);
    }
    pack_pairs(&s->body, "params", "p", params, c->first);
    pack_pairs(&s->body, "tags", "t", tags, c->first);
}

/* --- requests --------------------------------------------------------------------------------- */

static void shape_pair(struct shape *s, const struct call *c, const char *name)
{
    const char *id = s->ledger->runs[c->run].id;
    uint64_t number = c->first % SHAPE_NAMES;

    buf_printf(&s->body,
               "{\"run_uuid\": \"%s\", \"key\": \"load/%s%" PRIu64 "\", \"value\": \"%s of %" PRIu64
               "\", \"run_id\": \"%s\"}",
               id, name, number, name, number, id);
}

static void shape_create_run(struct shape *s, const struct call *c)
{
    buf_printf(&s->body,
               "{\"experiment_id\": \"%s\", \"user_id\": \"loadtest\", \"start_time\": %" PRId64
               ", \"tags\": [{\"key\": \"mlflow.user\", \"value\": \"loadtest\"}, {\"key\": "
               "\"load/job\", \"value\": \"%" PRIu32 "\"}]}",
               s->experiment, s->ledger->epoch_ms, c->run);
}

static void shape_search(struct shape *s, const struct call *c)
{
    char key[KEY_MAX];

    buf_printf(&s->body,
               "{\"experiment_ids\": [\"%s\"], \"filter\": \"metrics.`%.*s` > 0 and "
               "tags.`load/job` = '%" PRIu32 "'\", \"max_results\": 20}",
               s->experiment, (int)ledger_key(s->ledger, 0, key), key, c->run);
}

void shape_get(const struct shape *s, struct buf *out, const char *path, struct str query)
{
    char text[512];
    int n = snprintf(text, sizeof(text), "/api/2.0/mlflow/%s?%.*s", path, STR_ARG(query));

    check(n > 0 && (size_t)n < sizeof(text));
    buf_reset(out);
    target_head(s->target, out, STR("GET"), (struct str){text, (size_t)n}, STR(""), 0);
}

static void shape_post_as(const struct shape *s, struct buf *out, const char *path, struct str body,
                          struct str type)
{
    char text[128] = "/api/2.0/mlflow/";
    size_t n = strlen(path);

    check(n < sizeof(text) - 16);
    memcpy(text + 16, path, n);
    buf_reset(out);
    target_head(s->target, out, STR("POST"), (struct str){text, 16 + n}, type, body.n);
    buf_add_str(out, body);
}

void shape_post(const struct shape *s, struct buf *out, const char *path, struct str body)
{
    shape_post_as(s, out, path, body, STR("application/json"));
}

void shape_request(struct shape *s, const struct call *c, struct buf *out)
{
    const char *id = s->ledger->runs[c->run].id;
    bool is_packed =
        s->plan->body[0] == 'm' && (c->kind == CALL_LOG_BATCH || c->kind == CALL_SYSTEM_METRICS);
    const char *path = NULL;
    char query[400];
    char key[KEY_MAX];
    size_t n;

    buf_reset(&s->body);
    switch (c->kind) {
    case CALL_LOG_METRIC: shape_log_metric(s, c), path = "runs/log-metric"; break;
    case CALL_LOG_BATCH:
    case CALL_SYSTEM_METRICS:
        is_packed ? pack_log_batch(s, c) : shape_log_batch(s, c);
        path = "runs/log-batch";
        break;
    case CALL_LOG_PARAM: shape_pair(s, c, "p"), path = "runs/log-parameter"; break;
    case CALL_SET_TAG: shape_pair(s, c, "t"), path = "runs/set-tag"; break;
    case CALL_CREATE_RUN: shape_create_run(s, c), path = "runs/create"; break;
    case CALL_SEARCH_RUNS: shape_search(s, c), path = "runs/search"; break;
    case CALL_GET_RUN:
        snprintf(query, sizeof(query), "run_uuid=%s&run_id=%s", id, id);
        shape_get(s, out, "runs/get", str_of(query));
        return;
    default:
        n = ledger_key(s->ledger, (uint32_t)(c->first % s->ledger->keys), key);
        snprintf(query, sizeof(query), "run_id=%s&metric_key=%.*s&max_results=1000", id, (int)n,
                 key);
        shape_get(s, out, "metrics/get-history", str_of(query));
        return;
    }
    shape_post_as(s, out, path, buf_str(&s->body),
                  is_packed ? STR("application/msgpack") : STR("application/json"));
}
