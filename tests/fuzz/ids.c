/*
 * ids: ids of experiments and runs, numbers and names in texts, as Python reads them.
 *
 * Input: the text. The same number written plainly must be the same number.
 */
#include "gateway/api/experiment_id.h"

#include <inttypes.h>
#include <math.h>

#include "base/json.h"
#include "ingest/bind.h"
#include "ingest/names.h"
#include "ingest/python.h"
#include "schema/errors.h"
#include "schema/limits.h"
#include "tests/fuzz/fuzz.h"

static void check_integer(struct arena *a, struct str s)
{
    int64_t n = 0, again = 0;
    enum python_int kind = python_int(s, &n);

    check(bind_python_int(s, &again) == (kind == PYTHON_INT));
    if (kind != PYTHON_INT)
        return;
    check(again == n);
    check(python_int(arena_printf(a, "%" PRId64, n), &again) == PYTHON_INT && again == n);
}

static void check_experiment(struct arena *a, struct str s)
{
    int32_t id = 0, again = 0;
    struct fail f;
    err_t e;

    fail_init(&f, a);
    if ((e = experiment_id_parse(s, &id, &f))) {
        fuzz_check_refusal(e, &f);
        check(e == ERR_BAD_PARAM || e == ERR_BAD_REQUEST);
        return;
    }
    check(experiment_id_parse(arena_printf(a, "%" PRId32, id), &again, &f) == OK && again == id);
}

static void check_real(struct str s)
{
    char repr[JSON_DOUBLE_MAX];
    double d, again;

    if (!python_float(s, &d) || !isfinite(d))
        return;
    check(python_float((struct str){repr, json_repr_double(d, repr)}, &again));
    check(memcmp(&d, &again, sizeof(d)) == 0);
}

static void check_names(struct arena *a, struct str s)
{
    struct fail f;
    err_t e;

    fail_init(&f, a);
    if ((e = names_check_run_id(s, &f)))
        fuzz_check_refusal(e, &f);
    if ((e = names_check_key(s, "key", &f)))
        fuzz_check_refusal(e, &f);
    check(!names_is_plain(s) || (e == OK && names_length(s) <= LIMIT_KEY));
    check(names_cut(s, 3).n <= s.n && names_length(names_cut(s, 3)) <= 3);
    check(names_length(s) <= s.n);
}

static void fuzz_one(struct arena *a, struct str in)
{
    struct buf repr;

    if (!fuzz_is_utf8(in))
        return; /* nothing else passes bind */
    check_integer(a, in);
    check_experiment(a, in);
    check_real(in);
    check_names(a, in);
    check(!python_has_surrogate(in));
    buf_init(&repr);
    python_repr(&repr, in);
    check(buf_len(&repr) >= in.n + 2);
    buf_fini(&repr);
}
