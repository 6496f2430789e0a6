/* arena: alignment, growth, reset, and what AddressSanitizer sees. */
#include "base/arena.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static size_t count_blocks(const struct arena *a)
{
    size_t n = 0;

    for (const struct arena_block *b = a->first; b; b = b->next)
        n++;
    return n;
}

static void test_no_memory_before_the_first_allocation(void **state)
{
    struct arena a;

    (void)state;
    arena_init(&a, 4096);
    assert_null(a.first);
    arena_reset(&a);
    arena_fini(&a);
}

static void test_allocations_are_aligned_and_apart(void **state)
{
    enum { COUNT = 3000 };
    static unsigned char *p[COUNT];
    struct arena a;

    (void)state;
    arena_init(&a, 64);
    for (int i = 0; i < COUNT; i++) {
        size_t n = (size_t)i % 97;

        p[i] = arena_alloc(&a, n);
        assert_int_equal((uintptr_t)p[i] % 16, 0);
        memset(p[i], i & 0xff, n);
    }
    for (int i = 0; i < COUNT; i++) {
        for (size_t k = 0; k < (size_t)i % 97; k++)
            assert_int_equal(p[i][k], i & 0xff);
    }
    arena_fini(&a);
}

static void test_zero_bytes_give_distinct_places(void **state)
{
    struct arena a;
    void *one;
    void *two;

    (void)state;
    arena_init(&a, 64);
    one = arena_alloc(&a, 0);
    two = arena_alloc(&a, 0);
    assert_non_null(one);
    assert_ptr_not_equal(one, two);
    arena_fini(&a);
}

static void test_reset_keeps_the_first_block_only(void **state)
{
    struct arena a;
    struct arena_block *first;

    (void)state;
    arena_init(&a, 1024);
    (void)arena_alloc(&a, 10);
    first = a.first;
    for (int i = 0; i < 100; i++)
        (void)arena_alloc(&a, 1000);
    assert_true(count_blocks(&a) > 1);
    assert_true(arena_used(&a) >= 100000);
    arena_reset(&a);
    assert_int_equal(count_blocks(&a), 1);
    assert_ptr_equal(a.first, first);
    assert_int_equal(arena_used(&a), 0);
    (void)arena_alloc(&a, 900);
    assert_int_equal(count_blocks(&a), 1);
    arena_fini(&a);
}

static void test_blocks_double_up_to_the_maximum(void **state)
{
    struct arena a;

    (void)state;
    arena_init(&a, 4096);
    for (size_t total = 0; total < 16 * ARENA_BLOCK_MAX; total += 1024)
        (void)arena_alloc(&a, 1024);
    for (const struct arena_block *b = a.first; b; b = b->next)
        assert_true(b->bytes <= ARENA_BLOCK_MAX);
    assert_true(count_blocks(&a) < 30);
    arena_fini(&a);
}

static void test_large_ask_leaves_the_current_block_in_use(void **state)
{
    struct arena a;
    char *before;
    char *large;
    char *after;

    (void)state;
    arena_init(&a, 4096);
    before = arena_alloc(&a, 16);
    large = arena_alloc(&a, ARENA_BLOCK_MAX + 1);
    memset(large, 1, ARENA_BLOCK_MAX + 1);
    after = arena_alloc(&a, 16);
    assert_true(after > before && after - before < 4096);
    assert_int_equal(count_blocks(&a), 2);
    arena_fini(&a);
}

static void test_large_first_ask_is_not_kept_by_reset(void **state)
{
    struct arena a;

    (void)state;
    arena_init(&a, 512);
    (void)arena_alloc(&a, 8 * ARENA_BLOCK_MAX);
    arena_reset(&a);
    assert_int_equal(count_blocks(&a), 1);
    assert_true(a.first->bytes <= 1024);
    arena_fini(&a);
}

static void test_copies_and_formats(void **state)
{
    struct arena a;
    struct str s;
    char *z;

    (void)state;
    arena_init(&a, 64);
    s = arena_dup(&a, STR("a\0b"));
    assert_int_equal(s.n, 3);
    assert_memory_equal(s.p, "a\0b\0", 4);
    assert_int_equal(arena_dup(&a, (struct str){NULL, 0}).n, 0);
    assert_string_equal(arena_cstr(&a, STR("abc")), "abc");
    s = arena_printf(&a, "%d-%s", 5, "x");
    assert_string_equal(s.p, "5-x");
    assert_int_equal(s.n, 3);
    s = arena_printf(&a, "%0*d", 5000, 1); /* longer than any small buffer */
    assert_int_equal(s.n, 5000);
    assert_int_equal(s.p[4999], '1');
    z = arena_zalloc(&a, 1000);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(z[i], 0);
    memset(arena_array(&a, 10, 7), 1, 70);
    arena_fini(&a);
}

#if defined(__SANITIZE_ADDRESS__)
static void test_overruns_inside_a_block_are_poisoned(void **state)
{
    struct arena a;
    char *p;

    (void)state;
    arena_init(&a, 4096);
    p = arena_alloc(&a, 24);
    (void)arena_alloc(&a, 24);
    assert_false(__asan_address_is_poisoned(p + 23));
    assert_true(__asan_address_is_poisoned(p + 24));
    arena_reset(&a);
    assert_true(__asan_address_is_poisoned(p));
    arena_fini(&a);
}
#endif

static void test_rewind_forgets_what_came_after_the_mark(void **state)
{
    static const size_t sizes[] = {1, 40, 5000, 3 << 20, 200000, 1 << 20, 17};
    struct arena_mark none, early, late;
    struct arena a;
    char *kept, *again;
    size_t blocks;

    (void)state;
    arena_init(&a, 1024);
    none = arena_mark(&a);
    kept = arena_alloc(&a, 30);
    memset(kept, 'k', 30);
    early = arena_mark(&a);
    again = arena_alloc(&a, 8);
    arena_rewind(&a, &early);
    assert_ptr_equal(arena_alloc(&a, 8), again);
    (void)arena_alloc(&a, 3 << 20);
    (void)arena_alloc(&a, 900);
    late = arena_mark(&a);
    blocks = count_blocks(&a);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < array_len(sizes); i++)
            memset(arena_alloc(&a, sizes[i]), round, sizes[i]);
        assert_true(count_blocks(&a) > blocks);
        arena_rewind(&a, &late);
        assert_int_equal(count_blocks(&a), blocks);
    }
    arena_rewind(&a, &early);
    assert_int_equal(arena_used(&a), 32);
    for (int i = 0; i < 30; i++)
        assert_int_equal(kept[i], 'k');
    assert_ptr_equal(arena_alloc(&a, 8), again);
    arena_rewind(&a, &none);
    assert_int_equal(arena_used(&a), 0);
    arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_memory_before_the_first_allocation),
        cmocka_unit_test(test_allocations_are_aligned_and_apart),
        cmocka_unit_test(test_zero_bytes_give_distinct_places),
        cmocka_unit_test(test_reset_keeps_the_first_block_only),
        cmocka_unit_test(test_blocks_double_up_to_the_maximum),
        cmocka_unit_test(test_large_ask_leaves_the_current_block_in_use),
        cmocka_unit_test(test_large_first_ask_is_not_kept_by_reset),
        cmocka_unit_test(test_copies_and_formats),
        cmocka_unit_test(test_rewind_forgets_what_came_after_the_mark),
#if defined(__SANITIZE_ADDRESS__)
        cmocka_unit_test(test_overruns_inside_a_block_are_poisoned),
#endif
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
