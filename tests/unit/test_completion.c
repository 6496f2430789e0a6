/* completion: words, flags and values reach the three shells, and their quotes are kept apart. */
#define _GNU_SOURCE /* memmem */
#include "schema/completion.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static const struct manual_command COMMANDS[] = {
    {"look", "ls|dump [ID]", " run= all ", "It's [so]: a\\b."},
    {"rest", "", "", "Print this."},
};

static bool has(const struct buf *b, const char *text)
{
    struct str s = buf_str(b);

    return memmem(s.p, s.n, text, strlen(text)) != NULL;
}

static void test_choices(void **state)
{
    struct str words = STR("check [FILE]|dump|[ID]");
    struct str word;

    (void)state;
    assert_true(next_choice(&words, &word));
    assert_true(str_eq(word, STR("check")));
    assert_true(next_choice(&words, &word));
    assert_true(str_eq(word, STR("dump")));
    assert_false(next_choice(&words, &word));
    words = STR("");
    assert_false(next_choice(&words, &word));
}

static void test_flags(void **state)
{
    struct str flags = STR(" run= all ");
    bool has_value = false;
    struct str flag;

    (void)state;
    assert_true(next_flag(&flags, &flag, &has_value));
    assert_true(str_eq(flag, STR("run")) && has_value);
    assert_true(next_flag(&flags, &flag, &has_value));
    assert_true(str_eq(flag, STR("all")) && !has_value);
    assert_false(next_flag(&flags, &flag, &has_value));
}

static void test_bash(void **state)
{
    struct buf out;

    (void)state;
    buf_init(&out);
    completion_bash(&out, COMMANDS, array_len(COMMANDS));
    assert_true(has(&out, "words='look rest'\n"));
    assert_true(has(&out, "look) words='ls dump ' flags=' --run --all'; break ;;\n"));
    assert_true(has(&out, "--queue) mapfile -t COMPREPLY < <(compgen -W 'journal kafka' "));
    assert_true(has(&out, " --pg-uri-file"));
    buf_fini(&out);
}

static void test_zsh(void **state)
{
    struct buf out;

    (void)state;
    buf_init(&out);
    completion_zsh(&out, COMMANDS, array_len(COMMANDS));
    assert_true(str_starts(buf_str(&out), STR("#compdef sluice\n")));
    assert_true(has(&out, "'look:It'\\''s \\[so\\]\\: a\\\\b.'"));
    assert_true(has(&out, "_arguments '*:word:(ls dump )' '--run=:value:' '--all' $settings ;;"));
    assert_true(has(&out, ":value:(journal kafka )'"));
    buf_fini(&out);
}

static void test_fish(void **state)
{
    struct buf out;

    (void)state;
    buf_init(&out);
    completion_fish(&out, COMMANDS, array_len(COMMANDS));
    assert_true(has(&out, "-a look -d 'It\\'s [so]: a\\\\b.'\n"));
    assert_true(has(&out, "'__fish_seen_subcommand_from look' -a dump\n"));
    assert_true(has(&out, "'__fish_seen_subcommand_from look' -l run -x\n"));
    assert_true(has(&out, "complete -c sluice -l queue -x -a 'journal kafka ' -d "));
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_choices), cmocka_unit_test(test_flags), cmocka_unit_test(test_bash),
        cmocka_unit_test(test_zsh),     cmocka_unit_test(test_fish),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
