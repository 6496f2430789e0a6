/* pulse: a beat is what lies between two looks, and the ring keeps the newest. */
#include "gateway/status/pulse.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#define SECOND ((uint64_t)1000000)

static void text_of(struct pulse *p, uint64_t since, char *out, size_t n)
{
    struct buf b;
    struct json j;

    buf_init(&b);
    json_init(&j, &b, JSON_COMPACT);
    pulse_json(p, since, &j);
    str_to_cstr(buf_str(&b), out, n);
    buf_fini(&b);
}

static void test_beats_are_differences(void **state)
{
    struct pulse *p = pulse_new();
    struct pulse_look look = {.stats.requests = 100, .cpu_us = 5000000};
    char text[4096];

    (void)state;
    assert_true(pulse_is_due(p, SECOND));
    pulse_beat(p, &look, 10 * SECOND);
    text_of(p, 0, text, sizeof(text));
    assert_true(strstr(text, "{\"last\":0,\"seconds\":1,\"requests\":[],") == text);
    assert_false(pulse_is_due(p, 10 * SECOND + SECOND / 2));
    look.stats.requests = 300;
    look.stats.ack.counts[1] = 10;
    look.cpu_us = 6000000;
    look.failed = 1;
    look.backlog_points = 123456;
    pulse_beat(p, &look, 12 * SECOND);
    text_of(p, 0, text, sizeof(text));
    assert_non_null(strstr(text, "\"last\":1,"));
    assert_non_null(strstr(text, "\"requests\":[100]"));
    assert_non_null(strstr(text, "\"failed\":[0.5]"));
    assert_non_null(strstr(text, "\"backlog_points\":[123500]"));
    assert_non_null(strstr(text, "\"ack_p50\":[0.075]"));
    assert_non_null(strstr(text, "\"fsync_p99\":[null]"));
    assert_non_null(strstr(text, "\"cpu\":[0.5]"));
    pulse_free(p);
}

static void test_the_ring_keeps_the_newest(void **state)
{
    static char text[65536];
    struct pulse *p = pulse_new();
    struct pulse_look look = {0};
    unsigned commas = 0;

    (void)state;
    for (unsigned i = 0; i <= PULSE_BEATS + 5; i++) {
        look.stats.requests += i;
        pulse_beat(p, &look, (1 + i) * SECOND);
    }
    text_of(p, 0, text, sizeof(text));
    assert_non_null(strstr(text, "\"last\":305,"));
    assert_non_null(strstr(text, "\"requests\":[6,7,8,"));
    for (const char *c = strstr(text, "\"requests\":["); *c != ']'; c++)
        commas += *c == ',';
    assert_int_equal(commas, PULSE_BEATS - 1);
    text_of(p, 303, text, sizeof(text));
    assert_non_null(strstr(text, "\"requests\":[304,305]"));
    text_of(p, 305, text, sizeof(text));
    assert_non_null(strstr(text, "\"requests\":[]"));
    text_of(p, 9999, text, sizeof(text)); /* of an earlier start: all there is */
    assert_non_null(strstr(text, "\"requests\":[6,7,"));
    pulse_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_beats_are_differences),
        cmocka_unit_test(test_the_ring_keeps_the_newest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
