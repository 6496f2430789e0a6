/*
 * ini: configparser.ConfigParser() with its defaults.
 *
 *   [section]            the name as it stands; options of [DEFAULT] are in every section
 *   name = value         or name : value; the name in lower case, blanks around both dropped
 *     and on             a line that is indented deeper than its option's goes on with the value
 *   # or ; comment       a whole line only: behind a value these are part of it
 *
 * An option twice in a section, a section twice, and a line that is none of these are errors. In values
 * "%%" stands for '%', and "%(name)s" for another option's value; any other '%' is an error: that is why
 * a '%' of a URI must be doubled.
 */
#include "gateway/auth/ini.h"

#include "base/buf.h"
#include "schema/errors.h"

enum { DEPTH_MAX = 10 }; /* of values in values, as configparser's */

static const struct str every_section = STR_INIT("DEFAULT");

/* A section's header is an option without a name. */
struct ini_option {
    struct str section;
    struct str name;
    struct str value;
    struct ini_option *next;
};

/* Where a reading stands. */
struct ini_reading {
    struct ini *ini;
    struct str section;
    struct ini_option *option; /* that a deeper line goes on; NULL = none */
    size_t indent;
    unsigned line;
};

static bool ini_is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static struct str ini_trim_end(struct str s)
{
    while (s.n && ini_is_blank(s.p[s.n - 1]))
        s.n--;
    return s;
}

static struct str ini_trim(struct str s)
{
    while (s.n && ini_is_blank(s.p[0]))
        s = str_skip(s, 1);
    return ini_trim_end(s);
}

static const struct ini_option *ini_find(const struct ini *ini, struct str section, struct str name)
{
    for (const struct ini_option *o = ini->first; o; o = o->next) {
        if (str_eq(o->section, section) && str_eq(o->name, name))
            return o;
    }
    return NULL;
}

static struct ini_option *ini_add(struct ini *ini, struct str section, struct str name)
{
    struct ini_option *o = arena_zalloc(ini->arena, sizeof(*o));

    o->section = section;
    o->name = name;
    if (ini->last)
        ini->last->next = o;
    else
        ini->first = o;
    ini->last = o;
    return o;
}

static struct str ini_lower(struct arena *a, struct str s)
{
    char *p = arena_cstr(a, s);

    for (size_t i = 0; i < s.n; i++) {
        if (p[i] >= 'A' && p[i] <= 'Z')
            p[i] = (char)(p[i] - 'A' + 'a');
    }
    return (struct str){p, s.n};
}

static err_t ini_header(struct ini_reading *g, struct str line, struct fail *f)
{
    size_t end = line.n;

    while (end > 0 && line.p[end - 1] != ']') /* up to the last one: a header may hold others */
        end--;
    if (end < 3)
        return fail(f, ERR_SETTING, "line %u: no section's name", g->line);
    g->section = str_head(str_skip(line, 1), end - 2);
    g->option = NULL;
    if (str_eq(g->section, every_section))
        return OK;
    if (ini_find(g->ini, g->section, STR("")))
        return fail(f, ERR_SETTING, "line %u: section %.*s is there twice", g->line,
                    STR_ARG(g->section));
    (void)ini_add(g->ini, g->section, STR(""));
    return OK;
}

static err_t ini_assign(struct ini_reading *g, struct str line, struct fail *f)
{
    size_t equals = str_find(line, '='), colon = str_find(line, ':');
    size_t at = equals < colon ? equals : colon;
    struct str name = ini_lower(g->ini->arena, ini_trim_end(str_head(line, at)));

    if (g->section.p == NULL)
        return fail(f, ERR_SETTING, "line %u: stands before the first section", g->line);
    if (at == line.n || name.n == 0)
        return fail(f, ERR_SETTING, "line %u: want a line such as name = value", g->line);
    if (ini_find(g->ini, g->section, name))
        return fail(f, ERR_SETTING, "line %u: %.*s is there twice", g->line, STR_ARG(name));
    g->option = ini_add(g->ini, g->section, name);
    g->option->value = ini_trim(str_skip(line, at + 1));
    return OK;
}

static err_t ini_line(struct ini_reading *g, struct str raw, struct fail *f)
{
    struct str line = ini_trim(raw);
    size_t indent = (size_t)(line.p - raw.p);

    if (line.n && (line.p[0] == '#' || line.p[0] == ';'))
        return OK;
    if (g->option && (line.n == 0 || indent > g->indent)) {
        g->option->value =
            arena_printf(g->ini->arena, "%.*s\n%.*s", STR_ARG(g->option->value), STR_ARG(line));
        return OK;
    }
    if (line.n == 0)
        return OK;
    g->indent = indent;
    return line.p[0] == '[' ? ini_header(g, line, f) : ini_assign(g, line, f);
}

err_t ini_read(struct ini *ini, struct str text, struct arena *a, struct fail *f)
{
    struct ini_reading g = {.ini = ini};
    err_t e;

    *ini = (struct ini){.arena = a};
    if (str_starts(text, STR("\xef\xbb\xbf")))
        return fail(f, ERR_SETTING, "line 1: begins with a byte order mark");
    while (text.n) {
        struct str line = str_cut(&text, '\n');

        g.line++;
        if ((e = ini_line(&g, line, f)))
            return e;
    }
    for (struct ini_option *o = ini->first; o; o = o->next)
        o->value = ini_trim_end(o->value);
    return OK;
}

bool ini_has_section(const struct ini *ini, struct str section)
{
    return ini_find(ini, section, STR("")) != NULL;
}

static const struct ini_option *ini_look(const struct ini *ini, struct str section, struct str name)
{
    const struct ini_option *o = ini_find(ini, section, name);

    return o ? o : ini_find(ini, every_section, name);
}

static err_t ini_expand(const struct ini *ini, const struct ini_option *o, unsigned depth,
                        struct buf *out, struct fail *f)
{
    struct str rest = o->value;

    while (rest.n) {
        size_t at = str_find(rest, '%'), end;
        const struct ini_option *other;
        err_t e;

        buf_add_str(out, str_head(rest, at));
        rest = str_skip(rest, at);
        if (rest.n == 0)
            break;
        if (str_starts(rest, STR("%%"))) {
            buf_add_byte(out, '%');
            rest = str_skip(rest, 2);
            continue;
        }
        end = str_find(rest, ')');
        if (!str_starts(rest, STR("%(")) || !str_starts(str_skip(rest, end), STR(")s")))
            return fail(f, ERR_SETTING, "%.*s: a %% that stands for itself is written %%%%",
                        STR_ARG(o->name));
        other =
            ini_look(ini, o->section, ini_lower(ini->arena, str_head(str_skip(rest, 2), end - 2)));
        if (other == NULL || depth >= DEPTH_MAX)
            return fail(f, ERR_SETTING, "%.*s: %.*s cannot be filled in", STR_ARG(o->name),
                        STR_ARG(str_head(rest, end + 2)));
        if ((e = ini_expand(ini, other, depth + 1, out, f)))
            return e;
        rest = str_skip(rest, end + 2);
    }
    return OK;
}

err_t ini_get(const struct ini *ini, struct str section, struct str name, struct str *out,
              struct fail *f)
{
    const struct ini_option *o = ini_look(ini, section, name);
    struct buf text;
    err_t e;

    *out = (struct str){0};
    if (o == NULL)
        return OK;
    buf_init(&text);
    e = ini_expand(ini, o, 0, &text, f);
    if (e == OK)
        *out = arena_dup(ini->arena, buf_str(&text));
    buf_fini(&text);
    return e;
}
