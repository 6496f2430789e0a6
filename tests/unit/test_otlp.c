/* otlp: the JSON of a collector's protocol, as a whole and where it differs. */
#include "gateway/trace/otlp.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static const struct otlp_resource who = {.service = "sluice", .instance = "i-1", .host = "h\"x"};

/* Ends at second 1700000000 of the epoch, and took 2 ms. */
static struct span span_new(void)
{
    return (struct span){.trace = {0x0af7651916cd43dd, 0x8448eb211c80319c},
                         .id = 0xb7ad6b7169203331,
                         .parent = 0xf,
                         .begin_us = 998000,
                         .end_us = 1000000,
                         .wall_us = (int64_t)1700000000 * 1000000,
                         .method = "POST",
                         .route = "/mlflow/runs/log-batch",
                         .status = 200,
                         .received_bytes = 134,
                         .sent_bytes = 2};
}

static void expect(const struct span *spans, unsigned n, const char *part, bool is_there)
{
    struct buf out;

    buf_init(&out);
    otlp_write(&who, spans, n, &out);
    buf_add(&out, "", 1);
    if ((strstr(buf_str(&out).p, part) != NULL) != is_there)
        fail_msg("%s: %s in %s", part, is_there ? "not" : "unasked", buf_str(&out).p);
    buf_fini(&out);
}

#define ATTRIBUTE(key, type, value) "{\"key\":\"" key "\",\"value\":{\"" type "\":\"" value "\"}}"

static void test_a_whole_request(void **state)
{
    struct span s = span_new();
    struct buf out;

    (void)state;
    buf_init(&out);
    otlp_write(&who, &s, 1, &out);
    buf_add(&out, "", 1);
    assert_string_equal(
        buf_str(&out).p, "{\"resourceSpans\":[{\"resource\":{\"attributes\":["
        /* clang-format off */
        ATTRIBUTE("service.name", "stringValue", "sluice") ","
        ATTRIBUTE("service.version", "stringValue", SLUICE_VERSION) ","
        ATTRIBUTE("service.instance.id", "stringValue", "i-1") ","
        ATTRIBUTE("host.name", "stringValue", "h\\\"x")
        "]},\"scopeSpans\":[{\"scope\":{\"name\":\"sluice\"},\"spans\":[{"
        "\"traceId\":\"0af7651916cd43dd8448eb211c80319c\",\"spanId\":\"b7ad6b7169203331\","
        "\"parentSpanId\":\"000000000000000f\",\"name\":\"POST /mlflow/runs/log-batch\",\"kind\":2,"
        "\"startTimeUnixNano\":\"1699999999998000000\",\"endTimeUnixNano\":\"1700000000000000000\","
        "\"attributes\":["
        ATTRIBUTE("http.request.method", "stringValue", "POST") ","
        ATTRIBUTE("http.route", "stringValue", "/mlflow/runs/log-batch") ","
        ATTRIBUTE("http.response.status_code", "intValue", "200") ","
        ATTRIBUTE("http.request.size", "intValue", "134") ","
        ATTRIBUTE("http.response.size", "intValue", "2")
        /* clang-format on */
        "],\"status\":{}}]}]}]}");
    buf_fini(&out);
}

static void test_who_begins_a_trace_has_no_parent_and_who_has_no_route_no_name_of_one(void **state)
{
    struct span s = span_new();

    (void)state;
    s.parent = 0;
    s.route = "";
    expect(&s, 1, "parentSpanId", false);
    expect(&s, 1, "http.route", false);
    expect(&s, 1, "\"name\":\"POST\",\"kind\":2", true);
}

static void test_an_error_is_the_servers_alone(void **state)
{
    struct span s = span_new();

    (void)state;
    s.status = 499;
    expect(&s, 1, "\"status\":{}", true);
    s.status = 500;
    expect(&s, 1, "\"status\":{\"code\":2}", true);
}

static void test_what_was_waited_for_is_a_child(void **state)
{
    struct span s = span_new();

    (void)state;
    s.first_wait = 0x10;
    s.wait_count = 3;
    s.waits[0] = (struct span_wait){"durable", NULL, 998500, 999000};
    s.waits[1] = (struct span_wait){"postgresql", "run_find", 999000, 999500};
    s.waits[2] = (struct span_wait){"postgresql", NULL, 999500, 1000000};
    assert_int_equal(otlp_count(&s, 1), 4);
    expect(&s, 1,
           "\"spanId\":\"0000000000000010\",\"parentSpanId\":\"b7ad6b7169203331\","
           "\"name\":\"durable\",\"kind\":1,\"startTimeUnixNano\":\"1699999999998500000\","
           "\"endTimeUnixNano\":\"1699999999999000000\",\"attributes\":[]}",
           true);
    expect(&s, 1,
           "\"spanId\":\"0000000000000011\",\"parentSpanId\":\"b7ad6b7169203331\","
           "\"name\":\"run_find\",\"kind\":3,",
           true);
    expect(&s, 1, "\"name\":\"postgresql\",\"kind\":3,", true);
    expect(&s, 1, "\"attributes\":[" ATTRIBUTE("db.system", "stringValue", "postgresql") "]", true);
    expect(&s, 1, "sluice.waits", false);
}

static void test_waits_beyond_the_limit_are_counted_only(void **state)
{
    struct span s[2] = {span_new(), span_new()};

    (void)state;
    for (unsigned i = 0; i < SPAN_WAITS; i++)
        s[1].waits[i] = (struct span_wait){"durable", NULL, 998500, 999000};
    s[1].wait_count = SPAN_WAITS + 5;
    s[1].first_wait = 0x10;
    assert_int_equal(otlp_count(s, 2), 2 + SPAN_WAITS);
    expect(s, 2, ATTRIBUTE("sluice.waits", "intValue", "17"), true);
    expect(s, 2, "\"spanId\":\"000000000000001b\"", true);
    expect(s, 2, "\"spanId\":\"000000000000001c\"", false);
}

static void test_a_flush_names_those_that_it_ends(void **state)
{
    struct span s = span_new();

    (void)state;
    s.is_flush = true;
    s.trail = (struct trail){.flusher = 1,
                             .entries = 2,
                             .points = 30,
                             .is_staged = true,
                             .link_count = 1,
                             .links = {{.trace = {1, 2}, .span = 3}}};
    assert_int_equal(otlp_count(&s, 1), 1);
    expect(&s, 1, "\"parentSpanId\":\"000000000000000f\",\"name\":\"flush\",\"kind\":5,", true);
    expect(&s, 1, ATTRIBUTE("sluice.points", "intValue", "30"), true);
    expect(&s, 1, ATTRIBUTE("sluice.path", "stringValue", "staged"), true);
    expect(&s, 1,
           "\"links\":[{\"traceId\":\"00000000000000010000000000000002\","
           "\"spanId\":\"0000000000000003\"}],\"status\":{}}",
           true);
    expect(&s, 1, "http.", false);
    s.trail.is_cut = true;
    expect(&s, 1, "\"status\":{\"code\":2}", true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_flush_names_those_that_it_ends),
        cmocka_unit_test(test_a_whole_request),
        cmocka_unit_test(test_who_begins_a_trace_has_no_parent_and_who_has_no_route_no_name_of_one),
        cmocka_unit_test(test_an_error_is_the_servers_alone),
        cmocka_unit_test(test_what_was_waited_for_is_a_child),
        cmocka_unit_test(test_waits_beyond_the_limit_are_counted_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
