/* exemplar: the newest request of a bucket is told, and never half of two. */
#include "base/exemplar.c"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void test_the_newest_of_each_bucket_is_told(void **state)
{
    static struct exemplars a, b;
    struct exemplar_view v = {0};

    (void)state;
    exemplar_note(&a, &(struct exemplar){{1, 2}, 40, 1000});
    exemplar_note(&a, &(struct exemplar){{3, 4}, 50, 2000});
    exemplar_note(&a, &(struct exemplar){{5, 6}, 51, 500});
    exemplar_note(&b, &(struct exemplar){{7, 8}, 99, 700});
    exemplar_note(&b, &(struct exemplar){{9, 9}, 1, 1999});
    exemplar_gather(&a, &v);
    exemplar_gather(&b, &v);
    assert_int_equal(v.slots[0].trace[0], 3);
    assert_int_equal(v.slots[0].trace[1], 4);
    assert_int_equal(v.slots[0].us, 50);
    assert_int_equal(v.slots[1].trace[0], 7); /* newer, though of the other */
    assert_int_equal(v.slots[1].wall_ms, 700);
    assert_int_equal(v.slots[2].wall_ms, 0);
}

static void test_one_that_is_being_written_is_not_told(void **state)
{
    static struct exemplars e;
    struct exemplar_view v = {0};

    (void)state;
    exemplar_note(&e, &(struct exemplar){{1, 2}, 40, 1000});
    put(&e.slots[0].sequence, 3);
    exemplar_gather(&e, &v);
    assert_int_equal(v.slots[0].wall_ms, 0);
}

enum { ROUNDS = 200000 };

static void *writer_run(void *arg)
{
    for (uint64_t i = 1; i <= ROUNDS; i++)
        exemplar_note(arg, &(struct exemplar){{i, i}, i % 40, (int64_t)i});
    return NULL;
}

static void test_a_reader_never_sees_half_of_two(void **state)
{
    static struct exemplars e;
    pthread_t writer;
    int64_t seen = 0;

    (void)state;
    assert_int_equal(pthread_create(&writer, NULL, writer_run, &e), 0);
    while (seen < ROUNDS) {
        struct exemplar_view v = {0};

        exemplar_gather(&e, &v);
        if (v.slots[0].wall_ms == 0)
            continue;
        assert_true(v.slots[0].wall_ms >= seen);
        seen = v.slots[0].wall_ms;
        assert_int_equal(v.slots[0].trace[0], seen);
        assert_int_equal(v.slots[0].trace[1], seen);
        assert_int_equal(v.slots[0].us, seen % 40);
    }
    pthread_join(writer, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_newest_of_each_bucket_is_told),
        cmocka_unit_test(test_one_that_is_being_written_is_not_told),
        cmocka_unit_test(test_a_reader_never_sees_half_of_two),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
