/* settings_load: file, environment and flags; later wins, and a refusal says where it stood. */
#include "schema/settings_load.c"

#include <stdlib.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#undef fail /* cmocka has a macro of that name */

struct fixture {
    struct arena arena;
    struct fail f;
    struct settings *s;
    char path[32];
};

static int begin(void **state)
{
    struct fixture *x = calloc(1, sizeof(*x));
    int fd;

    arena_init(&x->arena, 1024);
    fail_init(&x->f, &x->arena);
    x->s = settings_new();
    strcpy(x->path, "/tmp/test_settings_XXXXXX");
    fd = mkstemp(x->path);
    close(fd);
    *state = x;
    return fd < 0;
}

static int end(void **state)
{
    struct fixture *x = *state;

    unlink(x->path);
    settings_free(x->s);
    arena_fini(&x->arena);
    free(x);
    return 0;
}

static void write_file(const struct fixture *x, const char *text)
{
    FILE *file = fopen(x->path, "we");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static const char *why(struct fixture *x)
{
    return arena_cstr(&x->arena, x->f.text);
}

/* The strings after x, up to NULL, as a vector that may be written to, as argv may. */
static char **vector(struct fixture *x, const char *first, ...)
{
    char **v = arena_array(&x->arena, 16, sizeof(*v));
    size_t n = 0;
    va_list ap;

    va_start(ap, first);
    for (const char *z = first; z; z = va_arg(ap, const char *))
        v[n++] = arena_cstr(&x->arena, str_of(z));
    va_end(ap);
    v[n] = NULL;
    return v;
}

static int length(char **v)
{
    int n = 0;

    while (v[n])
        n++;
    return n;
}

static err_t flags(struct fixture *x, char **argv, int *argi)
{
    *argi = 0;
    return settings_load_args(x->s, length(argv), argv, argi, &x->f);
}

/* --- file --- */

static void test_file_with_comments_and_blanks(void **state)
{
    struct fixture *x = *state;

    write_file(x, "# a comment\n\n  workers = 3   # three\r\nlisten=0.0.0.0:80\n"
                  "pg-uri = postgresql://u:p#ss@h/db\nstatic_prefix =\nlog_level = warn");
    assert_int_equal(settings_load_file(x->s, x->path, &x->f), OK);
    assert_int_equal(x->s->workers, 3);
    assert_string_equal(x->s->listen, "0.0.0.0:80");
    assert_string_equal(x->s->pg_uri, "postgresql://u:p#ss@h/db");
    assert_string_equal(x->s->log_level, "warn");
}

static void test_file_refusals_name_the_line(void **state)
{
    struct fixture *x = *state;

    write_file(x, "workers = 3\n\nring_bytes = 12\n");
    assert_int_equal(settings_load_file(x->s, x->path, &x->f), ERR_SETTING);
    assert_true(str_starts(x->f.text, str_of(x->path)));
    assert_non_null(strstr(why(x), ":3: setting ring_bytes = \"12\": must be from 1MiB to 16GiB."));
    write_file(x, "workers 3\n");
    assert_int_equal(settings_load_file(x->s, x->path, &x->f), ERR_SETTING);
    assert_non_null(strstr(why(x), ":1: want a line such as name = value"));
    write_file(x, "worker = 3\n");
    assert_int_equal(settings_load_file(x->s, x->path, &x->f), ERR_SETTING);
    assert_non_null(strstr(why(x), ":1: unknown setting \"worker\"; did you mean workers?"));
}

static void test_file_that_cannot_be_read(void **state)
{
    struct fixture *x = *state;

    assert_int_equal(settings_load_file(x->s, "/no/such/file", &x->f), ERR_SETTING);
    assert_string_equal(why(x),
                        "cannot read the settings file /no/such/file: No such file or directory");
    assert_int_equal(settings_load_file(x->s, "/tmp", &x->f), ERR_SETTING);
}

/* --- environment --- */

static void test_environment(void **state)
{
    struct fixture *x = *state;
    char **env = vector(x, "PATH=/bin", "SLUICE_WORKERS=5", "SLUICE_LISTEN=none", "SLUICE_TEST_X=1",
                        "SLUICE_CONFIG=/x", "SLUICE_PORT=tcp://10.0.0.1:5000",
                        "SLUICE_PORT_5000_TCP=x", "SLUICE_SERVICE_HOST=10.0.0.1", NULL);

    assert_int_equal(settings_load_env(x->s, env, &x->f), OK);
    assert_int_equal(x->s->workers, 5);
    assert_string_equal(x->s->listen, "none");
}

static void test_environment_refusals_name_the_variable(void **state)
{
    struct fixture *x = *state;

    assert_int_equal(settings_load_env(x->s, vector(x, "SLUICE_WORKER=5", NULL), &x->f),
                     ERR_SETTING);
    assert_string_equal(why(x), "SLUICE_WORKER: unknown setting \"worker\"; did you mean workers?");
    assert_int_equal(settings_load_env(x->s, vector(x, "SLUICE_WORKERS=999", NULL), &x->f),
                     ERR_SETTING);
    assert_non_null(strstr(why(x), "SLUICE_WORKERS: setting workers = \"999\": must be from 0"));
}

static void test_secret_from_a_file_named_in_the_environment(void **state)
{
    struct fixture *x = *state;
    char variable[64];

    write_file(x, "postgresql://u:p@h/db\n");
    snprintf(variable, sizeof(variable), "SLUICE_PG_URI_FILE=%s", x->path);
    assert_int_equal(settings_load_env(x->s, vector(x, variable, NULL), &x->f), OK);
    assert_string_equal(x->s->pg_uri, "postgresql://u:p@h/db");
}

static void test_mlflows_variables_fill_what_is_not_set(void **state)
{
    struct fixture *x = *state;
    char **env = vector(x, "MLFLOW_BACKEND_STORE_URI=postgresql+psycopg2://u:p@h/db",
                        "MLFLOW_SERVE_ARTIFACTS=false", "MLFLOW_STATIC_PREFIX=/a",
                        "SLUICE_STATIC_PREFIX=/b", "MLFLOW_DEFAULT_ARTIFACT_ROOT=s3://b", NULL);

    assert_int_equal(settings_load_env(x->s, env, &x->f), OK);
    assert_string_equal(x->s->pg_uri, "postgresql://u:p@h/db");
    assert_false(x->s->serve_artifacts);
    assert_string_equal(x->s->static_prefix, "/b");
    assert_string_equal(x->s->default_artifact_root, "s3://b");
}

static void test_store_uri_counts_for_databases_and_empty_pg_uri(void **state)
{
    struct fixture *x = *state;

    log_set_level(LOG_ERROR);
    assert_int_equal(
        settings_load_env(x->s, vector(x, "MLFLOW_BACKEND_STORE_URI=./mlruns", NULL), &x->f), OK);
    assert_string_equal(x->s->pg_uri, "");
    assert_int_equal(
        settings_load_env(x->s, vector(x, "MLFLOW_BACKEND_STORE_URI=sqlite:///x.db", NULL), &x->f),
        OK);
    assert_string_equal(x->s->pg_uri, "sqlite:///x.db");
    assert_true(settings_passes_all(x->s));
    assert_int_equal(settings_check(x->s, &x->f), ERR_SETTING); /* to whom? */
    assert_int_equal(settings_set(x->s, STR("upstream"), STR("http://h"), &x->f), OK);
    assert_int_equal(settings_check(x->s, &x->f), OK);
    assert_int_equal(settings_set(x->s, STR("pg_uri"), STR(""), &x->f), OK);
    assert_int_equal(settings_load_env(x->s,
                                       vector(x, "MLFLOW_BACKEND_STORE_URI=postgresql://h/one",
                                              "SLUICE_PG_URI=postgresql://h/two", NULL),
                                       &x->f),
                     OK);
    assert_string_equal(x->s->pg_uri, "postgresql://h/two");
    assert_int_equal(settings_load_env(x->s,
                                       vector(x, "MLFLOW_BACKEND_STORE_URI=postgresql://h/one",
                                              "SLUICE_PG_URI=", NULL),
                                       &x->f),
                     OK);
    assert_string_equal(x->s->pg_uri, "postgresql://h/one");
}

/* --- flags --- */

static void test_flags_in_all_their_forms(void **state)
{
    struct fixture *x = *state;
    int argi;

    assert_int_equal(flags(x,
                           vector(x, "--workers", "3", "--ring-bytes=2MiB", "--no-serve-artifacts",
                                  "--truncate-long-values", "off", "--static-prefix=", "rest",
                                  "--workers", "4", NULL),
                           &argi),
                     OK);
    assert_int_equal(argi, 7);
    assert_int_equal(x->s->workers, 3);
    assert_int_equal(x->s->ring_bytes, 2 << 20);
    assert_false(x->s->serve_artifacts);
    assert_false(x->s->truncate_long_values);
    assert_int_equal(flags(x, vector(x, "--serve-artifacts", "0", NULL), &argi), OK);
    assert_int_equal(argi, 1); /* a number may be somebody else's argument */
    assert_true(x->s->serve_artifacts);
    assert_int_equal(flags(x, vector(x, "--serve-artifacts=0", "--", "--x", NULL), &argi), OK);
    assert_int_equal(argi, 2);
    assert_false(x->s->serve_artifacts);
    assert_int_equal(flags(x, vector(x, NULL), &argi), OK);
}

static void test_flag_refusals(void **state)
{
    struct fixture *x = *state;
    int argi;

    assert_int_equal(flags(x, vector(x, "--workers", NULL), &argi), ERR_SETTING);
    assert_string_equal(why(x), "--workers wants a value");
    assert_int_equal(flags(x, vector(x, "--workers", "--listen", "none", NULL), &argi),
                     ERR_SETTING);
    assert_string_equal(why(x), "--workers wants a value");
    assert_int_equal(flags(x, vector(x, "--no-workers", NULL), &argi), ERR_SETTING);
    assert_int_equal(flags(x, vector(x, "--wrokers", "3", NULL), &argi), ERR_SETTING);
    assert_string_equal(why(x), "unknown setting \"wrokers\"; did you mean workers?");
    assert_int_equal(flags(x, vector(x, "--config", NULL), &argi), ERR_SETTING);
}

/* --- all together --- */

static void test_later_sources_win(void **state)
{
    struct fixture *x = *state;
    char **argv = vector(x, "sluice", "serve", "--workers", "3", "--config", x->path, NULL);
    char **env = vector(x, "SLUICE_WORKERS=2", "SLUICE_FLUSHERS=2", "SLUICE_CONFIG=/no/such", NULL);
    int argi = 2;

    write_file(x, "workers = 1\nflushers = 1\nread_wait = 1s\n");
    assert_int_equal(settings_load(x->s, length(argv), argv, env, &argi, &x->f), OK);
    assert_int_equal(argi, 6);
    assert_int_equal(x->s->workers, 3);
    assert_int_equal(x->s->flushers, 2);
    assert_int_equal(x->s->read_wait, 1000000);
    assert_int_equal(x->s->run_cache_ttl, 5000000);
}

static void test_config_from_the_environment_and_rules_at_the_end(void **state)
{
    struct fixture *x = *state;
    char **argv = vector(x, "--flushers", "0", NULL);
    char variable[64];
    int argi = 0;

    write_file(x, "listen = none\n");
    snprintf(variable, sizeof(variable), "SLUICE_CONFIG=%s", x->path);
    assert_int_equal(settings_load(x->s, 2, argv, vector(x, variable, NULL), &argi, &x->f),
                     ERR_SETTING);
    assert_non_null(strstr(why(x), "nothing would be left to do"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_file_with_comments_and_blanks, begin, end),
        cmocka_unit_test_setup_teardown(test_file_refusals_name_the_line, begin, end),
        cmocka_unit_test_setup_teardown(test_file_that_cannot_be_read, begin, end),
        cmocka_unit_test_setup_teardown(test_environment, begin, end),
        cmocka_unit_test_setup_teardown(test_environment_refusals_name_the_variable, begin, end),
        cmocka_unit_test_setup_teardown(test_secret_from_a_file_named_in_the_environment, begin,
                                        end),
        cmocka_unit_test_setup_teardown(test_mlflows_variables_fill_what_is_not_set, begin, end),
        cmocka_unit_test_setup_teardown(test_store_uri_counts_for_databases_and_empty_pg_uri, begin,
                                        end),
        cmocka_unit_test_setup_teardown(test_flags_in_all_their_forms, begin, end),
        cmocka_unit_test_setup_teardown(test_flag_refusals, begin, end),
        cmocka_unit_test_setup_teardown(test_later_sources_win, begin, end),
        cmocka_unit_test_setup_teardown(test_config_from_the_environment_and_rules_at_the_end,
                                        begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
