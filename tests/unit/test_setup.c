/* setup: the experiment is found or made, every run gets its own id, refusals are told. */
#include "loadtest/setup.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/peer.h"

static struct event_base *loop;
static struct peer peer;
static struct plan *plan;
static struct arena arena;
static struct target target;
static struct ledger ledger;
static struct shape shape;
static struct fail f;
static bool has_experiment;
static unsigned refuse_at; /* the runs/create that is refused; 0: none */
static unsigned runs;

static size_t mlflow(struct peer *p, const char *request, char *out)
{
    char id[200];

    (void)p;
    if (strstr(request, "/experiments/get-by-name?experiment_name=a%20%22b%26c ")) {
        if (has_experiment)
            return peer_json(out, "{\"experiment\": {\"experiment_id\": \"7\"}}");
        strcpy(out, "HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\n{}");
        return strlen(out);
    }
    if (strstr(request, "/experiments/create "))
        return peer_json(out,
                         strstr(request, "\"a \\\"b&c\"") ? "{\"experiment_id\": \"8\"}" : "{}");
    assert_non_null(strstr(request, "/runs/create "));
    if (++runs == refuse_at) {
        strcpy(out, "HTTP/1.1 503 No\r\nContent-Length: 4\r\n\r\nbusy");
        return strlen(out);
    }
    snprintf(id, sizeof(id), "{\"run\": {\"info\": {\"run_id\": \"run%u\"}}}", runs);
    return peer_json(out, id);
}

static int setup(void **state)
{
    (void)state;
    runs = refuse_at = 0;
    has_experiment = false;
    loop = event_base_new();
    arena_init(&arena, 1024);
    fail_init(&f, NULL);
    peer_open(&peer, loop, mlflow);
    plan = plan_new();
    plan->experiment = "a \"b&c";
    assert_int_equal(target_open(&target, str_of(peer.url), &arena, &f), OK);
    ledger_init(&ledger, 100, 10, 10, 1, 0);
    shape_init(&shape, plan, &target, &ledger);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    shape_fini(&shape);
    ledger_fini(&ledger);
    plan_free(plan);
    peer_close(&peer);
    arena_fini(&arena);
    event_base_free(loop);
    return 0;
}

static void test_the_experiment_is_found_or_made(void **state)
{
    (void)state;
    assert_int_equal(setup_experiment(&shape, loop, &f), OK);
    assert_string_equal(shape.experiment, "8");
    has_experiment = true;
    assert_int_equal(setup_experiment(&shape, loop, &f), OK);
    assert_string_equal(shape.experiment, "7");
}

static void test_every_run_is_made_once(void **state)
{
    (void)state;
    assert_int_equal(setup_runs(&shape, loop, &ledger, &f), OK);
    assert_int_equal(runs, 100);
    for (size_t i = 0; i < 100; i++) {
        assert_true(str_starts(str_of(ledger.runs[i].id), STR("run")));
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(ledger.runs[i].id, ledger.runs[k].id);
    }
}

static void test_a_refusal_ends_it_with_its_words(void **state)
{
    char text[256];

    (void)state;
    refuse_at = 50;
    assert_int_equal(setup_runs(&shape, loop, &ledger, &f), ERR_PG);
    str_to_cstr(f.text, text, sizeof(text));
    assert_string_equal(text, "runs/create: status 503: busy");
}

static void test_ids_that_could_be_more(void **state)
{
    (void)state;
    assert_true(is_id("0a-Z_9"));
    assert_false(is_id(""));
    assert_false(is_id("a'b"));
    assert_false(is_id("a b"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_experiment_is_found_or_made, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_run_is_made_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_refusal_ends_it_with_its_words, setup, teardown),
        cmocka_unit_test(test_ids_that_could_be_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
