/* watcher: what PostgreSQL has reaches the queue, over losses of the connection too. */
#include "flush/watcher.c"

#include "tests/unit/queue_fixture.h"
#include "tests/unit/kafkatest.h"
#include "tests/unit/pgtest.h"

static struct queue *queue;
static const char *uri;

static int group_set_up(void **state)
{
    (void)state;
    pgtest_start();
    return 0;
}

static int set_up(void **state)
{
    assert_int_equal(kafkatest_set_up(state), 0);
    uri = pgtest_database();
    fixture_settings.pg_connect_timeout = fixture_settings.pg_user_timeout =
        fixture_settings.flush_timeout = 10 * 1000 * 1000;
    assert_ok(queue_open(&fixture_settings, 1, fixture_stats, &queue, &fixture_fail));
    return 0;
}

static int tear_down(void **state)
{
    queue_stop(queue);
    queue_close(queue);
    return kafkatest_tear_down(state);
}

static void test_positions_become_marks(void **state)
{
    struct point memory[1];
    struct batch b = fixture_batch(memory, 1, 1, 0);
    unsigned p = queue_partition_of(queue, run_id_str(&b.run));
    struct watcher *w;
    char sql[300];
    pos_t first, second;

    (void)state;
    assert_ok(queue_append(queue, 0, &b, &first, &fixture_fail));
    assert_ok(queue_append(queue, 0, &b, &second, &fixture_fail));
    wait_for(queue_durable(queue) == second);
    assert_ok(watcher_start(queue, uri, &fixture_settings, &w, &fixture_fail));
    snprintf(sql, sizeof(sql),
             "INSERT INTO sluice.positions VALUES ('%s', %u, 1), ('other', %u, 9)", queue_id(queue),
             p, p);
    pgtest_sql(sql);
    queue_hurry(queue, p);
    wait_for(queue_committed(queue, p) == first);
    pgtest_sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
               " WHERE application_name = 'sluice watcher'");
    pgtest_sql("UPDATE sluice.positions SET position = 2 WHERE queue_id <> 'other'");
    wait_for((queue_hurry(queue, p), queue_committed(queue, p) == second));
    watcher_stop(w);
    watcher_stop(NULL);
}

static void test_it_ends_while_there_is_no_database(void **state)
{
    struct watcher *w;

    (void)state;
    assert_ok(watcher_start(queue, "host=/nonexistent", &fixture_settings, &w, &fixture_fail));
    wait_for(atomic_load(&w->was_away));
    watcher_stop(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_positions_become_marks, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_it_ends_while_there_is_no_database, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, group_set_up, NULL);
}
