/* s3_xml: documents as S3 servers send them, and as nobody should. */
#include "gateway/s3/s3_xml.c"

#include "tests/unit/arena_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

static void test_a_list_is_read(void **state)
{
    struct str text =
        STR("<?xml version=\"1.0\"?>\n<ListBucketResult xmlns=\"http://s3/\"><Prefix>a b/</Prefix>"
            "<Contents><Key>a &amp; b&#39;&#x4f60;</Key><ETag>&#34;x&#34;</ETag><Size>6</Size>"
            "</Contents><Contents><Key>z</Key><Size>0</Size></Contents>"
            "<CommonPrefixes><Prefix>a b/c/</Prefix></CommonPrefixes><Empty/></ListBucketResult>");
    struct str seen = STR("");
    struct s3_xml x;

    (void)state;
    s3_xml_init(&x, &arena, text);
    while (s3_xml_next(&x)) {
        if (s3_xml_is(&x, "Contents/Key") || s3_xml_is(&x, "CommonPrefixes/Prefix"))
            seen = arena_printf(&arena, "%.*s[%.*s]", STR_ARG(seen), STR_ARG(x.text));
        else if (s3_xml_is(&x, "Contents"))
            seen = arena_printf(&arena, "%.*s.", STR_ARG(seen));
    }
    assert_true(str_eq(seen, STR("[a & b'\xe4\xbd\xa0].[z].[a b/c/]")));
    assert_true(str_eq(s3_xml_find(&arena, text, "ListBucketResult/Prefix"), STR("a b/")));
    assert_true(str_eq(s3_xml_find(&arena, text, "Size"), STR("6")));
    assert_true(str_eq(s3_xml_find(&arena, text, "Other"), STR("")));
}

static void test_what_is_none_ends(void **state)
{
    static const char *const texts[] = {
        "",
        "<",
        "<a",
        "<a>",
        "</a>",
        "<a></b>",
        "<a><b></a></b>",
        "text",
        "<!DOCTYPE a [<!ENTITY x 'y'>",
        "<a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a></a>",
    };
    struct s3_xml x;

    (void)state;
    for (size_t i = 0; i < array_len(texts); i++) {
        s3_xml_init(&x, &arena, str_of(texts[i]));
        while (s3_xml_next(&x))
            fail_msg("%s", texts[i]);
    }
    assert_true(str_eq(s3_xml_find(&arena, STR("<a>&bad; &#0; &#xd800; &#1114112; & &lt</a>"), "a"),
                       STR("&bad; &#0; &#xd800; &#1114112; & &lt")));
    assert_true(str_eq(s3_xml_find(&arena, STR("<n:a x='1'>t</n:a>"), "a"), STR("t")));
    assert_true(str_eq(s3_xml_escape(&arena, STR("a<b>&\"'")), STR("a&lt;b&gt;&amp;&quot;&apos;")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_list_is_read),
        cmocka_unit_test(test_what_is_none_ends),
    };

    return cmocka_run_group_tests(tests, arena_begin, arena_end);
}
