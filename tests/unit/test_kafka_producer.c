/* kafka_producer: reports settle tickets, refusals come early, a client that is done for is replaced. */
#include "ingest/kafka_producer.c"

#include "tests/unit/queue_fixture.h"
#include "tests/unit/kafkatest.h"

static struct queue_head head;
static struct kafka_topic topic;
static struct tickets *tickets;
static struct kafka_producer *producer;
static struct inbox inbox;

static int set_up(void **state)
{
    assert_int_equal(kafkatest_set_up(state), 0);
    memset(&head, 0, sizeof(head));
    assert_int_equal(inbox_init(&inbox), 0);
    head.subscribers[0] = &inbox;
    atomic_store(&head.subscriber_count, 1);
    topic = (struct kafka_topic){.partitions = KAFKATEST_PARTITIONS, .message_max_bytes = 100000};
    tickets = tickets_new(KAFKATEST_PARTITIONS, 1 << 10);
    struct kafka_producer_config c = {.settings = &fixture_settings,
                                      .topic = &topic,
                                      .head = &head,
                                      .tickets = tickets,
                                      .stats = fixture_stats,
                                      .writers = 2};

    assert_ok(kafka_producer_open(&c, &producer, &fixture_fail));
    return 0;
}

static int set_up_impatient(void **state)
{
    int e;

    kafkatest_timeout_ms = "1500";
    e = set_up(state);
    kafkatest_timeout_ms = "10000";
    return e;
}

static int tear_down(void **state)
{
    kafka_producer_close(producer);
    tickets_free(tickets);
    inbox_fini(&inbox);
    return kafkatest_tear_down(state);
}

static err_t append(unsigned run, uint32_t points, pos_t *end)
{
    static struct point memory[1000];
    struct batch b = fixture_batch(memory, points, run, 0);

    return kafka_producer_append(producer, 0, &b, end, &fixture_fail);
}

static enum queue_outcome await(pos_t end)
{
    wait_for(tickets_outcome(tickets, end) != QUEUE_PENDING);
    return tickets_outcome(tickets, end);
}

static void test_reports_settle_tickets_and_ring(void **state)
{
    uint64_t entries, points;
    pos_t end = 0;

    (void)state;
    for (unsigned run = 0; run < 100; run++)
        assert_ok(append(run, 2, &end));
    wait_for(tickets_settled(tickets) == end);
    assert_int_equal(await(end), QUEUE_DURABLE);
    assert_true(inbox_wait(&inbox, clock_us() + DEADLINE_US));
    wait_for(kafka_producer_waiting(producer) == 0);
    assert_int_equal(atomic_load(&producer->bytes), 0);
    kafka_producer_count(producer, &entries, &points);
    assert_int_equal(entries, 100);
    assert_int_equal(points, 200);
    assert_int_equal(atomic_load(&fixture_stats->kafka_delivered), 100);
    /* All runs of a partition are in it. */
    pos_t delivered = 0;

    for (unsigned p = 0; p < KAFKATEST_PARTITIONS; p++)
        delivered += tickets_delivered(tickets, p);
    assert_int_equal(delivered, 100);
}

static void test_a_prefix_says_whose_and_which(void **state)
{
    unsigned version;
    char bytes[KAFKA_PREFIX];

    (void)state;
    prefix_write(bytes);
    assert_true(kafka_prefix_read((struct str){bytes, sizeof(bytes)}, &version));
    assert_int_equal(version, RECORD_VERSION);
    assert_true(kafka_prefix_read(STR("SL\x02\x01rest"), &version));
    assert_int_equal(version, 0x102);
    assert_false(kafka_prefix_read(STR("SL\x02"), &version));
    assert_false(kafka_prefix_read(STR("XL\x02\x01rest"), &version));
    assert_int_equal(version, 0);
}

static void test_a_broker_that_is_gone_is_noticed_and_so_is_its_return(void **state)
{
    pos_t end, lost;

    (void)state;
    do { /* the first may be too late for its time on a busy machine */
        wait_for(append(1, 1, &end) == OK);
    } while (await(end) != QUEUE_DURABLE);
    rd_kafka_mock_broker_set_down(kafkatest.cluster, -1);
    if (append(1, 1, &lost) == OK) /* unless the courier was quicker than we */
        assert_int_equal(await(lost), QUEUE_LOST);
    wait_for(!kafka_producer_is_healthy(producer));
    assert_int_equal(append(1, 1, &lost), ERR_UNAVAILABLE);
    assert_int_equal(kafka_producer_room(producer, 1, &fixture_fail), ERR_UNAVAILABLE);
    rd_kafka_mock_broker_set_up(kafkatest.cluster, -1);
    do {
        wait_for(append(1, 1, &end) == OK);
    } while (await(end) != QUEUE_DURABLE);
}

/* A broker that answers late: what is in flight is bounded, and none of it is given up. */
static void test_a_full_queue_is_busy(void **state)
{
    pos_t end = 0;
    err_t e = OK;

    (void)state;
    rd_kafka_mock_broker_set_rtt(kafkatest.cluster, -1, 400);
    for (unsigned i = 0; i < 10000 && e == OK; i++)
        e = append(i, 1000, &end);
    assert_int_equal(e, ERR_BUSY);
    assert_int_equal(kafka_producer_room(producer, 1, &fixture_fail), ERR_BUSY);
    assert_true(atomic_load(&producer->bytes) <= fixture_settings.ring_bytes);
    rd_kafka_mock_broker_set_rtt(kafkatest.cluster, -1, 0);
    wait_for(kafka_producer_waiting(producer) == 0);
    wait_for(kafka_producer_room(producer, 1, &fixture_fail) == OK);
}

static void test_a_message_that_is_too_long_is_refused_at_once(void **state)
{
    static struct point memory[1000];
    struct batch b = fixture_batch(memory, 1000, 1, 0);
    char key[250];
    pos_t end;

    (void)state;
    memset(key, 'k', sizeof(key));
    for (unsigned i = 0; i < 1000; i++)
        memory[i].key = (struct str){key, sizeof(key) - i % 2};
    assert_int_equal(kafka_producer_append(producer, 0, &b, &end, &fixture_fail),
                     ERR_HTTP_TOO_LARGE);
    assert_int_equal(kafka_producer_waiting(producer), 0);
}

static void test_a_fatal_error_makes_a_new_client(void **state)
{
    pos_t end, end2;

    (void)state;
    assert_ok(append(1, 1, &end));
    assert_int_equal(await(end), QUEUE_DURABLE);
    assert_int_equal(rd_kafka_test_fatal_error(
                         producer->rk, RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, "made up"),
                     0);
    wait_for(atomic_load(&fixture_stats->kafka_renewals) == 1);
    wait_for(kafka_producer_is_healthy(producer));
    assert_ok(append(1, 1, &end2));
    assert_int_equal(await(end2), QUEUE_DURABLE);
}

/* The broker takes it for a batch that it has had, and keeps nothing: librdkafka reports that as delivered. */
static void test_what_is_acknowledged_without_an_offset_is_sent_once_more(void **state)
{
    int64_t low, high, kept = 0;
    pos_t end;

    (void)state;
    rd_kafka_mock_push_request_errors(kafkatest.cluster, KAFKATEST_PRODUCE, 1,
                                      RD_KAFKA_RESP_ERR_DUPLICATE_SEQUENCE_NUMBER);
    assert_ok(append(1, 1, &end));
    assert_int_equal(await(end), QUEUE_DURABLE);
    for (int32_t i = 0; i < KAFKATEST_PARTITIONS; i++) {
        assert_int_equal(rd_kafka_query_watermark_offsets(producer->rk, "t", i, &low, &high, 5000),
                         0);
        kept += high;
    }
    assert_int_equal(kept, 1);
    assert_int_equal(atomic_load(&fixture_stats->kafka_unplaced), 1);
    assert_int_equal(kafka_producer_waiting(producer), 0);
}

/* A leader that has too few beside it takes messages, and they time out one by one. */
static void test_too_few_in_sync_is_no_health(void **state)
{
    pos_t end;

    (void)state;
    assert_ok(append(1, 1, &end));
    assert_int_equal(await(end), QUEUE_DURABLE);
    topic.in_sync = 1;
    assert_true(courier_ask(producer));
    topic.in_sync = 2;
    assert_false(courier_ask(producer));
}

static void test_stopping_delivers_what_was_appended(void **state)
{
    pos_t end = 0;

    (void)state;
    for (unsigned run = 0; run < 500; run++)
        assert_ok(append(run, 1, &end));
    kafka_producer_stop(producer);
    assert_int_equal(tickets_settled(tickets), end);
    assert_int_equal(atomic_load(&fixture_stats->kafka_delivered), 500);
    assert_int_equal(append(1, 1, &end), ERR_CLOSING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_reports_settle_tickets_and_ring, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_prefix_says_whose_and_which, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_broker_that_is_gone_is_noticed_and_so_is_its_return,
                                        set_up_impatient, tear_down),
        cmocka_unit_test_setup_teardown(test_a_full_queue_is_busy, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_message_that_is_too_long_is_refused_at_once, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_fatal_error_makes_a_new_client, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            test_what_is_acknowledged_without_an_offset_is_sent_once_more, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_too_few_in_sync_is_no_health, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_stopping_delivers_what_was_appended, set_up,
                                        tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
