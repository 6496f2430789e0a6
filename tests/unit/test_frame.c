/* frame: what was written is read; anything else, anywhere, is not. */
#include "ingest/frame.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static size_t frame_make(char *out, pos_t pos, unsigned partition, struct str payload)
{
    uint64_t head[FRAME_HEAD_WORDS];

    frame_head_write(head, pos, partition, 1, payload, frame_hash(payload));
    memcpy(out, head, sizeof(head));
    memcpy(out + FRAME_HEAD, payload.p, payload.n);
    return FRAME_HEAD + payload.n;
}

static bool frame_take(const char *bytes, pos_t pos, struct entry *e)
{
    if (!frame_head_read(bytes, pos, e))
        return false;
    e->payload.p = bytes + FRAME_HEAD;
    return frame_is_sound(bytes, e);
}

static void test_a_frame_reads_back(void **state)
{
    (void)state;
    char bytes[64];
    struct entry e;

    (void)frame_make(bytes, 4096, 15, STR("payload"));
    assert_true(frame_take(bytes, 4096, &e));
    assert_int_equal(e.pos, 4096);
    assert_int_equal(e.end, 4096 + 32);
    assert_int_equal(e.partition, 15);
    assert_int_equal(e.version, 1);
    assert_int_equal(e.payload.n, 7);
    assert_memory_equal(e.payload.p, "payload", 7);
}

static void test_layout_is_little_endian_and_fixed(void **state)
{
    (void)state;
    char bytes[64];

    (void)frame_make(bytes, 0x0102030405060708, 3, STR("abc"));
    assert_memory_equal(bytes, "\x03\0\0\0\x03\x01\0\0\x08\x07\x06\x05\x04\x03\x02\x01", 16);
    assert_int_equal(frame_bytes(0), 24);
    assert_int_equal(frame_bytes(1), 32);
    assert_int_equal(frame_bytes(8), 32);
    assert_int_equal(frame_bytes(9), 40);
}

static void test_a_frame_is_valid_at_its_own_position_only(void **state)
{
    (void)state;
    char bytes[64];
    struct entry e;

    (void)frame_make(bytes, 4096, 0, STR("payload"));
    assert_false(frame_take(bytes, 4096 + 8, &e));
    assert_false(frame_take(bytes, 4096 + (1 << 20), &e));
    assert_false(frame_take(bytes, 0, &e));
}

static void test_every_flipped_bit_is_noticed(void **state)
{
    (void)state;
    char payload[100];
    char bytes[FRAME_HEAD + sizeof(payload) + 64];
    struct entry e;

    memset(payload, 'x', sizeof(payload));
    memset(bytes, 0, sizeof(bytes));
    size_t n = frame_make(bytes, 4096, 7, (struct str){payload, sizeof(payload)});

    for (size_t bit = 0; bit < 8 * n; bit++) {
        bytes[bit / 8] = (char)(bytes[bit / 8] ^ (1 << bit % 8));
        /* A longer length than the memory has is for the caller to refuse. */
        if (frame_head_read(bytes, 4096, &e) && e.payload.n <= sizeof(bytes) - FRAME_HEAD) {
            e.payload.p = bytes + FRAME_HEAD;
            assert_false(frame_is_sound(bytes, &e));
        }
        bytes[bit / 8] = (char)(bytes[bit / 8] ^ (1 << bit % 8));
    }
    assert_true(frame_take(bytes, 4096, &e));
}

static void test_zeros_and_monsters_are_no_frames(void **state)
{
    (void)state;
    char bytes[64] = {0};
    uint64_t head[2] = {htole64((uint64_t)FRAME_PAYLOAD_MAX + 1), htole64(4096)};
    struct entry e;

    assert_false(frame_head_read(bytes, 4096, &e));
    memcpy(bytes, head, sizeof(head));
    assert_false(frame_head_read(bytes, 4096, &e));
    head[0] = htole64((uint64_t)QUEUE_PARTITIONS << 32);
    memcpy(bytes, head, sizeof(head));
    assert_false(frame_head_read(bytes, 4096, &e));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_frame_reads_back),
        cmocka_unit_test(test_layout_is_little_endian_and_fixed),
        cmocka_unit_test(test_a_frame_is_valid_at_its_own_position_only),
        cmocka_unit_test(test_every_flipped_bit_is_noticed),
        cmocka_unit_test(test_zeros_and_monsters_are_no_frames),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
