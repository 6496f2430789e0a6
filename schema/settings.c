/*
 * settings: one setting at a time, and the rules between them.
 *
 * settings.def becomes an array of rows; a value is parsed by the row's type, held against the
 * row's bounds and stored at the row's offset. A refusal is one line that names the setting,
 * quotes the value (never a secret), says what is allowed and ends with the row's help. Where
 * values come from is settings_load.c, how they are shown settings_show.c.
 */
#include "schema/settings.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/conf.h"
#include "base/net.h"
#include "schema/errors.h"
#include "schema/limits.h"
#include "schema/pg_uri.h"
#include "schema/redis_uri.h"
#include "schema/settings_rows.h"

enum { SECRET_FILE_MAX = 65536, SHOWN_VALUE_MAX = 80 };

#define RELOAD  true
#define RESTART false
const struct setting_row setting_rows[SETTING_COUNT] = {
#define SETTING(type, name, def, min, max, reload, help) \
    {#name, SETTING_IS_##type, def, min, max, reload, help, offsetof(struct settings, name)},
#include "schema/settings.def"
#undef SETTING
};
#undef RELOAD
#undef RESTART

/* --- finding a row ---------------------------------------------------------------------------- */

const struct setting_row *setting_find(struct str name, bool *is_file)
{
    const struct str suffix = STR("_file");

    *is_file = false;
    for (int i = 0; i < SETTING_COUNT; i++) {
        const struct setting_row *row = &setting_rows[i];
        struct str own = str_of(row->name);

        if (conf_is_name(name, own))
            return row;
        if (row->type == SETTING_IS_SECRET && name.n == own.n + suffix.n &&
            conf_is_name(str_head(name, own.n), own) &&
            conf_is_name(str_skip(name, own.n), suffix)) {
            *is_file = true;
            return row;
        }
    }
    return NULL;
}

/* Letters to insert, drop or replace to get from a to b; both shorter than SETTING_NAME_MAX. */
static size_t name_distance(struct str a, struct str b)
{
    size_t line[SETTING_NAME_MAX + 1];

    for (size_t k = 0; k <= b.n; k++)
        line[k] = k;
    for (size_t i = 0; i < a.n; i++) {
        size_t diagonal = line[0];

        line[0] = i + 1;
        for (size_t k = 0; k < b.n; k++) {
            size_t best =
                diagonal + !conf_is_name(str_head(str_skip(a, i), 1), str_head(str_skip(b, k), 1));

            diagonal = line[k + 1];
            best = best < line[k] + 1 ? best : line[k] + 1;
            line[k + 1] = best < diagonal + 1 ? best : diagonal + 1;
        }
    }
    return line[b.n];
}

static err_t setting_unknown(struct str name, struct fail *f)
{
    const char *nearest = NULL;
    size_t least = name.n / 3 + 1; /* more changes than that are another word */

    name = str_head(name, SETTING_NAME_MAX - 1);
    for (int i = 0; i < SETTING_COUNT; i++) {
        size_t d = name_distance(name, str_of(setting_rows[i].name));

        if (d <= least) {
            least = d - (d > 0);
            nearest = setting_rows[i].name;
        }
    }
    if (nearest)
        return fail(f, ERR_SETTING, "unknown setting \"%.*s\"; did you mean %s?", STR_ARG(name),
                    nearest);
    return fail(f, ERR_SETTING, "unknown setting \"%.*s\"", STR_ARG(name));
}

/* --- one value -------------------------------------------------------------------------------- */

void setting_bounds(const struct setting_row *row, struct buf *out)
{
    struct str words = str_of(row->min);

    if (row->type == SETTING_IS_BOOL) {
        buf_add_str(out, STR("true or false"));
    } else if (row->type == SETTING_IS_TEXT || row->type == SETTING_IS_SECRET) {
        if (str_find(words, '|') < words.n)
            buf_add_str(out, STR("one of "));
        while (words.n) {
            buf_add_str(out, str_cut(&words, '|'));
            buf_add_str(out, words.n ? STR(", ") : STR(""));
        }
    } else if (*row->min && *row->max) {
        buf_printf(out, "from %s to %s", row->min, row->max);
    } else if (*row->min || *row->max) {
        buf_printf(out, "%s %s", *row->min ? "at least" : "at most",
                   *row->min ? row->min : row->max);
    }
}

/* The refusal: what was given, what is wanted, what the setting is. */
static err_t setting_refuse(const struct setting_row *row, struct str value, const char *want,
                            struct fail *f)
{
    char shown[SHOWN_VALUE_MAX + 1];
    struct buf bounds;
    err_t e;

    str_to_cstr(row->type == SETTING_IS_SECRET ? STR("***") : value, shown, sizeof(shown));
    for (char *c = shown; *c; c++) {
        if ((unsigned char)*c < 0x20)
            *c = '?'; /* the refusal is one line */
    }
    buf_init(&bounds);
    setting_bounds(row, &bounds);
    e = fail(f, ERR_SETTING, "setting %s = \"%s\": must be %s%s%.*s. %s", row->name, shown, want,
             *want && buf_len(&bounds) ? ", " : "", STR_ARG(buf_str(&bounds)), row->help);
    buf_fini(&bounds);
    return e;
}

static bool setting_number(const struct setting_row *row, struct str text, uint64_t *value)
{
    switch (row->type) {
    case SETTING_IS_SIZE: return conf_size(text, value);
    case SETTING_IS_TIME: return conf_time(text, value);
    default: return conf_count(text, value);
    }
}

static err_t setting_set_number(struct settings *s, const struct setting_row *row, struct str text,
                                struct fail *f)
{
    static const char *const wants[] = {
        [SETTING_IS_SIZE] = "a size such as 64MiB",
        [SETTING_IS_TIME] = "a time such as 200ms",
        [SETTING_IS_COUNT] = "a whole number",
    };
    uint64_t value;
    uint64_t bound;

    if (!setting_number(row, text, &value))
        return setting_refuse(row, text, wants[row->type], f);
    if (*row->min && setting_number(row, str_of(row->min), &bound) && value < bound)
        return setting_refuse(row, text, "", f);
    if (*row->max && setting_number(row, str_of(row->max), &bound) && value > bound)
        return setting_refuse(row, text, "", f);
    memcpy((char *)s + row->offset, &value, sizeof(value));
    return OK;
}

static err_t setting_set_bool(struct settings *s, const struct setting_row *row, struct str text,
                              struct fail *f)
{
    bool value;

    if (!conf_bool(text, &value))
        return setting_refuse(row, text, "", f);
    memcpy((char *)s + row->offset, &value, sizeof(value));
    return OK;
}

static err_t setting_set_text(struct settings *s, const struct setting_row *row, struct str text,
                              struct fail *f)
{
    bool is_uri = row == &setting_rows[SETTING_pg_uri] || row == &setting_rows[SETTING_auth_pg_uri];
    struct str words = str_of(row->min);
    bool is_allowed = words.n == 0;
    const char *value;

    while (words.n && !is_allowed)
        is_allowed = str_eq(text, str_cut(&words, '|'));
    if (!is_allowed)
        return setting_refuse(row, text, "", f);
    if (str_find(text, '\0') < text.n)
        return setting_refuse(row, text, "without zero bytes", f);
    if (is_uri && pg_uri_has_driver(text))
        text = pg_uri_from_sqlalchemy(text, &s->arena);
    value = arena_cstr(&s->arena, text);
    if (is_uri && *value && !pg_uri_is_valid(value) &&
        !(row == &setting_rows[SETTING_pg_uri] && pg_uri_is_foreign(text)))
        return setting_refuse(row, text, "such as postgresql://user:password@host/database", f);
    memcpy((char *)s + row->offset, &value, sizeof(value));
    return OK;
}

err_t setting_read_file(struct settings *s, struct str name, struct str path, struct str *text,
                        struct fail *f)
{
    const char *where = arena_cstr(&s->arena, path);
    char *bytes = arena_alloc(&s->arena, SECRET_FILE_MAX);
    FILE *file = fopen(where, "re");
    size_t n;

    if (file == NULL)
        return fail(f, ERR_SETTING, "setting %.*s_file: cannot read %s: %s", STR_ARG(name), where,
                    strerror(errno));
    n = fread(bytes, 1, SECRET_FILE_MAX, file);
    if (ferror(file) || n == SECRET_FILE_MAX) {
        int why = ferror(file) ? errno : EFBIG;

        fclose(file);
        return fail(f, ERR_SETTING, "setting %.*s_file: cannot read %s: %s", STR_ARG(name), where,
                    strerror(why));
    }
    fclose(file);
    *text = str_trim((struct str){bytes, n});
    return OK;
}

err_t settings_set(struct settings *s, struct str name, struct str value, struct fail *f)
{
    bool is_file;
    const struct setting_row *row = setting_find(name, &is_file);
    err_t e;

    if (setting_is_pass(name))
        return setting_pass_set(s, name, value, f);
    if (row == NULL)
        return setting_unknown(name, f);
    if (is_file && (e = setting_read_file(s, str_of(row->name), value, &value, f)))
        return e;
    switch (row->type) {
    case SETTING_IS_SIZE:
    case SETTING_IS_TIME:
    case SETTING_IS_COUNT: e = setting_set_number(s, row, value, f); break;
    case SETTING_IS_BOOL: e = setting_set_bool(s, row, value, f); break;
    default: e = setting_set_text(s, row, value, f); break;
    }
    if (e == OK)
        s->is_set[row - setting_rows] = true;
    return e;
}

struct settings *settings_new(void)
{
    struct settings *s = calloc(1, sizeof(*s));

    check(s != NULL);
    arena_init(&s->arena, 4096);
    for (int i = 0; i < SETTING_COUNT; i++)
        check(settings_set(s, str_of(setting_rows[i].name), str_of(setting_rows[i].def), NULL) ==
              OK);
    memset(s->is_set, 0, sizeof(s->is_set));
    return s;
}

void settings_free(struct settings *s)
{
    if (s)
        arena_fini(&s->arena);
    free(s);
}

/* --- rules between settings ------------------------------------------------------------------- */

/* host:port with a port that exists; an IPv6 host stands in brackets. */
static bool is_address(struct str text)
{
    size_t colon = text.n;
    uint64_t port;

    while (colon > 0 && text.p[colon - 1] != ':')
        colon--;
    if (colon < 2 || !conf_count(str_skip(text, colon), &port) || port > 65535)
        return false;
    text = str_head(text, colon - 1);
    if (text.p[0] == '[')
        return text.n > 2 && text.p[text.n - 1] == ']';
    return str_find(text, ':') == text.n;
}

static err_t check_address(const struct settings *s, enum setting id, struct fail *f)
{
    char space[32];
    struct str text = setting_show(s, &setting_rows[id], space);

    if (str_eq(text, STR("none")) || is_address(text))
        return OK;
    return setting_refuse(&setting_rows[id], text, "host:port, or none", f);
}

static err_t check_prefix(const struct settings *s, struct fail *f)
{
    struct str text = str_of(s->static_prefix);

    if (text.n == 0 || (text.p[0] == '/' && text.p[text.n - 1] != '/' &&
                        str_find(text, '{') == text.n && str_find(text, '}') == text.n))
        return OK;
    return setting_refuse(&setting_rows[SETTING_static_prefix], text,
                          "begun by '/' and not ended by it, without braces", f);
}

/* The setting is a secret: what is wrong with it is not quoted. */
static err_t check_redis(const struct settings *s, struct fail *f)
{
    struct redis_uri uri;
    struct arena space;
    bool is_good;

    if (*s->redis_uri == '\0')
        return OK;
    arena_init(&space, 512);
    is_good = redis_uri_parse(str_of(s->redis_uri), &space, &uri);
    arena_fini(&space);
    if (!is_good)
        return setting_refuse(&setting_rows[SETTING_redis_uri], STR(""),
                              "such as redis://user:password@host:6379/0", f);
    if (*s->redis_prefix == '\0')
        return setting_refuse(&setting_rows[SETTING_redis_prefix], STR(""), "a word", f);
    return OK;
}

/* It becomes a line of every answer. */
static err_t check_frame_options(const struct settings *s, struct fail *f)
{
    struct str text = str_of(s->x_frame_options);
    bool is_line = text.n <= LIMIT_FRAME_OPTIONS;

    for (size_t i = 0; i < text.n; i++)
        is_line = is_line && text.p[i] >= ' ' && text.p[i] < 0x7f;
    if (is_line)
        return OK;
    return setting_refuse(&setting_rows[SETTING_x_frame_options], text, "SAMEORIGIN, DENY or NONE",
                          f);
}

static err_t check_proxies(const struct settings *s, struct fail *f)
{
    struct str list = str_of(s->trusted_proxies);

    if (str_eq(list, STR("*")))
        return OK;
    while (list.n) {
        struct str entry = str_trim(str_cut(&list, ','));
        struct net net;

        if (!net_parse(entry, &net))
            return setting_refuse(&setting_rows[SETTING_trusted_proxies], entry,
                                  "such as 10.0.0.7, 10.0.0.0/8 or fd00::/8", f);
    }
    return OK;
}

static err_t check_tls(const struct settings *s, struct fail *f)
{
    if (*s->tls_cert && *s->tls_key == '\0')
        return setting_refuse(&setting_rows[SETTING_tls_key], STR(""), "a file, with tls_cert", f);
    if (*s->tls_key && *s->tls_cert == '\0')
        return setting_refuse(&setting_rows[SETTING_tls_cert], STR(""), "a file, with tls_key", f);
    if (*s->tls_client_ca && *s->tls_cert == '\0')
        return setting_refuse(&setting_rows[SETTING_tls_cert], STR(""),
                              "a file, with tls_client_ca", f);
    if (*s->tls_client_crl && *s->tls_client_ca == '\0')
        return setting_refuse(&setting_rows[SETTING_tls_client_ca], STR(""),
                              "a file, with tls_client_crl", f);
    return OK;
}

/* What a queue must be told. Half a program on a journal is odd, but a use: settings_advice.c. */
static err_t check_queue(const struct settings *s, struct fail *f)
{
    bool is_kafka = strcmp(s->queue, "kafka") == 0;

    if (is_kafka && *s->kafka_brokers == '\0')
        return setting_refuse(&setting_rows[SETTING_kafka_brokers], STR(""),
                              "such as broker1:9092,broker2:9092", f);
    if (is_kafka && *s->kafka_topic == '\0')
        return setting_refuse(&setting_rows[SETTING_kafka_topic], STR(""), "a topic's name", f);
    return OK;
}

bool settings_passes_all(const struct settings *s)
{
    return pg_uri_is_foreign(str_of(s->pg_uri));
}

static err_t check_store(const struct settings *s, struct fail *f)
{
    if (!settings_passes_all(s))
        return OK;
    if (*s->upstream == '\0')
        return fail(
            f, ERR_SETTING,
            "setting pg_uri (or MLFLOW_BACKEND_STORE_URI) names a store that is not "
            "PostgreSQL: set upstream, a stock MLflow server on it to which all is passed on");
    if (str_eq(str_of(s->listen), STR("none")))
        return fail(f, ERR_SETTING, "setting listen = \"none\" wants a pg_uri of PostgreSQL");
    if (!str_eq(str_of(s->auth), STR("none")))
        return fail(f, ERR_SETTING,
                    "setting auth wants a pg_uri of PostgreSQL: permissions are not looked up in "
                    "another store; the upstream is sent Authorization and can judge it itself");
    return OK;
}

err_t settings_check(const struct settings *s, struct fail *f)
{
    struct str listen = str_of(s->listen);
    bool is_flusher_only = str_eq(listen, STR("none"));
    err_t e;

    if ((e = check_address(s, SETTING_listen, f)))
        return e;
    if ((e = check_address(s, SETTING_admin_listen, f)))
        return e;
    if ((e = check_tls(s, f)))
        return e;
    if ((e = check_prefix(s, f)) || (e = check_frame_options(s, f)) || (e = check_proxies(s, f)))
        return e;
    if ((e = check_store(s, f)))
        return e;
    if (*s->otlp_endpoint && !str_starts(str_of(s->otlp_endpoint), STR("http://")) &&
        !str_starts(str_of(s->otlp_endpoint), STR("https://")))
        return setting_refuse(&setting_rows[SETTING_otlp_endpoint], str_of(s->otlp_endpoint),
                              "an URL that begins with http:// or https://", f);
    if (*s->data_dir == '\0')
        return setting_refuse(&setting_rows[SETTING_data_dir], STR(""), "a directory", f);
    if (s->journal_segment_bytes > s->journal_max_bytes / 2)
        return fail(
            f, ERR_SETTING,
            "settings journal_segment_bytes and journal_max_bytes: the journal must hold at "
            "least two segments");
    if (is_flusher_only && s->flushers == 0)
        return fail(f, ERR_SETTING,
                    "settings listen = \"none\" and flushers = 0: nothing would be left to do");
    if (!is_flusher_only && str_eq(listen, str_of(s->admin_listen)) && !str_ends(listen, STR(":0")))
        return fail(f, ERR_SETTING,
                    "settings listen and admin_listen: both are \"%s\", they must differ",
                    s->listen);
    if ((e = check_redis(s, f)))
        return e;
    return check_queue(s, f);
}

/* --- what follows from settings --------------------------------------------------------------- */

/* Joins the working directory and a relative path; drops "." and empty parts, as pathlib does. */
static void add_absolute(struct buf *out, struct str path)
{
    char *here = getcwd(NULL, 0);

    check(here != NULL);
    buf_add_str(out, strcmp(here, "/") == 0 ? STR("") : str_of(here));
    free(here);
    while (path.n) {
        struct str part = str_cut(&path, '/');

        if (part.n && !str_eq(part, STR(".")))
            buf_printf(out, "/%.*s", STR_ARG(part));
    }
}

struct str settings_artifact_root(const struct settings *s, struct arena *a)
{
    struct str root = str_of(s->default_artifact_root);
    struct str path;
    struct buf out;

    if (root.n == 0)
        root = s->serve_artifacts ? STR("mlflow-artifacts:/") : STR("./mlruns");
    path = root;
    if (str_starts(path, STR("file:")))
        path = str_skip(path, 5);
    if (path.n == 0 || path.p[0] == '/' || (path.n == root.n && str_find(path, ':') < path.n))
        return arena_dup(a, root); /* absolute already, or another scheme */
    buf_init(&out);
    buf_add_str(&out, path.n < root.n ? STR("file://") : STR(""));
    add_absolute(&out, path);
    root = arena_dup(a, buf_str(&out));
    buf_fini(&out);
    return root;
}
