/*
 * make: the golden journal files, written by hand from the format's description.
 *
 *     make golden        writes tests/golden/segment-1.hex and segment-newer.hex anew
 *
 * A file of each format version that was ever released lies here as hex digits, and
 * tests/unit/test_golden.c reads them: an upgrade must never lose what an older version acked. A file
 * is made once, by the version that introduces the format, and never again; this program is kept to
 * say what is in it. segment-newer is a header as a future version would begin it.
 */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "ingest/frame.h"
#include "ingest/segment.h"
#include "schema/record.h"

enum { ROOM = 512 };

static char bytes[1 << 16];
static size_t used;

static void add_head(pos_t base, uint32_t format)
{
    struct segment_head h = {.base = base, .format = format, .created_ms = 1700000000000};

    memset(bytes, 0, sizeof(bytes));
    memcpy(h.queue_id, "00112233445566778899aabbccddeeff", QUEUE_ID_BYTES);
    segment_head_write(&h, bytes);
    used = SEGMENT_HEAD;
}

static void add_batch(pos_t base, struct batch *b)
{
    static char payload[1 << 15];
    uint64_t head[FRAME_HEAD_WORDS];
    pos_t pos = base + used - SEGMENT_HEAD;
    struct str p = {payload, record_encode(b, payload)};

    check(record_bound(b) <= sizeof(payload));
    frame_head_write(head, pos, queue_partition(run_id_str(&b->run)), RECORD_VERSION, p,
                     frame_hash(p));
    memcpy(bytes + used, head, sizeof(head));
    memcpy(bytes + used + FRAME_HEAD, p.p, p.n);
    used += frame_bytes(p.n);
}

static void save(const char *path)
{
    FILE *f = fopen(path, "w");

    check(f);
    for (size_t i = 0; i < used; i++)
        fprintf(f, "%02x%s", (unsigned)(unsigned char)bytes[i],
                i % 32 == 31 || i + 1 == used ? "\n" : "");
    check(fclose(f) == 0);
}

int main(void)
{
    const pos_t base = (pos_t)8 << 30;
    struct point points[40] = {{.key = STR("loss"), .value = 0.25, .timestamp = 1700000000123}};
    struct batch b = {.experiment_id = 7, .npoints = 1, .points = points};

    add_head(base, 1);
    check(run_id_set(&b.run, STR("0123456789abcdef0123456789abcdef")));
    add_batch(base, &b);
    points[0] = (struct point){
        .key = STR("schl\xc3\xbcssel/\xe2\x82\xac"), .is_nan = true, .timestamp = -1, .step = -5};
    points[1] = (struct point){.key = STR("max"),
                               .value = 1.7976931348623157e308,
                               .timestamp = INT64_MAX,
                               .step = INT64_MAX};
    points[2] = (struct point){.key = STR("min"),
                               .value = -1.7976931348623157e308,
                               .timestamp = INT64_MIN,
                               .step = INT64_MIN};
    points[3] = (struct point){.key = STR("model"),
                               .value = 5e-324,
                               .timestamp = 2,
                               .step = 3,
                               .model_id = STR("m-0123"),
                               .dataset_name = STR("train"),
                               .dataset_digest = STR("d1g35t")};
    b.npoints = 4;
    check(run_id_set(&b.run, STR("short-run")));
    add_batch(base, &b);
    for (uint32_t i = 0; i < 40; i++)
        points[i] = (struct point){.key = i % 2 ? STR("a") : STR("b"),
                                   .value = i / 8.0,
                                   .timestamp = 1700000000000 + i,
                                   .step = i};
    b.npoints = 40;
    check(run_id_set(&b.run, STR("fedcba9876543210fedcba9876543210")));
    add_batch(base, &b);
    used += ROOM;
    save("tests/golden/segment-1.hex");
    add_head(base, 2);
    used += ROOM;
    save("tests/golden/segment-newer.hex");
    return 0;
}
