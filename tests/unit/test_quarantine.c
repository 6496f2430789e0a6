/* quarantine: letters are on disk after sync, once a take, and survive a torn file. */
#include "flush/quarantine.c"

#include <dlfcn.h>
#include <stdlib.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static char folder[64];
static ino_t synced[8]; /* what fsync was called for */
static size_t synced_count;

/* In front of libc's. */
int fsync(int fd)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    struct stat st;

    if (fstat(fd, &st) == 0 && synced_count < array_len(synced))
        synced[synced_count++] = st.st_ino;
    return real(fd);
}

static bool is_synced(const char *name)
{
    char path[128];
    struct stat st;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    assert_int_equal(stat(path, &st), 0);
    for (size_t i = 0; i < synced_count; i++) {
        if (synced[i] == st.st_ino)
            return true;
    }
    return false;
}

static struct deadletter letter(const char *record, uint64_t pos)
{
    return (struct deadletter){.time_ms = 1,
                               .queue_id = STR("q"),
                               .pos = pos,
                               .points = 1,
                               .run_id = STR("r"),
                               .sqlstate = STR("22021"),
                               .reason = STR("bad"),
                               .version = 1,
                               .record = str_of(record)};
}

/* Reads the file of flusher 0; returns the number of letters, and the last one's record. */
static size_t letters(char record[32])
{
    char path[128], *bytes = malloc(1 << 20);
    size_t n, count = 0, skipped = 0;
    struct deadletter d;
    struct str rest;
    FILE *f;

    snprintf(path, sizeof(path), "%s/deadletter/flusher-0.letters", folder);
    f = fopen(path, "rb");
    n = f ? fread(bytes, 1, 1 << 20, f) : 0;
    if (f)
        fclose(f);
    rest = (struct str){bytes, n};
    for (; deadletter_read(&rest, &d, &skipped); count++)
        str_to_cstr(d.record, record, 32);
    free(bytes);
    return count;
}

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/sluice-quarantine-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof(command), "rm -rf '%s'", folder);
    return system(command);
}

static void test_no_letter_makes_no_file(void **state)
{
    struct quarantine q;
    char path[128];

    (void)state;
    assert_int_equal(quarantine_open(&q, folder, 0, NULL), OK);
    quarantine_begin(&q);
    assert_int_equal(quarantine_sync(&q, NULL), OK);
    snprintf(path, sizeof(path), "%s/deadletter", folder);
    assert_int_equal(access(path, F_OK), -1);
    quarantine_close(&q);
}

static void test_the_same_refusal_is_written_once_a_take(void **state)
{
    struct deadletter a = letter("one", 1), b = letter("two", 2), again = a;
    struct quarantine q;
    char record[32];

    (void)state;
    again.time_ms = 99;
    assert_int_equal(quarantine_open(&q, folder, 0, NULL), OK);
    quarantine_begin(&q);
    assert_true(quarantine_add(&q, &a));
    assert_int_equal(quarantine_sync(&q, NULL), OK);
    assert_false(quarantine_add(&q, &again));
    assert_true(quarantine_add(&q, &b));
    assert_int_equal(quarantine_sync(&q, NULL), OK);
    assert_int_equal(quarantine_sync(&q, NULL), OK);
    assert_int_equal(letters(record), 2);
    assert_string_equal(record, "two");
    quarantine_begin(&q);
    assert_true(quarantine_add(&q, &a));
    assert_int_equal(quarantine_sync(&q, NULL), OK);
    assert_int_equal(letters(record), 3);
    quarantine_close(&q);
}

static void test_letters_follow_what_a_crash_left(void **state)
{
    struct deadletter a = letter("one", 1);
    struct quarantine q;
    char record[32], path[128];
    FILE *f;

    (void)state;
    assert_int_equal(quarantine_open(&q, folder, 0, NULL), OK);
    quarantine_begin(&q);
    assert_true(quarantine_add(&q, &a));
    assert_int_equal(quarantine_sync(&q, NULL), OK);
    quarantine_close(&q);
    snprintf(path, sizeof(path), "%s/deadletter/flusher-0.letters", folder);
    f = fopen(path, "ab");
    fwrite("SLDL\x40\0\0\0torn", 1, 12, f);
    fclose(f);
    assert_int_equal(quarantine_open(&q, folder, 0, NULL), OK);
    quarantine_begin(&q);
    a.record = STR("two");
    assert_true(quarantine_add(&q, &a));
    assert_int_equal(quarantine_sync(&q, NULL), OK);
    assert_int_equal(letters(record), 2);
    assert_string_equal(record, "two");
    quarantine_close(&q);
}

static void test_a_failed_write_keeps_the_letters(void **state)
{
    struct deadletter a = letter("one", 1);
    struct quarantine q;
    char record[32], path[128];
    struct fail f;

    (void)state;
    fail_init(&f, NULL);
    assert_int_equal(quarantine_open(&q, folder, 0, NULL), OK);
    quarantine_begin(&q);
    assert_true(quarantine_add(&q, &a));
    /* A file where the folder should be; works as root too. */
    snprintf(path, sizeof(path), "%s/deadletter", folder);
    fclose(fopen(path, "w"));
    assert_int_equal(quarantine_sync(&q, &f), ERR_DISK);
    assert_int_equal(quarantine_sync(&q, &f), ERR_DISK);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(quarantine_sync(&q, &f), OK);
    assert_int_equal(letters(record), 1);
    quarantine_close(&q);
}

static void test_a_path_too_long_is_refused(void **state)
{
    struct quarantine q;
    char longest[PATH_MAX + 100];

    (void)state;
    memset(longest, 'a', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = 0;
    assert_int_equal(quarantine_open(&q, longest, 0, NULL), ERR_SETTING);
    quarantine_close(&q);
}

static void test_at_the_limit_letters_wait_for_room(void **state)
{
    struct deadletter a = letter("one", 1), b = letter("two", 2);
    char record[32], path[128];
    struct quarantine q;
    struct fail f;

    (void)state;
    fail_init(&f, NULL);
    assert_int_equal(quarantine_open(&q, folder, 0, NULL), OK);
    quarantine_limit(&q, 10); /* less than one letter: the first one passes all the same */
    quarantine_begin(&q);
    assert_true(quarantine_add(&q, &a));
    assert_int_equal(quarantine_sync(&q, NULL), OK);
    assert_true(quarantine_add(&q, &b));
    assert_int_equal(quarantine_sync(&q, &f), ERR_DISK);
    assert_non_null(strstr(f.small, "deadletter_max_bytes"));
    assert_int_equal(letters(record), 1);
    assert_string_equal(record, "one");
    snprintf(path, sizeof(path), "%s/deadletter/flusher-0.letters", folder);
    assert_int_equal(unlink(path), 0); /* as a cut of the last letter does */
    assert_int_equal(quarantine_sync(&q, NULL), OK);
    assert_int_equal(letters(record), 1);
    assert_string_equal(record, "two");
    quarantine_limit(&q, 1 << 20);
    assert_true(quarantine_add(&q, &a) == false); /* this take has had it */
    quarantine_close(&q);
}

static void test_letters_of_all_flushers_count(void **state)
{
    struct deadletter a = letter("one", 1);
    struct quarantine q[2];

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(quarantine_open(&q[i], folder, i, NULL), OK);
        quarantine_limit(&q[i], 100);
        quarantine_begin(&q[i]);
        assert_true(quarantine_add(&q[i], &a));
    }
    assert_int_equal(quarantine_sync(&q[0], NULL), OK);
    assert_int_equal(quarantine_sync(&q[1], NULL), ERR_DISK);
    quarantine_close(&q[0]);
    quarantine_close(&q[1]);
}

/* While letters are taken out of the file, and after another file has come in its place. */
static void test_a_cut_and_an_append_do_not_meet(void **state)
{
    struct deadletter a = letter("one", 1), b = letter("two", 2);
    uint64_t id = deadletter_id(&a);
    char record[32], path[128], at[LETTERBOX_PATH];
    struct quarantine q;
    struct idmap ids;
    size_t count;
    bool is_new;
    int lock;

    (void)state;
    assert_int_equal(quarantine_open(&q, folder, 0, NULL), OK);
    quarantine_begin(&q);
    assert_true(quarantine_add(&q, &a));
    assert_int_equal(quarantine_sync(&q, NULL), OK);
    assert_int_equal(letterbox_folder(folder, at, NULL), OK);
    assert_int_equal(letterbox_lock(at, &lock, NULL), OK);
    assert_true(quarantine_add(&q, &b));
    assert_int_equal(quarantine_sync(&q, NULL), ERR_LOCKED);
    idmap_init(&ids);
    idmap_put(&ids, (struct str){(const char *)&id, sizeof(id)}, &is_new);
    snprintf(path, sizeof(path), "%s/deadletter/flusher-0.letters", folder);
    assert_int_equal(letterbox_cut(path, &ids, &count, NULL), OK);
    assert_int_equal(count, 1);
    letterbox_unlock(lock);
    assert_int_equal(quarantine_sync(&q, NULL), OK);
    assert_int_equal(letters(record), 1);
    assert_string_equal(record, "two");
    idmap_fini(&ids);
    quarantine_close(&q);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)

/* Whoever made the names may have died before they lasted: a command between the rename of a cut and
 * its sync, a server between mkdir and fsync. A letter under a name that a power cut takes back is lost. */
static void test_names_last_whoever_made_them(void **state)
{
    char path[128];
    struct quarantine q;
    struct deadletter d;

    (void)state;
    snprintf(path, sizeof(path), "%s/deadletter", folder);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof(path), "%s/deadletter/flusher-0.letters", folder);
    close(open(path, O_WRONLY | O_CREAT, 0600));
    assert_int_equal(quarantine_open(&q, folder, 0, NULL), OK);
    for (uint64_t i = 0; i < 2; i++) {
        synced_count = 0;
        quarantine_begin(&q);
        d = letter("one", i);
        assert_true(quarantine_add(&q, &d));
        assert_int_equal(quarantine_sync(&q, NULL), OK);
        assert_true(is_synced("deadletter"));
        assert_true(is_synced(".") == (i == 0)); /* nobody but a server makes the folder */
    }
    quarantine_close(&q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_no_letter_makes_no_file),
        TEST(test_the_same_refusal_is_written_once_a_take),
        TEST(test_letters_follow_what_a_crash_left),
        TEST(test_a_failed_write_keeps_the_letters),
        TEST(test_a_path_too_long_is_refused),
        TEST(test_at_the_limit_letters_wait_for_room),
        TEST(test_letters_of_all_flushers_count),
        TEST(test_a_cut_and_an_append_do_not_meet),
        TEST(test_names_last_whoever_made_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
