/*
 * Tests of gateway/auth/grant.c: the rules of MLflow's permissions as a table.
 */
#include "gateway/auth/grant.c"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

/* "type pattern LEVEL; .." */
static struct grants *grants_of(const char *text)
{
    struct grant_row rows[16];
    struct str rest = str_of(text);
    size_t n = 0;

    while (rest.n) {
        struct str row = str_trim(str_cut(&rest, ';'));

        rows[n].type = str_cut(&row, ' ');
        rows[n].pattern = str_cut(&row, ' ');
        rows[n++].level = row;
    }
    return grants_new(rows, n);
}

#define RUN_UPDATE                                                                      \
    {                                                                                   \
        GRANT_RUN, {"", 0}, DO_UPDATE, true, GRANT_EXPERIMENT, STR_INIT("7"), DO_UPDATE \
    }
#define EXP(what)                                                       \
    {                                                                   \
        .type = GRANT_EXPERIMENT, .id = STR_INIT("7"), .action = (what) \
    }

static const struct {
    const char *grants;
    struct need need;
    /* with the default DENY, NO_PERMISSIONS, READ, USE, EDIT, MANAGE */
    const char *allowed;
} rules[] = {
    /* nothing granted: the default */
    {"", EXP(DO_READ), "nnyyyy"},
    {"", EXP(DO_UPDATE), "nnnnyy"},
    {"", EXP(DO_DELETE), "nnnnny"},
    {"", EXP(DO_NOT_DENIED), "nyyyyy"},
    {"experiment 8 MANAGE", EXP(DO_READ), "nnyyyy"},
    {"registered_model 7 MANAGE", EXP(DO_READ), "nnyyyy"},
    /* a grant on it, or on all; the default is its floor */
    {"experiment 7 READ", EXP(DO_READ), "yyyyyy"},
    {"experiment 7 READ", EXP(DO_UPDATE), "nnnnyy"},
    {"experiment 7 USE", EXP(DO_USE), "yyyyyy"},
    {"experiment 7 READ", EXP(DO_USE), "nnnyyy"},
    {"experiment * EDIT", EXP(DO_UPDATE), "yyyyyy"},
    {"experiment * EDIT", EXP(DO_DELETE), "nnnnny"},
    {"experiment * READ; experiment 7 MANAGE", EXP(DO_MANAGE), "yyyyyy"},
    {"experiment 7 READ; experiment 7 EDIT", EXP(DO_UPDATE), "yyyyyy"},
    /* DENY wins on its thing, and has no floor */
    {"experiment 7 DENY", EXP(DO_READ), "nnnnnn"},
    {"experiment 7 DENY", EXP(DO_NOT_DENIED), "nnnnnn"},
    /* however the number is written */
    {"experiment 7 DENY", {.type = GRANT_EXPERIMENT, .id = STR_INIT(" +0_7")}, "nnnnnn"},
    {"experiment 7 READ", {.type = GRANT_EXPERIMENT, .id = STR_INIT("07")}, "yyyyyy"},
    {"experiment 7 DENY", {.type = GRANT_EXPERIMENT, .id = STR_INIT("7.0")}, "nnyyyy"},
    {"experiment * DENY; experiment 7 MANAGE", EXP(DO_READ), "nnnnnn"},
    {"experiment 7 DENY; experiment 7 MANAGE", EXP(DO_READ), "nnnnnn"},
    {"experiment 8 DENY", EXP(DO_READ), "nnyyyy"},
    {"experiment 7 NO_PERMISSIONS", EXP(DO_READ), "nnnnnn"},
    {"experiment 7 NO_PERMISSIONS", EXP(DO_NOT_DENIED), "yyyyyy"},
    {"experiment 7 NONSENSE", EXP(DO_READ), "nnnnnn"},
    /* the first that speaks decides */
    {"experiment 7 EDIT", RUN_UPDATE, "yyyyyy"},
    {"experiment 7 EDIT; run * READ", RUN_UPDATE, "nnnnyy"},
    {"experiment 7 READ; run * EDIT", RUN_UPDATE, "yyyyyy"},
    {"experiment 7 DENY; run * EDIT", RUN_UPDATE, "yyyyyy"},
    {"experiment 7 MANAGE; run * DENY", RUN_UPDATE, "nnnnnn"},
    {"experiment 7 DENY", RUN_UPDATE, "nnnnnn"},
    {"experiment 7 EDIT; run 7 DENY", RUN_UPDATE, "yyyyyy"},
    {"", RUN_UPDATE, "nnnnyy"},
    /* the other thing's own action */
    {"experiment 7 EDIT",
     {GRANT_ASSESSMENT, {"", 0}, DO_DELETE, true, GRANT_EXPERIMENT, STR_INIT("7"), DO_UPDATE},
     "yyyyyy"},
    {"assessment * EDIT",
     {GRANT_ASSESSMENT, {"", 0}, DO_DELETE, true, GRANT_EXPERIMENT, STR_INIT("7"), DO_UPDATE},
     "nnnnny"},
    {"",
     {GRANT_ASSESSMENT, {"", 0}, DO_DELETE, true, GRANT_EXPERIMENT, STR_INIT("7"), DO_UPDATE},
     "nnnnyy"},
    /* a member of the workspace, and its chief */
    {"workspace * USE", EXP(DO_READ), "nnyyyy"},
    {"workspace * USE",
     {GRANT_EXPERIMENT, STR_INIT("7"), DO_READ, true, GRANT_WORKSPACE, {"", 0}, DO_READ},
     "yyyyyy"},
    {"workspace * MANAGE", EXP(DO_DELETE), "yyyyyy"},
    {"workspace * MANAGE; experiment * DENY; run * DENY", RUN_UPDATE, "yyyyyy"},
};

static void test_rules(void **state)
{
    static const enum grant_level defaults[] = {LEVEL_DENY, LEVEL_NONE, LEVEL_READ,
                                                LEVEL_USE,  LEVEL_EDIT, LEVEL_MANAGE};

    (void)state;
    for (size_t i = 0; i < array_len(rules); i++) {
        struct grants *g = grants_of(rules[i].grants);

        for (size_t d = 0; d < array_len(defaults); d++) {
            bool is_met = grants_meet(g, &rules[i].need, defaults[d], defaults[d]);

            if (is_met != (rules[i].allowed[d] == 'y'))
                fail_msg("\"%s\" with default %s: %s", rules[i].grants,
                         grant_level_name(defaults[d]), is_met ? "allowed" : "refused");
        }
        grants_put(g);
    }
}

static void test_absence_in_a_workspace_not_for_everybody(void **state)
{
    const struct need need = EXP(DO_READ);
    struct grants *g = grants_of("");

    (void)state;
    assert_false(grants_meet(g, &need, LEVEL_MANAGE, LEVEL_NONE));
    grants_put(g);
    g = grants_of("experiment 7 READ");
    assert_true(grants_meet(g, &need, LEVEL_MANAGE, LEVEL_NONE));
    grants_put(g);
}

static void test_names(void **state)
{
    enum grant_type type;
    enum grant_level level;

    (void)state;
    for (int i = 0; i < GRANT_TYPES; i++) {
        assert_true(grant_type_of(str_of(grant_type_name((enum grant_type)i)), &type));
        assert_int_equal(type, i);
        assert_true(i == 0 || strcmp(types[i - 1].name, types[i].name) < 0);
    }
    assert_false(grant_type_of(STR("issue"), &type));
    assert_true(grant_level_of(STR("NO_PERMISSIONS"), &level));
    assert_int_equal(level, LEVEL_NONE);
    assert_false(grant_level_of(STR(""), &level));
    assert_false(grant_level_of(STR("read"), &level));
    assert_true(grant_type_has_ids(GRANT_SCORER));
    assert_false(grant_type_has_ids(GRANT_RUN));
}

static void test_many_rows_are_found(void **state)
{
    static struct grant_row rows[3000];
    static char names[3000][8];
    struct grants *g;

    (void)state;
    for (int i = 0; i < 3000; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "%d", (i * 7919) % 3000);
        rows[i] = (struct grant_row){STR("experiment"), str_of(names[i]), STR("EDIT")};
    }
    g = grants_new(rows, 3000);
    assert_int_equal(grants_at(g, GRANT_EXPERIMENT, STR("2999")), LEVEL_EDIT);
    assert_int_equal(grants_at(g, GRANT_EXPERIMENT, STR("3000")), LEVEL_SILENT);
    assert_int_equal(grants_at(g, GRANT_EXPERIMENT, STR("")), LEVEL_SILENT);
    assert_true(grants_any(g, GRANT_EXPERIMENT, LEVEL_EDIT));
    assert_false(grants_any(g, GRANT_EXPERIMENT, LEVEL_MANAGE));
    assert_false(grants_any(g, GRANT_EXPERIMENT, LEVEL_DENY));
    assert_true(grants_bytes(g) > 3000 * sizeof(struct grant));
    grants_put(g);
    grants_put(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_absence_in_a_workspace_not_for_everybody),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_many_rows_are_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
