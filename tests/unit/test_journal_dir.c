/* journal_dir: one directory, one owner, one name. */
#include <sys/stat.h>
#include <unistd.h>

/* What journal_dir.c has synced, by inode. */
static ino_t synced[16];
static unsigned synced_count;

static int watched_fsync(int fd)
{
    struct stat st;

    if (fstat(fd, &st) == 0 && synced_count < sizeof(synced) / sizeof(synced[0]))
        synced[synced_count++] = st.st_ino;
    return fsync(fd);
}

#define fsync watched_fsync
#include "ingest/journal_dir.c"
#undef fsync

#include <signal.h>
#include <sys/wait.h>

#include "tests/unit/queue_fixture.h"

static void test_directory_is_made_once_and_only_when_asked(void **state)
{
    (void)state;
    int dir = -1;

    assert_int_equal(journal_dir_open(fixture_dir, false, &dir, &fixture_fail), ERR_DISK);
    assert_int_equal(dir, -1);
    assert_ok(journal_dir_open(fixture_dir, true, &dir, &fixture_fail));
    close(dir);
    assert_ok(journal_dir_open(fixture_dir, false, &dir, &fixture_fail));
    close(dir);
    assert_int_equal(journal_dir_open("/proc/no-such-thing", true, &dir, &fixture_fail), ERR_DISK);
    assert_non_null(strstr(fixture_fail.small, "/proc/no-such-thing"));
}

static bool is_synced(const char *path)
{
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    for (unsigned i = 0; i < synced_count; i++)
        if (synced[i] == st.st_ino)
            return true;
    return false;
}

/* Else a power loss could take the journal with all that was acknowledged. */
static void test_every_name_that_was_made_is_synced(void **state)
{
    (void)state;
    char data_dir[128];
    int dir = -1;

    snprintf(data_dir, sizeof(data_dir), "%s/var", fixture_dir);
    synced_count = 0;
    assert_ok(journal_dir_open(data_dir, true, &dir, &fixture_fail));
    close(dir);
    assert_true(is_synced(fixture_dir)); /* holds "var" */
    assert_true(is_synced(data_dir));    /* holds "journal" */
}

static void test_second_owner_is_refused_and_told_who_the_first_is(void **state)
{
    (void)state;
    int dir = -1;
    int first = -1;
    int second = -1;
    char pid[32];

    assert_ok(journal_dir_open(fixture_dir, true, &dir, &fixture_fail));
    assert_ok(journal_dir_lock(dir, fixture_dir, &first, &fixture_fail));
    assert_int_equal(journal_dir_lock(dir, fixture_dir, &second, &fixture_fail), ERR_LOCKED);
    snprintf(pid, sizeof(pid), "process %ld", (long)getpid());
    assert_non_null(strstr(fixture_fail.small, pid));
    close(second);
    close(first);
    assert_ok(journal_dir_lock(dir, fixture_dir, &second, &fixture_fail));
    close(second);
    close(dir);
}

static void test_a_dead_owner_holds_nothing(void **state)
{
    (void)state;
    int dir = -1;
    int lock = -1;
    int status = 0;

    assert_ok(journal_dir_open(fixture_dir, true, &dir, &fixture_fail));
    pid_t child = fork();
    if (child == 0) {
        if (journal_dir_lock(dir, fixture_dir, &lock, NULL) == OK)
            kill(getpid(), SIGKILL);
        _exit(1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_ok(journal_dir_lock(dir, fixture_dir, &lock, &fixture_fail));
    close(lock);
    close(dir);
}

static void test_id_is_kept_and_damage_to_it_noticed(void **state)
{
    (void)state;
    char made[QUEUE_ID_BYTES + 1];
    char other[QUEUE_ID_BYTES + 1];
    char read[QUEUE_ID_BYTES + 1];
    int dir = -1;

    assert_ok(journal_dir_open(fixture_dir, true, &dir, &fixture_fail));
    assert_false(journal_dir_read_id(dir, read));
    assert_ok(journal_dir_make_id(dir, made, &fixture_fail));
    assert_int_equal(strlen(made), QUEUE_ID_BYTES);
    assert_true(journal_dir_read_id(dir, read));
    assert_string_equal(read, made);
    assert_ok(journal_dir_make_id(dir, other, &fixture_fail));
    assert_string_not_equal(other, made);
    assert_ok(journal_dir_write_id(dir, made, &fixture_fail));
    assert_true(journal_dir_read_id(dir, read));
    assert_string_equal(read, made);
    int fd = openat(dir, "id", O_WRONLY);

    char byte = made[7] == '3' ? '4' : '3'; /* a digit still: it would name another queue */

    assert_int_equal(pwrite(fd, &byte, 1, 7), 1);
    assert_false(journal_dir_read_id(dir, read));
    assert_int_equal(pwrite(fd, made + 7, 1, 7), 1);
    assert_int_equal(journal_dir_read_id(dir, read), JOURNAL_ID_SOUND);
    assert_int_equal(pwrite(fd, "Z", 1, 7), 1);
    assert_false(journal_dir_read_id(dir, read));
    assert_int_equal(pwrite(fd, made + 7, 1, 7), 1);
    assert_int_equal(ftruncate(fd, 40), 0);
    assert_false(journal_dir_read_id(dir, read));
    assert_int_equal(pwrite(fd, "\n", 1, QUEUE_ID_BYTES), 1);
    assert_int_equal(ftruncate(fd, QUEUE_ID_BYTES + 1), 0);
    assert_int_equal(journal_dir_read_id(dir, read), JOURNAL_ID_OLD);
    assert_string_equal(read, made);
    assert_int_equal(ftruncate(fd, 5), 0);
    assert_false(journal_dir_read_id(dir, read));
    close(fd);
    close(dir);
}

static void test_the_mark_is_read_and_goes_with_the_next_owner(void **state)
{
    (void)state;
    char text[JOURNAL_ADOPTED];
    int dir = -1;

    assert_ok(journal_dir_open(fixture_dir, true, &dir, &fixture_fail));
    journal_dir_adopted(dir, text);
    assert_string_equal(text, "");
    assert_ok(journal_dir_mark_adopted(dir, "by somebody\n", &fixture_fail));
    journal_dir_adopted(dir, text);
    assert_string_equal(text, "by somebody");
    assert_ok(journal_dir_mark_adopted(dir, "by another\n", &fixture_fail));
    journal_dir_adopted(dir, text);
    assert_string_equal(text, "by another");
    assert_int_equal(fixture_files(".tmp"), 0);
    journal_dir_unmark(dir);
    assert_int_equal(fixture_files("adopted"), 0);
    close(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_directory_is_made_once_and_only_when_asked,
                                        fixture_set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_every_name_that_was_made_is_synced, fixture_set_up,
                                        fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_second_owner_is_refused_and_told_who_the_first_is,
                                        fixture_set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_a_dead_owner_holds_nothing, fixture_set_up,
                                        fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_id_is_kept_and_damage_to_it_noticed, fixture_set_up,
                                        fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_the_mark_is_read_and_goes_with_the_next_owner,
                                        fixture_set_up, fixture_tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
