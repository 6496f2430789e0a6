/*
 * Tests of http/route.c: exact paths, both prefixes, methods, listeners, the static prefix. The
 * handlers are never called, so they are names only.
 */
#include "gateway/http/route.c"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static const struct route *find(unsigned method, const char *path, enum route_where where,
                                unsigned *allowed)
{
    return route_find(method, str_of(path), where, allowed);
}

static void test_every_row_is_found_under_its_paths(void **state)
{
    size_t count;
    const struct route *all = route_rows(&count);
    unsigned allowed;

    (void)state;
    route_init("", true, true);
    for (size_t i = 0; i < count; i++) {
        unsigned method = all[i].methods & -all[i].methods; /* one of them */
        const struct route *r = find(method, all[i].path, all[i].where, &allowed);

        if (all[i].path[0] == '(') /* (upstream) is no path */
            continue;
        assert_ptr_equal(r, &all[i]);
        assert_int_equal(route_index(r), i);
    }
    assert_non_null(find(HTTP_M_POST, "/ajax-api/2.0/mlflow/runs/log-batch", ON_CLIENT, &allowed));
}

static void test_users_have_paths_with_authentication_only(void **state)
{
    unsigned allowed;

    (void)state;
    route_init("", false, false);
    assert_null(find(HTTP_M_GET, "/api/2.0/mlflow/users/get", ON_CLIENT, &allowed));
    assert_int_equal(allowed, 0);
    assert_non_null(find(HTTP_M_GET, "/api/2.0/mlflow/runs/get", ON_CLIENT, &allowed));
    route_init("/p", false, true);
    assert_non_null(find(HTTP_M_GET, "/p/ajax-api/2.0/mlflow/users/get", ON_CLIENT, &allowed));
    assert_null(find(HTTP_M_GET, "/p/ajax-api/2.0/mlflow/users/get", ON_ADMIN, &allowed));
}

static void test_paths_are_exact(void **state)
{
    static const char *const absent[] = {
        "",
        "/",
        "/health/",
        "/Health",
        "/api/2.0/mlflow/runs/get/",
        "/api/3.0/mlflow/runs/get",
        "/api/2.0/mlflow//runs/get",
        "/runs/get",
    };
    unsigned allowed;

    (void)state;
    route_init("", false, false);
    for (size_t i = 0; i < array_len(absent); i++) {
        assert_null(find(HTTP_M_GET, absent[i], ON_CLIENT, &allowed));
        assert_int_equal(allowed, 0);
    }
}

static void test_methods(void **state)
{
    const char *get = "/api/2.0/mlflow/runs/get";
    const char *both = "/api/2.0/mlflow/experiments/search";
    unsigned allowed;

    (void)state;
    route_init("", false, false);
    assert_non_null(find(HTTP_M_HEAD, get, ON_CLIENT, &allowed));
    assert_null(find(HTTP_M_POST, get, ON_CLIENT, &allowed));
    assert_int_equal(allowed, HTTP_M_GET | HTTP_M_HEAD | HTTP_M_OPTIONS);
    assert_null(find(HTTP_M_OPTIONS, get, ON_CLIENT, &allowed));
    assert_int_equal(allowed, HTTP_M_GET | HTTP_M_HEAD | HTTP_M_OPTIONS);
    assert_non_null(find(HTTP_M_GET, both, ON_CLIENT, &allowed));
    assert_non_null(find(HTTP_M_POST, both, ON_CLIENT, &allowed));
    assert_null(find(HTTP_M_OTHER, both, ON_CLIENT, &allowed));
}

static void test_admin_listener_serves_its_own(void **state)
{
    unsigned allowed;

    (void)state;
    route_init("", false, false);
    assert_non_null(find(HTTP_M_GET, "/metrics", ON_ADMIN, &allowed));
    assert_null(find(HTTP_M_GET, "/api/2.0/mlflow/runs/get", ON_ADMIN, &allowed));
    assert_int_equal(allowed, 0);
}

static void test_the_ui_has_paths_when_it_is_served(void **state)
{
    unsigned allowed;
    const struct route *file;
    struct req r = {0};
    struct http_head head = {.path = STR("/p/static-files/static/js/a.js")};

    (void)state;
    route_init("", false, false);
    assert_null(find(HTTP_M_GET, "/", ON_CLIENT, &allowed));
    assert_null(find(HTTP_M_GET, "/static-files/a.js", ON_CLIENT, &allowed));
    route_init("", true, false);
    assert_non_null(find(HTTP_M_GET, "/", ON_CLIENT, &allowed));
    assert_null(find(HTTP_M_GET, "/", ON_ADMIN, &allowed));
    assert_null(find(HTTP_M_GET, "/static-files", ON_CLIENT, &allowed));
    route_init("/p", true, false);
    assert_non_null(find(HTTP_M_GET, "/p", ON_CLIENT, &allowed));
    assert_non_null(find(HTTP_M_GET, "/p/", ON_CLIENT, &allowed));
    assert_null(find(HTTP_M_GET, "/", ON_CLIENT, &allowed));
    file = find(HTTP_M_GET, "/p/static-files/static/js/a.js", ON_CLIENT, &allowed);
    assert_non_null(file);
    r.route = file;
    r.head = &head;
    assert_true(str_eq(route_rest(&r), STR("static/js/a.js")));
}

static void test_static_prefix_moves_mlflow_paths_only(void **state)
{
    unsigned allowed;

    (void)state;
    route_init("/pfx", false, false);
    assert_non_null(find(HTTP_M_GET, "/pfx/health", ON_CLIENT, &allowed));
    assert_null(find(HTTP_M_GET, "/health", ON_CLIENT, &allowed));
    assert_non_null(find(HTTP_M_GET, "/pfx/ajax-api/2.0/mlflow/runs/get", ON_CLIENT, &allowed));
    assert_null(find(HTTP_M_GET, "/api/2.0/mlflow/runs/get", ON_CLIENT, &allowed));
    assert_non_null(find(HTTP_M_GET, "/metrics", ON_CLIENT, &allowed));
    assert_non_null(find(HTTP_M_GET, "/readyz", ON_ADMIN, &allowed));
    route_init("", false, false);
}

static void test_a_rest_is_all_that_is_left(void **state)
{
    static const char *const rests[] = {"",     "a",      "a/b//c",
                                        "/etc", "a b%41", "mlflow-artifacts/artifacts/x"};
    struct http_head head = {.method = HTTP_M_GET};
    struct req r = {.head = &head};
    unsigned allowed;
    char path[200];

    (void)state;
    for (int i = 0; i < 2 * (int)array_len(rests); i++) {
        const char *prefix = i % 2 ? "/pfx" : "";

        route_init(prefix, false, false);
        snprintf(path, sizeof(path), "%s%s/2.0/mlflow-artifacts/artifacts/%s", prefix,
                 i % 3 ? "/api" : "/ajax-api", rests[i / 2]);
        head.path = str_of(path);
        r.route = find(HTTP_M_PUT, path, ON_CLIENT, &allowed);
        assert_non_null(r.route);
        assert_int_equal(r.route->methods, HTTP_M_PUT);
        assert_true(str_eq(route_rest(&r), str_of(rests[i / 2])));
    }
    route_init("", false, false);
    assert_null(find(HTTP_M_PUT, "/api/2.0/mlflow-artifacts/artifacts", ON_CLIENT, &allowed));
    assert_int_equal(allowed, HTTP_M_GET | HTTP_M_HEAD | HTTP_M_OPTIONS);
    assert_null(find(HTTP_M_PUT, "/api/2.0/mlflow-artifacts/artifacts/a\nb", ON_CLIENT, &allowed));
    assert_int_equal(allowed, 0);
    assert_null(find(HTTP_M_POST, "/api/2.0/mlflow-artifacts/artifacts/a", ON_CLIENT, &allowed));
    assert_int_equal(allowed,
                     HTTP_M_GET | HTTP_M_HEAD | HTTP_M_PUT | HTTP_M_DELETE | HTTP_M_OPTIONS);
}

static void test_placeholders_stand_for_one_segment(void **state)
{
    static const char *const absent[] = {
        "/api/2.0/mlflow/logged-models/",        "/api/2.0/mlflow/logged-models/m-1/",
        "/api/2.0/mlflow/logged-models//tags",   "/api/2.0/mlflow/logged-models/m-1/tags/",
        "/api/2.0/mlflow/logged-models/a/b",     "/api/2.0/mlflow/logged-models/a/tags/b/c",
        "/api/2.0/mlflow/xlogged-models/m-1",    "/api/2.0/mlflow/logged-models/m-1/tagsx",
        "/api/2.0/mlflow/logged-models/m-1/tag",
    };
    const char *model = "/api/2.0/mlflow/logged-models/m-1";
    unsigned allowed;

    (void)state;
    route_init("", false, false);
    assert_non_null(find(HTTP_M_GET, model, ON_CLIENT, &allowed));
    assert_non_null(find(HTTP_M_DELETE, model, ON_CLIENT, &allowed));
    assert_ptr_not_equal(find(HTTP_M_GET, model, ON_CLIENT, &allowed),
                         find(HTTP_M_PATCH, model, ON_CLIENT, &allowed));
    assert_non_null(
        find(HTTP_M_GET, "/ajax-api/2.0/mlflow/logged-models/x y", ON_CLIENT, &allowed));
    assert_non_null(
        find(HTTP_M_DELETE, "/api/2.0/mlflow/logged-models/m/tags/t", ON_CLIENT, &allowed));
    for (size_t i = 0; i < array_len(absent); i++) {
        assert_null(find(HTTP_M_GET, absent[i], ON_CLIENT, &allowed));
        assert_int_equal(allowed, 0);
    }
    assert_null(find(HTTP_M_GET, model, ON_ADMIN, &allowed));
    assert_int_equal(allowed, 0);
}

static void test_constant_paths_come_before_placeholders(void **state)
{
    const char *path = "/api/2.0/mlflow/logged-models/search";
    unsigned allowed;

    (void)state;
    route_init("", false, false);
    assert_string_equal(find(HTTP_M_POST, path, ON_CLIENT, &allowed)->label,
                        "/logged-models/search");
    assert_string_equal(find(HTTP_M_GET, path, ON_CLIENT, &allowed)->label,
                        "/logged-models/{model_id}");
    assert_null(find(HTTP_M_PUT, path, ON_CLIENT, &allowed));
    assert_int_equal(allowed, HTTP_M_GET | HTTP_M_HEAD | HTTP_M_POST | HTTP_M_PATCH |
                                  HTTP_M_DELETE | HTTP_M_OPTIONS);
}

/* What the row's placeholder stands for in path. */
static struct str arg(struct arena *a, unsigned method, const char *path, const char *name)
{
    struct http_head head = {.path = str_of(path)};
    struct req r = {.head = &head};
    unsigned allowed;
    struct str got;

    r.route = find(method, path, ON_CLIENT, &allowed);
    assert_non_null(r.route);
    arena_init(&r.arena, 64);
    got = arena_dup(a, route_arg(&r, name));
    arena_fini(&r.arena);
    return got;
}

static void test_arguments_are_found_by_name(void **state)
{
    const char *tag = "/p/ajax-api/2.0/mlflow/logged-models/m-1/tags/a b";
    struct arena a;

    (void)state;
    arena_init(&a, 256);
    route_init("/p", false, false);
    assert_string_equal(arg(&a, HTTP_M_DELETE, tag, "model_id").p, "m-1");
    assert_string_equal(arg(&a, HTTP_M_DELETE, tag, "tag_key").p, "a b");
    assert_string_equal(arg(&a, HTTP_M_GET, "/p/api/2.0/mlflow/logged-models/search", "model_id").p,
                        "search");
    assert_string_equal(
        arg(&a, HTTP_M_GET, "/p/api/2.0/mlflow/logged-models/a\xFF\xC3\xA9", "model_id").p,
        "a\xEF\xBF\xBD\xC3\xA9");
    route_init("", false, false);
    arena_fini(&a);
}

static int teardown(void **state)
{
    (void)state;
    arena_fini(&paths);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_row_is_found_under_its_paths),
        cmocka_unit_test(test_users_have_paths_with_authentication_only),
        cmocka_unit_test(test_paths_are_exact),
        cmocka_unit_test(test_methods),
        cmocka_unit_test(test_admin_listener_serves_its_own),
        cmocka_unit_test(test_the_ui_has_paths_when_it_is_served),
        cmocka_unit_test(test_static_prefix_moves_mlflow_paths_only),
        cmocka_unit_test(test_a_rest_is_all_that_is_left),
        cmocka_unit_test(test_placeholders_stand_for_one_segment),
        cmocka_unit_test(test_constant_paths_come_before_placeholders),
        cmocka_unit_test(test_arguments_are_found_by_name),
    };

    return cmocka_run_group_tests(tests, NULL, teardown);
}
