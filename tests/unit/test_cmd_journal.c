/* cmd_journal: what is printed of a journal that is whole, damaged or absent. */
#include "gateway/command/cmd_journal.c"

#include "tests/unit/queue_fixture.h"

static char printed[1 << 16];

/* Runs the command with standard output in printed and standard error thrown away. */
static int run(int argc, const char *first, const char *second)
{
    char words[2][64];
    char *argv[] = {words[0], words[1], NULL};
    int saved[2] = {dup(1), dup(2)};
    char path[128];

    snprintf(words[0], sizeof(words[0]), "%s", first);
    snprintf(words[1], sizeof(words[1]), "%s", second);
    snprintf(path, sizeof(path), "%s/out", fixture_dir);
    fflush(stdout);
    fflush(stderr);
    FILE *f = fopen(path, "w+");
    int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);

    assert_non_null(f);
    dup2(fileno(f), 1);
    dup2(nowhere, 2);
    int code = cmd_journal(argc, argv, &fixture_settings);

    fflush(stdout);
    fflush(stderr);
    dup2(saved[0], 1);
    dup2(saved[1], 2);
    close(saved[0]);
    close(saved[1]);
    close(nowhere);
    rewind(f);
    printed[fread(printed, 1, sizeof(printed) - 1, f)] = '\0';
    fclose(f);
    return code;
}

/* Two runs of three entries each; the last point of all is of a model. */
static void fill(void)
{
    struct point points[4];
    struct queue *q = NULL;
    pos_t end = 0;

    assert_ok(queue_open(&fixture_settings, 1, fixture_stats, &q, &fixture_fail));
    for (unsigned i = 0; i < 6; i++) {
        struct batch b = fixture_batch(points, 4, 1 + i % 2, i * 10);

        points[3].model_id = i == 5 ? STR("m-1") : STR("");
        points[0].is_nan = i == 0;
        assert_ok(queue_append(q, 0, &b, &end, &fixture_fail));
    }
    queue_stop(q);
    queue_close(q);
}

static void spoil(off_t offset)
{
    pos_t *bases = NULL;
    size_t count = 0;
    char name[SEGMENT_NAME];
    int dir = -1;

    assert_ok(journal_dir_open(fixture_dir, false, &dir, &fixture_fail));
    assert_ok(segment_list(dir, &bases, &count, &fixture_fail));
    assert_int_equal(count, 1);
    segment_name(bases[0], name);
    int fd = openat(dir, name, O_WRONLY);

    assert_int_equal(pwrite(fd, "\xff", 1, offset), 1);
    close(fd);
    close(dir);
    free(bases);
}

static void test_ls_counts_entries_and_points(void **state)
{
    (void)state;
    fill();
    assert_int_equal(run(1, "ls", ""), 0);
    assert_non_null(strstr(printed, ".seg"));
    assert_non_null(strstr(printed, "\n1 segments, 6 entries, 24 points, 0 damaged bytes\n"));
}

static void test_ls_says_who_adopted_it(void **state)
{
    (void)state;
    int dir = -1;

    fill();
    assert_ok(journal_dir_open(fixture_dir, false, &dir, &fixture_fail));
    assert_ok(journal_dir_mark_adopted(dir, "by somebody\n", &fixture_fail));
    close(dir);
    assert_int_equal(run(1, "ls", ""), 0);
    assert_non_null(strstr(printed, "\nadopted by somebody\n"));
}

static void test_verify_finds_damage(void **state)
{
    (void)state;
    fill();
    assert_int_equal(run(1, "verify", ""), 0);
    spoil(SEGMENT_HEAD + 150);
    assert_int_equal(run(1, "verify", ""), 1);
    assert_non_null(strstr(printed, "5 entries, 20 points, "));
    assert_null(strstr(printed, " 0 damaged bytes"));
    assert_int_equal(run(1, "ls", ""), 0);
    assert_null(strstr(printed, ".bad"));
    struct queue *q = NULL;

    assert_ok(queue_open(&fixture_settings, 1, fixture_stats, &q, &fixture_fail));
    queue_stop(q);
    queue_close(q);
    assert_int_equal(run(1, "ls", ""), 0);
    assert_non_null(strstr(printed, ".bad  kept because it is damaged, "));
}

static void test_verify_finds_a_damaged_header(void **state)
{
    (void)state;
    fill();
    spoil(3);
    assert_int_equal(run(1, "verify", ""), 1);
}

static void test_dump_is_one_json_line_an_entry(void **state)
{
    (void)state;
    fill();
    assert_int_equal(run(1, "dump", ""), 0);
    unsigned lines = 0;

    for (const char *p = printed; *p; p++)
        lines += *p == '\n';
    assert_int_equal(lines, 6);
    assert_non_null(strstr(printed,
                           "\"run_id\": \"00000000000000000000000000000001\", "
                           "\"experiment_id\": 1, \"metrics\": [[\"loss\", \"NaN\", 0, 0], "
                           "[\"loss\", 0.25, 0, 1]"));
    assert_non_null(strstr(printed, "[\"loss\", 0.25, 0, 53, \"m-1\", \"\", \"\"]]}\n"));
    assert_int_equal(run(2, "dump", "00000000000000000000000000000002"), 0);
    assert_null(strstr(printed, "00000000000000000000000000000001"));
    assert_non_null(strstr(printed, "00000000000000000000000000000002"));
    assert_int_equal(run(2, "dump", "unknown"), 0);
    assert_string_equal(printed, "");
}

static void test_nonsense_and_absence_are_said(void **state)
{
    (void)state;
    assert_int_equal(run(1, "frobnicate", ""), 2);
    assert_int_equal(run(2, "ls", "more"), 2);
    assert_int_equal(run(0, "", ""), 2);
    assert_int_equal(run(1, "ls", ""), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
        CASE(test_ls_counts_entries_and_points),
        CASE(test_ls_says_who_adopted_it),
        CASE(test_verify_finds_damage),
        CASE(test_verify_finds_a_damaged_header),
        CASE(test_dump_is_one_json_line_an_entry),
        CASE(test_nonsense_and_absence_are_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
