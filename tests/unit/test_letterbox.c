/* letterbox: a cut takes what is named and nothing else, whoever else is there. */
#include "schema/letterbox.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static char folder[64];
static char path[128];

static int setup(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/sluice-letterbox-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof(path), "%s/flusher-0.letters", folder);
    return 0;
}

static int teardown(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof(command), "rm -rf '%s'", folder);
    return system(command);
}

static struct deadletter letter(uint64_t pos)
{
    return (struct deadletter){.pos = pos, .points = 1, .record = STR("record")};
}

static void choose(struct idmap *ids, uint64_t *id, uint64_t pos)
{
    struct deadletter d = letter(pos);
    bool is_new;

    *id = deadletter_id(&d);
    idmap_put(ids, (struct str){(const char *)id, sizeof(*id)}, &is_new);
}

static void write_bytes(struct str bytes)
{
    FILE *file = fopen(path, "wb");

    assert_int_equal(fwrite(bytes.p, 1, bytes.n, file), bytes.n);
    fclose(file);
}

static void test_a_cut_keeps_every_other_byte(void **state)
{
    struct buf before, after;
    uint64_t keys[4];
    struct idmap ids;
    struct str bytes;
    size_t count;

    (void)state;
    buf_init(&before);
    buf_init(&after);
    idmap_init(&ids);
    for (uint64_t pos = 0; pos < 8; pos++) {
        struct deadletter d = letter(pos);
        bool is_gone = pos == 0 || pos == 3 || pos == 4 || pos == 7;

        if (is_gone)
            choose(&ids, &keys[pos == 0 ? 0 : pos == 7 ? 3 : pos - 2], pos);
        buf_add(&before, "SLD2 junk", 9);
        buf_add(&after, "SLD2 junk", 9);
        deadletter_write(&d, &before);
        if (!is_gone)
            deadletter_write(&d, &after);
    }
    buf_add(&before, "SLD2\x40", 5);
    buf_add(&after, "SLD2\x40", 5);
    write_bytes(buf_str(&before));
    assert_int_equal(letterbox_cut(path, &ids, &count, NULL), OK);
    assert_int_equal(count, 4);
    assert_int_equal(letterbox_map(path, &bytes, NULL), OK);
    assert_true(str_eq(bytes, buf_str(&after)));
    letterbox_unmap(bytes);
    assert_int_equal(letterbox_cut(path, &ids, &count, NULL), OK); /* again: nothing to do */
    assert_int_equal(count, 0);
    assert_int_equal(letterbox_bytes(folder), buf_len(&after));
    idmap_fini(&ids);
    buf_fini(&before);
    buf_fini(&after);
}

static void test_the_last_letter_takes_the_file_along(void **state)
{
    struct deadletter d = letter(1);
    struct idmap ids;
    uint64_t key;
    struct buf bytes;
    size_t count;
    char **paths;

    (void)state;
    buf_init(&bytes);
    idmap_init(&ids);
    choose(&ids, &key, 1);
    deadletter_write(&d, &bytes);
    deadletter_write(&d, &bytes); /* a twin */
    write_bytes(buf_str(&bytes));
    assert_int_equal(letterbox_cut(path, &ids, &count, NULL), OK);
    assert_int_equal(count, 2);
    assert_int_equal(letterbox_list(folder, &paths, &count, NULL), OK);
    assert_int_equal(count, 0);
    letterbox_list_free(paths, count);
    assert_int_equal(access(path, F_OK), -1);
    idmap_fini(&ids);
    buf_fini(&bytes);
}

static void test_a_half_made_file_is_in_nobodys_way(void **state)
{
    char fresh[160];
    struct deadletter d = letter(1);
    struct idmap ids;
    uint64_t key;
    struct buf bytes;
    size_t count;
    char **paths;
    FILE *file;

    (void)state;
    snprintf(fresh, sizeof(fresh), "%s.new", path);
    file = fopen(fresh, "wb");
    fputs("what a crash left, and longer than what comes", file);
    fclose(file);
    buf_init(&bytes);
    idmap_init(&ids);
    choose(&ids, &key, 1);
    deadletter_write(&d, &bytes);
    d = letter(2);
    deadletter_write(&d, &bytes);
    write_bytes(buf_str(&bytes));
    assert_int_equal(letterbox_list(folder, &paths, &count, NULL), OK);
    assert_int_equal(count, 1);
    assert_string_equal(paths[0], path);
    letterbox_list_free(paths, count);
    assert_int_equal(letterbox_cut(path, &ids, &count, NULL), OK);
    assert_int_equal(count, 1);
    assert_int_equal(letterbox_bytes(folder), buf_len(&bytes) / 2);
    assert_int_equal(access(fresh, F_OK), -1);
    idmap_fini(&ids);
    buf_fini(&bytes);
}

static void test_one_at_a_time(void **state)
{
    struct fail f;
    int lock, other;

    (void)state;
    fail_init(&f, NULL);
    assert_int_equal(letterbox_lock(folder, &lock, NULL), OK);
    assert_int_equal(letterbox_lock(folder, &other, &f), ERR_LOCKED);
    letterbox_unlock(lock);
    assert_int_equal(letterbox_lock(folder, &other, NULL), OK);
    letterbox_unlock(other);
    assert_int_equal(letterbox_lock("/nonexistent", &lock, &f), ERR_DISK);
}

static void test_where_nothing_is_nothing_is_found(void **state)
{
    struct str bytes;
    size_t count;
    char **paths;

    (void)state;
    assert_int_equal(letterbox_list("/nonexistent", &paths, &count, NULL), OK);
    assert_int_equal(count, 0);
    letterbox_list_free(paths, count);
    assert_int_equal(letterbox_bytes("/nonexistent"), 0);
    assert_int_equal(letterbox_map("/nonexistent", &bytes, NULL), OK);
    assert_int_equal(bytes.n, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_cut_keeps_every_other_byte),
        TEST(test_the_last_letter_takes_the_file_along),
        TEST(test_a_half_made_file_is_in_nobodys_way),
        TEST(test_one_at_a_time),
        TEST(test_where_nothing_is_nothing_is_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
