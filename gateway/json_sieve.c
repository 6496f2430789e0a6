/*
 * json_sieve: a reader that knows where it is only as far as a rule looks.
 *
 * The containers that some rule may still look into are levels, SIEVE_SEGMENTS of them at most; whatever is
 * deeper, or beside, is passed on and only its brackets are counted. In a level commas belong to what
 * follows them: one is written when a member is, so whichever members go the text stays JSON. White space
 * in levels is left out; inside of values it stays.
 *
 * Names are compared as they are written. That is enough for a server that escapes nothing but what JSON and
 * ASCII want, as Python's does: a name with a backslash is another one than those of rules. A name of more
 * than NAME_MOST bytes is another one, too, and is passed on as it comes.
 *
 * An element of a list that goes or stays by its "key" is held until its end; one that is longer than SIEVE_HELD
 * goes, since nobody has seen that it may stay.
 *
 * What is no JSON is not judged word for word (numbers, escapes): it is enough that brackets, names and
 * commas stand where they must, because nothing else moves a rule.
 */
#include "gateway/json_sieve.h"

#include <string.h>

#include "yyjson.h"

enum { NAME_MOST = 256 };

enum sieve_state {
    SIEVE_VALUE, /* a value follows */
    SIEVE_FIRST, /* in a list that has just begun: a value, or its end */
    SIEVE_NAME,  /* in an object: a name, or its end */
    SIEVE_NEXT,  /* behind a comma of an object: a name */
    SIEVE_COLON,
    SIEVE_IN_NAME,      /* which is held until it is whole */
    SIEVE_IN_LONG_NAME, /* no rule's */
    SIEVE_IN,           /* in a value that is passed on, dropped or held */
    SIEVE_AFTER,
    SIEVE_END
};

void sieve_init(struct json_sieve *s, const struct sieve_rule *const *rules)
{
    unsigned n = 0;

    memset(s, 0, sizeof(*s));
    while (rules[n])
        n++;
    check(n <= SIEVE_RULES);
    s->rules = rules;
    s->alive = (uint32_t)((1ull << n) - 1);
    s->state = SIEVE_VALUE;
    buf_init(&s->held);
}

void sieve_fini(struct json_sieve *s)
{
    buf_fini(&s->held);
}

static bool sieve_is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static struct sieve_level *sieve_level(struct json_sieve *s)
{
    return &s->levels[s->depth - 1];
}

/* Which rules follow the name, or "*" of a list; *goes: one of them ends here. */
static uint32_t sieve_follow(const struct json_sieve *s, struct str name, bool *goes)
{
    uint32_t before = s->levels[s->depth - 1].alive, alive = 0;

    *goes = false;
    for (unsigned i = 0; before >> i; i++) {
        const char *const *path = s->rules[i]->path;

        if (!(before >> i & 1) || !str_eq(str_of(path[s->depth - 1]), name))
            continue;
        if (path[s->depth])
            alive |= 1u << i;
        else
            *goes = true;
    }
    return alive;
}

/* Does some rule judge the elements of this list by their "key"? */
static bool sieve_judges(const struct json_sieve *s)
{
    const struct sieve_level *l = &s->levels[s->depth - 1];

    for (unsigned i = 0; l->alive >> i; i++) {
        if ((l->alive >> i & 1) && s->rules[i]->path[s->depth - 1][0] == '=')
            return true;
    }
    return false;
}

static void sieve_comma(struct json_sieve *s, struct buf *out)
{
    if (sieve_level(s)->has_some)
        buf_add_byte(out, ',');
    sieve_level(s)->has_some = true;
}

/* The name is whole, its quotes with it. */
static void sieve_named(struct json_sieve *s, struct buf *out)
{
    struct str text = buf_str(&s->held);

    s->alive = sieve_follow(s, (struct str){text.p + 1, text.n - 2}, &s->is_dropped);
    if (!s->is_dropped) {
        sieve_comma(s, out);
        buf_add_str(out, text);
    }
    buf_reset(&s->held);
    s->state = SIEVE_COLON;
}

/* The element that was held: does it go? */
static void sieve_judge(struct json_sieve *s, struct buf *out)
{
    struct str text = buf_str(&s->held);
    yyjson_doc *doc = text.n < SIEVE_HELD ? yyjson_read(text.p, text.n, 0) : NULL;
    yyjson_val *key = yyjson_obj_get(yyjson_doc_get_root(doc), "key");
    struct str name =
        yyjson_is_str(key) ? (struct str){yyjson_get_str(key), yyjson_get_len(key)} : STR("");
    const struct sieve_level *l = sieve_level(s);
    bool goes = doc == NULL;

    for (unsigned i = 0; l->alive >> i; i++) {
        const char *want = s->rules[i]->path[s->depth - 1];

        goes = goes || ((l->alive >> i & 1) && want[0] == '=' && str_eq(str_of(want + 1), name));
    }
    if (!goes) {
        sieve_comma(s, out);
        buf_add_str(out, text);
    }
    yyjson_doc_free(doc);
    buf_reset(&s->held);
    s->is_held = false;
}

/* A value is over. */
static void sieve_after(struct json_sieve *s, struct buf *out)
{
    if (s->is_held)
        sieve_judge(s, out);
    s->is_dropped = false;
    s->state = s->depth ? SIEVE_AFTER : SIEVE_END;
}

static void sieve_put(struct json_sieve *s, struct str bytes, struct buf *out)
{
    if (s->is_held && buf_len(&s->held) < SIEVE_HELD)
        buf_add_str(&s->held, str_head(bytes, SIEVE_HELD - buf_len(&s->held)));
    else if (!s->is_held && !s->is_dropped)
        buf_add_str(out, bytes);
}

/* The first byte of a value. */
static bool sieve_begin(struct json_sieve *s, char c, struct buf *out)
{
    bool is_open = c == '{' || c == '[';

    if (strchr("}],:", c))
        return false;
    if (s->depth && sieve_level(s)->is_list) {
        s->is_held = sieve_judges(s);
        s->alive = sieve_follow(s, STR("*"), &s->is_dropped);
        if (!s->is_held && !s->is_dropped)
            sieve_comma(s, out);
    }
    if (is_open && s->alive && !s->is_held && !s->is_dropped) {
        s->levels[s->depth++] = (struct sieve_level){.is_list = c == '[', .alive = s->alive};
        s->state = c == '[' ? SIEVE_FIRST : SIEVE_NAME;
        buf_add_byte(out, c);
        return true;
    }
    s->deeper = is_open;
    s->is_string = c == '"';
    s->is_scalar = !is_open && c != '"';
    s->state = SIEVE_IN;
    sieve_put(s, (struct str){&c, 1}, out);
    return true;
}

/* As far as a string goes; the bytes taken. */
static size_t sieve_string(struct json_sieve *s, struct str bytes)
{
    size_t i = 0;

    while (i < bytes.n && s->is_string) {
        char c = bytes.p[i++];

        if (s->is_escaped)
            s->is_escaped = false;
        else if (c == '\\')
            s->is_escaped = true;
        else if (c == '"')
            s->is_string = false;
    }
    return i;
}

/* In a value that no rule looks into; the bytes taken. */
static size_t sieve_pass(struct json_sieve *s, struct str bytes, struct buf *out)
{
    size_t i = 0;
    bool is_over = false;

    while (i < bytes.n && !is_over) {
        char c = bytes.p[i];

        if (s->is_string) {
            i += sieve_string(s, str_skip(bytes, i));
            is_over = !s->is_string && s->deeper == 0;
            continue;
        }
        if (s->is_scalar && (sieve_is_space(c) || strchr(",]}", c))) {
            is_over = true; /* the byte is not its own */
            break;
        }
        i++;
        if (s->is_scalar)
            continue;
        if (c == '"')
            s->is_string = true;
        s->deeper += c == '{' || c == '[';
        if (c == '}' || c == ']')
            is_over = --s->deeper == 0;
    }
    sieve_put(s, str_head(bytes, i), out);
    if (is_over) {
        s->is_scalar = false;
        sieve_after(s, out);
    }
    return i;
}

/* In a name; the bytes taken. */
static size_t sieve_name(struct json_sieve *s, struct str bytes, struct buf *out)
{
    size_t n = sieve_string(s, bytes);

    if (s->state == SIEVE_IN_NAME && buf_len(&s->held) + n > NAME_MOST) {
        sieve_comma(s, out);
        buf_add_str(out, buf_str(&s->held));
        buf_reset(&s->held);
        s->state = SIEVE_IN_LONG_NAME;
    }
    buf_add(s->state == SIEVE_IN_NAME ? &s->held : out, bytes.p, n);
    if (s->is_string)
        return n;
    if (s->state == SIEVE_IN_NAME) {
        sieve_named(s, out);
        return n;
    }
    s->alive = 0;
    s->is_dropped = false;
    s->state = SIEVE_COLON;
    return n;
}

/* A byte between values. */
static bool sieve_between(struct json_sieve *s, char c, struct buf *out)
{
    struct sieve_level *l = s->depth ? sieve_level(s) : NULL;
    char end = l && l->is_list ? ']' : '}';

    switch (s->state) {
    case SIEVE_FIRST:
    case SIEVE_NAME:
    case SIEVE_AFTER:
        if (c == end) {
            buf_add_byte(out, c);
            s->depth--;
            sieve_after(s, out);
            return true;
        }
        if (s->state == SIEVE_FIRST)
            return sieve_begin(s, c, out);
        if (s->state == SIEVE_AFTER) {
            s->state = l->is_list ? SIEVE_VALUE : SIEVE_NEXT;
            return c == ',';
        }
        /* fall through */
    case SIEVE_NEXT:
        buf_reset(&s->held);
        buf_add_byte(&s->held, c);
        s->is_string = true;
        s->state = SIEVE_IN_NAME;
        return c == '"';
    case SIEVE_COLON:
        if (!s->is_dropped)
            buf_add_byte(out, c);
        s->state = SIEVE_VALUE;
        return c == ':';
    case SIEVE_VALUE: return sieve_begin(s, c, out);
    default: return false;
    }
}

bool sieve_feed(struct json_sieve *s, struct str bytes, struct buf *out)
{
    while (bytes.n) {
        size_t n = 1;

        if (s->state == SIEVE_IN)
            n = sieve_pass(s, bytes, out);
        else if (s->state == SIEVE_IN_NAME || s->state == SIEVE_IN_LONG_NAME)
            n = sieve_name(s, bytes, out);
        else if (!sieve_is_space(bytes.p[0]) && !sieve_between(s, bytes.p[0], out))
            return false;
        bytes = str_skip(bytes, n);
    }
    return true;
}
