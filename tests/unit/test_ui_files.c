/* Tests of gateway/artifact/ui_files.c: which names are served, with which types. */
#include "gateway/artifact/ui_files.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

static char folder[64];

static void put(const char *name)
{
    char path[256];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    f = fopen(path, "w");
    check(f != NULL && fputs(name, f) >= 0 && fclose(f) == 0);
}

static int begin(void **state)
{
    char path[256];

    (void)state;
    strcpy(folder, "/tmp/ui-files-XXXXXX");
    check(mkdtemp(folder) != NULL);
    snprintf(path, sizeof(path), "%s/static", folder);
    check(mkdir(path, 0755) == 0);
    put("static/main.js");
    put(".hidden");
    snprintf(path, sizeof(path), "%s/link", folder);
    check(symlink("/etc/passwd", path) == 0);
    snprintf(path, sizeof(path), "%s/up", folder);
    check(symlink("..", path) == 0);
    return 0;
}

static int end(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof(command), "rm -r %s", folder);
    return system(command);
}

static void test_a_folder_needs_a_page(void **state)
{
    struct ui_files *u = NULL;
    struct fail f;

    (void)state;
    fail_init(&f, NULL);
    assert_int_equal(ui_files_open("/nowhere/at/all", &u, &f), ERR_SETTING);
    assert_int_equal(ui_files_open(folder, &u, &f), ERR_SETTING);
    assert_null(u);
}

static void test_names_are_those_of_the_tree(void **state)
{
    static const char *const absent[] = {"",
                                         "static",
                                         "static/",
                                         "/index.html",
                                         ".hidden",
                                         "link",
                                         "up",
                                         "up/x",
                                         "main.js",
                                         "../index.html",
                                         "INDEX.html",
                                         "index.html/",
                                         "static//main.js",
                                         "./index.html"};
    struct ui_files *u;
    struct fail f;
    char bytes[32];
    int fd;

    (void)state;
    put("index.html");
    fail_init(&f, NULL);
    assert_int_equal(ui_files_open(folder, &u, &f), OK);
    assert_int_equal(ui_files_count(u), 2);
    for (size_t i = 0; i < array_len(absent); i++) {
        if (ui_files_find(u, str_of(absent[i])))
            fail_msg("<%s> is served", absent[i]);
    }
    assert_string_equal(ui_files_find(u, STR("static/main.js"))->type,
                        "text/javascript; charset=utf-8");
    fd = ui_files_read(u, ui_files_find(u, STR("static/main.js")));
    assert_int_equal(read(fd, bytes, sizeof(bytes)), strlen("static/main.js"));
    close(fd);
    ui_files_close(u);
}

static void test_types(void **state)
{
    (void)state;
    assert_string_equal(ui_type_of(STR("a.woff2")), "font/woff2");
    assert_string_equal(ui_type_of(STR("a.woff")), "font/woff");
    assert_string_equal(ui_type_of(STR("a.cjs")), "application/octet-stream");
    assert_string_equal(ui_type_of(STR("LICENSE")), "application/octet-stream");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_folder_needs_a_page),
        cmocka_unit_test(test_names_are_those_of_the_tree),
        cmocka_unit_test(test_types),
    };

    return cmocka_run_group_tests(tests, begin, end);
}
