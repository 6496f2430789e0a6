/*
 * deadletter: sound letters are read whatever stands before, between and behind them.
 *
 * Input: lines; each is bytes of no letter, and behind each but the last a letter is written that
 * quotes it.
 */
#include "schema/deadletter.h"

#include "base/buf.h"
#include "tests/fuzz/fuzz.h"

static struct deadletter letter_of(struct str text, uint64_t n)
{
    return (struct deadletter){.time_ms = (int64_t)n,
                               .queue_id = STR("00112233445566778899aabbccddeeff"),
                               .pos = 8 * n,
                               .partition = (uint32_t)n % 16,
                               .points = 1,
                               .run_id = str_head(text, 32),
                               .sqlstate = STR("23503"),
                               .window_from = n,
                               .window_end = 9 * n,
                               .reason = text,
                               .client = str_head(text, 7),
                               .version = 1,
                               .record = text};
}

static void fuzz_one(struct arena *a, struct str in)
{
    struct str left, rest = in;
    struct deadletter want, got;
    size_t skipped = 0, junk = 0;
    uint64_t n = 0;
    struct buf file;

    (void)a;
    buf_init(&file);
    while (rest.n) {
        struct str text = fuzz_line(&rest);

        buf_add_str(&file, text);
        junk += text.n;
        want = letter_of(text, n++);
        if (rest.n)
            deadletter_write(&want, &file);
    }
    left = buf_str(&file);
    rest = in;
    for (uint64_t i = 0; i + 1 < n; i++) {
        want = letter_of(fuzz_line(&rest), i);
        check(deadletter_read(&left, &got, &skipped));
        check(deadletter_id(&got) == deadletter_id(&want) && got.time_ms == want.time_ms);
        check(got.pos == want.pos && got.partition == want.partition);
        check(str_eq(got.run_id, want.run_id) && str_eq(got.reason, want.reason));
        check(got.window_end == want.window_end && str_eq(got.client, want.client));
        check(str_eq(got.record, want.record) && str_eq(got.sqlstate, want.sqlstate));
        check(fuzz_is_within(got.record, buf_str(&file)));
    }
    check(!deadletter_read(&left, &got, &skipped));
    check(skipped == junk);
    buf_fini(&file);
}
