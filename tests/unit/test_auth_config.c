/* auth_config: what MLflow's read_auth_config gives for the same file and environment. */
#include "gateway/auth/auth_config.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static char path[] = "/tmp/test_auth_config.XXXXXX";
static struct settings *settings;
static struct auth_config config;
static struct fail f;

#define FILE_OF(more) "[mlflow]\ndefault_permission = EDIT\ndatabase_uri = sqlite:///x\n" more

/* With text "" no file is named. */
static err_t load(const char *text, char **envp)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    settings_free(settings);
    settings = settings_new();
    fail_init(&f, &settings->arena);
    if (*text)
        assert_int_equal(settings_set(settings, STR("auth_config"), str_of(path), &f), OK);
    return auth_config_load(settings, envp, &settings->arena, &config, &f);
}

static char *none[] = {NULL};

static void test_without_a_file_there_are_the_defaults_of_the_package(void **state)
{
    (void)state;
    assert_int_equal(load("", none), OK);
    assert_true(str_eq(config.default_permission, STR("READ")));
    assert_true(str_eq(config.admin_username, STR("admin")));
    assert_null(config.admin_password.p);
    assert_true(str_eq(config.authorization_function, STR(AUTH_FUNCTION_BASIC)));
    assert_true(config.fails_closed && config.seeds_roles);
    assert_false(config.grant_default_workspace_access);
}

static void test_what_is_set_wins_even_when_it_is_empty(void **state)
{
    char *set[] = {(char[]){"MLFLOW_AUTH_ADMIN_USERNAME=root"},
                   (char[]){"MLFLOW_AUTH_ADMIN_PASSWORD="}, NULL};

    (void)state;
    assert_int_equal(load(FILE_OF("admin_password = of the file\n"), none), OK);
    assert_true(str_eq(config.admin_password, STR("of the file")));
    assert_null(config.admin_username.p);
    assert_int_equal(load(FILE_OF("admin_password = of the file\n"), set), OK);
    assert_true(str_eq(config.admin_username, STR("root")));
    assert_null(config.admin_password.p);
}

static void test_the_flags_of_the_environment(void **state)
{
    char *off[] = {(char[]){"MLFLOW_BASIC_AUTH_FAIL_CLOSED=False"},
                   (char[]){"MLFLOW_RBAC_SEED_DEFAULT_ROLES=0"}, NULL};
    char *bad[] = {(char[]){"MLFLOW_BASIC_AUTH_FAIL_CLOSED=no"}, NULL};

    (void)state;
    assert_int_equal(load("", off), OK);
    assert_false(config.fails_closed || config.seeds_roles);
    assert_int_equal(load("", bad), ERR_SETTING);
}

static void test_what_mlflow_would_not_start_with(void **state)
{
    static const char *const bad[] = {
        "[other]\na = b\n",
        "[mlflow]\ndefault_permission = READ\n",
        "[mlflow]\ndatabase_uri = x\n",
        FILE_OF("grant_default_workspace_access = perhaps\n"),
        FILE_OF("admin_password = 100%\n"),
        FILE_OF("default_permission = READ\n"),
    };

    (void)state;
    for (size_t i = 0; i < array_len(bad); i++)
        assert_int_equal(load(bad[i], none), ERR_SETTING);
}

static void test_where_the_users_are(void **state)
{
    const char *pg = "postgresql://here/db";

    (void)state;
    assert_int_equal(load(FILE_OF(""), none), OK);
    assert_ptr_equal(auth_config_pg_uri(&config, settings, pg, &settings->arena), pg);
    assert_int_equal(load("[mlflow]\ndefault_permission = READ\n"
                          "database_uri = postgresql+psycopg2://u:p%%2Fw@there/users\n",
                          none),
                     OK);
    assert_string_equal(auth_config_pg_uri(&config, settings, pg, &settings->arena),
                        "postgresql://u:p%2Fw@there/users");
    assert_int_equal(settings_set(settings, STR("auth_pg_uri"), STR("postgresql://own/x"), &f), OK);
    assert_string_equal(auth_config_pg_uri(&config, settings, pg, &settings->arena),
                        "postgresql://own/x");
}

static int begin(void **state)
{
    int fd = mkstemp(path);

    (void)state;
    return fd < 0 ? -1 : close(fd);
}

static int end(void **state)
{
    (void)state;
    settings_free(settings);
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_a_file_there_are_the_defaults_of_the_package),
        cmocka_unit_test(test_what_is_set_wins_even_when_it_is_empty),
        cmocka_unit_test(test_the_flags_of_the_environment),
        cmocka_unit_test(test_what_mlflow_would_not_start_with),
        cmocka_unit_test(test_where_the_users_are),
    };

    return cmocka_run_group_tests(tests, begin, end);
}
