/*
 * settings_show: settings as text: the dump, --help, and docs/config.md.
 *
 * All three come from the rows, so they cannot differ from what is accepted. Secrets are shown
 * as *** when they have a value.
 */
#include "schema/settings.h"

#include <inttypes.h>
#include <string.h>

#include "base/conf.h"
#include "schema/settings_rows.h"

enum { HELP_COLUMNS = 80, HELP_INDENT = 6 };

struct str setting_show(const struct settings *s, const struct setting_row *row, char space[32])
{
    const char *field = (const char *)s + row->offset;
    const char *text;
    uint64_t number;
    bool is_on;

    switch (row->type) {
    case SETTING_IS_BOOL:
        memcpy(&is_on, field, sizeof(is_on));
        return is_on ? STR("true") : STR("false");
    case SETTING_IS_TEXT:
    case SETTING_IS_SECRET: memcpy(&text, field, sizeof(text)); return str_of(text);
    default: break;
    }
    memcpy(&number, field, sizeof(number));
    if (row->type == SETTING_IS_SIZE)
        conf_show_size(number, space);
    else if (row->type == SETTING_IS_TIME)
        conf_show_time(number, space);
    else
        snprintf(space, 32, "%" PRIu64, number);
    return str_of(space);
}

void settings_dump(const struct settings *s, struct buf *out)
{
    for (int i = 0; i < SETTING_COUNT; i++) {
        const struct setting_row *row = &setting_rows[i];
        char space[32];
        struct str text = setting_show(s, row, space);

        if (row->type == SETTING_IS_SECRET && text.n)
            text = STR("***");
        buf_printf(out, "%s =%s%.*s\n", row->name, text.n ? " " : "", STR_ARG(text));
    }
    setting_pass_dump(s, out);
}

/* --- --help ----------------------------------------------------------------------------------- */

static void add_with(struct buf *out, const char *name, char from, char to)
{
    for (; *name; name++)
        buf_add_byte(out, *name == from ? to : *name);
}

/* Text in lines of HELP_COLUMNS, indented. */
static void add_wrapped(struct buf *out, struct str text)
{
    size_t column = 0;

    while (text.n) {
        struct str word = str_cut(&text, ' ');

        if (word.n == 0)
            continue;
        if (column && column + 1 + word.n > HELP_COLUMNS) {
            buf_add_byte(out, '\n');
            column = 0;
        }
        if (column == 0)
            column = HELP_INDENT - 1;
        buf_printf(out, "%*s%.*s", column == HELP_INDENT - 1 ? HELP_INDENT : 1, "", STR_ARG(word));
        column += 1 + word.n;
    }
    buf_add_byte(out, '\n');
}

static void add_flag(struct buf *out, const struct setting_row *row)
{
    static const char *const values[] = {
        [SETTING_IS_SIZE] = " SIZE", [SETTING_IS_TIME] = " TIME", [SETTING_IS_COUNT] = " N",
        [SETTING_IS_BOOL] = "",      [SETTING_IS_TEXT] = " TEXT", [SETTING_IS_SECRET] = " TEXT",
    };

    buf_add_str(out, STR("  --"));
    add_with(out, row->name, '_', '-');
    buf_add_str(out, str_of(values[row->type]));
    if (row->type == SETTING_IS_BOOL || row->type == SETTING_IS_SECRET) {
        buf_add_str(out, row->type == SETTING_IS_BOOL ? STR(", --no-") : STR(", --"));
        add_with(out, row->name, '_', '-');
        buf_add_str(out, row->type == SETTING_IS_BOOL ? STR("") : STR("-file PATH"));
    }
    buf_add_byte(out, '\n');
}

static void add_flag_help(struct buf *out, const struct setting_row *row)
{
    struct buf bounds;
    struct buf text;

    buf_init(&bounds);
    buf_init(&text);
    setting_bounds(row, &bounds);
    buf_printf(&text, "%s Default: %s%s%.*s.", row->help, *row->def ? row->def : "empty",
               buf_len(&bounds) ? "; " : "", STR_ARG(buf_str(&bounds)));
    add_wrapped(out, buf_str(&text));
    buf_fini(&text);
    buf_fini(&bounds);
}

void settings_help(struct buf *out)
{
    buf_add_str(out,
                STR("Settings (as flag --name value, as SLUICE_NAME in the environment, or as a\n"
                    "line `name = value` in the file that --config or SLUICE_CONFIG names):\n\n"
                    "  --config FILE\n"
                    "      Settings file; the environment and flags win over it.\n"));
    for (int i = 0; i < SETTING_COUNT; i++) {
        add_flag(out, &setting_rows[i]);
        add_flag_help(out, &setting_rows[i]);
    }
}

/* --- docs/config.md --------------------------------------------------------------------------- */

static const char doc_head[] =
    "# Settings\n\n"
    "Generated from `schema/settings.def` by `make docs`.\n\n"
    "A setting `ring_bytes` is given as a line `ring_bytes = 64MiB` of the settings file, as the\n"
    "environment variable `SLUICE_RING_BYTES`, or as the flag `--ring-bytes 64MiB`; later wins, "
    "in\n"
    "this order. The file is named by `--config` or `SLUICE_CONFIG`; in it, `#` begins a comment "
    "at the\n"
    "start of a line or after a blank. A secret can also be read from a file: `pg_uri_file`,\n"
    "`SLUICE_PG_URI_FILE`, `--pg-uri-file`.\n\n"
    "Sizes take `B`, `KiB`, `MiB`, `GiB` and `TiB` (none = bytes); times take `us`, `ms`, `s`, "
    "`m` and `h`;\n"
    "booleans are `true` or `false`, as flags `--name` and `--no-name`. An unknown name or a value "
    "out of\n"
    "its bounds stops the start with a line that says what is allowed. `sluice config check` looks "
    "at the\n"
    "settings without starting and warns of those that hardly fit each other, `sluice config check "
    "FILE`\n"
    "lists all that is wrong in a file, `sluice config dump` shows those in effect.\n\n"
    "| setting | type | default | bounds | change takes | meaning |\n"
    "|---|---|---|---|---|---|\n";

static const char doc_rules[] =
    "\n## Rules between settings\n\n"
    "- `journal_max_bytes` is at least twice `journal_segment_bytes`.\n"
    "- `listen = none` (flusher only) needs at least one of `flushers`.\n"
    "- `flushers = 0` (front end only) is for `queue = kafka`: with the journal nothing is "
    "flushed, and the\n"
    "  start warns. `listen = none` with the journal only empties what it holds.\n"
    "- `queue = kafka` needs `kafka_brokers`.\n"
    "- `listen` and `admin_listen` differ, unless the port is 0.\n"
    "- `static_prefix` begins with `/`, does not end with it and holds no braces.\n"
    "- `tls_cert` and `tls_key` come together; `tls_client_ca` needs both, `tls_client_crl` needs "
    "that.\n"
    "- `trusted_proxies` holds addresses and networks whose further bits are clear (`10.0.0.0/8`), "
    "or is `*`.\n"
    "\n## Settings of the Kafka client\n\n"
    "With `queue = kafka`, a setting `kafka.NAME` is handed to librdkafka as its `NAME`: SASL, "
    "TLS,\n"
    "times and sizes. So `kafka.security.protocol = SASL_SSL` in the file,\n"
    "`SLUICE_KAFKA_SECURITY_PROTOCOL` in the environment, `--kafka.security.protocol SASL_SSL` as "
    "a "
    "flag.\n"
    "What librdkafka does not know stops the start, and so does what the promise depends on "
    "(`acks`,\n"
    "`enable.idempotence`, offsets). `ingest/kafka_conf.c` lists defaults that differ from the "
    "library's.\n"
    "`kafka.NAME_file` (`SLUICE_KAFKA_SASL_PASSWORD_FILE`) names a file that holds the value; such "
    "values,\n"
    "and those whose names speak of passwords, secrets, tokens or keys, are never shown.\n"
    "\n## Variables of MLflow\n\n"
    "Read where neither the file nor a `SLUICE_` variable sets the value, so that an environment "
    "made for\n"
    "the stock server works unchanged:\n\n"
    "| variable | setting |\n|---|---|\n";

static const char doc_reload[] =
    "\n## Changing settings while it runs\n\n"
    "`kill -HUP` makes the program read file and environment again. A file with anything wrong in "
    "it is\n"
    "refused as a whole, with a line in the log; the settings in use stay. These take effect at "
    "once:\n";

static const char doc_reload_rest[] =
    ".\n\nAll others keep their value until the next start; the log names those that differ.\n";

static const char doc_tail[] =
    "\n`MLFLOW_BACKEND_STORE_URI` counts when it names a database and `pg_uri` is empty. SQLite, "
    "MySQL "
    "and MSSQL\n"
    "are not spoken here: then all is passed on to `upstream`, which must be set. A driver in the\n"
    "scheme (`postgresql+psycopg2://`) and parameters meant for the driver are dropped; `pg_uri` "
    "takes\n"
    "such a URL as well.\n\n"
    "## Other variables\n\n"
    "A variable that begins with `SLUICE_` and is no setting stops the start. Excepted are "
    "`SLUICE_CONFIG`,\n"
    "`SLUICE_TEST_*` (used by the tests), and `SLUICE_SERVICE_*` and `SLUICE_PORT*`, which "
    "Kubernetes sets\n"
    "in every pod beside a service named `sluice`.\n";

static void add_doc_row(struct buf *out, const struct setting_row *row)
{
    static const char *const types[] = {
        [SETTING_IS_SIZE] = "size",    [SETTING_IS_TIME] = "time", [SETTING_IS_COUNT] = "number",
        [SETTING_IS_BOOL] = "boolean", [SETTING_IS_TEXT] = "text", [SETTING_IS_SECRET] = "secret",
    };

    buf_printf(out, "| `%s` | %s | %s%s%s | ", row->name, types[row->type], *row->def ? "`" : "",
               *row->def ? row->def : "empty", *row->def ? "`" : "");
    setting_bounds(row, out);
    buf_printf(out, " | %s | %s |\n", row->is_reload ? "SIGHUP" : "restart", row->help);
}

static void add_doc_reload(struct buf *out)
{
    const char *between = "";

    buf_add_str(out, str_of(doc_reload));
    for (int i = 0; i < SETTING_COUNT; i++) {
        if (!setting_rows[i].is_reload)
            continue;
        buf_printf(out, "%s`%s`", between, setting_rows[i].name);
        between = ",\n";
    }
    buf_add_str(out, str_of(doc_reload_rest));
}

void settings_doc(struct buf *out)
{
    buf_add_str(out, str_of(doc_head));
    for (int i = 0; i < SETTING_COUNT; i++)
        add_doc_row(out, &setting_rows[i]);
    add_doc_reload(out);
    buf_add_str(out, str_of(doc_rules));
    for (size_t i = 0; i < setting_fallback_count; i++)
        buf_printf(out, "| `%s` | `%s` |\n", setting_fallbacks[i].variable,
                   setting_rows[setting_fallbacks[i].id].name);
    buf_add_str(out, str_of(doc_tail));
}
