/* cluster_place: where, as whom, with which programs; starts nothing. */
#include "schema/cluster_place.c"

#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#undef fail /* cmocka has a macro of that name */

static char work_dir[] = "/tmp/sluice-place-XXXXXX";
static struct fail why;
static struct cluster_place place;

static bool says(const char *part)
{
    char text[512];

    str_to_cstr(why.text, text, sizeof(text));
    return strstr(text, part) != NULL;
}

static void shell(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void shell(const char *fmt, ...)
{
    char command[4096];
    va_list args;

    va_start(args, fmt);
    vsnprintf(command, sizeof(command), fmt, args);
    va_end(args);
    assert_int_equal(system(command), 0);
}

/* A directory below work_dir. */
static const char *below(const char *name)
{
    static char path[1024];

    snprintf(path, sizeof(path), "%s/%s", work_dir, name);
    shell("mkdir -p \"%s\"", path);
    return path;
}

static int make_work_dir(void **state)
{
    (void)state;
    return mkdtemp(work_dir) && chmod(work_dir, 0755) == 0 ? 0 : -1;
}

static int remove_work_dir(void **state)
{
    (void)state;
    shell("rm -rf %s", work_dir);
    return 0;
}

static void test_plain_directory_holds_everything(void **state)
{
    const char *dir = below("plain");
    char want[128];

    (void)state;
    assert_int_equal(cluster_place_find(dir, &place, &why), OK);
    assert_string_equal(place.base, dir);
    snprintf(want, sizeof(want), "%s/pg", dir);
    assert_string_equal(place.dir, want);
    assert_string_equal(place.sock, want);
    assert_false(place.has_cluster);
    assert_false(place.is_elsewhere);
    assert_int_not_equal(place.uid, 0);
    assert_int_equal(place.drops_user, geteuid() == 0);
}

static void test_closed_directory_sends_it_elsewhere_always_the_same(void **state)
{
    const char *dir = below("closed/var");
    char first[CLUSTER_PATH_MAX];

    (void)state;
    if (geteuid() != 0)
        skip(); /* a folder of one's own is not closed to oneself */
    shell("chmod 700 %s/closed", work_dir);
    assert_int_equal(cluster_place_find(dir, &place, &why), OK);
    assert_true(place.is_elsewhere);
    assert_int_equal(strlen(place.base), strlen("/var/lib/sluice/") + 16);
    memcpy(first, place.dir, sizeof(first));
    assert_int_equal(cluster_place_find(dir, &place, &why), OK);
    assert_string_equal(place.dir, first);
}

static void test_cluster_that_exists_is_never_left(void **state)
{
    const char *dir = below("exists");

    (void)state;
    shell("mkdir %s/pg && echo 15 > %s/pg/PG_VERSION", dir, dir);
    fail_init(&why, NULL);
    if (geteuid() == 0) {
        assert_int_equal(cluster_place_find(dir, &place, &why), ERR_SETTING);
        assert_true(says("belongs to user id 0"));
        shell("chown postgres %s/pg", dir);
    }
    assert_int_equal(cluster_place_find(dir, &place, &why), OK);
    assert_true(place.has_cluster);
    if (geteuid() != 0)
        return;
    shell("chmod 700 %s", dir);
    assert_int_equal(cluster_place_find(dir, &place, &why), ERR_SETTING);
    assert_true(says("can no longer enter"));
    shell("chmod 755 %s", dir);
    /* Through a link, as cluster_open leaves it for one that is elsewhere. */
    shell("mkdir %s/linked && ln -s %s/pg %s/linked/pg", work_dir, dir, work_dir);
    assert_int_equal(cluster_place_find(below("linked"), &place, &why), OK);
    assert_true(place.has_cluster && place.is_elsewhere);
    assert_true(str_ends(str_of(place.dir), STR("/exists/pg")));
    assert_true(str_ends(str_of(place.base), STR("/exists")));
}

static void test_long_and_odd_paths_get_a_short_socket_directory(void **state)
{
    char name[128];

    (void)state;
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    assert_int_equal(cluster_place_find(below(name), &place, &why), OK);
    assert_true(strlen(place.dir) > 107);
    assert_true(strlen(place.sock) < 40);
    assert_non_null(strstr(place.sock, "/sluice-"));
    assert_int_equal(cluster_place_find(below("one, two"), &place, &why), OK);
    assert_true(strlen(place.sock) < 40);
    /* The longest that fits, and one more. */
    name[107 - strlen("/pg/.s.PGSQL.5432") - strlen(work_dir) - 1] = '\0';
    assert_int_equal(cluster_place_find(below(name), &place, &why), OK);
    assert_string_equal(place.sock, place.dir);
    name[strlen(name)] = 'x';
    assert_int_equal(cluster_place_find(below(name), &place, &why), OK);
    assert_string_not_equal(place.sock, place.dir);
}

static void test_missing_directory_is_named(void **state)
{
    (void)state;
    fail_init(&why, NULL);
    assert_int_equal(cluster_place_find("/nonexistent/var", &place, &why), ERR_SETTING);
    assert_true(says("data_dir: /nonexistent/var"));
}

static void test_uri_survives_both_readers(void **state)
{
    static char uri[CLUSTER_URI_MAX];
    static char longest[CLUSTER_PATH_MAX];

    (void)state;
    cluster_place_uri("/srv/sluice_1/pg", 5432, uri);
    assert_string_equal(uri, "postgresql://sluice@:5432/sluice?host=/srv/sluice_1/pg");
    cluster_place_uri("/a b+c%d&e?f#g", 1, uri);
    assert_string_equal(uri, "postgresql://sluice@:1/sluice?host=/a%20b%2Bc%25d%26e%3Ff%23g");
    memset(longest, ' ', sizeof(longest) - 1);
    cluster_place_uri(longest, 5432, uri); /* must stay inside; ASan watches */
    assert_true(strlen(uri) < sizeof(uri));
}

static void test_programs_are_looked_for_in_order(void **state)
{
    static char bin[CLUSTER_PATH_MAX];
    char own[512];
    char path[600];
    char *saved = strdup(getenv("PATH"));

    (void)state;
    fail_init(&why, NULL);
    memset(&place, 0, sizeof(place));
    snprintf(own, sizeof(own), "%s", below("bin"));
    assert_int_equal(cluster_place_bin(&place, own, bin, &why), ERR_SETTING);
    assert_true(says("pg_bin_dir"));
    assert_int_equal(cluster_place_bin(&place, "", bin, &why), OK); /* an installed one */
    shell("touch %s/initdb %s/postgres && chmod 755 %s/initdb %s/postgres", own, own, own, own);
    assert_int_equal(cluster_place_bin(&place, own, bin, &why), OK);
    assert_string_equal(bin, own);
    snprintf(path, sizeof(path), "/nonexistent::%s:%s", own, saved);
    setenv("PATH", path, 1);
    assert_int_equal(cluster_place_bin(&place, NULL, bin, &why), OK);
    assert_string_equal(bin, own);
    setenv("PATH", saved, 1);
    free(saved);
}

static void test_socket_directory_of_somebody_else_is_refused(void **state)
{
    const char *dir = below("sockets");
    char path[1100];

    (void)state;
    fail_init(&why, NULL);
    snprintf(path, sizeof(path), "%s/a", dir);
    assert_int_equal(place_private_dir(path, geteuid(), getegid(), &why), OK);
    assert_int_equal(place_private_dir(path, geteuid(), getegid(), &why), OK);
    assert_int_equal(place_private_dir(path, geteuid() + 1, getegid(), &why), ERR_SETTING);
    assert_int_equal(chmod(path, 0755), 0);
    assert_int_equal(place_private_dir(path, geteuid(), getegid(), &why), ERR_SETTING);
    assert_true(says("mode 0700"));
    shell("mkdir -m 700 %s/b && ln -s %s/b %s/c", dir, dir, dir);
    snprintf(path, sizeof(path), "%s/c", dir);
    assert_int_equal(place_private_dir(path, geteuid(), getegid(), &why), ERR_SETTING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_directory_holds_everything),
        cmocka_unit_test(test_closed_directory_sends_it_elsewhere_always_the_same),
        cmocka_unit_test(test_cluster_that_exists_is_never_left),
        cmocka_unit_test(test_long_and_odd_paths_get_a_short_socket_directory),
        cmocka_unit_test(test_missing_directory_is_named),
        cmocka_unit_test(test_uri_survives_both_readers),
        cmocka_unit_test(test_programs_are_looked_for_in_order),
        cmocka_unit_test(test_socket_directory_of_somebody_else_is_refused),
    };

    return cmocka_run_group_tests(tests, make_work_dir, remove_work_dir);
}
