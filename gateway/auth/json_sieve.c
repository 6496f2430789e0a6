/*
 * json_sieve: a reader that knows where it is only as far as a rule looks.
 *
 * The containers that some rule may still look into are levels, SIEVE_SEGMENTS of them at most; whatever is
 * deeper, or beside, is passed on and only its brackets are counted. In a level commas belong to what
 * follows them: one is written when a member is, so whichever members go the text stays JSON. White space
 * in levels is left out; inside of values it stays.
 *
 * Names are compared as their reader has them: one with a backslash, which servers rarely write, is unescaped
 * first. A name of more than NAME_MOST bytes is none of a rule's, however it is escaped, and is passed on as it
 * comes.
 *
 * An element of a list that goes or stays by its "key" is held until its end; one that is longer than SIEVE_HELD
 * goes, since nobody has seen that it may stay. So is a value that a rule has judged; one that is longer
 * than SIEVE_JUDGED ends the text, because a list with a hole looks like a whole one. Its numbers are kept as
 * they are written.
 *
 * What is no JSON is not judged word for word (numbers, escapes): it is enough that brackets, names and
 * commas stand where they must, because nothing else moves a rule.
 */
#include "gateway/auth/json_sieve.h"

#include <stdlib.h>
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

void sieve_init(struct json_sieve *s, const struct sieve_rule *const *rules, void *about)
{
    unsigned n = 0;

    memset(s, 0, sizeof(*s));
    while (rules[n])
        n++;
    check(n <= SIEVE_RULES);
    s->rules = rules;
    s->about = about;
    s->alive = (uint32_t)((1ull << n) - 1);
    s->state = SIEVE_VALUE;
    for (unsigned i = 0; i < n; i++) {
        if (rules[i]->path[0] == NULL)
            s->judge = rules[i]->judge;
    }
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

/* Which rules follow the name, or "*" of a list. One that ends here drops the value, or has its judge. */
static uint32_t sieve_follow(struct json_sieve *s, struct str name)
{
    uint32_t before = s->levels[s->depth - 1].alive, alive = 0;
    bool is_list = s->levels[s->depth - 1].is_list;

    s->is_dropped = false;
    s->judge = NULL;
    for (unsigned i = 0; before >> i; i++) {
        const char *const *path = s->rules[i]->path;

        if (!(before >> i & 1) || !str_eq(str_of(path[s->depth - 1]), name) ||
            (!is_list && str_eq(name, STR("*"))))
            continue; /* nor does a member of that name stand for elements */
        if (path[s->depth])
            alive |= 1u << i;
        else if (s->rules[i]->judge)
            s->judge = s->rules[i]->judge;
        else
            s->is_dropped = true;
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

/* Which rules follow a name that is written so, quotes and all. One that is no JSON is no rule's. */
static uint32_t sieve_follow_text(struct json_sieve *s, struct str text)
{
    yyjson_doc *doc;
    yyjson_val *name;
    uint32_t alive;

    if (!memchr(text.p, '\\', text.n))
        return sieve_follow(s, (struct str){text.p + 1, text.n - 2});
    doc = yyjson_read(text.p, text.n, 0);
    name = yyjson_doc_get_root(doc);
    alive =
        sieve_follow(s, doc ? (struct str){yyjson_get_str(name), yyjson_get_len(name)} : STR(""));
    yyjson_doc_free(doc);
    return alive;
}

/* The name is whole, its quotes with it. */
static void sieve_named(struct json_sieve *s, struct buf *out)
{
    struct str text = buf_str(&s->held);

    s->alive = sieve_follow_text(s, text);
    if (!s->is_dropped) {
        sieve_comma(s, out);
        buf_add_str(out, text);
    }
    buf_reset(&s->held);
    s->state = SIEVE_COLON;
}

/* The element that was held: does it go? */
static void sieve_by_key(struct json_sieve *s, struct buf *out)
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
}

/* The value that was held goes to its judge. */
static void sieve_by_judge(struct json_sieve *s, struct buf *out)
{
    struct str text = buf_str(&s->held), left = text;
    yyjson_doc *doc = s->is_lost ? NULL : yyjson_read(text.p, text.n, YYJSON_READ_NUMBER_AS_RAW);
    yyjson_mut_doc *mut = doc ? yyjson_doc_mut_copy(doc, NULL) : NULL;
    bool is_element = s->depth && sieve_level(s)->is_list;
    enum sieve_verdict verdict;
    char *written = NULL;

    yyjson_doc_free(doc);
    if (mut == NULL) {
        s->is_lost = true;
        return;
    }
    verdict = s->judge(s->about, mut);
    if (verdict == SIEVE_CHANGED) {
        written = yyjson_mut_write(mut, 0, &left.n);
        check(written != NULL);
        left.p = written;
    }
    check(verdict != SIEVE_GOES || is_element);
    if (verdict != SIEVE_GOES) {
        if (is_element)
            sieve_comma(s, out);
        buf_add_str(out, left);
    }
    free(written);
    yyjson_mut_doc_free(mut);
}

/* A value is over. */
static void sieve_after(struct json_sieve *s, struct buf *out)
{
    if (s->is_held && s->judge)
        sieve_by_judge(s, out);
    else if (s->is_held)
        sieve_by_key(s, out);
    if (s->is_held)
        buf_reset(&s->held);
    s->is_held = false;
    s->judge = NULL;
    s->is_dropped = false;
    s->state = s->depth ? SIEVE_AFTER : SIEVE_END;
}

static void sieve_put(struct json_sieve *s, struct str bytes, struct buf *out)
{
    size_t most = s->judge ? SIEVE_JUDGED : SIEVE_HELD;

    if (s->is_held && buf_len(&s->held) < most)
        buf_add_str(&s->held, str_head(bytes, most - buf_len(&s->held)));
    else if (!s->is_held && !s->is_dropped)
        buf_add_str(out, bytes);
    s->is_lost = s->is_lost || (s->is_held && s->judge && buf_len(&s->held) == most);
}

/* The first byte of a value. */
static bool sieve_begin(struct json_sieve *s, char c, struct buf *out)
{
    bool is_open = c == '{' || c == '[';

    if (strchr("}],:", c))
        return false;
    if (s->depth && sieve_level(s)->is_list) {
        s->is_held = sieve_judges(s);
        s->alive = sieve_follow(s, STR("*"));
        if (!s->is_held && !s->judge && !s->is_dropped)
            sieve_comma(s, out);
    }
    if (s->depth == 0 && !is_open)
        s->judge = NULL; /* a number that is all of the text has no end to be judged at */
    if (s->judge && !s->is_dropped)
        s->is_held = true;
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
    s->judge = NULL;
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
        if (s->is_lost)
            return false;
        bytes = str_skip(bytes, n);
    }
    return true;
}
