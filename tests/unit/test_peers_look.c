/* peers_look: what Redis says is read with care, and one question holds what many reads wait for. */
#include "gateway/peers/peers.c"
#include "gateway/peers/peers_asked.c"
#include "gateway/peers/peers_look.c"

#include "tests/unit/queue_fixture.h"

static struct queue *queue;
static struct pod pod;
static struct peers *peers;
static struct worker worker;

static int setup(void **state)
{
    fixture_set_up(state);
    assert_int_equal(queue_open(&fixture_settings, 1, fixture_stats, &queue, &fixture_fail), OK);
    pod = (struct pod){.queue = queue, .marks = marks_new(), .settings = &fixture_settings};
    snprintf(pod.id, sizeof(pod.id), "0123456789abcdef");
    peers = calloc(1, sizeof(*peers));
    check(peers);
    worker = (struct worker){.pod = &pod, .peers = peers, .stats = fixture_stats};
    peers->w = &worker;
    peers->pod = &pod;
    arena_init(&peers->ask_arena, 256);
    return 0;
}

static int teardown(void **state)
{
    for (unsigned i = 0; i < peers->ask_cap; i++)
        buf_fini(&peers->asks[i].text);
    free(peers->asks);
    idmap_fini(&peers->wanted);
    idmap_fini(&peers->questions);
    arena_fini(&peers->ask_arena);
    free(peers);
    marks_free(pod.marks);
    queue_stop(queue);
    queue_close(queue);
    return fixture_tear_down(state);
}

static void test_what_is_no_position_is_passed_over(void **state)
{
    static const char *const bad[][2] = {
        {"", "1"},      {"q", "1"},    {"q/", "1"},
        {"q/x", "1"},   {"q/64", "1"}, {"/1", "1"},
        {"q/1", ""},    {"q/1", "-5"}, {"q/1", "nan"},
        {"q/1", "inf"}, {"q/1", "1x"}, {"q/1", "1e300"},
        {"q/1", "0"},   {"q/-1", "1"}, {"qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq/1", "1"},
    };
    struct target t;

    (void)state;
    for (size_t i = 0; i < array_len(bad); i++) {
        if (target_read(peers, str_of(bad[i][0]), str_of(bad[i][1]), &t))
            fail_msg("taken: %s %s", bad[i][0], bad[i][1]);
    }
    assert_true(target_read(peers, STR("abc/63"), STR("9007199254740993"), &t) == false);
    assert_true(target_read(peers, STR("abc/63"), STR("123456789012345"), &t));
    assert_int_equal(t.partition, 63);
    assert_int_equal(t.pos, 123456789012345);
    assert_false(t.is_own);
}

static redisReply text_of(const char *text)
{
    return (redisReply){
        .type = REDIS_REPLY_STRING, .str = (char *)(uintptr_t)text, .len = strlen(text)};
}

static void test_a_read_waits_for_what_others_have_and_is_not_known(void **state)
{
    char own[64] = "";
    redisReply items[6] = {text_of("other/1"), text_of("50"), text_of("other/2"),
                           text_of("60"),      text_of(own),  text_of("70")};
    redisReply *list[6], set = {.type = REDIS_REPLY_ARRAY, .elements = 6, .element = list};
    struct req r = {.worker = &worker};

    (void)state;
    snprintf(own, sizeof(own), "%s/1", queue_id(queue));
    items[4] = text_of(own);
    for (unsigned i = 0; i < 6; i++)
        list[i] = &items[i];
    arena_init(&r.arena, 256);
    marks_raise(pod.marks, STR("other/2"), 60);
    targets_add(&r, &set);
    assert_non_null(r.peers.targets);
    assert_true(
        str_eq(r.peers.targets->name, STR("other/1"))); /* 2 is reached, ours the run table has */
    assert_null(r.peers.targets->next);
    assert_false(peers_reached(&r));
    marks_raise(pod.marks, STR("other/1"), 49);
    assert_false(peers_reached(&r));
    asked_on_answer(peers, STR("other 7 1 1 50"));
    assert_true(peers_reached(&r));
    arena_fini(&r.arena);
}

static void test_one_question_holds_what_many_wait_for(void **state)
{
    struct target t[] = {
        {.name = STR("a/1"), .queue = STR("a"), .partition = 1, .pos = 5},
        {.name = STR("a/1"), .queue = STR("a"), .partition = 1, .pos = 4},
        {.name = STR("b/2"), .queue = STR("b"), .partition = 2, .pos = 6},
        {.name = STR("a/3"), .queue = STR("a"), .partition = 3, .pos = 7},
        {.name = STR("a/1"), .queue = STR("a"), .partition = 1, .pos = 9},
    };

    (void)state;
    for (unsigned i = 0; i < array_len(t); i++)
        ask_add(peers, &t[i]);
    assert_int_equal(peers->ask_count, 2);
    assert_true(str_eq(buf_str(&peers->asks[0].text), STR("0123456789abcdef 1 5 3 7 1 9")));
    assert_true(str_eq(buf_str(&peers->asks[1].text), STR("0123456789abcdef 2 6")));
}

static void test_questions_are_remembered_until_there_is_an_answer(void **state)
{
    (void)state;
    assert_int_equal(queue_flushed(queue, 1), queue_flushed(queue, 2));
    asked_remember(peers, STR("aaaaaaaaaaaaaaaa"), 1, 5);
    asked_remember(peers, STR("aaaaaaaaaaaaaaaa"), 1, 4);
    asked_remember(peers, STR("bbbbbbbbbbbbbbbb"), 1, 4);
    assert_int_equal(peers->asked_count, 2);
    assert_int_equal(peers->asked[0].pos, 5);
    for (unsigned i = 0; i < 2 * ASKED_MAX; i++)
        asked_remember(peers, STR("cccccccccccccccc"), i % QUEUE_PARTITIONS_MAX, 1 + i);
    assert_in_range(peers->asked_count, 2 + QUEUE_PARTITIONS_MAX, ASKED_MAX);
    /* Who asks wrongly is not remembered. */
    peers->asked_count = 0;
    asked_on_question(peers, STR("short 1 99999"));
    asked_on_question(peers, STR("aaaaaaaaaaaaaaaa 99 99999"));
    asked_on_question(peers, STR("aaaaaaaaaaaaaaaa 1 x"));
    assert_int_equal(peers->asked_count, 0);
    asked_on_question(peers, STR("aaaaaaaaaaaaaaaa 1 99999999 2"));
    assert_int_equal(peers->asked_count, 1);
}

static void hear_of(const char *name, long long listeners)
{
    redisReply reply = {.type = REDIS_REPLY_INTEGER, .integer = listeners};
    struct ask_call *call = calloc(1, sizeof(*call));

    check(call);
    call->peers = peers;
    snprintf(call->queue, sizeof(call->queue), "%s", name);
    ask_on_published(call, &reply);
}

static void test_queues_that_are_gone_for_good_leave_room_for_the_next(void **state)
{
    char name[16];

    (void)state;
    for (unsigned i = 0; i <= DEAF_MAX; i++) {
        snprintf(name, sizeof(name), "q%u", i);
        hear_of(name, 0);
        assert_non_null(deaf_find(peers, name));
    }
    assert_null(deaf_find(peers, "q0")); /* the oldest */
    hear_of(name, 1);
    assert_null(deaf_find(peers, name));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_is_no_position_is_passed_over, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_read_waits_for_what_others_have_and_is_not_known,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_question_holds_what_many_wait_for, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_questions_are_remembered_until_there_is_an_answer,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_queues_that_are_gone_for_good_leave_room_for_the_next,
                                        setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
