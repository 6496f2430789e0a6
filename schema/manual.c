/*
 * manual: the manual pages and the settings file to begin with.
 *
 * What a reader of a manual page searches for is the flag or the name in the file, so every setting
 * stands once, as a paragraph with its tag: in sluice(1) as flags, in sluice.conf(5) as names. What
 * is more than a sentence is in the documents that the package installs.
 *
 * groff reads '\', and '.' or ''' at the start of a line, as its own; a plain '-' may be printed as
 * a hyphen that cannot be searched for or copied. So all text goes through add_text.
 */
#include "schema/manual.h"

#include <string.h>

#include "base/str.h"
#include "schema/settings_rows.h"

static void add_text(struct buf *out, struct str s)
{
    bool is_begin = true;

    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];

        if (is_begin && (c == '.' || c == '\''))
            buf_add_str(out, STR("\\&"));
        is_begin = c == '\n';
        if (c == '\\')
            buf_add_str(out, STR("\\e"));
        else if (c == '-')
            buf_add_str(out, STR("\\-"));
        else
            buf_add_byte(out, c);
    }
}

static void add_bold(struct buf *out, struct str s)
{
    buf_add_str(out, STR("\\fB"));
    add_text(out, s);
    buf_add_str(out, STR("\\fR"));
}

static void add_head(struct buf *out, const char *name, const char *section, const char *what)
{
    buf_printf(out, ".TH %s %s \"\" Sluice\n.SH NAME\n", name, section);
    add_text(out, str_of(what));
    buf_add_byte(out, '\n');
}

static void add_section(struct buf *out, const char *title)
{
    buf_printf(out, ".SH %s\n", title);
}

static void add_paragraph(struct buf *out, const char *text)
{
    buf_add_str(out, STR(".PP\n"));
    add_text(out, str_of(text));
    buf_add_byte(out, '\n');
}

static void add_entry(struct buf *out, const char *tag, const char *text)
{
    buf_add_str(out, STR(".TP\n"));
    add_bold(out, str_of(tag));
    buf_add_byte(out, '\n');
    add_text(out, str_of(text));
    buf_add_byte(out, '\n');
}

/* --- sluice(1) -------------------------------------------------------------------------------- */

static void add_own_flags(struct buf *out, struct str flags)
{
    while (flags.n) {
        struct str flag = str_cut(&flags, ' ');
        bool has_value = str_ends(flag, STR("="));

        if (flag.n == 0)
            continue;
        flag.n -= has_value;
        buf_add_str(out, STR(" [\\fB\\-\\-"));
        add_text(out, flag);
        buf_add_str(out, has_value ? STR("\\fR \\fIVALUE\\fR]") : STR("\\fR]"));
    }
}

static void add_command(struct buf *out, const struct manual_command *c)
{
    buf_add_str(out, STR(".TP\n"));
    add_bold(out, str_of(c->name));
    buf_add_byte(out, ' ');
    add_text(out, str_of(c->words));
    add_own_flags(out, str_of(c->flags));
    buf_add_byte(out, '\n');
    add_text(out, str_of(c->help));
    buf_add_byte(out, '\n');
}

/* "--ring-bytes" of ring_bytes. */
static void add_flag(struct buf *out, const char *before, const char *name, const char *after)
{
    char flag[SETTING_NAME_MAX];
    size_t n = strlen(name);

    for (size_t i = 0; i < n; i++)
        flag[i] = name[i] == '_' ? '-' : name[i];
    buf_add_str(out, STR("\\fB"));
    add_text(out, str_of(before));
    add_text(out, (struct str){flag, n});
    add_text(out, str_of(after));
    buf_add_str(out, STR("\\fR"));
}

static const char *value_of(const struct setting_row *row)
{
    static const char *const values[] = {
        [SETTING_IS_SIZE] = "SIZE", [SETTING_IS_TIME] = "TIME", [SETTING_IS_COUNT] = "N",
        [SETTING_IS_BOOL] = "",     [SETTING_IS_TEXT] = "TEXT", [SETTING_IS_SECRET] = "TEXT",
    };

    return values[row->type];
}

static void add_setting_flags(struct buf *out, const struct setting_row *row)
{
    buf_add_str(out, STR(".TP\n"));
    add_flag(out, "--", row->name, "");
    if (*value_of(row))
        buf_printf(out, " \\fI%s\\fR", value_of(row));
    if (row->type == SETTING_IS_BOOL || row->type == SETTING_IS_SECRET) {
        buf_add_str(out, STR(", "));
        if (row->type == SETTING_IS_BOOL) {
            add_flag(out, "--no-", row->name, "");
        } else {
            add_flag(out, "--", row->name, "-file");
            buf_add_str(out, STR(" \\fIPATH\\fR"));
        }
    }
    buf_add_byte(out, '\n');
}

static void add_setting_help(struct buf *out, const struct setting_row *row)
{
    struct buf bounds;

    buf_init(&bounds);
    setting_bounds(row, &bounds);
    add_text(out, str_of(row->help));
    buf_add_str(out, STR("\nDefault: "));
    add_text(out, str_of(*row->def ? row->def : "empty"));
    if (buf_len(&bounds)) {
        buf_add_str(out, STR("; "));
        add_text(out, buf_str(&bounds));
    }
    buf_add_str(out, STR(".\n"));
    buf_fini(&bounds);
}

void manual_program(struct buf *out, const struct manual_command *commands, size_t count)
{
    add_head(out, "SLUICE", "1", "sluice - a gateway that takes MLflow metrics durably and fast");
    add_section(out, "SYNOPSIS");
    buf_add_str(out, STR("\\fBsluice\\fR \\fICOMMAND\\fR [\\fIWORD\\fR...] "
                         "[\\fB\\-\\-setting\\fR \\fIvalue\\fR...]\n"));
    add_section(out, "DESCRIPTION");
    add_text(out, STR("Speaks MLflow's REST API. A metric write is answered when it is durable, "
                      "gathered with others and moved into PostgreSQL in MLflow's own schema, so "
                      "that a stock MLflow server can run beside it.\n"));
    add_section(out, "COMMANDS");
    for (size_t i = 0; i < count; i++)
        add_command(out, &commands[i]);
    add_section(out, "SETTINGS");
    add_text(out, STR("Each is a flag here, SLUICE_NAME in the environment and a line of "));
    buf_add_str(out, STR("\\fBsluice.conf\\fR(5)"));
    add_text(out, STR("; flags win over the environment, and that over the file.\n"));
    add_entry(out, "--config FILE", "The settings file; also SLUICE_CONFIG.");
    for (int i = 0; i < SETTING_COUNT; i++) {
        add_setting_flags(out, &setting_rows[i]);
        add_setting_help(out, &setting_rows[i]);
    }
    add_section(out, "SIGNALS");
    add_entry(out, "SIGTERM, SIGINT",
              "Drains: not ready, then no new connections, then what is open is answered and what "
              "was accepted is written. A second one hurries; nothing accepted is lost.");
    add_entry(out, "SIGHUP", "Reads the settings again.");
    add_section(out, "EXIT STATUS");
    add_text(out,
             STR("0 when all went well, 1 when something failed, with words on standard error, "
                 "2 when the words of a command make no sense.\n"));
    add_section(out, "SEE ALSO");
    buf_add_str(out, STR("\\fBsluice.conf\\fR(5), \\fBpsql\\fR(1)\n"));
}

/* --- sluice.conf(5) --------------------------------------------------------------------------- */

void manual_settings(struct buf *out)
{
    add_head(out, "SLUICE.CONF", "5", "sluice.conf - settings of sluice");
    add_section(out, "DESCRIPTION");
    add_text(out, STR("The file that --config or SLUICE_CONFIG names. A line is `name = value`; # "
                      "begins a comment at the start of a line or after a blank.\n"));
    add_paragraph(out,
                  "Sizes take B, KiB, MiB, GiB and TiB (none = bytes); times take us, ms, s, m "
                  "and h; booleans are true or false. A secret can be read from a file: "
                  "pg_uri_file for pg_uri. Names that begin with kafka. go to librdkafka.");
    add_paragraph(out,
                  "An unknown name or a value out of its bounds stops the start. `sluice config "
                  "check FILE` lists all that is wrong in a file.");
    add_section(out, "SETTINGS");
    for (int i = 0; i < SETTING_COUNT; i++) {
        const struct setting_row *row = &setting_rows[i];

        buf_add_str(out, STR(".TP\n"));
        add_bold(out, str_of(row->name));
        buf_printf(out, " = \\fI%s\\fR\n", *value_of(row) ? value_of(row) : "true|false");
        add_setting_help(out, row);
        buf_add_str(out, row->is_reload ? STR("SIGHUP is enough for a change.\n") : STR(""));
    }
    add_section(out, "SEE ALSO");
    buf_add_str(out, STR("\\fBsluice\\fR(1)\n"));
}

/* --- /etc/sluice/sluice.conf ------------------------------------------------------------------ */

enum { SAMPLE_COLUMNS = 100 };

static void add_comment(struct buf *out, struct str text)
{
    size_t column = 0;

    while (text.n) {
        struct str word = str_cut(&text, ' ');

        if (column && column + 1 + word.n > SAMPLE_COLUMNS) {
            buf_add_byte(out, '\n');
            column = 0;
        }
        buf_printf(out, "%s %.*s", column ? "" : "#", STR_ARG(word));
        column += 1 + word.n + (column == 0);
    }
    buf_add_byte(out, '\n');
}

static void add_sample(struct buf *out, const struct setting_row *row)
{
    struct buf bounds;

    buf_init(&bounds);
    setting_bounds(row, &bounds);
    buf_add_byte(out, '\n');
    add_comment(out, str_of(row->help));
    if (buf_len(&bounds))
        add_comment(out, buf_str(&bounds));
    if (str_eq(str_of(row->name), STR("data_dir")))
        buf_printf(out, "%s = /var/lib/sluice\n", row->name);
    else
        buf_printf(out, "#%s =%s%s\n", row->name, *row->def ? " " : "", row->def);
    buf_fini(&bounds);
}

void manual_sample(struct buf *out)
{
    buf_add_str(out,
                STR("# Settings of sluice, see sluice.conf(5). What is a comment is the default.\n"
                    "# After a change: sluice config check FILE, then systemctl reload sluice.\n"));
    for (int i = 0; i < SETTING_COUNT; i++)
        add_sample(out, &setting_rows[i]);
}
