/*
 * Tests of gateway/route.c: exact paths, both prefixes, methods, listeners, the static prefix. The
 * handlers are never called, so they are names only.
 */
#include "gateway/route.c"

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
    route_init("");
    for (size_t i = 0; i < count; i++) {
        unsigned method = all[i].methods & -all[i].methods; /* one of them */
        const struct route *r = find(method, all[i].path, all[i].where, &allowed);

        assert_ptr_equal(r, &all[i]);
        assert_int_equal(route_index(r), i);
    }
    assert_non_null(find(HTTP_M_POST, "/ajax-api/2.0/mlflow/runs/log-batch", ON_CLIENT, &allowed));
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
    route_init("");
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
    route_init("");
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
    route_init("");
    assert_non_null(find(HTTP_M_GET, "/metrics", ON_ADMIN, &allowed));
    assert_null(find(HTTP_M_GET, "/api/2.0/mlflow/runs/get", ON_ADMIN, &allowed));
    assert_int_equal(allowed, 0);
}

static void test_static_prefix_moves_mlflow_paths_only(void **state)
{
    unsigned allowed;

    (void)state;
    route_init("/pfx");
    assert_non_null(find(HTTP_M_GET, "/pfx/health", ON_CLIENT, &allowed));
    assert_null(find(HTTP_M_GET, "/health", ON_CLIENT, &allowed));
    assert_non_null(find(HTTP_M_GET, "/pfx/ajax-api/2.0/mlflow/runs/get", ON_CLIENT, &allowed));
    assert_null(find(HTTP_M_GET, "/api/2.0/mlflow/runs/get", ON_CLIENT, &allowed));
    assert_non_null(find(HTTP_M_GET, "/metrics", ON_CLIENT, &allowed));
    assert_non_null(find(HTTP_M_GET, "/readyz", ON_ADMIN, &allowed));
    route_init("");
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
        cmocka_unit_test(test_paths_are_exact),
        cmocka_unit_test(test_methods),
        cmocka_unit_test(test_admin_listener_serves_its_own),
        cmocka_unit_test(test_static_prefix_moves_mlflow_paths_only),
    };

    return cmocka_run_group_tests(tests, NULL, teardown);
}
