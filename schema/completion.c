/*
 * completion: what the shells offer, from the rows of commands and settings.
 *
 * Three levels: commands; a command's words ("ls|show|retry" are three); flags, both a command's own
 * and the settings. A value is offered where it is one of a few words, and file names where the
 * setting's name ends in _file, _dir or _cert and the like.
 *
 * Help texts stand between single quotes in zsh and fish. Each shell has its own rule for a quote in
 * them, and zsh's _arguments takes brackets and colons for itself.
 */
#include "schema/completion.h"

#include <string.h>

#include "base/str.h"
#include "schema/settings_rows.h"

/* The next word of "check [FILE]|dump" is check: false at the end. */
static bool next_choice(struct str *words, struct str *out)
{
    while (words->n) {
        struct str word = str_cut(words, '|');

        *out = str_cut(&word, ' ');
        if (out->n && out->p[0] >= 'a' && out->p[0] <= 'z')
            return true;
    }
    return false;
}

/* The same for " run= all ": with or without its value. */
static bool next_flag(struct str *flags, struct str *out, bool *has_value)
{
    while (flags->n) {
        *out = str_cut(flags, ' ');
        *has_value = str_ends(*out, STR("="));
        out->n -= *has_value;
        if (out->n)
            return true;
    }
    return false;
}

static void add_name(struct buf *out, const char *name)
{
    for (; *name; name++)
        buf_add_byte(out, *name == '_' ? '-' : *name);
}

static bool is_path(const struct setting_row *row)
{
    static const char *const ends[] = {"_dir", "_file",   "_cert",    "_key",
                                       "_ca",  "_config", "_htpasswd"};
    struct str name = str_of(row->name);

    for (size_t i = 0; i < array_len(ends); i++) {
        if (row->type == SETTING_IS_TEXT && str_ends(name, str_of(ends[i])))
            return true;
    }
    return false;
}

/* "journal|kafka", or nothing when any text will do. */
static struct str choices_of(const struct setting_row *row)
{
    return row->type == SETTING_IS_TEXT ? str_of(row->min) : STR("");
}

/* --- bash ------------------------------------------------------------------------------------- */

static void bash_add_flags(struct buf *out, struct str own)
{
    struct str flag;
    bool has_value;

    while (next_flag(&own, &flag, &has_value))
        buf_printf(out, " --%.*s", STR_ARG(flag));
}

static void bash_add_settings(struct buf *out)
{
    buf_add_str(out, STR("    local settings='--config"));
    for (int i = 0; i < SETTING_COUNT; i++) {
        const struct setting_row *row = &setting_rows[i];

        buf_add_str(out, STR("\n        --"));
        add_name(out, row->name);
        if (row->type == SETTING_IS_BOOL) {
            buf_add_str(out, STR(" --no-"));
            add_name(out, row->name);
        }
        if (row->type == SETTING_IS_SECRET) {
            buf_add_str(out, STR(" --"));
            add_name(out, row->name);
            buf_add_str(out, STR("-file"));
        }
    }
    buf_add_str(out, STR("'\n"));
}

/* What may follow a flag that takes a value: `case $previous in`. */
static void bash_add_values(struct buf *out)
{
    for (int i = 0; i < SETTING_COUNT; i++) {
        struct str rest = choices_of(&setting_rows[i]);
        struct str word;

        if (rest.n == 0 && !is_path(&setting_rows[i]))
            continue;
        buf_add_str(out, STR("    --"));
        add_name(out, setting_rows[i].name);
        if (rest.n == 0) {
            buf_add_str(out,
                        STR(") mapfile -t COMPREPLY < <(compgen -f -- \"$current\"); return ;;\n"));
            continue;
        }
        buf_add_str(out, STR(") mapfile -t COMPREPLY < <(compgen -W '"));
        while (next_choice(&rest, &word))
            buf_printf(out, "%.*s%s", STR_ARG(word), rest.n ? " " : "");
        buf_add_str(out, STR("' -- \"$current\"); return ;;\n"));
    }
    buf_add_str(out, STR("    --config | --*-file) mapfile -t COMPREPLY < <(compgen -f -- "
                         "\"$current\"); return ;;\n"));
}

void completion_bash(struct buf *out, const struct manual_command *commands, size_t count)
{
    buf_add_str(out, STR("# bash completion for sluice; made from the program's own tables.\n"
                         "_sluice()\n{\n"
                         "    local current=${COMP_WORDS[COMP_CWORD]}\n"
                         "    local previous=${COMP_WORDS[COMP_CWORD - 1]}\n"
                         "    local word words flags=\n"));
    bash_add_settings(out);
    buf_add_str(out, STR("    COMPREPLY=()\n    case $previous in\n"));
    bash_add_values(out);
    buf_add_str(out, STR("    esac\n    words='"));
    for (size_t i = 0; i < count; i++)
        buf_printf(out, "%s%s", i ? " " : "", commands[i].name);
    buf_add_str(out, STR("'\n    for word in \"${COMP_WORDS[@]:1:COMP_CWORD - 1}\"; do\n"
                         "        case $word in\n"));
    for (size_t i = 0; i < count; i++) {
        struct str rest = str_of(commands[i].words);
        struct str word;

        buf_printf(out, "        %s) words='", commands[i].name);
        while (next_choice(&rest, &word))
            buf_printf(out, "%.*s ", STR_ARG(word));
        buf_add_str(out, STR("' flags='"));
        bash_add_flags(out, str_of(commands[i].flags));
        buf_add_str(out, STR("'; break ;;\n"));
    }
    buf_add_str(out, STR("        esac\n    done\n"
                         "    [[ $current == -* ]] && words=\"$flags $settings\"\n"
                         "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\")\n"
                         "}\ncomplete -o default -F _sluice sluice\n"));
}

/* --- zsh -------------------------------------------------------------------------------------- */

/* Between single quotes, and within brackets or behind a colon of _arguments. */
static void zsh_add_text(struct buf *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '\'')
            buf_add_str(out, STR("'\\''"));
        else if (strchr("[]:\\", *text))
            buf_printf(out, "\\%c", *text);
        else
            buf_add_byte(out, *text);
    }
}

static void zsh_add_flag(struct buf *out, const struct setting_row *row, const char *before,
                         const char *after, bool has_value)
{
    struct str rest = choices_of(row);
    struct str word;

    buf_printf(out, " \\\n        '--%s", before);
    add_name(out, row->name);
    buf_printf(out, "%s%s[", after, has_value ? "=" : "");
    zsh_add_text(out, row->help);
    buf_add_byte(out, ']');
    if (has_value && rest.n) {
        buf_add_str(out, STR(":value:("));
        while (next_choice(&rest, &word))
            buf_printf(out, "%.*s ", STR_ARG(word));
        buf_add_byte(out, ')');
    } else if (has_value) {
        buf_add_str(out, is_path(row) || *after ? STR(":path:_files") : STR(":value:"));
    }
    buf_add_byte(out, '\'');
}

static void zsh_add_words(struct buf *out, const struct manual_command *c)
{
    struct str flags = str_of(c->flags);
    struct str rest = str_of(c->words);
    struct str word;
    bool has_value;

    buf_printf(out, "    %s)\n        _arguments '*:word:(", c->name);
    while (next_choice(&rest, &word))
        buf_printf(out, "%.*s ", STR_ARG(word));
    buf_add_str(out, STR(")'"));
    while (next_flag(&flags, &word, &has_value))
        buf_printf(out, " '--%.*s%s'", STR_ARG(word), has_value ? "=:value:" : "");
    buf_add_str(out, STR(" $settings ;;\n"));
}

void completion_zsh(struct buf *out, const struct manual_command *commands, size_t count)
{
    buf_add_str(out, STR("#compdef sluice\n"
                         "# zsh completion for sluice; made from the program's own tables.\n"
                         "_sluice()\n{\n"
                         "    local -a settings\n"
                         "    settings=('--config=[The settings file]:path:_files'"));
    for (int i = 0; i < SETTING_COUNT; i++) {
        const struct setting_row *row = &setting_rows[i];

        zsh_add_flag(out, row, "", "", row->type != SETTING_IS_BOOL);
        if (row->type == SETTING_IS_BOOL)
            zsh_add_flag(out, row, "no-", "", false);
        if (row->type == SETTING_IS_SECRET)
            zsh_add_flag(out, row, "", "-file", true);
    }
    buf_add_str(out, STR(")\n    if (( CURRENT == 2 )); then\n        local -a commands\n"
                         "        commands=("));
    for (size_t i = 0; i < count; i++) {
        buf_printf(out, " \\\n            '%s:", commands[i].name);
        zsh_add_text(out, commands[i].help);
        buf_add_byte(out, '\'');
    }
    buf_add_str(out, STR(")\n        _describe command commands\n        return\n    fi\n"
                         "    local command=$words[2]\n    shift words\n    (( CURRENT-- ))\n"
                         "    case $command in\n"));
    for (size_t i = 0; i < count; i++)
        zsh_add_words(out, &commands[i]);
    buf_add_str(out, STR("    esac\n}\n_sluice \"$@\"\n"));
}

/* --- fish ------------------------------------------------------------------------------------- */

static void fish_add_text(struct buf *out, const char *text)
{
    buf_add_str(out, STR(" -d '"));
    for (; *text; text++) {
        if (*text == '\'' || *text == '\\')
            buf_add_byte(out, '\\');
        buf_add_byte(out, *text);
    }
    buf_add_str(out, STR("'\n"));
}

static void fish_add_flag(struct buf *out, const struct setting_row *row, const char *before,
                          const char *after, bool has_value)
{
    struct str rest = choices_of(row);
    struct str word;

    buf_printf(out, "complete -c sluice -l %s", before);
    add_name(out, row->name);
    buf_add_str(out, str_of(after));
    if (has_value && rest.n) {
        buf_add_str(out, STR(" -x -a '"));
        while (next_choice(&rest, &word))
            buf_printf(out, "%.*s ", STR_ARG(word));
        buf_add_byte(out, '\'');
    } else if (has_value) {
        buf_add_str(out, is_path(row) || *after ? STR(" -r -F") : STR(" -x"));
    }
    fish_add_text(out, row->help);
}

static void fish_add_command(struct buf *out, const struct manual_command *c)
{
    struct str flags = str_of(c->flags);
    struct str rest = str_of(c->words);
    struct str word;
    bool has_value;

    buf_printf(out, "complete -c sluice -f -n __fish_use_subcommand -a %s", c->name);
    fish_add_text(out, c->help);
    while (next_choice(&rest, &word))
        buf_printf(out, "complete -c sluice -f -n '__fish_seen_subcommand_from %s' -a %.*s\n",
                   c->name, STR_ARG(word));
    while (next_flag(&flags, &word, &has_value))
        buf_printf(out, "complete -c sluice -n '__fish_seen_subcommand_from %s' -l %.*s%s\n",
                   c->name, STR_ARG(word), has_value ? " -x" : "");
}

void completion_fish(struct buf *out, const struct manual_command *commands, size_t count)
{
    buf_add_str(out, STR("# fish completion for sluice; made from the program's own tables.\n"));
    for (size_t i = 0; i < count; i++)
        fish_add_command(out, &commands[i]);
    buf_add_str(out, STR("complete -c sluice -l config -r -F -d 'The settings file'\n"));
    for (int i = 0; i < SETTING_COUNT; i++) {
        const struct setting_row *row = &setting_rows[i];

        fish_add_flag(out, row, "", "", row->type != SETTING_IS_BOOL);
        if (row->type == SETTING_IS_BOOL)
            fish_add_flag(out, row, "no-", "", false);
        if (row->type == SETTING_IS_SECRET)
            fish_add_flag(out, row, "", "-file", true);
    }
}
