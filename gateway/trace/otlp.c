/*
 * otlp: ids are hex, times nanoseconds since the epoch in strings (64 bits do not fit JSON's numbers),
 * enums are numbers: kind 2 is a server's span, 3 a client's, 5 a consumer's, 1 an internal one; status 2 an error, which
 * for a server is 5xx alone. Names of attributes are those of the semantic conventions 1.23 and later.
 */
#include "gateway/trace/otlp.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "gateway/version.h"

enum { KIND_INTERNAL = 1, KIND_SERVER = 2, KIND_CLIENT = 3, KIND_CONSUMER = 5, STATUS_ERROR = 2 };

static void write_id(struct json *j, const char *key, uint64_t id)
{
    char text[17];

    snprintf(text, sizeof(text), "%016" PRIx64, id);
    json_pair_str(j, key, str_of(text));
}

static void write_trace(struct json *j, const uint64_t trace[2])
{
    char text[33];

    snprintf(text, sizeof(text), "%016" PRIx64 "%016" PRIx64, trace[0], trace[1]);
    json_pair_str(j, "traceId", str_of(text));
}

static void write_time(struct json *j, const char *key, const struct span *s, uint64_t us)
{
    char text[32];

    snprintf(text, sizeof(text), "%" PRId64 "000", s->wall_us - (int64_t)(s->end_us - us));
    json_pair_str(j, key, str_of(text));
}

/* type: stringValue, or intValue, which OTLP writes as a string too. */
static void write_attribute(struct json *j, const char *key, const char *type, const char *value)
{
    json_open(j);
    json_pair_str(j, "key", str_of(key));
    json_key(j, "value");
    json_open(j);
    json_pair_str(j, type, str_of(value));
    json_close(j);
    json_close(j);
}

static void write_text(struct json *j, const char *key, const char *value)
{
    write_attribute(j, key, "stringValue", value);
}

static void write_number(struct json *j, const char *key, uint64_t value)
{
    char text[24];

    snprintf(text, sizeof(text), "%" PRIu64, value);
    write_attribute(j, key, "intValue", text);
}

static void write_wait(struct json *j, const struct span *s, unsigned i)
{
    const struct span_wait *w = &s->waits[i];
    bool is_sql = strcmp(w->name, "postgresql") == 0;

    json_open(j);
    write_trace(j, s->trace);
    write_id(j, "spanId", s->first_wait + i);
    write_id(j, "parentSpanId", s->id);
    json_pair_str(j, "name", str_of(w->statement ? w->statement : w->name));
    json_pair_i64(j, "kind", is_sql ? KIND_CLIENT : KIND_INTERNAL);
    write_time(j, "startTimeUnixNano", s, w->begin_us);
    write_time(j, "endTimeUnixNano", s, w->end_us);
    json_key(j, "attributes");
    json_open_list(j);
    if (is_sql)
        write_text(j, "db.system", "postgresql");
    json_close_list(j);
    json_close(j);
}

static void write_request(struct json *j, const struct span *s)
{
    char name[192];

    snprintf(name, sizeof(name), "%s%s%s", s->method, *s->route ? " " : "", s->route);
    json_open(j);
    write_trace(j, s->trace);
    write_id(j, "spanId", s->id);
    if (s->parent)
        write_id(j, "parentSpanId", s->parent);
    json_pair_str(j, "name", str_of(name));
    json_pair_i64(j, "kind", KIND_SERVER);
    write_time(j, "startTimeUnixNano", s, s->begin_us);
    write_time(j, "endTimeUnixNano", s, s->end_us);
    json_key(j, "attributes");
    json_open_list(j);
    write_text(j, "http.request.method", s->method);
    if (*s->route)
        write_text(j, "http.route", s->route);
    write_number(j, "http.response.status_code", (uint64_t)s->status);
    write_number(j, "http.request.size", s->received_bytes);
    write_number(j, "http.response.size", s->sent_bytes);
    if (s->wait_count > SPAN_WAITS)
        write_number(j, "sluice.waits", s->wait_count);
    json_close_list(j);
    json_key(j, "status");
    json_open(j);
    if (s->status >= 500)
        json_pair_i64(j, "code", STATUS_ERROR);
    json_close(j);
    json_close(j);
}

static void write_links(struct json *j, const struct trail *t)
{
    json_key(j, "links");
    json_open_list(j);
    for (unsigned i = 0; i < t->link_count; i++) {
        json_open(j);
        write_trace(j, t->links[i].trace);
        write_id(j, "spanId", t->links[i].span);
        json_close(j);
    }
    json_close_list(j);
}

static void write_flush(struct json *j, const struct span *s)
{
    const struct trail *t = &s->trail;

    json_open(j);
    write_trace(j, s->trace);
    write_id(j, "spanId", s->id);
    if (s->parent)
        write_id(j, "parentSpanId", s->parent);
    json_pair_str(j, "name", STR("flush"));
    json_pair_i64(j, "kind", KIND_CONSUMER);
    write_time(j, "startTimeUnixNano", s, s->begin_us);
    write_time(j, "endTimeUnixNano", s, s->end_us);
    json_key(j, "attributes");
    json_open_list(j);
    write_text(j, "db.system", "postgresql");
    write_number(j, "sluice.flusher", t->flusher);
    write_number(j, "sluice.entries", t->entries);
    write_number(j, "sluice.points", t->points);
    write_number(j, "sluice.rows", t->rows);
    write_number(j, "sluice.runs", t->runs);
    write_number(j, "sluice.repeats", t->repeats);
    write_number(j, "sluice.transactions", t->transactions);
    write_text(j, "sluice.path", t->is_staged ? "staged" : "direct");
    write_number(j, "sluice.followed", t->followed);
    json_close_list(j);
    write_links(j, t);
    json_key(j, "status");
    json_open(j);
    if (t->is_cut)
        json_pair_i64(j, "code", STATUS_ERROR);
    json_close(j);
    json_close(j);
}

static unsigned waits_told(const struct span *s)
{
    return s->wait_count < SPAN_WAITS ? s->wait_count : SPAN_WAITS;
}

unsigned otlp_count(const struct span *spans, unsigned n)
{
    unsigned sum = 0;

    for (unsigned i = 0; i < n; i++)
        sum += 1 + waits_told(&spans[i]);
    return sum;
}

static void write_resource(struct json *j, const struct otlp_resource *who)
{
    json_key(j, "resource");
    json_open(j);
    json_key(j, "attributes");
    json_open_list(j);
    write_text(j, "service.name", who->service);
    write_text(j, "service.version", SLUICE_VERSION);
    write_text(j, "service.instance.id", who->instance);
    write_text(j, "host.name", who->host);
    json_close_list(j);
    json_close(j);
}

void otlp_write(const struct otlp_resource *who, const struct span *spans, unsigned n,
                struct buf *out)
{
    struct json j;

    json_init(&j, out, JSON_COMPACT);
    json_open(&j);
    json_key(&j, "resourceSpans");
    json_open_list(&j);
    json_open(&j);
    write_resource(&j, who);
    json_key(&j, "scopeSpans");
    json_open_list(&j);
    json_open(&j);
    json_key(&j, "scope");
    json_open(&j);
    json_pair_str(&j, "name", STR("sluice"));
    json_close(&j);
    json_key(&j, "spans");
    json_open_list(&j);
    for (unsigned i = 0; i < n; i++) {
        if (spans[i].is_flush)
            write_flush(&j, &spans[i]);
        else
            write_request(&j, &spans[i]);
        for (unsigned k = 0; k < waits_told(&spans[i]); k++)
            write_wait(&j, &spans[i], k);
    }
    json_close_list(&j);
    json_close(&j);
    json_close_list(&j);
    json_close(&j);
    json_close_list(&j);
    json_close(&j);
}
