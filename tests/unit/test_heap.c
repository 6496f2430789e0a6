/* heap: what jemalloc is asked for, and that a refusal leaves the thread where it is. */
#include "base/heap.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static char said[512];
static unsigned refused_at, calls; /* number of the call that fails; 0 = none */

int mallctl(const char *name, void *old, size_t *old_bytes, void *set, size_t set_bytes)
{
    char line[96];

    if (++calls == refused_at)
        return 2;
    if (old && *old_bytes == sizeof(unsigned))
        *(unsigned *)old = 42;
    snprintf(line, sizeof(line), "%s=%lld ", name,
             set_bytes == sizeof(ssize_t)    ? (long long)*(ssize_t *)set
             : set_bytes == sizeof(unsigned) ? (long long)*(unsigned *)set
                                             : -1);
    strncat(said, line, sizeof(said) - strlen(said) - 1);
    return 0;
}

static void test_the_thread_gets_an_arena_that_keeps_nothing(void **state)
{
    (void)state;
    assert_true(heap_give_back());
    assert_string_equal(said, "arenas.create=-1 arena.42.dirty_decay_ms=0 "
                              "arena.42.muzzy_decay_ms=0 thread.arena=42 ");
}

static void test_a_refusal_leaves_the_thread_where_it_is(void **state)
{
    (void)state;
    for (refused_at = 1; refused_at <= 4; refused_at++) {
        calls = 0;
        said[0] = '\0';
        assert_false(heap_give_back());
        assert_int_equal(calls, refused_at);
        assert_null(strstr(said, "thread.arena"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_thread_gets_an_arena_that_keeps_nothing),
        cmocka_unit_test(test_a_refusal_leaves_the_thread_where_it_is),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
