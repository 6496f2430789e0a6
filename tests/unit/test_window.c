/* window: against a slow model that compares every row with every other. */
#include "flush/window.c"

#include <stdio.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum { KEYS = 5, RUNS = 4, MODEL_ROWS = 600 };

/* What a row says, without ranks. */
struct said {
    char run[8], key[8];
    struct point point;
};

static uint64_t seed;

static unsigned pick(unsigned n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(seed >> 33) % n;
}

/* Few distinct values, so that repeats and ties are common. */
static struct said some_row(void)
{
    static const double values[] = {-1.0, -0.0, 0.0, 1.0, 1e300};
    static const int64_t numbers[] = {INT64_MIN, -3, 0, 1, 2, 4097, INT64_MAX};
    struct said s;

    snprintf(s.run, sizeof(s.run), "run%u", pick(RUNS));
    snprintf(s.key, sizeof(s.key), "k%u", pick(KEYS));
    s.point = (struct point){
        .value = values[pick(array_len(values))],
        .timestamp = numbers[pick(3) + 2],
        .step = numbers[pick(2) ? pick(array_len(numbers)) : 2],
    };
    if (s.point.value == 0.0)
        s.point.is_nan = pick(2);
    return s;
}

static int compare_place(const struct said *a, const struct said *b)
{
    int c = strcmp(a->run, b->run);

    if (c || (c = strcmp(a->key, b->key)))
        return c;
    if (a->point.step != b->point.step)
        return a->point.step < b->point.step ? -1 : 1;
    if (a->point.timestamp != b->point.timestamp)
        return a->point.timestamp < b->point.timestamp ? -1 : 1;
    if (a->point.value != b->point.value)
        return a->point.value < b->point.value ? -1 : 1;
    return 0;
}

static bool is_equal(const struct said *a, const struct said *b)
{
    return compare_place(a, b) == 0 && a->point.is_nan == b->point.is_nan;
}

static bool is_newer(const struct point *a, const struct point *b)
{
    if (a->step != b->step)
        return a->step > b->step;
    if (a->timestamp != b->timestamp)
        return a->timestamp > b->timestamp;
    return a->value > b->value;
}

/* Insertion sort that drops what is equal to something before it. */
static size_t model_rows(const struct said *in, size_t n, struct said *out)
{
    size_t count = 0;

    for (size_t i = 0; i < n; i++) {
        size_t at = count;
        bool is_repeat = false;

        for (size_t j = 0; j < count; j++)
            is_repeat |= is_equal(&out[j], &in[i]);
        if (is_repeat)
            continue;
        while (at > 0 && compare_place(&out[at - 1], &in[i]) > 0) {
            out[at] = out[at - 1];
            at--;
        }
        out[at] = in[i];
        count++;
    }
    return count;
}

static void assert_row(const struct window *w, const struct row *r, const struct said *s)
{
    assert_true(str_eq(w->runs.texts[r->run], str_of(s->run)));
    assert_true(str_eq(w->keys.texts[r->key], str_of(s->key)));
    assert_int_equal(r->timestamp, s->point.timestamp);
    assert_int_equal(r->step, s->point.step);
    assert_int_equal(r->is_nan, s->point.is_nan);
    /* Bit for bit: of -0.0 and 0.0 the first to come is kept. */
    assert_memory_equal(&r->value, &s->point.value, sizeof(double));
}

static void add_row(struct window *w, const struct said *s)
{
    struct batch b = {.npoints = 1};
    struct point p = s->point;

    assert_true(run_id_set(&b.run, str_of(s->run)));
    p.key = str_of(s->key);
    b.points = &p;
    window_add(w, &b, 0, NULL);
}

static void assert_model(const struct window *w, const struct said *in, size_t n)
{
    static struct said sorted[MODEL_ROWS];
    size_t count = model_rows(in, n, sorted), folded = 0;

    assert_int_equal(w->points, n);
    assert_int_equal(w->count, count);
    assert_int_equal(w->repeats, n - count);
    for (size_t i = 0; i < count; i++)
        assert_row(w, &w->rows[i], &sorted[i]);
    for (unsigned run = 0; run < w->runs.count; run++) {
        for (unsigned key = 0; key < w->keys.count; key++) {
            const struct said *best = NULL;

            for (size_t i = 0; i < n; i++) {
                if (!str_eq(str_of(in[i].run), w->runs.texts[run]) ||
                    !str_eq(str_of(in[i].key), w->keys.texts[key]))
                    continue;
                if (!best || is_newer(&in[i].point, &best->point))
                    best = &in[i];
            }
            if (best)
                assert_row(w, &w->latest[folded++], best);
        }
    }
    assert_int_equal(folded, w->latest_count);
}

static void test_rows_and_latest_are_those_of_the_model(void **state)
{
    static struct said in[MODEL_ROWS];
    struct window w;

    (void)state;
    window_init(&w);
    for (seed = 1; seed < 200000; seed = seed % 200000 + 4111) {
        uint64_t round = seed;
        size_t n = pick(round % 7 ? 40 : MODEL_ROWS);

        window_reset(&w);
        for (size_t i = 0; i < n; i++) {
            in[i] = some_row();
            add_row(&w, &in[i]);
        }
        window_close(&w);
        assert_model(&w, in, n);
        seed = round;
    }
    window_fini(&w);
}

static void test_an_empty_window_is_empty(void **state)
{
    struct batch none = {0};
    struct window w;

    (void)state;
    window_init(&w);
    window_close(&w);
    assert_int_equal(w.count + w.latest_count + w.models_count, 0);
    window_reset(&w);
    window_add(&w, &none, 0, NULL);
    window_close(&w);
    assert_int_equal(w.count + w.runs.count, 0);
    window_fini(&w);
}

/* MLflow: of NaN and 0 in one place the first stays in latest_metrics, both stay in metrics. */
static void test_nan_and_zero_tie_and_the_first_stays(void **state)
{
    struct said nan = {.run = "r", .key = "k", .point = {.is_nan = true}};
    struct said zero = {.run = "r", .key = "k"};
    struct window w;

    (void)state;
    window_init(&w);
    add_row(&w, &nan);
    add_row(&w, &zero);
    window_close(&w);
    assert_int_equal(w.count, 2);
    assert_int_equal(w.latest_count, 1);
    assert_true(w.latest[0].is_nan);
    window_reset(&w);
    add_row(&w, &zero);
    add_row(&w, &nan);
    window_close(&w);
    assert_false(w.latest[0].is_nan);
    window_fini(&w);
}

static void test_one_place_with_many_values_is_sorted(void **state)
{
    struct said s = {.run = "r", .key = "k"};
    struct window w;

    (void)state;
    window_init(&w);
    for (unsigned i = 0; i < 20000; i++) {
        s.point.value = (double)(i * 7919 % 10000);
        add_row(&w, &s);
    }
    window_close(&w);
    assert_int_equal(w.count, 10000);
    assert_int_equal(w.repeats, 10000);
    for (size_t i = 0; i < w.count; i++)
        assert_true(w.rows[i].value == (double)i);
    assert_true(w.latest[0].value == 9999.0);
    window_fini(&w);
}

static void test_memory_of_a_backlog_is_given_back(void **state)
{
    struct said s = {.run = "r", .key = "k"};
    struct window w;

    (void)state;
    window_init(&w);
    for (unsigned i = 0; i < 2 * WINDOW_KEEP; i++) {
        s.point.step = (int64_t)i * 7919 % 200003;
        add_row(&w, &s);
    }
    window_close(&w);
    for (size_t i = 1; i < w.count; i++)
        assert_true(w.rows[i - 1].step < w.rows[i].step);
    assert_true(w.cap > WINDOW_KEEP);
    for (unsigned i = 0; i < WINDOW_IDLE; i++) {
        window_reset(&w);
        add_row(&w, &s);
        window_close(&w);
        assert_true(w.cap > WINDOW_KEEP);
    }
    window_reset(&w);
    window_reset(&w);
    assert_int_equal(w.cap, 0);
    add_row(&w, &s);
    window_close(&w);
    assert_int_equal(w.count, 1);
    window_fini(&w);
}

static void test_dead_points_are_left_out(void **state)
{
    struct point points[3] = {
        {.key = STR_INIT("a")}, {.key = STR_INIT("b")}, {.key = STR_INIT("c")}};
    const bool is_dead[3] = {false, true, false};
    struct batch b = {.npoints = 3, .points = points};
    struct window w;

    (void)state;
    assert_true(run_id_set(&b.run, STR("r")));
    window_init(&w);
    window_add(&w, &b, 0, is_dead);
    window_close(&w);
    assert_int_equal(w.count, 2);
    assert_int_equal(w.points, 2);
    assert_int_equal(names_find(&w.keys, STR("b")), -1);
    assert_int_equal(names_find(&w.keys, STR("c")), 1);
    window_fini(&w);
}

static void test_model_rows_keep_their_entry_and_point(void **state)
{
    struct point points[3] = {{.key = STR_INIT("b"),
                               .step = 1,
                               .model_id = STR_INIT("m-2"),
                               .dataset_name = STR_INIT("d"),
                               .dataset_digest = STR_INIT("x")},
                              {.key = STR_INIT("a"), .step = 2},
                              {.key = STR_INIT("a"), .step = 3, .model_id = STR_INIT("m-1")}};
    struct batch b = {.npoints = 3, .points = points};
    struct window w;

    (void)state;
    assert_true(run_id_set(&b.run, STR("r")));
    window_init(&w);
    window_add(&w, &b, 17, NULL);
    window_close(&w);
    assert_int_equal(w.models_count, 2);
    assert_int_equal(w.models.count, 2);
    assert_int_equal(w.models_rows[0].entry, 17);
    assert_int_equal(w.models_rows[0].point, 0);
    assert_int_equal(w.models_rows[0].model, 1); /* ranks: m-1, m-2 */
    assert_int_equal(w.models_rows[0].key, 1);
    assert_true(str_eq(w.models_rows[0].dataset_name, STR("d")));
    assert_int_equal(w.models_rows[1].point, 2);
    assert_int_equal(w.models_rows[1].model, 0);
    assert_int_equal(w.models_rows[1].dataset_name.n, 0);
    window_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_and_latest_are_those_of_the_model),
        cmocka_unit_test(test_an_empty_window_is_empty),
        cmocka_unit_test(test_nan_and_zero_tie_and_the_first_stays),
        cmocka_unit_test(test_one_place_with_many_values_is_sorted),
        cmocka_unit_test(test_memory_of_a_backlog_is_given_back),
        cmocka_unit_test(test_dead_points_are_left_out),
        cmocka_unit_test(test_model_rows_keep_their_entry_and_point),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
