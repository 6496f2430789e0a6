/* beneath: what leads out is refused, by the kernel and by the way without openat2. */
#include "gateway/artifact/beneath.c"

#include "tests/unit/openat2.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static char folder[] = "/tmp/test-beneath-XXXXXX";
static int root;

static int begin(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(folder));
    root = beneath_root(folder);
    assert_true(root >= 0);
    assert_int_equal(mkdirat(root, "in", 0755), 0);
    assert_int_equal(mkdirat(root, "in/deep", 0755), 0);
    close(openat(root, "in/file", O_CREAT | O_WRONLY, 0644));
    assert_int_equal(symlinkat("/etc", root, "etc"), 0);
    assert_int_equal(symlinkat("/etc/passwd", root, "passwd"), 0);
    assert_int_equal(symlinkat("..", root, "up"), 0);
    assert_int_equal(symlinkat("in", root, "same"), 0);
    assert_int_equal(symlinkat("round", root, "round"), 0);
    assert_int_equal(symlinkat("/proc/self/root", root, "magic"), 0);
    return 0;
}

static int end(void **state)
{
    char command[64];

    (void)state;
    close(root);
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    return system(command);
}

static void expect(const char *path, int flags, int wanted)
{
    int fd = beneath_open(root, str_of(path), flags);

    if (wanted ? fd != wanted : fd < 0)
        fail_msg("%s: %d, wanted %d", path, fd, wanted);
    if (fd >= 0)
        close(fd);
}

static void test_links_do_not_lead_out(void **state)
{
    static const char *const paths[] = {"etc/passwd", "passwd", "up",  "up/x",       "in/../../x",
                                        "magic/etc",  "round",  "etc", "/etc/passwd"};

    (void)state;
    for (size_t i = 0; i < array_len(paths); i++) {
        int fd = beneath_open(root, str_of(paths[i]), O_RDONLY);

        if (fd != -EXDEV && fd != -ELOOP)
            fail_msg("%s: %d", paths[i], fd);
    }
    expect("same/file", O_RDONLY, openat2_is_there() ? 0 : -ELOOP); /* stays inside */
    expect("in/file", O_RDONLY, 0);
    expect("", O_RDONLY | O_DIRECTORY, 0);
    expect("in/none", O_RDONLY, -ENOENT);
    expect("in/file/x", O_RDONLY, -ENOTDIR);
}

static void test_without_openat2_no_link_is_followed(void **state)
{
    static const char *const paths[] = {"etc/passwd", "passwd", "up",        "up/x",
                                        "magic/etc",  "round",  "same/file", "same"};

    (void)state;
    has_openat2 = false;
    for (size_t i = 0; i < array_len(paths); i++)
        expect(paths[i], O_RDONLY, -ELOOP);
    expect("..", O_RDONLY | O_DIRECTORY, -EXDEV);
    expect("in/../../x", O_RDONLY, -EXDEV);
    expect("in/..", O_RDONLY | O_DIRECTORY, -EXDEV);
    expect("/in/file", O_RDONLY, -EXDEV);
    expect("etc", O_RDONLY | O_DIRECTORY, -ELOOP);
    expect("in/file", O_RDONLY, 0);
    expect("in/deep", O_RDONLY | O_DIRECTORY, 0);
    expect("", O_RDONLY | O_DIRECTORY, 0);
    expect("in/none", O_RDONLY, -ENOENT);
    expect("in/file/x", O_RDONLY, -ENOTDIR);
    has_openat2 = true;
}

static void test_folders_are_made_below_the_root_only(void **state)
{
    int fd;

    (void)state;
    for (int way = 0; way < 2; way++) {
        has_openat2 = way == 0;
        fd = beneath_make(root, way ? STR("new/b/c") : STR("new/b/d"));
        assert_true(fd >= 0);
        close(fd);
        fd = beneath_make(root, STR("up/x"));
        assert_true(fd == -EXDEV || fd == -ELOOP);
        fd = beneath_make(root, STR("etc/x"));
        assert_true(fd == -EXDEV || fd == -ELOOP);
        assert_int_equal(beneath_make(root, STR("in/file/x")), -ENOTDIR);
    }
    has_openat2 = true;
    expect("new/b/c", O_RDONLY | O_DIRECTORY, 0);
    expect("new/b/d", O_RDONLY | O_DIRECTORY, 0);
}

static void test_long_paths_are_refused(void **state)
{
    char path[PATH_MAX + 10], name[NAME_MAX + 10];

    (void)state;
    memset(path, 'a', sizeof(path));
    memset(name, 'a', sizeof(name));
    assert_int_equal(beneath_open(root, (struct str){path, sizeof(path)}, O_RDONLY), -ENAMETOOLONG);
    assert_int_equal(beneath_make(root, (struct str){name, sizeof(name)}), -ENAMETOOLONG);
    has_openat2 = false;
    assert_int_equal(beneath_open(root, (struct str){name, sizeof(name)}, O_RDONLY), -ENAMETOOLONG);
    has_openat2 = true;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_links_do_not_lead_out),
        cmocka_unit_test(test_without_openat2_no_link_is_followed),
        cmocka_unit_test(test_folders_are_made_below_the_root_only),
        cmocka_unit_test(test_long_paths_are_refused),
    };

    return cmocka_run_group_tests(tests, begin, end);
}
