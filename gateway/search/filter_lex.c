/*
 * filter_lex: sqlparse 0.6.1's tokenizer, without its regular expressions.
 *
 * sqlparse tries some fifty patterns, in order, at each place of the text, with Python's IGNORECASE
 * and UNICODE; the first that matches makes a token. Here the first character says which of them
 * can match, and they are tried in the same order. What the patterns' backtracking comes to:
 *
 * - A quoted text goes on over doubled quotes and, unless it is a name, over \'. When that runs to
 *   the end of the text, it ends at the last quote that was passed over instead: 'a'' is the string
 *   'a' and a quote that is no token of its own.
 * - A number may not touch a letter or '_': 12e is the number 1 and the name 2e; 1e is a name.
 * - A word before a period (blanks between, no digit after), after one, or before '(' is a name
 *   whatever it spells, but for seven keywords that are tried first.
 *
 * Two characters are the same without regard to case as Python's re has it: beyond ASCII that makes
 * U+0130 and U+0131 an i, U+017F an s and U+212A a k. Keywords are looked up by str.upper(), which
 * has another opinion on the same matter (U+FB01 becomes FI).
 *
 * Comments and $$ literals are searched for with a memory of what was not found. Where different
 * $tag$ literals without an end are strewn over a long text, the search gives up after a multiple
 * of the text's length (is_exhausted): that is the one place where sqlparse would go on.
 */
#include "gateway/search/filter_lex.h"

#include <stdlib.h>
#include <string.h>

#include "ingest/python.h"

enum { WORD_BYTES_MAX = 32 }; /* more than any keyword has */

#define END_OF_TEXT UINT32_MAX

struct keyword {
    const char *text;
    enum lex_type type;
};

#define WORD(text, type) {text, LEX_##type},
static const struct keyword keywords[] = {
#include "gateway/search/filter_words.def"
};
#undef WORD

#define LEX_WORD(name, text) text,
static const char *const marks[] = {
#include "gateway/search/filter_marks.def"
};
#undef LEX_WORD

/* Words that belong together, each blank standing for any white space; a longer one comes before
 * its own beginning. They end at the end of a word. */
struct phrase {
    const char *text;
    enum lex_type type;
};

static const struct phrase phrases[] = {
    {"JOIN", LEX_KEYWORD},
    {"INNER JOIN", LEX_KEYWORD},
    {"OUTER JOIN", LEX_KEYWORD},
    {"STRAIGHT JOIN", LEX_KEYWORD},
    {"LEFT JOIN", LEX_KEYWORD},
    {"LEFT INNER JOIN", LEX_KEYWORD},
    {"LEFT OUTER JOIN", LEX_KEYWORD},
    {"LEFT STRAIGHT JOIN", LEX_KEYWORD},
    {"RIGHT JOIN", LEX_KEYWORD},
    {"RIGHT INNER JOIN", LEX_KEYWORD},
    {"RIGHT OUTER JOIN", LEX_KEYWORD},
    {"RIGHT STRAIGHT JOIN", LEX_KEYWORD},
    {"FULL JOIN", LEX_KEYWORD},
    {"FULL INNER JOIN", LEX_KEYWORD},
    {"FULL OUTER JOIN", LEX_KEYWORD},
    {"FULL STRAIGHT JOIN", LEX_KEYWORD},
    {"CROSS JOIN", LEX_KEYWORD},
    {"NATURAL JOIN", LEX_KEYWORD},
    {"END IF", LEX_KEYWORD},
    {"END LOOP", LEX_KEYWORD},
    {"END WHILE", LEX_KEYWORD},
    {"END FOR", LEX_KEYWORD},
    {"END CASE", LEX_KEYWORD},
    {"END", LEX_KEYWORD},
    {"IF NOT EXISTS", LEX_KEYWORD},
    {"IF EXISTS", LEX_KEYWORD},
    {"NOT NULL", LEX_KEYWORD},
    {"ASC NULLS FIRST", LEX_ORDER},
    {"ASC NULLS LAST", LEX_ORDER},
    {"DESC NULLS FIRST", LEX_ORDER},
    {"DESC NULLS LAST", LEX_ORDER},
    {"ASC", LEX_ORDER},
    {"DESC", LEX_ORDER},
    {"NULLS FIRST", LEX_ORDER},
    {"NULLS LAST", LEX_ORDER},
    {"UNION ALL", LEX_KEYWORD},
    {"CREATE OR REPLACE", LEX_DDL},
    {"CREATE", LEX_DDL},
    {"DOUBLE PRECISION", LEX_BUILTIN},
    {"GROUP BY", LEX_KEYWORD},
    {"ORDER BY", LEX_KEYWORD},
    {"PRIMARY KEY", LEX_KEYWORD},
    {"HANDLER FOR", LEX_KEYWORD},
    {"LATERAL VIEW EXPLODE", LEX_KEYWORD},
    {"LATERAL VIEW INLINE", LEX_KEYWORD},
    {"LATERAL VIEW PARSE_URL_TUPLE", LEX_KEYWORD},
    {"LATERAL VIEW POSEXPLODE", LEX_KEYWORD},
    {"LATERAL VIEW STACK", LEX_KEYWORD},
    {"NOT LIKE", LEX_COMPARISON},
    {"NOT ILIKE", LEX_COMPARISON},
    {"NOT RLIKE", LEX_COMPARISON},
    {"LIKE", LEX_COMPARISON},
    {"ILIKE", LEX_COMPARISON},
    {"RLIKE", LEX_COMPARISON},
    {"NOT REGEXP BINARY", LEX_COMPARISON},
    {"NOT REGEXP", LEX_COMPARISON},
    {"REGEXP BINARY", LEX_COMPARISON},
    {"REGEXP", LEX_COMPARISON},
};

/* Keywords even before a parenthesis or a period. */
static const char *const strong_keywords[] = {"CASE", "IN", "VALUES", "USING", "FROM", "AS"};

/* -- characters ------------------------------------------------------------------------------- */

/* The character at pos and, unless next is NULL, where the one after it begins. */
static uint32_t lex_char(const struct filter_lex *l, size_t pos, size_t *next)
{
    struct str rest;
    uint32_t cp;

    if (pos >= l->text.n) {
        if (next)
            *next = pos;
        return END_OF_TEXT;
    }
    rest = str_skip(l->text, pos);
    cp = (unsigned char)rest.p[0] < 0x80 ? (unsigned char)rest.p[0] : 0;
    if (cp || rest.p[0] == '\0')
        rest.p++;
    else
        cp = python_next(&rest);
    if (next)
        *next = (size_t)(rest.p - l->text.p);
    return cp;
}

/* The character before pos. */
static uint32_t lex_char_before(const struct filter_lex *l, size_t pos)
{
    if (pos == 0)
        return END_OF_TEXT;
    do
        pos--;
    while (pos > 0 && ((unsigned char)l->text.p[pos] & 0xC0) == 0x80);
    return lex_char(l, pos, NULL);
}

/* The byte at pos, 0 past the end; for comparisons with ASCII. */
static char lex_byte(const struct filter_lex *l, size_t pos)
{
    return pos < l->text.n ? l->text.p[pos] : '\0';
}

static bool lex_is(const struct filter_lex *l, size_t pos, struct str what)
{
    return str_starts(str_skip(l->text, pos), what);
}

/* \w */
static bool is_word(uint32_t cp)
{
    if (cp < 0x80)
        return cp == '_' || (cp - '0') < 10 || ((cp | 0x20) - 'a') < 26;
    return cp != END_OF_TEXT && python_is_alnum(cp);
}

/* [A-ZA-U] with the accents and IGNORECASE */
static bool is_letter(uint32_t cp)
{
    if (cp < 0x80)
        return (cp | 0x20) >= 'a' && (cp | 0x20) <= 'z';
    return (cp >= 0xC0 && cp <= 0xDC) || (cp >= 0xE0 && cp <= 0xFC && cp != 0xF7) || cp == 0x130 ||
           cp == 0x131 || cp == 0x17F || cp == 0x212A || cp == 0x212B;
}

static bool is_space(uint32_t cp)
{
    return cp != END_OF_TEXT && python_is_space(cp);
}

static bool is_decimal(uint32_t cp)
{
    return cp != END_OF_TEXT && python_is_decimal(cp);
}

/* What IGNORECASE compares, for the letters of patterns. */
static uint32_t lex_fold(uint32_t cp)
{
    switch (cp) {
    case 0x130:
    case 0x131: return 'i';
    case 0x17F: return 's';
    case 0x212A: return 'k';
    default: return cp >= 'A' && cp <= 'Z' ? cp | 0x20 : cp;
    }
}

static size_t lex_skip(const struct filter_lex *l, size_t pos, bool (*is)(uint32_t cp))
{
    size_t next = pos;

    while (is(lex_char(l, pos, &next)))
        pos = next;
    return pos;
}

/* Over \w*. */
static size_t lex_skip_word(const struct filter_lex *l, size_t pos)
{
    size_t next;

    for (;;) {
        while (pos < l->text.n && (unsigned char)l->text.p[pos] < 0x80 &&
               is_word((unsigned char)l->text.p[pos]))
            pos++;
        if (pos >= l->text.n || (unsigned char)l->text.p[pos] < 0x80)
            return pos;
        if (!is_word(lex_char(l, pos, &next)))
            return pos;
        pos = next;
    }
}

/* Over \s*. Many patterns look over the same blanks: the last ones are remembered. */
static size_t lex_skip_space(struct filter_lex *l, size_t pos)
{
    if (pos < l->space_from || pos >= l->space_end) {
        l->space_from = pos;
        l->space_end = lex_skip(l, pos, is_space);
    }
    return l->space_end;
}

/* -- words ------------------------------------------------------------------------------------ */

size_t filter_lex_upper(struct str s, char *out, size_t size)
{
    size_t n = 0;

    while (s.n) {
        uint32_t cp = python_next(&s);
        const char *upper = NULL;

        if (n + 4 > size)
            return 0;
        switch (cp) {
        case 0xDF: upper = "SS"; break;
        case 0x131: upper = "I"; break;
        case 0x17F: upper = "S"; break;
        case 0xFB00: upper = "FF"; break;
        case 0xFB01: upper = "FI"; break;
        case 0xFB02: upper = "FL"; break;
        case 0xFB03: upper = "FFI"; break;
        case 0xFB04: upper = "FFL"; break;
        case 0xFB05:
        case 0xFB06: upper = "ST"; break;
        default:
            if (cp == 0 || cp >= 0x80)
                return 0;
            out[n++] = (char)(cp >= 'a' && cp <= 'z' ? cp - 0x20 : cp);
        }
        while (upper && *upper)
            out[n++] = *upper++;
    }
    out[n] = '\0';
    return n;
}

static int lex_compare_keyword(const void *key, const void *row)
{
    return strcmp(key, ((const struct keyword *)row)->text);
}

static int lex_compare_mark(const void *key, const void *row)
{
    return strcmp(key, *(const char *const *)row);
}

/* Gives a token of the type the word that others compare it with. */
static void lex_name_word(const struct filter_lex *l, struct filter_token *t)
{
    struct str s = {l->text.p + t->start, t->end - t->start};
    char upper[WORD_BYTES_MAX];
    const char *const *mark;

    if (filter_lex_upper(s, upper, sizeof(upper)) == 0)
        return;
    mark = bsearch(upper, marks, array_len(marks), sizeof(marks[0]), lex_compare_mark);
    if (mark)
        t->word = (uint8_t)(mark - marks + 1);
}

/* The keyword dictionaries. */
static enum lex_type lex_look_up(struct str s)
{
    char upper[WORD_BYTES_MAX];
    const struct keyword *found;

    if (filter_lex_upper(s, upper, sizeof(upper)) == 0)
        return LEX_NAME;
    found = bsearch(upper, keywords, array_len(keywords), sizeof(keywords[0]), lex_compare_keyword);
    return found ? found->type : LEX_NAME;
}

/* Does text stand at pos, case and amount of blanks aside? Where it ends, else 0. */
static size_t lex_match(struct filter_lex *l, size_t pos, const char *text)
{
    for (; *text; text++) {
        size_t next;

        if (*text == ' ') {
            next = lex_skip_space(l, pos);
            if (next == pos)
                return 0;
        } else if (lex_fold(lex_char(l, pos, &next)) != lex_fold((unsigned char)*text)) {
            return 0;
        }
        pos = next;
    }
    return pos;
}

/* \b after a word character */
static bool lex_ends_word(const struct filter_lex *l, size_t pos)
{
    return !is_word(lex_char(l, pos, NULL));
}

static size_t lex_go(struct filter_lex *l, size_t pos)
{
    size_t end = lex_match(l, pos, "GO");
    size_t digits;

    if (end == 0 || !is_space(lex_char(l, end, &end)))
        return 0;
    digits = lex_skip(l, end, is_decimal);
    return digits > end && lex_ends_word(l, digits) ? digits : 0;
}

/* AT TIME ZONE '...' */
static size_t lex_time_zone(struct filter_lex *l, size_t pos)
{
    size_t end = lex_match(l, pos, "AT TIME ZONE '");
    const char *close;

    if (end == 0)
        end = lex_match(l, pos, "WITH' TIME ZONE '");
    if (end == 0 || lex_byte(l, end) == '\'')
        return 0;
    close = memchr(l->text.p + end, '\'', l->text.n - end);
    return close ? (size_t)(close - l->text.p) + 1 : 0;
}

static size_t lex_phrase(struct filter_lex *l, size_t pos, enum lex_type *type)
{
    uint32_t first = lex_fold(lex_char(l, pos, NULL));
    size_t end;

    for (size_t i = 0; i < array_len(phrases); i++) {
        if (lex_fold((unsigned char)phrases[i].text[0]) != first)
            continue;
        end = lex_match(l, pos, phrases[i].text);
        if (end && lex_ends_word(l, end)) {
            *type = phrases[i].type;
            return end;
        }
    }
    if (first == 'g' && (end = lex_go(l, pos)) != 0) {
        *type = LEX_KEYWORD;
        return end;
    }
    if ((first == 'a' || first == 'w') && (end = lex_time_zone(l, pos)) != 0) {
        *type = LEX_TZCAST;
        return end;
    }
    return 0;
}

static size_t lex_strong_keyword(struct filter_lex *l, size_t pos)
{
    for (size_t i = 0; i < array_len(strong_keywords); i++) {
        size_t end = lex_match(l, pos, strong_keywords[i]);

        if (end && lex_ends_word(l, end))
            return end;
    }
    return 0;
}

/* A word that what stands around it makes a name. */
static size_t lex_placed_name(struct filter_lex *l, size_t pos)
{
    size_t end, after;

    lex_char(l, pos, &end);
    end = lex_skip_word(l, end);
    if (lex_byte(l, end) == '(' || (pos > 0 && l->text.p[pos - 1] == '.'))
        return end;
    after = lex_skip_space(l, end);
    return lex_byte(l, after) == '.' && !is_decimal(lex_char(l, after + 1, NULL)) ? end : 0;
}

/* A word that begins with a letter, a digit or '_'. */
static size_t lex_word_at(struct filter_lex *l, size_t pos, enum lex_type *type)
{
    size_t end = lex_phrase(l, pos, type);

    if (end)
        return end;
    end = lex_skip_word(l, pos);
    while (end > pos && (lex_byte(l, end) == '$' || lex_byte(l, end) == '#'))
        end = lex_skip_word(l, end + 1);
    if (end > pos)
        *type = lex_look_up((struct str){l->text.p + pos, end - pos});
    return end > pos ? end : 0;
}

/* -- numbers, quotes -------------------------------------------------------------------------- */

static bool is_hexadecimal(uint32_t cp)
{
    return is_decimal(cp) || ((cp | 0x20) >= 'a' && (cp | 0x20) <= 'f');
}

/* Digits from..end, which may not touch a letter: where they end then, or from. */
static size_t lex_digits_end(const struct filter_lex *l, size_t from, size_t end)
{
    uint32_t cp = lex_char(l, end, NULL);

    if (end == from || (cp != '_' && !is_letter(cp)))
        return end;
    do
        end--;
    while (end > from && ((unsigned char)l->text.p[end] & 0xC0) == 0x80);
    return end;
}

/* e-5, or 0 */
static size_t lex_exponent(const struct filter_lex *l, size_t pos)
{
    size_t from = pos + 1;
    size_t end;

    if ((lex_byte(l, pos) | 0x20) != 'e')
        return 0;
    from += lex_byte(l, from) == '-';
    end = lex_skip(l, from, is_decimal);
    return end > from ? end : 0;
}

static size_t lex_float(const struct filter_lex *l, size_t from, size_t whole)
{
    size_t fraction, end;

    if (whole > from && (end = lex_exponent(l, whole)) != 0)
        return end;
    if (lex_byte(l, whole) != '.')
        return 0;
    fraction = lex_skip(l, whole + 1, is_decimal);
    if (whole > from && fraction > whole + 1 && (end = lex_exponent(l, fraction)) != 0)
        return end;
    if (fraction == whole + 1) {
        uint32_t cp = lex_char(l, fraction, NULL);

        return whole > from && cp != '_' && !is_letter(cp) ? fraction : 0;
    }
    end = lex_digits_end(l, whole + 1, fraction);
    return end > whole + 1 || whole > from ? end : 0;
}

static size_t lex_number(const struct filter_lex *l, size_t pos, enum lex_type *type)
{
    size_t from = pos + (lex_byte(l, pos) == '-');
    size_t whole, end;

    if (lex_byte(l, from) == '0' && (lex_byte(l, from + 1) | 0x20) == 'x' &&
        (end = lex_skip(l, from + 2, is_hexadecimal)) > from + 2) {
        *type = LEX_HEXADECIMAL;
        return end;
    }
    whole = lex_skip(l, from, is_decimal);
    *type = LEX_FLOAT;
    if ((end = lex_float(l, from, whole)) != 0)
        return end;
    *type = LEX_INTEGER;
    end = lex_digits_end(l, from, whole);
    return end > from ? end : 0;
}

/* A quote is one byte or two. */
static bool lex_is_quote(const struct filter_lex *l, size_t pos, struct str quote)
{
    return lex_byte(l, pos) == quote.p[0] && (quote.n == 1 || lex_byte(l, pos + 1) == quote.p[1]);
}

static size_t lex_quoted(const struct filter_lex *l, size_t pos, struct str quote, bool has_escape)
{
    size_t i = pos + quote.n;
    size_t last = 0;

    while (i < l->text.n) {
        if (has_escape && l->text.p[i] == '\\' && lex_is_quote(l, i + 1, quote)) {
            i = last = i + 1 + quote.n;
        } else if (!lex_is_quote(l, i, quote)) {
            i++;
        } else if (lex_is_quote(l, i + quote.n, quote)) {
            last = i + quote.n;
            i = last + quote.n;
        } else {
            return i + quote.n;
        }
    }
    return last;
}

/* [name], not behind a word or a bracket */
static size_t lex_bracketed(const struct filter_lex *l, size_t pos)
{
    uint32_t before = lex_char_before(l, pos);
    size_t end = pos + 1;

    if (is_word(before) || before == ']' || before == ')')
        return 0;
    while (end < l->text.n && l->text.p[end] != '[' && l->text.p[end] != ']')
        end++;
    return lex_byte(l, end) == ']' && end > pos + 1 ? end + 1 : 0;
}

/* -- comments and literals with delimiters ----------------------------------------------------- */

static size_t lex_line_end(const struct filter_lex *l, size_t pos)
{
    while (pos < l->text.n && l->text.p[pos] != '\r' && l->text.p[pos] != '\n')
        pos++;
    if (lex_byte(l, pos) == '\r' && lex_byte(l, pos + 1) == '\n')
        return pos + 2;
    return pos < l->text.n ? pos + 1 : pos;
}

static size_t lex_block_comment(struct filter_lex *l, size_t pos)
{
    size_t from = pos + (lex_byte(l, pos + 2) == '+' ? 3 : 2);
    const char *p = l->text.p + from;
    const char *end = l->text.p + l->text.n;

    if (from >= l->no_comment_end)
        return 0;
    while (p < end && (p = memchr(p, '*', (size_t)(end - p))) != NULL && p + 1 < end) {
        if (p[1] == '/')
            return (size_t)(p - l->text.p) + 2;
        p++;
    }
    l->no_comment_end = from;
    return 0;
}

/* $tag$ ... $tag$ */
static size_t lex_dollars(struct filter_lex *l, size_t pos)
{
    uint32_t before = lex_char_before(l, pos);
    size_t next = pos + 1;
    size_t second;
    uint32_t cp = lex_char(l, next, &second);
    struct str tag, rest;

    if (is_word(before) || before == '"' || before == '$')
        return 0;
    if (cp == '_' || is_letter(cp))
        next = lex_skip_word(l, second);
    if (lex_byte(l, next) != '$')
        return 0;
    tag = (struct str){l->text.p + pos, next + 1 - pos};
    rest = str_skip(l->text, next + 1);
    while (rest.n >= tag.n) {
        size_t i = str_find(rest, '$');
        size_t looked = i + tag.n < rest.n ? i + tag.n : rest.n;

        if (looked > l->dollar_budget) {
            l->is_exhausted = true;
            return 0;
        }
        l->dollar_budget -= looked;
        rest = str_skip(rest, i);
        if (str_starts(rest, tag))
            return (size_t)(rest.p - l->text.p) + tag.n;
        rest = str_skip(rest, 1);
    }
    return 0;
}

/* -- everything together ----------------------------------------------------------------------- */

static bool is_comparison(uint32_t cp)
{
    return cp == '<' || cp == '>' || cp == '=' || cp == '~' || cp == '!';
}

static bool is_operator(uint32_t cp)
{
    return cp < 0x80 && cp != 0 && strchr("+/@#%^&|-", (int)cp) != NULL;
}

static size_t lex_operator(const struct filter_lex *l, size_t pos, enum lex_type *type)
{
    static const struct str fixed[] = {STR_INIT("->>"), STR_INIT("->"), STR_INIT("#>>"),
                                       STR_INIT("#>"),  STR_INIT("@>"), STR_INIT("<@"),
                                       STR_INIT("-"),   STR_INIT("#-")};
    size_t end;

    *type = LEX_OPERATOR;
    for (size_t i = 0; i < array_len(fixed); i++) {
        if (lex_is(l, pos, fixed[i]))
            return pos + fixed[i].n;
    }
    end = lex_skip(l, pos, is_comparison);
    if (end > pos) {
        *type = LEX_COMPARISON;
        return end;
    }
    end = lex_skip(l, pos, is_operator);
    return end > pos ? end : 0;
}

/* %s and %(name)s */
static size_t lex_percent(const struct filter_lex *l, size_t pos)
{
    size_t end = pos + 1;

    if (lex_byte(l, end) == '(') {
        end = lex_skip_word(l, pos + 2);
        if (end == pos + 2 || lex_byte(l, end) != ')')
            return 0;
        end++;
    }
    return lex_fold(lex_char(l, end, &end)) == 's' ? end : 0;
}

/* mark and a name: $1 :name \command */
static size_t lex_marked(const struct filter_lex *l, size_t pos)
{
    size_t end = lex_skip_word(l, pos + 1);

    return end > pos + 1 ? end : 0;
}

/* @name, #name, ##name, of two characters at least */
static size_t lex_sigil(const struct filter_lex *l, size_t pos)
{
    size_t first = pos + (lex_is(l, pos, STR("##")) ? 2 : 1);
    size_t second, end;

    if (!is_letter(lex_char(l, first, &second)))
        return 0;
    end = lex_skip_word(l, second);
    return end > second ? end : 0;
}

/* What begins with one certain ASCII character; 0 when the patterns for that do not match. */
static size_t lex_special(struct filter_lex *l, size_t pos, enum lex_type *type)
{
    char c = l->text.p[pos];
    char c2 = lex_byte(l, pos + 1);
    size_t end = 0;

    switch (c) {
    case '\r':
    case '\n': *type = LEX_NEWLINE; return pos + (c == '\r' && c2 == '\n' ? 2 : 1);
    case '*': *type = LEX_WILDCARD; return pos + 1;
    case '?': *type = LEX_PLACEHOLDER; return pos + 1;
    case '`': *type = LEX_NAME; return lex_quoted(l, pos, STR("`"), false);
    case '\'': *type = LEX_SINGLE; return lex_quoted(l, pos, STR("'"), true);
    case '"': *type = LEX_SYMBOL; return lex_quoted(l, pos, STR("\""), true);
    case '%': *type = LEX_PLACEHOLDER; return lex_percent(l, pos);
    case '\\': *type = LEX_COMMAND; return lex_marked(l, pos);
    case '[': *type = LEX_NAME; return lex_bracketed(l, pos);
    case '/': *type = LEX_COMMENT_OTHER; return c2 == '*' ? lex_block_comment(l, pos) : 0;
    case '@':
    case '#':
        if (c == '#' && c2 == ' ')
            break;
        *type = LEX_NAME;
        return lex_sigil(l, pos);
    case '$':
        *type = LEX_LITERAL;
        if ((end = lex_dollars(l, pos)) != 0)
            return end;
        *type = LEX_PLACEHOLDER;
        return is_word(lex_char_before(l, pos)) ? 0 : lex_marked(l, pos);
    case ':':
        *type = c2 == '=' ? LEX_ASSIGNMENT : LEX_PUNCTUATION;
        if (c2 == '=' || c2 == ':')
            return pos + 2;
        *type = LEX_PLACEHOLDER;
        return is_word(lex_char_before(l, pos)) ? 0 : lex_marked(l, pos);
    case '-':
        if (c2 == '-')
            break;
        return lex_number(l, pos, type);
    default: return 0;
    }
    *type = lex_byte(l, pos + 2) == '+' ? LEX_COMMENT_OTHER : LEX_COMMENT_SINGLE;
    return lex_line_end(l, pos);
}

static size_t lex_common(struct filter_lex *l, size_t pos, uint32_t cp, size_t next,
                         enum lex_type *type)
{
    size_t end;

    if (cp == 0xB4) {
        *type = LEX_NAME;
        return lex_quoted(l, pos, STR("\xC2\xB4"), false);
    }
    if (is_letter(cp)) {
        *type = LEX_KEYWORD;
        if ((end = lex_strong_keyword(l, pos)) != 0)
            return end;
        *type = LEX_NAME;
        if ((end = lex_placed_name(l, pos)) != 0)
            return end;
    }
    if ((is_decimal(cp) || cp == '.') && (end = lex_number(l, pos, type)) != 0)
        return end;
    if ((end = lex_word_at(l, pos, type)) != 0)
        return end;
    *type = LEX_PUNCTUATION;
    if (cp < 0x80 && cp != 0 && strchr(";:()[],.", (int)cp))
        return next;
    return lex_operator(l, pos, type);
}

void filter_lex_init(struct filter_lex *l, struct str text)
{
    *l = (struct filter_lex){.text = text, .no_comment_end = SIZE_MAX};
    l->dollar_budget = 2 * text.n + 65536;
    check(text.n < UINT32_MAX);
}

bool filter_lex_next(struct filter_lex *l, struct filter_token *t)
{
    size_t pos = l->pos;
    size_t end = 0;
    size_t next;
    uint32_t cp = lex_char(l, pos, &next);
    enum lex_type type = LEX_ERROR;

    if (cp == END_OF_TEXT)
        return false;
    if (cp < 0x80)
        end = lex_special(l, pos, &type);
    if (end == 0 && is_space(cp)) {
        type = LEX_WHITESPACE;
        end = next;
    }
    if (end == 0)
        end = lex_common(l, pos, cp, next, &type);
    if (end == 0) {
        type = LEX_ERROR;
        end = next;
    }
    *t = (struct filter_token){(uint8_t)type, WORD_NONE, (uint32_t)pos, (uint32_t)end};
    if (end - pos < WORD_BYTES_MAX && type != LEX_WHITESPACE)
        lex_name_word(l, t);
    l->pos = end;
    return true;
}
