/*
 * Tests of auth/grant_ask.c: what counts how long, who asks again, and who waits. Time and the database are
 * the test's; the waits are written down.
 */
#include "gateway/auth/grant_ask.c"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "schema/errors.h"
#include "tests/unit/rows.h"

enum { TTL_US = 5000000, GRACE_US = 600000000 };
#define BEGIN_US 1000000000u

static struct worker worker;
static struct settings settings;
static struct auth_user user = {.id = 7};
static struct req req;
static struct sql_call *asked; /* under way */
static unsigned asked_count, woken, told;
static uint64_t last_question, waits_until_us;
static char told_name[32];
static news_heard heard;

void sql_call(struct sql_pool *p, struct sql_call *call)
{
    (void)p;
    assert_null(asked);
    asked = call;
    asked_count++;
}

bool sql_is_up(const struct sql_pool *p)
{
    (void)p;
    return true;
}

uint64_t auth_question(struct worker *w)
{
    (void)w;
    return ++last_question;
}

void req_wait_user(struct req *r, uint64_t question, uint64_t until_us, req_step next)
{
    (void)r;
    (void)next;
    assert_int_equal(question, last_question);
    waits_until_us = until_us;
}

void req_wake_user(struct worker *w, uint64_t question)
{
    (void)w;
    assert_int_equal(question, last_question);
    woken++;
}

void worker_touch(struct worker *w)
{
    (void)w;
}

void news_hear(struct worker *w, enum news_kind kind, news_heard on_news, void *arg)
{
    assert_ptr_equal(w, arg);
    assert_int_equal(kind, NEWS_GRANTS);
    heard = on_news;
}

void news_tell(struct worker *w, enum news_kind kind, struct str name)
{
    (void)w;
    assert_int_equal(kind, NEWS_GRANTS);
    str_to_cstr(name, told_name, sizeof(told_name));
    told++;
}

/* The answer to the question under way. */
static void answer(const char *level)
{
    struct sql_call *call = asked;
    PGresult *res = ROWS(3, "experiment", "1", level ? level : "READ");

    assert_non_null(call);
    asked = NULL;
    call->err = level ? OK : ERR_PG;
    call->results[0] = res;
    call->done(call);
    PQclear(res);
}

static int setup(void **state)
{
    (void)state;
    memset(&worker, 0, sizeof(worker));
    memset(&req, 0, sizeof(req));
    settings.auth_ttl = TTL_US;
    settings.auth_grace = GRACE_US;
    worker.settings = &settings;
    worker.users_sql = (struct sql_pool *)&worker; /* there is one */
    worker.now_us = req.started_us = BEGIN_US;
    worker.grants = grant_cache_new(1 << 20);
    req.worker = &worker;
    req.user = &user;
    asked_count = woken = told = 0;
    grant_ask_hear(&worker);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (asked)
        answer("READ");
    grant_cache_free(worker.grants);
    return 0;
}

/* A request that comes at that time; true: it goes on at once, with what is known or nothing. */
static bool comes(uint64_t after_us, struct grants **known)
{
    bool waits;

    worker.now_us = req.started_us = BEGIN_US + after_us;
    *known = grant_ask_known(&req, NULL, &waits);
    return !waits;
}

static void know(void)
{
    grant_ask_early(&worker, user.id);
    answer("READ");
}

static void test_what_is_young_costs_nothing(void **state)
{
    struct grants *known;

    (void)state;
    assert_true(comes(0, &known));
    assert_null(known); /* the caller asks for itself */
    know();
    grant_ask_early(&worker, user.id); /* he is known */
    assert_int_equal(asked_count, 1);
    assert_true(comes(TTL_US / 2 - 1, &known));
    assert_non_null(known);
    assert_int_equal(asked_count, 1);
}

static void test_they_are_asked_for_again_before_it_is_too_late(void **state)
{
    struct grants *known;

    (void)state;
    know();
    assert_true(comes(TTL_US / 2, &known));
    assert_non_null(known);
    assert_int_equal(asked_count, 2);
    assert_true(comes(TTL_US / 2 + 1, &known)); /* one question at a time */
    assert_int_equal(asked_count, 2);
    answer("EDIT");
    assert_true(comes(TTL_US, &known));
    assert_int_equal(grants_at(known, GRANT_EXPERIMENT, STR("1")), LEVEL_EDIT);
}

static void test_what_is_old_is_waited_for(void **state)
{
    struct grants *known;

    (void)state;
    know();
    assert_false(comes(TTL_US, &known));
    assert_int_equal(waits_until_us, BEGIN_US + TTL_US + PATIENCE_US);
    answer("DENY");
    assert_int_equal(woken, 2);
    assert_true(comes(TTL_US, &known));
    assert_int_equal(grants_at(known, GRANT_EXPERIMENT, STR("1")), LEVEL_DENY);
}

/* No answer: what was known counts for auth_grace, and nobody asks at every request. */
static void test_a_database_that_is_away(void **state)
{
    struct grants *known;

    (void)state;
    know();
    assert_false(comes(TTL_US, &known));
    answer(NULL);
    assert_true(comes(TTL_US + AWAY_US - 1, &known));
    assert_non_null(known);
    assert_int_equal(asked_count, 2);
    assert_false(comes(TTL_US + AWAY_US, &known));
    answer(NULL);
    assert_true(comes(TTL_US + GRACE_US, &known));
    assert_null(known);
}

static void test_changes_are_told_and_have_no_grace(void **state)
{
    struct grants *known;

    (void)state;
    know();
    grant_tell(&worker, user.id);
    assert_string_equal(told_name, "7");
    assert_true(comes(1, &known));
    assert_null(known);
    assert_null(grant_ask_stale(&req));
    assert_int_equal(told, 1);
}

static void test_changes_of_everybody_are_told(void **state)
{
    (void)state;
    know();
    assert_non_null(grant_ask_stale(&req));
    grant_tell_all(&worker);
    assert_string_equal(told_name, "");
    assert_null(grant_ask_stale(&req));
}

static void test_something_may_have_been_missed(void **state)
{
    struct grants *known;

    (void)state;
    know();
    worker.now_us = BEGIN_US + 1;
    heard(&worker, (struct str){0});
    assert_false(comes(2, &known)); /* asked for anew */
    answer(NULL);
    assert_true(comes(3, &known)); /* and he goes on meanwhile */
    assert_non_null(known);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_is_young_costs_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_they_are_asked_for_again_before_it_is_too_late, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_what_is_old_is_waited_for, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_database_that_is_away, setup, teardown),
        cmocka_unit_test_setup_teardown(test_changes_are_told_and_have_no_grace, setup, teardown),
        cmocka_unit_test_setup_teardown(test_changes_of_everybody_are_told, setup, teardown),
        cmocka_unit_test_setup_teardown(test_something_may_have_been_missed, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
