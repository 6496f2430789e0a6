/*
 * document: a JSON text is read alike in all ways there are, and written so that it reads back.
 *
 * Input: the text. Python's own reading is not asked here (tests/api does, for many texts).
 */
#include "ingest/document.h"

#include <math.h>

#include "schema/limits.h"
#include "tests/fuzz/fuzz.h"

enum { CUT = 100 };

/* Values nest no deeper than promised; an object gives each key once. */
static void check_value(struct arena *a, yyjson_val *v, unsigned depth)
{
    yyjson_val *item;
    size_t i, n;

    if (!yyjson_is_ctn(v))
        return;
    check(depth < LIMIT_JSON_DEPTH);
    if (yyjson_is_arr(v)) {
        yyjson_arr_foreach(v, i, n, item)
            check_value(a, item, depth + 1);
        return;
    }
    struct document_pair *pairs = document_pairs(a, v, &n);

    check(n <= unsafe_yyjson_get_len(v));
    for (i = 0; i < n; i++) {
        check(document_get(v, pairs[i].key) == pairs[i].value);
        check(i == 0 || pairs[i - 1].place < pairs[i].place);
        check_value(a, pairs[i].value, depth + 1);
    }
}

/* json.dumps(json.loads(text)) says the same when it is read and written once more. */
static void check_dump(struct arena *a, yyjson_val *v)
{
    struct document_error why = {"", 0};
    struct buf once, twice;
    yyjson_val *again;

    buf_init(&once);
    buf_init(&twice);
    document_dump_line(a, &once, v);
    again = document_read(a, buf_str(&once), &why);
    check(again != NULL);
    document_dump_line(a, &twice, again);
    check(str_eq(buf_str(&once), buf_str(&twice)));
    buf_fini(&once);
    buf_fini(&twice);
}

/* Cut texts are the beginning of whole ones. */
static void check_cut(struct arena *a, yyjson_val *v,
                      void (*write)(struct arena *, struct buf *, yyjson_val *, size_t))
{
    struct buf whole, cut;

    buf_init(&whole);
    buf_init(&cut);
    write(a, &whole, v, SIZE_MAX / 2);
    write(a, &cut, v, CUT);
    check(buf_len(&cut) <= CUT && str_starts(buf_str(&whole), buf_str(&cut)));
    check(buf_len(&cut) + 3 >= CUT || str_eq(buf_str(&whole), buf_str(&cut)));
    buf_fini(&whole);
    buf_fini(&cut);
}

static void fuzz_one(struct arena *a, struct str in)
{
    struct document_error why = {NULL, 0}, plain_why = {NULL, 0}, text_why = {NULL, 0};
    yyjson_val *v = document_read(a, in, &why);
    yyjson_val *plain = document_read_plain(a, in, &plain_why);
    yyjson_val *text = document_read_text(a, in, &text_why);

    check(v != NULL || (why.text && *why.text && why.at <= in.n));
    check(plain != NULL || (plain_why.text && plain_why.at <= in.n));
    if (v == NULL) {
        check(plain == NULL || strstr(why.text, "too deeply nested")); /* or too many digits */
        return;
    }
    if (plain) {
        check(fuzz_is_utf8(in));
        check(text != NULL);
    }
    check_value(a, v, 0);
    check_dump(a, v);
    check_cut(a, v, document_dump);
    check_cut(a, v, document_repr);
}
