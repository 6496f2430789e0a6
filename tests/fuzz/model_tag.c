/*
 * model_tag: a description of a model becomes an entry, and entries a list that reads back.
 *
 * Input: the tag's value so far, a line, empty for none; then the description.
 */
#include "gateway/api/model_tag.h"

#include "ingest/document.h"
#include "schema/errors.h"
#include "tests/fuzz/fuzz.h"

static void fuzz_one(struct arena *a, struct str in)
{
    struct document_error why = {"", 0};
    struct str before = fuzz_line(&in);
    struct str entry, once, twice;
    yyjson_val *list;
    size_t n;
    struct fail f;
    err_t e;

    fail_init(&f, a);
    if (!fuzz_is_utf8(before) || !fuzz_is_utf8(in))
        return; /* nothing else passes bind, or stands in the database */
    if ((e = model_tag_entry(a, in, 1700000000000, &entry, &f)) ||
        (e = model_tag_append(a, before.n ? before : (struct str){NULL, 0}, entry, &once, &f))) {
        fuzz_check_refusal(e, &f);
        return;
    }
    list = document_read_text(a, once, &why);
    check(yyjson_is_arr(list) && yyjson_arr_size(list) > 0);
    n = yyjson_arr_size(list);
    check(yyjson_is_obj(yyjson_arr_get_last(list)));
    check(model_tag_append(a, once, entry, &twice, &f) == OK);
    list = document_read_text(a, twice, &why);
    check(yyjson_arr_size(list) == n + 1);
}
