/* latency: every answer is in one cell, and cells add up by route and by method and status. */
#include "gateway/status/latency.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static uint64_t of_route(const struct latency *l, unsigned route, unsigned status_class)
{
    struct hist_view h = {0};
    struct exemplar_view e = {0};

    latency_sum_route(l, route, status_class, &h, &e);
    return hist_count(&h);
}

static uint64_t of_answer(const struct latency *l, unsigned route, const char *method,
                          const char *status)
{
    struct hist_view h = {0};
    struct exemplar_view e = {0};

    for (unsigned m = 0; m < LATENCY_METHODS; m++) {
        for (unsigned s = 0; s < LATENCY_STATUSES; s++) {
            if (strcmp(latency_method_name(m), method) == 0 &&
                strcmp(latency_status_name(s), status) == 0)
                latency_sum_answer(l, route, m, s, &h, &e);
        }
    }
    return hist_count(&h);
}

static void test_cells_add_up(void **state)
{
    struct latency *l = latency_new(3);

    (void)state;
    latency_note(l, 1, HTTP_M_GET, 200, 10, NULL);
    latency_note(l, 1, HTTP_M_POST, 200, 10, NULL);
    latency_note(l, 1, HTTP_M_POST, 404, 10, NULL);
    latency_note(l, 2, HTTP_M_DELETE, 503, 10, NULL);
    latency_note(l, 2, 0, 431, 10, NULL);
    assert_int_equal(of_route(l, 1, 2), 2);
    assert_int_equal(of_route(l, 1, 4), 1);
    assert_int_equal(of_route(l, 1, 5), 0);
    assert_int_equal(of_route(l, 0, 2), 0);
    assert_int_equal(of_answer(l, 1, "POST", "200"), 1);
    assert_int_equal(of_answer(l, 2, "DELETE", "503"), 1);
    assert_int_equal(of_answer(l, 2, "OTHER", "431"), 1);
    assert_true(latency_has_answer(l, method_place(HTTP_M_DELETE), status_place(503)));
    assert_false(latency_has_answer(l, method_place(HTTP_M_DELETE), status_place(200)));
    latency_free(l);
}

static void test_statuses_without_a_place_share_one(void **state)
{
    struct latency *l = latency_new(1);

    (void)state;
    for (unsigned status = 100; status < 600; status++)
        latency_note(l, 0, HTTP_M_PUT, status, 10, NULL);
    assert_int_equal(of_answer(l, 0, "PUT", "404"), 1);
    assert_int_equal(of_answer(l, 0, "PUT", "1xx"), 99); /* all but 101 */
    for (unsigned digit = 1; digit <= 5; digit++)
        assert_int_equal(of_route(l, 0, digit), 100); /* none twice, none lost */
    latency_free(l);
}

static void test_a_traced_request_is_told_of_its_cell(void **state)
{
    struct latency *l = latency_new(1);
    struct exemplar traced = {.trace = {1, 2}, .wall_ms = 77};
    struct hist_view h = {0};
    struct exemplar_view e = {0};

    (void)state;
    latency_note(l, 0, HTTP_M_GET, 200, 60, &traced);
    latency_note(l, 0, HTTP_M_GET, 400, 60, NULL);
    latency_sum_route(l, 0, 2, &h, &e);
    assert_int_equal(e.slots[1].trace[1], 2);
    assert_int_equal(e.slots[1].us, 60);
    e = (struct exemplar_view){0};
    latency_sum_route(l, 0, 4, &h, &e);
    assert_int_equal(e.slots[1].wall_ms, 0);
    latency_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cells_add_up),
        cmocka_unit_test(test_statuses_without_a_place_share_one),
        cmocka_unit_test(test_a_traced_request_is_told_of_its_cell),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
