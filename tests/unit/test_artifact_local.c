/* artifact_local: nothing half-written is seen, nothing outside is touched. */
#include "gateway/artifact/artifact_local.c"

#include "tests/unit/openat2.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static struct arena arena;
static char base[] = "/tmp/test-artifacts-XXXXXX";
static struct str root;

static int begin(void **state)
{
    (void)state;
    arena_init(&arena, 1024);
    assert_non_null(mkdtemp(base));
    root = arena_printf(&arena, "%s/made/root", base);
    return 0;
}

static int end(void **state)
{
    char command[64];

    (void)state;
    arena_fini(&arena);
    snprintf(command, sizeof(command), "rm -rf %s", base);
    return system(command);
}

static char *in_root(const char *path)
{
    return arena_cstr(&arena, arena_printf(&arena, "%.*s/%s", STR_ARG(root), path));
}

static err_t put(const char *path, const char *text, struct fail *f)
{
    struct artifact_upload u;
    err_t e;

    fail_init(f, &arena);
    if ((e = artifact_local_begin(&arena, root, str_of(path), &u, f)))
        return e;
    if ((e = artifact_local_write(&arena, &u, str_of(text), f))) {
        artifact_local_abandon(&u);
        return e;
    }
    return artifact_local_publish(&arena, &u, f);
}

static void expect_put(const char *path, const char *text)
{
    struct fail f;

    if (put(path, text, &f))
        fail_msg("%s: %.*s", path, STR_ARG(f.text));
}

static void expect_refused(err_t got, err_t wanted, const struct fail *f, const char *words)
{
    if (got != wanted || !str_eq(f->text, str_of(words)))
        fail_msg("%d: %.*s", got, STR_ARG(f->text));
}

/* The names in a directory, joined; files with their sizes. */
static const char *names(const char *path)
{
    struct artifact_list list;
    struct str out = STR("");

    assert_int_equal(artifact_local_list(&arena, root, str_of(path), &list, NULL), OK);
    for (size_t i = 0; i < list.n; i++)
        out =
            list.items[i].is_directory
                ? arena_printf(&arena, "%.*s%.*s/ ", STR_ARG(out), STR_ARG(list.items[i].name))
                : arena_printf(&arena, "%.*s%.*s:%llu ", STR_ARG(out), STR_ARG(list.items[i].name),
                               (unsigned long long)list.items[i].bytes);
    return arena_cstr(&arena, out);
}

static void expect_content(const char *path, const char *text)
{
    struct artifact_content c;
    char got[64] = "";

    assert_int_equal(artifact_local_open(&arena, root, str_of(path), &c, NULL), OK);
    assert_true(c.fd >= 0);
    assert_int_equal(c.bytes, strlen(text));
    assert_int_equal(read(c.fd, got, sizeof(got) - 1), strlen(text));
    assert_string_equal(got, text);
    close(c.fd);
}

static void test_a_root_that_is_not_there_is_empty(void **state)
{
    struct artifact_content c;
    struct fail f;

    (void)state;
    fail_init(&f, &arena);
    assert_string_equal(names(""), "");
    assert_int_equal(artifact_local_remove(&arena, root, STR("a/b"), &f), OK);
    expect_refused(artifact_local_open(&arena, root, STR("a"), &c, &f), ERR_NOT_FOUND, &f,
                   "No such artifact: 'a'");
}

static void put_and_read(void)
{
    struct stat st;

    expect_put("a/b/one.txt", "first");
    expect_put("a/two", "");
    expect_content("a/b/one.txt", "first");
    expect_content("./a//b/one.txt", "first");
    expect_put("a/b/one.txt", "second, longer");
    expect_content("a/b/one.txt", "second, longer");
    assert_string_equal(names("a"), "b/ two:0 ");
    assert_string_equal(names("a/b/"), "one.txt:14 ");
    assert_string_equal(names("a/two"), "");
    assert_string_equal(names("."), "a/ ");
    assert_int_equal(stat(in_root("a/two"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0644);
}

static void test_what_is_put_is_read(void **state)
{
    mode_t before = umask(022);

    (void)state;
    put_and_read();
    has_tmpfile = false;
    put_and_read();
    has_tmpfile = true;
    umask(before);
}

static void test_nothing_is_seen_before_it_is_published(void **state)
{
    struct artifact_content c;
    struct artifact_upload u;
    struct fail f;

    (void)state;
    fail_init(&f, &arena);
    for (int way = 0; way < 2; way++) {
        has_tmpfile = way == 0;
        assert_int_equal(artifact_local_begin(&arena, root, STR("half/f"), &u, &f), OK);
        assert_int_equal(artifact_local_write(&arena, &u, STR("half of"), &f), OK);
        assert_string_equal(names("half"), "");
        assert_int_equal(artifact_local_open(&arena, root, STR("half/f"), &c, &f), ERR_NOT_FOUND);
        if (u.temp[0]) /* what a crash would leave cannot be asked for */
            assert_int_equal(
                artifact_local_open(&arena, root, arena_printf(&arena, "half/%s", u.temp), &c, &f),
                ERR_NOT_FOUND);
        artifact_local_abandon(&u);
        artifact_local_abandon(&u);                  /* twice does no harm */
        assert_int_equal(rmdir(in_root("half")), 0); /* nothing is left of it */
    }
    has_tmpfile = true;
}

static void test_a_long_file_is_written_whole(void **state)
{
    static char block[1 << 20];
    struct artifact_upload u;
    struct stat st;

    (void)state;
    assert_int_equal(artifact_local_begin(&arena, root, STR("long"), &u, NULL), OK);
    for (int i = 0; i < 20; i++)
        assert_int_equal(artifact_local_write(&arena, &u, (struct str){block, sizeof(block)}, NULL),
                         OK);
    assert_int_equal(artifact_local_publish(&arena, &u, NULL), OK);
    assert_int_equal(stat(in_root("long"), &st), 0);
    assert_int_equal(st.st_size, 20 << 20);
    assert_int_equal(artifact_local_remove(&arena, root, STR("long"), NULL), OK);
}

static void test_what_is_in_the_way_is_told(void **state)
{
    struct artifact_content c;
    struct fail f;
    char name[300];

    (void)state;
    expect_put("way/file", "x");
    expect_refused(put("way/file/below", "x", &f), ERR_BAD_PARAM, &f,
                   "A part of the artifact path is a file: 'way/file/below'");
    expect_refused(put("way", "x", &f), ERR_BAD_PARAM, &f,
                   "Artifact path refers to a directory, not a file: 'way'");
    expect_refused(put("way/.", "x", &f), ERR_BAD_PARAM, &f,
                   "Artifact path refers to a directory, not a file: 'way/.'");
    expect_refused(put("way/.artifact.uploading.x", "x", &f), ERR_BAD_PARAM, &f,
                   "Invalid artifact file name: '.artifact.uploading.x'. Artifact names starting"
                   " with '.artifact.uploading.' are reserved.");
    assert_int_equal(put("a/./x", "x", &f), ERR_INTERNAL);
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = 0;
    expect_refused(put(name, "x", &f), ERR_BAD_PARAM, &f,
                   "The artifact path, or a name in it, is too long");
    assert_int_equal(artifact_local_open(&arena, root, STR("way"), &c, &f), OK);
    assert_true(c.is_directory && c.fd == -1);
    expect_refused(artifact_local_open(&arena, root, STR("way/file/x"), &c, &f), ERR_NOT_FOUND, &f,
                   "No such artifact: 'way/file/x'");
    assert_int_equal(mkfifo(in_root("way/pipe"), 0600), 0);
    assert_int_equal(artifact_local_open(&arena, root, STR("way/pipe"), &c, &f), ERR_NOT_FOUND);
    assert_string_equal(names("way"), "file:1 ");
}

static void test_links_lead_nowhere_else(void **state)
{
    static const char outside[] = "Invalid path: resolved path is outside the artifact directory";
    struct artifact_content c;
    struct artifact_list list;
    struct fail f;
    char *secret = arena_cstr(&arena, arena_printf(&arena, "%s/secret", base));

    (void)state;
    close(open(secret, O_CREAT | O_WRONLY, 0600));
    expect_put("links/file", "x");
    assert_int_equal(symlink(base, in_root("links/out")), 0);
    assert_int_equal(symlink(secret, in_root("links/leak")), 0);
    assert_int_equal(symlink("file", in_root("links/same")), 0);
    assert_int_equal(symlink("none", in_root("links/dangling")), 0);
    fail_init(&f, &arena);
    expect_refused(artifact_local_open(&arena, root, STR("links/out/secret"), &c, &f),
                   ERR_BAD_PARAM, &f, outside);
    expect_refused(artifact_local_open(&arena, root, STR("links/leak"), &c, &f), ERR_BAD_PARAM, &f,
                   outside);
    expect_refused(artifact_local_list(&arena, root, STR("links/out"), &list, &f), ERR_BAD_PARAM,
                   &f, outside);
    expect_refused(artifact_local_remove(&arena, root, STR("links/out/secret"), &f), ERR_BAD_PARAM,
                   &f, outside);
    expect_refused(put("links/out/new", "x", &f), ERR_BAD_PARAM, &f, outside);
    if (openat2_is_there()) {
        expect_content("links/same", "x");
        assert_string_equal(names("links"), "file:1 same:1 ");
    }
    expect_put("links/leak", "own"); /* the link goes, not what it names */
    expect_content("links/leak", "own");
    assert_int_equal(artifact_local_remove(&arena, root, STR("links"), &f), OK);
    assert_int_equal(access(secret, F_OK), 0);
}

static void test_a_tree_is_removed_however_deep(void **state)
{
    char path[3000] = "tree";

    (void)state;
    for (int i = 0; i < 200; i++) {
        strcat(path, "/d");
        if (i % 50 == 0)
            expect_put(arena_cstr(&arena, arena_printf(&arena, "%s/f", path)), "x");
    }
    expect_put("tree/other/f", "x");
    expect_put("treehouse", "x");
    assert_int_equal(artifact_local_remove(&arena, root, STR("tree/"), NULL), OK);
    assert_string_equal(names("tree"), "");
    assert_int_equal(access(in_root("tree"), F_OK), -1);
    expect_content("treehouse", "x");
    assert_int_equal(artifact_local_remove(&arena, root, STR("treehouse"), NULL), OK);
    assert_int_equal(artifact_local_remove(&arena, root, STR("treehouse"), NULL), OK);
    assert_int_equal(artifact_local_remove(&arena, root, STR("."), NULL), ERR_BAD_PARAM);
    assert_int_equal(artifact_local_remove(&arena, root, STR(""), NULL), ERR_BAD_PARAM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_root_that_is_not_there_is_empty),
        cmocka_unit_test(test_what_is_put_is_read),
        cmocka_unit_test(test_nothing_is_seen_before_it_is_published),
        cmocka_unit_test(test_a_long_file_is_written_whole),
        cmocka_unit_test(test_what_is_in_the_way_is_told),
        cmocka_unit_test(test_links_lead_nowhere_else),
        cmocka_unit_test(test_a_tree_is_removed_however_deep),
    };

    return cmocka_run_group_tests(tests, begin, end);
}
