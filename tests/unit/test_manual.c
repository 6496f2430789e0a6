/* manual: what groff takes for its own is taken apart, and the sample file is all comments but one. */
#define _GNU_SOURCE /* memmem */
#include "schema/manual.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static const struct manual_command COMMANDS[] = {
    {"look", "ls|dump [ID]", " run= all ", "Look at 'it': a\\b, with -x."},
    {"rest", "", "", "Print this."},
};

static void expect_text(const char *given, const char *want)
{
    struct buf out;

    buf_init(&out);
    add_text(&out, str_of(given));
    assert_true(str_eq(buf_str(&out), str_of(want)));
    buf_fini(&out);
}

static void test_troff_characters(void **state)
{
    (void)state;
    expect_text("plain", "plain");
    expect_text(".TP", "\\&.TP");
    expect_text("a.b\n.c\n'd", "a.b\n\\&.c\n\\&'d");
    expect_text("--no-x", "\\-\\-no\\-x");
    expect_text("a\\fB", "a\\efB");
    expect_text("", "");
}

static bool has(const struct buf *b, const char *text)
{
    struct str s = buf_str(b);

    return memmem(s.p, s.n, text, strlen(text)) != NULL;
}

static void test_program_page(void **state)
{
    struct buf out;

    (void)state;
    buf_init(&out);
    manual_program(&out, COMMANDS, array_len(COMMANDS));
    assert_true(str_starts(buf_str(&out), STR(".TH SLUICE 1 \"\" Sluice\n.SH NAME\n")));
    assert_true(has(&out, ".TP\n\\fBlook\\fR ls|dump [ID] [\\fB\\-\\-run\\fR \\fIVALUE\\fR] "
                          "[\\fB\\-\\-all\\fR]\nLook at 'it': a\\eb, with \\-x.\n"));
    assert_true(has(&out, "\\fB\\-\\-ring\\-bytes\\fR \\fISIZE\\fR\n"));
    assert_true(has(&out, "\\fB\\-\\-pg\\-uri\\fR \\fITEXT\\fR, "
                          "\\fB\\-\\-pg\\-uri\\-file\\fR \\fIPATH\\fR\n"));
    buf_fini(&out);
}

static void test_settings_page(void **state)
{
    struct buf out;

    (void)state;
    buf_init(&out);
    manual_settings(&out);
    for (int i = 0; i < SETTING_COUNT; i++) {
        struct buf tag;

        buf_init(&tag);
        add_bold(&tag, str_of(setting_rows[i].name));
        buf_add_byte(&tag, '\0');
        assert_true(has(&out, buf_str(&tag).p));
        buf_fini(&tag);
    }
    buf_fini(&out);
}

/* One line of the sample sets something; the others are empty or comments that fit a screen. */
static void test_sample(void **state)
{
    unsigned set = 0;
    struct str rest;
    struct buf out;

    (void)state;
    buf_init(&out);
    manual_sample(&out);
    rest = buf_str(&out);
    while (rest.n) {
        struct str line = str_cut(&rest, '\n');

        assert_true(line.n <= SAMPLE_COLUMNS + 1);
        if (line.n && line.p[0] != '#') {
            assert_true(str_eq(line, STR("data_dir = /var/lib/sluice")));
            set++;
        }
    }
    assert_int_equal(set, 1);
    assert_true(has(&out, "\n#ring_bytes = 32MiB\n"));
    assert_true(has(&out, "\n#pg_uri =\n"));
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_troff_characters),
        cmocka_unit_test(test_program_page),
        cmocka_unit_test(test_settings_page),
        cmocka_unit_test(test_sample),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
