/* cmd_deadletter: what is printed for files that are whole, torn, doubled or absent. */
#include "gateway/command/cmd_deadletter.c"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static char folder[64];
static char printed[1 << 16];
static struct settings settings;

static int setup(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/sluice-cmd-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    settings.data_dir = folder;
    settings.pg_uri = settings.pg_bin_dir = "";
    return 0;
}

static int teardown(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof(command), "rm -rf '%s'", folder);
    return system(command);
}

/* Runs the command with standard output in printed and standard error thrown away. */
static int run_words(const char *const *words)
{
    char word[8][64], *argv[8] = {0};
    int argc = 0;
    int saved[2] = {dup(1), dup(2)}, nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC), result;
    char path[128];
    size_t n;
    FILE *f;

    for (; words[argc]; argc++) {
        snprintf(word[argc], sizeof(word[argc]), "%s", words[argc]);
        argv[argc] = word[argc];
    }
    snprintf(path, sizeof(path), "%s/out", folder);
    fflush(stdout);
    fflush(stderr);
    f = fopen(path, "w+");
    dup2(fileno(f), 1);
    dup2(nowhere, 2);
    result = cmd_deadletter(argc, argv, &settings);
    fflush(stdout);
    fflush(stderr);
    dup2(saved[0], 1);
    dup2(saved[1], 2);
    close(saved[0]);
    close(saved[1]);
    close(nowhere);
    rewind(f);
    n = fread(printed, 1, sizeof(printed) - 1, f);
    printed[n] = 0;
    fclose(f);
    return result;
}

#define run_of(...) run_words((const char *const[]){__VA_ARGS__, NULL})

static int run(int argc, const char *first, const char *second)
{
    const char *const words[] = {argc > 0 ? first : NULL, argc > 1 ? second : NULL, NULL};

    return run_words(words);
}

static struct deadletter example(void)
{
    static char record[256];
    struct point points[2] = {{.key = STR("loss"), .value = 0.5, .timestamp = 7, .step = 3},
                              {.key = STR("bad\xff"), .is_nan = true, .model_id = STR("m-1")}};
    struct batch b = {.npoints = 2, .points = points};

    assert_true(run_id_set(&b.run, STR("run1")));
    assert_true(record_bound(&b) <= sizeof(record));
    return (struct deadletter){.time_ms = 1700000000000,
                               .queue_id = STR("q"),
                               .pos = 64,
                               .points = 2,
                               .run_id = STR("run1"),
                               .sqlstate = STR("22021"),
                               .reason = STR("invalid byte sequence"),
                               .client = STR("10.0.0.7"),
                               .window_from = 8,
                               .window_end = 640,
                               .version = RECORD_VERSION,
                               .record = {record, record_encode(&b, record)}};
}

static void write_file(const char *name, const struct buf *bytes)
{
    char path[160];
    FILE *f;

    snprintf(path, sizeof(path), "%s/deadletter", folder);
    mkdir(path, 0700);
    snprintf(path, sizeof(path), "%s/deadletter/%s", folder, name);
    f = fopen(path, "wb");
    fwrite(buf_str(bytes).p, 1, buf_len(bytes), f);
    fclose(f);
}

static size_t lines(void)
{
    size_t n = 0;

    for (const char *p = printed; *p; p++)
        n += *p == '\n';
    return n;
}

static void test_no_folder_means_no_letters(void **state)
{
    (void)state;
    assert_int_equal(run(1, "ls", ""), 0);
    assert_int_equal(lines(), 1);
    assert_int_equal(run(2, "show", "0000000000000000"), 1);
}

static void test_ls_shows_each_letter_once(void **state)
{
    struct deadletter a = example(), b = example();
    struct buf bytes;

    (void)state;
    b.pos = 128;
    buf_init(&bytes);
    deadletter_write(&a, &bytes);
    buf_add(&bytes, "SLDL torn", 9);
    a.time_ms += 1000; /* again after a crash */
    deadletter_write(&a, &bytes);
    write_file("flusher-0.letters", &bytes);
    buf_reset(&bytes);
    deadletter_write(&b, &bytes);
    write_file("flusher-1.letters", &bytes);
    write_file("something.else", &bytes);
    buf_fini(&bytes);
    assert_int_equal(run(1, "ls", ""), 0);
    assert_int_equal(lines(), 3);
    assert_non_null(strstr(printed, "2023-11-14T22:13:20Z         2  run1 "));
    assert_non_null(strstr(printed, "22021     invalid byte sequence\n"));
}

static void test_show_prints_the_points(void **state)
{
    struct deadletter a = example();
    struct buf bytes;
    char id[17];

    (void)state;
    buf_init(&bytes);
    deadletter_write(&a, &bytes);
    write_file("flusher-0.letters", &bytes);
    buf_fini(&bytes);
    snprintf(id, sizeof(id), "%016" PRIx64, deadletter_id(&a));
    assert_int_equal(run(2, "show", id), 0);
    assert_non_null(strstr(printed, "\"id\": "));
    assert_non_null(strstr(printed, "\"key\": \"loss\",\n      \"value\": 0.5,\n"
                                    "      \"timestamp\": 7,\n      \"step\": 3\n"));
    assert_non_null(strstr(printed, "\"key\": \"bad\\ufffd\",\n      \"value\": \"NaN\""));
    assert_non_null(strstr(printed, "\"model_id\": \"m-1\""));
    assert_non_null(strstr(printed, "\"window_from\": 8,\n  \"window_end\": 640,\n"
                                    "  \"client\": \"10.0.0.7\""));
    assert_int_equal(run(2, "show", "ffffffffffffffff"), 1);
    assert_string_equal(printed, "");
}

static void test_a_record_that_cannot_be_read_is_shown_without_points(void **state)
{
    struct deadletter a = example();
    struct buf bytes;
    char id[17];

    (void)state;
    a.record = STR("?");
    a.run_id = a.sqlstate = STR("");
    buf_init(&bytes);
    deadletter_write(&a, &bytes);
    write_file("flusher-0.letters", &bytes);
    buf_fini(&bytes);
    snprintf(id, sizeof(id), "%016" PRIx64, deadletter_id(&a));
    assert_int_equal(run(2, "show", id), 0);
    assert_non_null(strstr(printed, "\"metrics\": null"));
}

/* Three letters in two files; returns their ids. */
static void write_three(char ids[3][LETTER_ID])
{
    struct buf bytes;

    buf_init(&bytes);
    for (int i = 0; i < 3; i++) {
        struct deadletter d = example();

        d.pos += 64 * (uint64_t)i;
        d.time_ms += 3600000 * (int64_t)i;
        if (i == 1)
            d.run_id = STR("run2");
        if (i == 2)
            d.sqlstate = STR("23503"), d.reason = STR("the run does not exist");
        letter_id_text(deadletter_id(&d), ids[i]);
        deadletter_write(&d, &bytes);
        if (i == 0)
            continue;
        write_file(i == 1 ? "flusher-0.letters" : "flusher-1.letters", &bytes);
        buf_reset(&bytes);
    }
    buf_fini(&bytes);
}

static void test_ls_chooses(void **state)
{
    char ids[3][LETTER_ID];

    (void)state;
    write_three(ids);
    assert_int_equal(run_of("ls"), 0);
    assert_int_equal(lines(), 4);
    assert_int_equal(run_of("ls", "--run", "run2"), 0);
    assert_int_equal(lines(), 2);
    assert_non_null(strstr(printed, ids[1]));
    assert_int_equal(run_of("ls", "--reason", "23503"), 0);
    assert_int_equal(lines(), 2);
    assert_non_null(strstr(printed, ids[2]));
    assert_int_equal(run_of("ls", "--reason", "BYTE seq"), 0);
    assert_int_equal(lines(), 3);
    assert_int_equal(run_of("ls", "--since", "2023-11-14T23:00:00Z"), 0);
    assert_int_equal(lines(), 3);
    assert_null(strstr(printed, ids[0]));
    assert_int_equal(run_of("ls", "--since", "1h"), 0);
    assert_int_equal(lines(), 1);
    assert_int_equal(run_of("ls", ids[0], ids[2]), 0);
    assert_int_equal(lines(), 3);
    assert_int_equal(run_of("ls", "--since", "soon"), 2);
}

static void test_drop_takes_what_is_named_and_only_when_sure(void **state)
{
    char ids[3][LETTER_ID];

    (void)state;
    write_three(ids);
    assert_int_equal(run_of("drop"), 2);
    assert_int_equal(run_of("drop", "--yes"), 2);
    assert_int_equal(run_of("drop", ids[0]), 1);
    assert_string_equal(printed, "1 letters with 2 points would be gone for good; say --yes to"
                                 " drop them\n");
    run_of("ls");
    assert_int_equal(lines(), 4);
    assert_int_equal(run_of("drop", ids[0], "--yes"), 0);
    assert_string_equal(printed, "dropped 1 letters with 2 points\n");
    run_of("ls");
    assert_int_equal(lines(), 3);
    assert_null(strstr(printed, ids[0]));
    assert_int_equal(run_of("drop", ids[0], ids[1], "--yes"), 1); /* one is not there */
    assert_int_equal(run_of("drop", "--run", "run2", "--reason", "23503", "--yes"), 0);
    run_of("ls");
    assert_int_equal(lines(), 2);
    assert_int_equal(run_of("drop", "--all", "--yes"), 0);
    run_of("ls");
    assert_int_equal(lines(), 1);
}

static void test_retry_needs_a_database(void **state)
{
    char ids[3][LETTER_ID];

    (void)state;
    write_three(ids);
    assert_int_equal(run_of("retry"), 2);
    assert_int_equal(run_of("retry", "--all"), 1);
    run_of("ls");
    assert_int_equal(lines(), 4);
}

static void test_words_that_make_no_sense(void **state)
{
    (void)state;
    assert_int_equal(run(0, "", ""), 2);
    assert_int_equal(run(1, "show", ""), 2);
    assert_int_equal(run(1, "nonsense", ""), 2);
    assert_int_equal(run(2, "ls", "more"), 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_no_folder_means_no_letters),
        TEST(test_ls_shows_each_letter_once),
        TEST(test_show_prints_the_points),
        TEST(test_a_record_that_cannot_be_read_is_shown_without_points),
        TEST(test_ls_chooses),
        TEST(test_drop_takes_what_is_named_and_only_when_sure),
        TEST(test_retry_needs_a_database),
        TEST(test_words_that_make_no_sense),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
