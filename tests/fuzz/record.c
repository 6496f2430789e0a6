/*
 * record: any bytes are a record or are not; one that is encodes and decodes to the same.
 *
 * Input: the bytes.
 */
#include "schema/record.h"

#include <math.h>

#include "schema/errors.h"
#include "tests/fuzz/fuzz.h"

static bool is_same_point(const struct point *p, const struct point *q)
{
    return str_eq(p->key, q->key) && p->timestamp == q->timestamp && p->step == q->step &&
           p->is_nan == q->is_nan && memcmp(&p->value, &q->value, sizeof(p->value)) == 0 &&
           str_eq(p->model_id, q->model_id) && str_eq(p->dataset_name, q->dataset_name) &&
           str_eq(p->dataset_digest, q->dataset_digest);
}

static void fuzz_one(struct arena *a, struct str in)
{
    uint32_t announced = record_points(in, RECORD_VERSION);
    struct batch b, again;
    struct str record;
    struct fail f;
    char *bytes;
    err_t e;

    fail_init(&f, a);
    check(record_decode(in, RECORD_VERSION + 1, a, &b, &f) == ERR_CORRUPT);
    if ((e = record_decode(in, RECORD_VERSION, a, &b, &f))) {
        fuzz_check_refusal(e, &f);
        check(e == ERR_CORRUPT);
        return;
    }
    check(announced == b.npoints);
    bytes = malloc(record_bound(&b));
    check(bytes != NULL);
    record = (struct str){bytes, record_encode(&b, bytes)};
    check(record.n <= record_bound(&b));
    check(record_decode(record, RECORD_VERSION, a, &again, &f) == OK);
    check(again.npoints == b.npoints && again.experiment_id == b.experiment_id);
    check(str_eq(run_id_str(&again.run), run_id_str(&b.run)));
    for (uint32_t i = 0; i < b.npoints; i++) {
        check(isfinite(b.points[i].value));
        check(fuzz_is_within(b.points[i].key, in) && fuzz_is_within(b.points[i].model_id, in));
        check(is_same_point(&b.points[i], &again.points[i]));
    }
    free(bytes);
}
