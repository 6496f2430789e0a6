/*
 * Tests of auth/grant_write.c: in whose transaction a grant is written, that it is tried again behind a commit,
 * and that what was known is not known any more afterwards.
 */
#include "gateway/auth/grant_write.c"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "schema/errors.h"

static struct worker worker;
static struct auth_user user = {.id = 7, .name = STR_INIT("ann")};
static struct req req;
static struct may may;
static bool are_here;
static struct auth_config config;
static unsigned tried, changed, changed_all, went_on;
static struct sql_step steps[2];
static unsigned nsteps;
static req_step after;

bool req_users_are_here(const struct req *r)
{
    (void)r;
    return are_here;
}

err_t req_users_sql_try(struct req *r, const struct sql_step *given, unsigned n, req_step next)
{
    (void)r;
    memmove(steps, given, n * sizeof(*steps));
    nsteps = n;
    after = next;
    tried++;
    return OK;
}

void grant_tell(struct worker *w, int64_t user_id)
{
    (void)w;
    assert_int_equal(user_id, 7);
    changed++;
}

void grant_tell_all(struct worker *w)
{
    (void)w;
    changed_all++;
}

const struct auth_config *server_auth_config(const struct server *sv)
{
    (void)sv;
    return &config;
}

static err_t go_on(struct req *r, struct fail *f)
{
    (void)r;
    (void)f;
    went_on++;
    return OK;
}

static int setup(void **state)
{
    (void)state;
    memset(&req, 0, sizeof(req));
    memset(&may, 0, sizeof(may));
    arena_init(&req.arena, 1024);
    req.worker = &worker;
    req.user = &user;
    req.may = &may;
    are_here = true;
    tried = changed = changed_all = went_on = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_fini(&req.arena);
    return 0;
}

static void test_in_the_transaction_that_makes_the_thing(void **state)
{
    struct sql_step step;

    (void)state;
    assert_int_equal(grant_own_step(&req, GRANT_EXPERIMENT, (struct str){0}, &step), 1);
    assert_ptr_equal(step.stmt, &OWN_MADE);
    assert_true(str_eq(step.values[0], STR("7")));
    assert_int_equal(grant_own_step(&req, GRANT_PROMPT, STR("p"), &step), 1);
    assert_ptr_equal(step.stmt, &OWN_NAMED);
    assert_true(str_eq(step.values[1], STR("prompt")) && str_eq(step.values[2], STR("p")));
    assert_int_equal(grant_own(&req, GRANT_PROMPT, STR("p"), go_on), OK);
    assert_int_equal(tried, 0);
    assert_int_equal(changed, 1);
    assert_int_equal(grant_sweep_step(&req, STR("p"), &step), 1);
    assert_ptr_equal(step.stmt, &SWEEP_GONE);
    assert_int_equal(grant_sweep(&req, STR("p"), go_on), OK);
    assert_int_equal(changed_all, 1);
    assert_int_equal(went_on, 2);
}

static void test_behind_the_commit_where_users_are_elsewhere(void **state)
{
    struct sql_step step;

    (void)state;
    are_here = false;
    assert_int_equal(grant_own_step(&req, GRANT_PROMPT, STR("p"), &step), 0);
    assert_int_equal(grant_own(&req, GRANT_PROMPT, STR("p"), go_on), OK);
    assert_int_equal(tried, 1);
    assert_int_equal(changed + went_on, 0);
    req.sql.err = ERR_PG;
    assert_int_equal(after(&req, NULL), OK); /* once more */
    assert_int_equal(tried, 2);
    req.sql.err = OK;
    assert_int_equal(after(&req, NULL), OK);
    assert_int_equal(changed, 1);
    assert_int_equal(went_on, 1);
}

/* The thing is made: the answer is that of the call, whatever became of the grant. */
static void test_what_cannot_be_written_is_logged_and_goes_on(void **state)
{
    (void)state;
    are_here = false;
    assert_int_equal(grant_sweep(&req, STR("p"), go_on), OK);
    assert_ptr_equal(steps[0].stmt, &SWEEP_ALL);
    req.sql.err = ERR_PG;
    for (unsigned i = 0; i < ATTEMPTS; i++) {
        assert_int_equal(went_on, 0);
        assert_int_equal(after(&req, NULL), OK);
    }
    assert_int_equal(tried, ATTEMPTS);
    assert_int_equal(changed_all, 1);
    assert_int_equal(went_on, 1);
}

static void test_renames(void **state)
{
    (void)state;
    assert_int_equal(grant_rename(&req, STR("a"), STR("a"), go_on), OK);
    assert_int_equal(tried, 0);
    assert_int_equal(grant_rename(&req, STR("a"), STR("b"), go_on), OK);
    assert_int_equal(nsteps, 2);
    assert_true(str_eq(steps[0].values[0], STR("b"))); /* what is left of an older b goes first */
    assert_ptr_equal(steps[1].stmt, &RENAME);
    assert_true(str_eq(steps[1].values[0], STR("a")) && str_eq(steps[1].values[1], STR("b")));
}

/* Its roles are made with a workspace, where MLflow makes them, and go with it. */
static void test_workspaces(void **state)
{
    (void)state;
    are_here = false;
    config.seeds_roles = false;
    assert_int_equal(grant_workspace_made(&req, STR("w"), go_on), OK);
    assert_int_equal(tried, 0);
    config.seeds_roles = true;
    assert_int_equal(grant_workspace_made(&req, STR("w"), go_on), OK);
    assert_ptr_equal(steps[0].stmt, &SEED);
    assert_true(str_eq(steps[0].values[0], STR("w")));
    assert_int_equal(grant_workspace_gone(&req, STR("w"), go_on), OK);
    assert_ptr_equal(steps[0].stmt, &CLEAR);
    assert_int_equal(after(&req, NULL), OK);
    assert_int_equal(changed_all, 1);
}

static void test_workspaces_in_one_transaction(void **state)
{
    struct sql_step step;

    (void)state;
    are_here = true;
    config.seeds_roles = false;
    assert_int_equal(grant_workspace_made_step(&req, STR("w"), &step), 0);
    config.seeds_roles = true;
    assert_int_equal(grant_workspace_made_step(&req, STR("w"), &step), 1);
    assert_ptr_equal(step.stmt, &SEED);
    assert_int_equal(grant_workspace_gone_step(&req, STR("w"), &step), 1);
    assert_ptr_equal(step.stmt, &CLEAR);
    assert_int_equal(grant_workspace_made(&req, STR("w"), go_on), OK);
    assert_int_equal(grant_workspace_gone(&req, STR("w"), go_on), OK);
    assert_int_equal(tried, 0);
    assert_int_equal(changed_all, 2);
    are_here = false;
    assert_int_equal(grant_workspace_gone_step(&req, STR("w"), &step), 0);
}

static void test_nobody_is_asked_who_it_is(void **state)
{
    struct sql_step step;

    (void)state;
    req.user = NULL;
    assert_int_equal(grant_own_step(&req, GRANT_PROMPT, STR("p"), &step), 0);
    assert_int_equal(grant_sweep_step(&req, STR("p"), &step), 0);
    assert_int_equal(grant_own(&req, GRANT_PROMPT, STR("p"), go_on), OK);
    assert_int_equal(grant_sweep(&req, STR("p"), go_on), OK);
    assert_int_equal(grant_rename(&req, STR("a"), STR("b"), go_on), OK);
    assert_int_equal(went_on, 3);
    assert_int_equal(tried + changed + changed_all, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_in_the_transaction_that_makes_the_thing, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_behind_the_commit_where_users_are_elsewhere, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_what_cannot_be_written_is_logged_and_goes_on, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_renames, setup, teardown),
        cmocka_unit_test_setup_teardown(test_workspaces, setup, teardown),
        cmocka_unit_test_setup_teardown(test_workspaces_in_one_transaction, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nobody_is_asked_who_it_is, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
