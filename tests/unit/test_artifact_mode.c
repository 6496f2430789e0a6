/* artifact_mode: what is off says so with the rule of its route. */
#include "gateway/artifact/artifact_mode.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static struct settings settings;
static struct worker worker = {.settings = &settings};

static bool admits(const char *row, unsigned methods, const char *path, struct req *r)
{
    static struct http_head head;
    static struct route route;

    head = (struct http_head){.path = str_of(path), .method = HTTP_M_GET};
    route = (struct route){.path = row, .methods = methods, .has_ajax = true};
    *r = (struct req){.worker = &worker, .head = &head, .route = &route};
    buf_init(&r->reply.body);
    arena_init(&r->arena, 256);
    return artifact_mode_admits(r);
}

static void expect(const char *row, unsigned methods, const char *path, const char *text)
{
    struct req r;
    bool is_admitted = admits(row, methods, path, &r);
    struct str body = buf_str(&r.reply.body);

    if (is_admitted != (text == NULL) || (text && !str_starts(body, str_of(text))))
        fail_msg("%s: %d %.*s", path, is_admitted, STR_ARG(body));
    if (text)
        assert_int_equal(r.reply.status, 503);
    buf_fini(&r.reply.body);
    arena_fini(&r.arena);
}

#define PROXY "/api/2.0/mlflow-artifacts/artifacts"

static void test_everything_is_on(void **state)
{
    (void)state;
    settings = (struct settings){.serve_artifacts = true, .static_prefix = ""};
    expect(PROXY "/{artifact_path*}", HTTP_M_GET, PROXY "/x", NULL);
    expect("/api/2.0/mlflow/runs/get", HTTP_M_GET, "/api/2.0/mlflow/runs/get", NULL);
}

static void test_artifacts_are_off(void **state)
{
    (void)state;
    settings = (struct settings){.static_prefix = "/pfx"};
    expect(PROXY "/{artifact_path*}", HTTP_M_GET, "/pfx" PROXY "/x",
           "{\"detail\":\"Artifact serving is disabled. Run `mlflow server` with"
           " `--serve-artifacts` to enable.\"}");
    expect(PROXY "/{artifact_path*}", HTTP_M_DELETE, "/pfx" PROXY "/x",
           "Endpoint: /pfx" PROXY "/<path:artifact_path> disabled due to the mlflow server running"
           " with `--no-serve-artifacts`. To enable artifacts server functionality, run `mlflow"
           " server` with `--serve-artifacts`");
    expect(PROXY, HTTP_M_GET, "/pfx/ajax-api/2.0/mlflow-artifacts/artifacts",
           "Endpoint: /pfx/ajax-api/2.0/mlflow-artifacts/artifacts disabled due to");
    expect("/get-artifact", HTTP_M_GET, "/pfx/get-artifact", NULL);
}

static void test_nothing_else_is_on(void **state)
{
    (void)state;
    settings =
        (struct settings){.serve_artifacts = true, .artifacts_only = true, .static_prefix = ""};
    expect(PROXY "/{artifact_path*}", HTTP_M_GET, PROXY "/x", NULL);
    expect("/health", HTTP_M_GET, "/health", NULL);
    expect("/graphql", HTTP_M_POST, "/graphql", NULL);
    expect("/api/3.0/mlflow/server-info", HTTP_M_GET, "/api/3.0/mlflow/server-info", NULL);
    expect("/get-artifact", HTTP_M_GET, "/get-artifact",
           "Endpoint: /get-artifact disabled due to the mlflow server running in `--artifacts-only`"
           " mode. To enable tracking server functionality, run `mlflow server` without"
           " `--artifacts-only`");
    expect("/api/2.0/mlflow/logged-models/{model_id}/tags/{tag_key}", HTTP_M_DELETE,
           "/ajax-api/2.0/mlflow/logged-models/a/tags/b",
           "Endpoint: /ajax-api/2.0/mlflow/logged-models/<model_id>/tags/<tag_key> disabled");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_is_on),
        cmocka_unit_test(test_artifacts_are_off),
        cmocka_unit_test(test_nothing_else_is_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
