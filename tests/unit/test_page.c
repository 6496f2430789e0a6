/* page: a curve for what was looked at, none for what was not, nothing fetched, texts escaped. */
#include "loadtest/page.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static struct storm s;
static struct plan *plan;
static struct result r;
static struct buf out;

static int setup(void **state)
{
    (void)state;
    memset(&s, 0, sizeof(s));
    plan = plan_new();
    s.plan = plan;
    tally_init(&s.tally);
    buf_init(&out);
    for (unsigned i = 1; i <= 3000; i++) {
        s.tally.now.done = 5;
        spread_note(&s.tally.now_latency, 1000 + i);
        tally_cut(&s.tally, i);
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    tally_fini(&s.tally);
    buf_fini(&out);
    plan_free(plan);
    return 0;
}

static unsigned times(const char *text)
{
    struct str all = buf_str(&out);
    size_t n = strlen(text);
    unsigned count = 0;

    for (size_t i = 0; i + n <= all.n; i++)
        count += memcmp(all.p + i, text, n) == 0;
    return count;
}

static void test_curves(void **state)
{
    (void)state;
    page_write(&s, &r, NULL, &out);
    assert_int_equal(times("<svg "), 4);      /* requests, points, errors, latencies */
    assert_int_equal(times("<polyline "), 7); /* one, one, two, three */
    assert_int_equal(times("</svg>"), 4);
    assert_int_equal(times("Verify"), 0);
    assert_true(buf_len(&out) < 7 * PAGE_COLUMNS * 16 + 20000); /* however many rows */
    assert_int_equal(times("<script"), 0);
    assert_int_equal(times("src="), 0);
    assert_int_equal(times("href="), 0);
}

static void test_a_look_at_the_server_adds_its_curves(void **state)
{
    (void)state;
    for (size_t i = 1000; i < 2000; i++)
        s.tally.samples[i].rss_bytes = 5e6;
    for (size_t i = 0; i < 3000; i++)
        s.tally.samples[i].backlog = i < 1000 || i > 2000 ? (double)i : -1;
    page_write(&s, &r, NULL, &out);
    assert_int_equal(times("<svg "), 6);
    assert_int_equal(times("<polyline "), 7 + 1 + 2); /* the backlog has a gap */
}

static void test_percentiles_and_a_dot_between_gaps(void **state)
{
    (void)state;
    for (unsigned us = 1; us <= 1000; us++)
        spread_note(&s.tally.latency, us);
    for (size_t i = 0; i < 3000; i++)
        s.tally.samples[i].backlog = -1;
    s.tally.samples[0].backlog = 5; /* in a column with two others */
    page_write(&s, &r, NULL, &out);
    assert_int_equal(times("Latency by percentile"),
                     2);                  /* the heading, and the label of the plot */
    assert_int_equal(times("99.9 %"), 2); /* the grid of the plot, the table */
    assert_int_equal(times("points='70.9,10.0 70.9,10.0 '"), 1);
}

static void test_texts_are_escaped(void **state)
{
    struct verdict v = {.lost = 1, .first = "run <b>&"};
    struct fail f;

    (void)state;
    fail_init(&f, NULL);
    assert_int_equal(plan_set(plan, STR("experiment"), STR("<script>'x'"), &f), OK);
    assert_int_equal(plan_set(plan, STR("admin_url"), STR("http://me:secret@host:6"), &f), OK);
    plan->pg_uri = "postgresql://me:secret@/x";
    plan->url = "http://me:secret@host:5";
    page_write(&s, &r, &v, &out);
    assert_int_equal(times("<script"), 0);
    assert_int_equal(times("&lt;script&gt;&#39;x&#39;"), 1);
    assert_int_equal(times("run &lt;b&gt;&amp;"), 1);
    assert_int_equal(times("secret"), 0);
}

static void test_scales(void **state)
{
    static const struct {
        double v;
        double straight;
        double log;
    } rows[] = {{0.9, 1, 1}, {1, 1, 1}, {1.1, 2, 10}, {3, 5, 10}, {5.1, 10, 10}, {12, 20, 100}};
    struct chart c = {.is_log = true};

    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        assert_true(fabs(round_up(rows[i].v, false) - rows[i].straight) < 1e-9);
        assert_true(fabs(round_up(rows[i].v, true) - rows[i].log) < 1e-9);
    }
    assert_int_equal((int)height_of(&c, 100, 100), TOP);
    assert_int_equal((int)height_of(&c, 0, 100), TOP + HEIGHT);
    assert_int_equal((int)(height_of(&c, 10, 100) + 0.5), TOP + HEIGHT / DECADES);
    c.is_log = false;
    assert_int_equal((int)height_of(&c, 50, 100), TOP + HEIGHT / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_curves, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_look_at_the_server_adds_its_curves, setup, teardown),
        cmocka_unit_test_setup_teardown(test_percentiles_and_a_dot_between_gaps, setup, teardown),
        cmocka_unit_test_setup_teardown(test_texts_are_escaped, setup, teardown),
        cmocka_unit_test(test_scales),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
