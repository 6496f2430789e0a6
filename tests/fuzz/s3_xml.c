/*
 * s3_xml: whatever a server answers, the walk ends, and what it gives is text.
 *
 * Input: a document.
 */
#include "gateway/s3/s3_xml.c"

#include "gateway/say.h"
#include "tests/fuzz/fuzz.h"

static void fuzz_one(struct arena *a, struct str in)
{
    struct str copy = {fuzz_copy(in), in.n}; /* of exactly its length */
    struct s3_xml x;
    struct str text;
    size_t count = 0;

    s3_xml_init(&x, a, copy);
    while (s3_xml_next(&x)) {
        check(++count <= in.n);
        check(x.text.n <= in.n * 3 && fuzz_is_utf8(x.text));
        check(x.depth > 0 && x.depth <= S3_XML_DEPTH);
        (void)s3_xml_is(&x, "Contents/Key");
    }
    text = SAY_TEXT(a, STR("<a>"), s3_xml_escape(a, in), STR("</a>"));
    check(str_eq(s3_xml_find(a, text, "a"), python_decode(a, in)));
    free((void *)(uintptr_t)copy.p);
}
