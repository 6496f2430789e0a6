/*
 * json_sieve: an upstream's JSON, out of which members are taken.
 *
 * Input: a byte that says how long the pieces are, then the text. In one piece and in many the same stays.
 * Of JSON, JSON stays, without what the rules name, and with everything else.
 */
#include "gateway/auth/json_sieve.h"

#include "tests/fuzz/fuzz.h"
#include "yyjson.h"

static const struct sieve_rule NAMED = {{"a", "*", "b", NULL}, NULL};
static const struct sieve_rule TOP = {{"s", NULL}, NULL};
static const struct sieve_rule KEYED = {{"l", "=k", NULL}, NULL};

static int judged_for; /* what the judges are about */

/* Objects with a member "x" go, of those with "y" that is taken. */
static enum sieve_verdict judge_row(void *about, yyjson_mut_doc *doc)
{
    yyjson_mut_val *root = yyjson_mut_doc_get_root(doc);

    check(about == &judged_for);
    if (yyjson_mut_obj_get(root, "x"))
        return SIEVE_GOES;
    return yyjson_mut_obj_remove_key(root, "y") ? SIEVE_CHANGED : SIEVE_STAYS;
}

static enum sieve_verdict judge_member(void *about, yyjson_mut_doc *doc)
{
    check(about == &judged_for);
    return yyjson_mut_obj_remove_key(yyjson_mut_doc_get_root(doc), "y") ? SIEVE_CHANGED
                                                                        : SIEVE_STAYS;
}

static const struct sieve_rule ROWS = {{"r", "*", NULL}, judge_row};
static const struct sieve_rule MEMBER = {{"m", NULL}, judge_member};
static const struct sieve_rule *const rules[] = {&NAMED, &TOP, &KEYED, &ROWS, &MEMBER, NULL};

static bool sift(struct str text, size_t piece, struct buf *out)
{
    struct json_sieve s;
    bool is_good = true;

    sieve_init(&s, rules, &judged_for);
    while (text.n && is_good) {
        size_t n = piece < text.n ? piece : text.n;
        char *copy = fuzz_copy(str_head(text, n));

        is_good = sieve_feed(&s, (struct str){copy, n}, out);
        text = str_skip(text, n);
        free(copy);
    }
    sieve_fini(&s);
    return is_good;
}

/* Nothing that a rule names is left, however it is escaped. */
static void check_sieved(yyjson_val *root)
{
    yyjson_val *list = yyjson_obj_get(root, "a"), *item;
    size_t i, max;

    check(yyjson_obj_get(root, "s") == NULL);
    yyjson_arr_foreach(list, i, max, item) {
        check(yyjson_obj_get(item, "b") == NULL);
    }
    list = yyjson_obj_get(root, "l");
    yyjson_arr_foreach(list, i, max, item) {
        check(!yyjson_equals_str(yyjson_obj_get(item, "key"), "k"));
    }
    list = yyjson_obj_get(root, "r");
    yyjson_arr_foreach(list, i, max, item) {
        check(yyjson_obj_get(item, "x") == NULL && yyjson_obj_get(item, "y") == NULL);
    }
    check(yyjson_obj_get(yyjson_obj_get(root, "m"), "y") == NULL);
}

static void fuzz_one(struct arena *a, struct str in)
{
    size_t piece = in.n ? (unsigned char)in.p[0] + 1u : 1;
    struct str text = str_skip(in, in.n ? 1 : 0);
    yyjson_doc *doc = yyjson_read(text.p, text.n, 0), *left;
    struct buf whole, parts;
    bool is_good;

    (void)a;
    buf_init(&whole);
    buf_init(&parts);
    is_good = sift(text, text.n + 1, &whole);
    check(sift(text, piece, &parts) == is_good);
    check(str_eq(buf_str(&whole), buf_str(&parts)));
    check(buf_len(&whole) <= text.n);
    if (doc) {
        check(is_good);
        left = yyjson_read(buf_str(&whole).p, buf_len(&whole), 0);
        check(left != NULL);
        check_sieved(yyjson_doc_get_root(left));
        yyjson_doc_free(left);
    }
    yyjson_doc_free(doc);
    buf_fini(&parts);
    buf_fini(&whole);
}
