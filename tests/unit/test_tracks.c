/* tracks: a flush finds the requests whose points it holds, and no others. */
#include "gateway/trace/tracks.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static struct trail_link who(uint64_t n)
{
    return (struct trail_link){{n, n}, n};
}

static void note(struct tracks *t, pos_t end, uint64_t n)
{
    struct trail_link link = who(n);

    tracks_note(t, end, &link);
}

static void test_a_take_finds_its_own(void **state)
{
    struct entry entries[] = {
        {.pos = 100, .end = 140}, {.pos = 180, .end = 220}, {.pos = 220, .end = 230}};
    struct take take = {.entries = entries, .count = 3}, none = {0};
    struct trail_link out[4];
    struct tracks t;

    (void)state;
    tracks_init(&t);
    assert_int_equal(tracks_find(&t, &take, out, 4), 0);
    note(&t, 100, 1); /* it ends where the take begins */
    note(&t, 140, 2);
    note(&t, 180, 3); /* of another flusher's partition */
    note(&t, 230, 4);
    note(&t, 231, 5);
    assert_int_equal(tracks_find(&t, &take, out, 4), 2);
    assert_int_equal(out[0].span, 2);
    assert_int_equal(out[1].span, 4);
    assert_int_equal(tracks_find(&t, &none, out, 4), 0);
    tracks_fini(&t);
}

static void test_more_than_fit_are_counted(void **state)
{
    struct entry entries[5];
    struct take take = {.entries = entries, .count = 5};
    struct trail_link out[2];
    struct tracks t;

    (void)state;
    tracks_init(&t);
    for (unsigned i = 0; i < 5; i++) {
        entries[i] = (struct entry){.pos = 10 * i, .end = 10 * (i + 1)};
        note(&t, 10 * (i + 1), i);
    }
    assert_int_equal(tracks_find(&t, &take, out, 2), 5);
    assert_int_equal(out[0].span, 0);
    assert_int_equal(out[1].span, 1);
    tracks_fini(&t);
}

static void test_the_oldest_are_forgotten(void **state)
{
    struct entry entries[] = {
        {.pos = 0, .end = 1}, {.pos = 1, .end = 2}, {.pos = 2, .end = TRACKS_KEPT + 1}};
    struct take take = {.entries = entries, .count = 3};
    struct trail_link out[3];
    struct tracks t;

    (void)state;
    tracks_init(&t);
    for (unsigned i = 1; i <= TRACKS_KEPT + 1; i++)
        note(&t, i, i);
    assert_int_equal(tracks_find(&t, &take, out, 3), 2);
    assert_int_equal(out[0].span, 2);
    assert_int_equal(out[1].span, TRACKS_KEPT + 1);
    tracks_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_take_finds_its_own),
        cmocka_unit_test(test_more_than_fit_are_counted),
        cmocka_unit_test(test_the_oldest_are_forgotten),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
