/*
 * literal_parse: Python's expressions, by precedence climbing over the tokens of literal_token.
 *
 * What literal_eval accepts is parsed exactly: strings with their prefixes and escapes, numbers,
 * constants, tuples, lists, sets, dicts, signs, sums. Of every other expression only two things are
 * asked: whether it is one, and the name of its class in Python's ast. Operators, calls,
 * attributes, conditions, comprehensions are recognised as such; what is not looked into: the
 * parameters of lambdas, f-strings, the order of arguments.
 *
 * \N{name} has no answer without Unicode's names and counts as ill-formed.
 */
#include "gateway/search/literal_parse.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "gateway/search/literal_token.h"

enum { INT_DIGITS_MAX = 4300, NESTING_MAX = 4 * LITERAL_DEPTH_MAX };

struct literal_operator {
    const char *text;
    unsigned level;
    const char *class;
};

enum { LEVEL_OR = 1, LEVEL_NOT = 3, LEVEL_COMPARE = 4, LEVEL_SUM = 9, LEVEL_SIGN = 11 };

static const struct literal_operator operators[] = {
    {"or", 1, "BoolOp"},  {"and", 2, "BoolOp"}, {"in", 4, "Compare"}, {"not", 4, "Compare"},
    {"is", 4, "Compare"}, {"<", 4, "Compare"},  {">", 4, "Compare"},  {"==", 4, "Compare"},
    {">=", 4, "Compare"}, {"<=", 4, "Compare"}, {"!=", 4, "Compare"}, {"|", 5, "BinOp"},
    {"^", 6, "BinOp"},    {"&", 7, "BinOp"},    {"<<", 8, "BinOp"},   {">>", 8, "BinOp"},
    {"+", 9, "BinOp"},    {"-", 9, "BinOp"},    {"*", 10, "BinOp"},   {"/", 10, "BinOp"},
    {"//", 10, "BinOp"},  {"%", 10, "BinOp"},   {"@", 10, "BinOp"},   {"**", 12, "BinOp"},
};

/* Names that are no names. */
static const char *const reserved[] = {
    "and",    "as",   "assert", "async",  "await",  "break",   "class",    "continue",
    "def",    "del",  "elif",   "else",   "except", "finally", "for",      "from",
    "global", "if",   "import", "in",     "is",     "lambda",  "nonlocal", "not",
    "or",     "pass", "raise",  "return", "try",    "while",   "with",     "yield"};

/* -- strings and numbers
 * ------------------------------------------------------------------------- */

static void parser_add_char(struct buf *out, uint32_t cp)
{
    if (cp < 0x80) {
        buf_add_byte(out, (char)cp);
    } else if (cp < 0x800) {
        buf_add_byte(out, (char)(0xC0 | cp >> 6));
        buf_add_byte(out, (char)(0x80 | (cp & 0x3F)));
    } else {
        if (cp < 0x10000) {
            buf_add_byte(out, (char)(0xE0 | cp >> 12));
        } else {
            buf_add_byte(out, (char)(0xF0 | cp >> 18));
            buf_add_byte(out, (char)(0x80 | (cp >> 12 & 0x3F)));
        }
        buf_add_byte(out, (char)(0x80 | (cp >> 6 & 0x3F)));
        buf_add_byte(out, (char)(0x80 | (cp & 0x3F)));
    }
}

/* Exactly n hexadecimal digits. */
static bool literal_hex(struct str *s, size_t n, uint32_t *out)
{
    *out = 0;
    for (size_t i = 0; i < n; i++) {
        if (i >= s->n || !literal_is_hex(s->p[i]))
            return false;
        *out = *out << 4 |
               (uint32_t)(literal_is_digit(s->p[i]) ? s->p[i] - '0' : (s->p[i] | 0x20) - 'a' + 10);
    }
    *s = str_skip(*s, n);
    return true;
}

/* The escape behind a backslash; false for one that Python refuses. */
static bool literal_escape(struct buf *out, struct str *s, bool is_bytes)
{
    static const char from[] = "\\'\"abfnrtv", to[] = "\\'\"\a\b\f\n\r\t\v";
    char c = s->n ? s->p[0] : '\0';
    const char *simple = c ? strchr(from, c) : NULL;
    uint32_t cp = 0;

    *s = str_skip(*s, 1);
    if (c == '\n' || c == '\r') {
        if (c == '\r' && s->n && s->p[0] == '\n')
            *s = str_skip(*s, 1);
        return true;
    }
    if (simple) {
        buf_add_byte(out, to[simple - from]);
        return true;
    }
    if (literal_is_octal(c)) {
        cp = (uint32_t)(c - '0');
        for (int i = 0; i < 2 && s->n && literal_is_octal(s->p[0]); i++) {
            cp = cp << 3 | (uint32_t)(s->p[0] - '0');
            *s = str_skip(*s, 1);
        }
    } else if (c == 'x' || (!is_bytes && (c == 'u' || c == 'U'))) {
        if (!literal_hex(s, c == 'x' ? 2 : c == 'u' ? 4 : 8, &cp) || cp > 0x10FFFF)
            return false;
    } else if (c == 'N' && !is_bytes) {
        return false;
    } else {
        buf_add_byte(out, '\\');
        buf_add_byte(out, c);
        return true;
    }
    if (is_bytes)
        buf_add_byte(out, (char)cp);
    else
        parser_add_char(out, cp);
    return true;
}

/* What stands between the quotes. */
static bool literal_unescape(struct buf *out, struct str s, bool is_raw, bool is_bytes)
{
    while (s.n) {
        char c = s.p[0];

        if (is_bytes && (unsigned char)c >= 0x80)
            return false;
        s = str_skip(s, 1);
        if (c == '\\' && !is_raw) {
            if (!literal_escape(out, &s, is_bytes))
                return false;
        } else if (c == '\r') {
            buf_add_byte(out, '\n');
            if (s.n && s.p[0] == '\n')
                s = str_skip(s, 1);
        } else {
            buf_add_byte(out, c);
        }
    }
    return true;
}

static struct literal *literal_new(struct literal_tokens *p, enum literal_kind kind,
                                   const char *class, uint32_t line)
{
    struct literal *n = arena_zalloc(p->a, sizeof(*n));

    n->kind = kind;
    n->class = class;
    n->line = line;
    return n;
}

/* Strings that stand next to each other. */
static struct literal *parse_strings(struct literal_tokens *p)
{
    struct literal *n = literal_new(p, LITERAL_STR, "Constant", p->token_line);
    bool is_first = true, is_ok = true, has_format = false;
    struct buf out;

    buf_init(&out);
    for (; is_ok && p->kind == TOKEN_STRING; literal_next(p)) {
        bool is_bytes = false, is_raw = false;
        struct str s = p->token;
        size_t quotes;

        for (; s.p[0] != '\'' && s.p[0] != '"'; s = str_skip(s, 1)) {
            is_bytes = is_bytes || (s.p[0] | 0x20) == 'b';
            is_raw = is_raw || (s.p[0] | 0x20) == 'r';
            has_format = has_format || (s.p[0] | 0x20) == 'f';
        }
        if (!is_first && is_bytes != (n->kind == LITERAL_BYTES))
            is_ok = false;
        n->kind = is_bytes ? LITERAL_BYTES : LITERAL_STR;
        is_first = false;
        quotes = s.n >= 6 && s.p[1] == s.p[0] && s.p[2] == s.p[0] ? 3 : 1;
        s = (struct str){s.p + quotes, s.n - 2 * quotes};
        is_ok = is_ok && literal_unescape(&out, s, is_raw, is_bytes);
    }
    n->text = arena_dup(p->a, buf_str(&out));
    buf_fini(&out);
    if (has_format) {
        n->kind = LITERAL_OTHER;
        n->class = "JoinedStr";
    }
    return is_ok ? n : NULL;
}

/* The digits of an integer in base 2, 8 or 16 as decimal ones. */
static struct str literal_decimal(struct literal_tokens *p, const char *digits)
{
    int base = (digits[1] | 0x20) == 'x' ? 16 : (digits[1] | 0x20) == 'o' ? 8 : 2;

    return arena_printf(p->a, "%llu", strtoull(digits + 2, NULL, base));
}

static struct literal *parse_number(struct literal_tokens *p)
{
    struct literal *n = literal_new(p, LITERAL_INT, "Constant", p->token_line);
    char *digits = arena_alloc(p->a, p->token.n + 1);
    char repr[JSON_DOUBLE_MAX];
    size_t len = 0;

    for (size_t i = 0; i < p->token.n; i++) {
        if (p->token.p[i] != '_')
            digits[len++] = p->token.p[i];
    }
    digits[len] = '\0';
    literal_next(p);
    n->text = (struct str){digits, len};
    if (len > 2 && digits[0] == '0' && strchr("xXoObB", digits[1])) {
        n->text = literal_decimal(p, digits);
    } else if (strpbrk(digits, ".eEjJ")) {
        bool is_imaginary = (digits[len - 1] | 0x20) == 'j';

        n->kind = is_imaginary ? LITERAL_IMAGINARY : LITERAL_FLOAT;
        n->text = (struct str){repr, json_repr_double(strtod(digits, NULL), repr)};
        if (is_imaginary && str_ends(n->text, STR(".0")))
            n->text.n -= 2;
        n->text = arena_printf(p->a, "%.*s%s", STR_ARG(n->text), is_imaginary ? "j" : "");
    } else {
        while (n->text.n > 1 && n->text.p[0] == '0')
            n->text = str_skip(n->text, 1);
        if (len > INT_DIGITS_MAX || (n->text.n != len && !str_eq(n->text, STR("0"))))
            return NULL;
    }
    return n;
}

/* -- expressions
 * --------------------------------------------------------------------------------- */

static struct literal *parse_expression(struct literal_tokens *p);
static struct literal *parse_binary(struct literal_tokens *p, unsigned level);
static struct literal *parse_item(struct literal_tokens *p);

static void literal_add(struct literal_tokens *p, struct literal *n, struct literal *item)
{
    if ((n->count & (n->count - 1)) == 0) {
        struct literal **more = arena_array(p->a, n->count ? n->count * 2 : 1, sizeof(more[0]));

        if (n->count)
            memcpy(more, n->items, n->count * sizeof(more[0]));
        n->items = more;
    }
    n->items[n->count++] = item;
}

static bool parser_is_comprehension(const struct literal_tokens *p)
{
    return literal_is(p, "for") || literal_is(p, "async");
}

static bool literal_is_class(const struct literal *n, const char *class)
{
    return strcmp(n->class, class) == 0;
}

/* What a loop may assign to: names and the like, separated by commas. */
static bool parse_targets(struct literal_tokens *p)
{
    do {
        const struct literal *n;

        (void)literal_take(p, "*");
        n = parse_binary(p, LEVEL_COMPARE + 1);
        if (n == NULL || !(literal_is_class(n, "Name") || literal_is_class(n, "Attribute") ||
                           literal_is_class(n, "Subscript") || literal_is_class(n, "Tuple") ||
                           literal_is_class(n, "List")))
            return false;
    } while (literal_take(p, ",") && !literal_is(p, "in"));
    return true;
}

/* for x in y if z, up to and over the closing bracket. */
static struct literal *parse_comprehension(struct literal_tokens *p, struct literal *n,
                                           const char *class, const char *close)
{
    while (parser_is_comprehension(p)) {
        (void)literal_take(p, "async");
        if (!literal_take(p, "for") || !parse_targets(p) || !literal_take(p, "in") ||
            parse_binary(p, LEVEL_OR) == NULL)
            return NULL;
        while (literal_take(p, "if")) {
            if (parse_binary(p, LEVEL_OR) == NULL)
                return NULL;
        }
    }
    n->kind = LITERAL_OTHER;
    n->class = class;
    return literal_take(p, close) ? n : NULL;
}

static struct literal *parse_yield(struct literal_tokens *p, struct literal *n)
{
    n->kind = LITERAL_OTHER;
    n->class = "Yield";
    n->line = p->token_line;
    literal_next(p);
    if (literal_take(p, "from")) {
        n->class = "YieldFrom";
        return parse_expression(p) && literal_take(p, ")") ? n : NULL;
    }
    while (!literal_take(p, ")")) {
        if (parse_item(p) == NULL || (!literal_take(p, ",") && !literal_is(p, ")")))
            return NULL;
    }
    return n;
}

/* One item of a display: an expression, *expression, or name := expression. */
static struct literal *parse_item(struct literal_tokens *p)
{
    uint32_t line = p->token_line;
    struct literal *n;

    if (literal_take(p, "*"))
        return parse_binary(p, LEVEL_COMPARE + 1) ? literal_new(p, LITERAL_OTHER, "Starred", line)
                                                  : NULL;
    n = parse_expression(p);
    if (n == NULL || !literal_is(p, ":="))
        return n;
    if (n->kind != LITERAL_OTHER || !literal_is_class(n, "Name"))
        return NULL;
    literal_next(p);
    return parse_expression(p) ? literal_new(p, LITERAL_OTHER, "NamedExpr", line) : NULL;
}

static struct literal *parse_parenthesis(struct literal_tokens *p)
{
    struct literal *n = literal_new(p, LITERAL_TUPLE, "Tuple", p->token_line);
    struct literal *item;

    literal_next(p);
    if (literal_take(p, ")"))
        return n;
    if (literal_is(p, "yield"))
        return parse_yield(p, n);
    for (;;) {
        item = parse_item(p);
        if (item == NULL)
            return NULL;
        literal_add(p, n, item);
        if (n->count == 1 && parser_is_comprehension(p))
            return parse_comprehension(p, n, "GeneratorExp", ")");
        if (literal_take(p, ")"))
            return n->count == 1 && !literal_is_class(item, "Starred") ? item
                   : n->count == 1                                     ? NULL
                                                                       : n;
        if (!literal_take(p, ","))
            return NULL;
        if (literal_take(p, ")"))
            return n;
    }
}

static struct literal *parse_list(struct literal_tokens *p)
{
    struct literal *n = literal_new(p, LITERAL_LIST, "List", p->token_line);

    literal_next(p);
    while (!literal_take(p, "]")) {
        struct literal *item = parse_item(p);

        if (item == NULL)
            return NULL;
        literal_add(p, n, item);
        if (n->count == 1 && parser_is_comprehension(p))
            return parse_comprehension(p, n, "ListComp", "]");
        if (!literal_take(p, ",") && !literal_is(p, "]"))
            return NULL;
    }
    return n;
}

static struct literal *parse_braces(struct literal_tokens *p)
{
    struct literal *n = literal_new(p, LITERAL_DICT, "Dict", p->token_line);

    literal_next(p);
    while (!literal_take(p, "}")) {
        uint32_t line = p->token_line;
        struct literal *item;

        if (literal_take(p, "**")) {
            if (parse_binary(p, LEVEL_COMPARE + 1) == NULL)
                return NULL;
            literal_add(p, n, literal_new(p, LITERAL_OTHER, "Dict", line));
        } else {
            item = parse_item(p);
            if (item == NULL)
                return NULL;
            literal_add(p, n, item);
            if (n->count == 1 && !literal_is(p, ":"))
                n->kind = LITERAL_SET;
            if (n->kind == LITERAL_DICT) {
                if (!literal_take(p, ":") || (item = parse_expression(p)) == NULL)
                    return NULL;
                literal_add(p, n, item);
            }
        }
        if (n->count <= 2 && parser_is_comprehension(p))
            return parse_comprehension(p, n, n->kind == LITERAL_SET ? "SetComp" : "DictComp", "}");
        if (!literal_take(p, ",") && !literal_is(p, "}"))
            return NULL;
    }
    if (n->kind == LITERAL_SET)
        n->class = "Set";
    return n;
}

static bool parser_is_reserved(const struct literal_tokens *p)
{
    for (size_t i = 0; i < array_len(reserved); i++) {
        if (literal_is(p, reserved[i]))
            return true;
    }
    return false;
}

static struct literal *parse_name(struct literal_tokens *p)
{
    static const char *const constants[] = {"None", "True", "False"};
    struct literal *n = literal_new(p, LITERAL_OTHER, "Name", p->token_line);

    for (size_t i = 0; i < array_len(constants); i++) {
        if (literal_is(p, constants[i])) {
            n->kind = LITERAL_CONSTANT;
            n->class = "Constant";
        }
    }
    if (parser_is_reserved(p))
        return NULL;
    n->text = p->token;
    literal_next(p);
    return n;
}

static struct literal *parse_atom(struct literal_tokens *p)
{
    struct literal *n;

    if (p->kind == TOKEN_STRING)
        return parse_strings(p);
    if (p->kind == TOKEN_NUMBER)
        return parse_number(p);
    if (p->kind == TOKEN_NAME)
        return parse_name(p);
    if (literal_is(p, "("))
        return parse_parenthesis(p);
    if (literal_is(p, "["))
        return parse_list(p);
    if (literal_is(p, "{"))
        return parse_braces(p);
    if (!literal_is(p, "..."))
        return NULL;
    n = literal_new(p, LITERAL_CONSTANT, "Constant", p->token_line);
    n->text = STR("Ellipsis");
    literal_next(p);
    return n;
}

/* The arguments of a call, up to and over its bracket; *is_empty when there are none. */
static bool parse_arguments(struct literal_tokens *p, bool *is_empty)
{
    *is_empty = true;
    while (!literal_take(p, ")")) {
        struct literal *n = NULL;

        if (literal_take(p, "**"))
            n = parse_expression(p);
        else
            n = parse_item(p);
        if (n && literal_is_class(n, "Name") && literal_take(p, "="))
            n = parse_expression(p);
        if (n == NULL)
            return false;
        if (parser_is_comprehension(p))
            return parse_comprehension(p, n, "GeneratorExp", ")") && *is_empty;
        *is_empty = false;
        if (!literal_take(p, ",") && !literal_is(p, ")"))
            return false;
    }
    return true;
}

/* A subscript, up to and over its bracket. */
static bool parse_subscript(struct literal_tokens *p)
{
    bool is_empty = true;

    for (; !literal_take(p, "]"); is_empty = false) {
        unsigned colons = 0;

        if (!literal_is(p, ":") && parse_item(p) == NULL)
            return false;
        while (literal_take(p, ":") && ++colons <= 2) {
            if (!literal_is(p, ":") && !literal_is(p, "]") && !literal_is(p, ",") &&
                parse_expression(p) == NULL)
                return false;
        }
        if (colons > 2 || (!literal_take(p, ",") && !literal_is(p, "]")))
            return false;
    }
    return !is_empty;
}

/* The name behind a period; None, True and False are none. */
static bool parse_attribute(struct literal_tokens *p)
{
    if (p->kind != TOKEN_NAME || parser_is_reserved(p) || literal_is(p, "None") ||
        literal_is(p, "True") || literal_is(p, "False"))
        return false;
    literal_next(p);
    return true;
}

/* An atom with its calls, attributes and subscripts. */
static struct literal *parse_primary(struct literal_tokens *p)
{
    struct literal *n = parse_atom(p);

    while (n) {
        bool is_set =
            n->kind == LITERAL_OTHER && literal_is_class(n, "Name") && str_eq(n->text, STR("set"));
        struct literal *outer = literal_new(p, LITERAL_OTHER, "Call", n->line);
        bool is_ok, is_empty;

        if (literal_take(p, "(")) {
            is_ok = parse_arguments(p, &is_empty);
            if (is_ok && is_set && is_empty) {
                outer->kind = LITERAL_EMPTY_SET;
                outer->text = STR("set()");
            }
        } else if (literal_take(p, "[")) {
            outer->class = "Subscript";
            is_ok = parse_subscript(p);
        } else if (literal_take(p, ".")) {
            outer->class = "Attribute";
            is_ok = parse_attribute(p);
        } else {
            return n;
        }
        n = is_ok ? outer : NULL;
    }
    return NULL;
}

static struct literal *parse_power(struct literal_tokens *p)
{
    uint32_t line = p->token_line;
    bool is_awaited = literal_take(p, "await");
    struct literal *n = parse_primary(p);

    if (n && is_awaited)
        n = literal_new(p, LITERAL_OTHER, "Await", line);
    if (n == NULL || !literal_take(p, "**"))
        return n;
    return parse_binary(p, LEVEL_SIGN) ? literal_new(p, LITERAL_OTHER, "BinOp", n->line) : NULL;
}

static struct literal *parse_unary(struct literal_tokens *p, unsigned level)
{
    uint32_t line = p->token_line;
    struct literal *n, *operand;
    char sign;

    if (literal_is(p, "not")) {
        if (level > LEVEL_NOT)
            return NULL;
        literal_next(p);
        return parse_binary(p, LEVEL_NOT) ? literal_new(p, LITERAL_OTHER, "UnaryOp", line) : NULL;
    }
    if (!literal_is(p, "+") && !literal_is(p, "-") && !literal_is(p, "~"))
        return parse_power(p);
    sign = p->token.p[0];
    literal_next(p);
    operand = parse_binary(p, LEVEL_SIGN);
    if (operand == NULL)
        return NULL;
    n = literal_new(p, sign == '~' ? LITERAL_OTHER : LITERAL_SIGN, "UnaryOp", line);
    n->sign = sign;
    literal_add(p, n, operand);
    return n;
}

static const struct literal_operator *parser_operator(const struct literal_tokens *p)
{
    for (size_t i = 0; i < array_len(operators); i++) {
        if (literal_is(p, operators[i].text))
            return &operators[i];
    }
    return NULL;
}

/* Takes the operator; "not" must be followed by "in", "is" may be by "not". */
static bool parser_take_operator(struct literal_tokens *p)
{
    bool is_not = literal_is(p, "not");
    bool is_is = literal_is(p, "is");

    literal_next(p);
    if (is_not && !literal_take(p, "in"))
        return false;
    if (is_is)
        (void)literal_take(p, "not");
    return true;
}

/* Operators of at least that level. */
static struct literal *parse_binary(struct literal_tokens *p, unsigned level)
{
    const struct literal_operator *o;
    struct literal *left, *right, *n;

    if (++p->depth > NESTING_MAX)
        return NULL;
    left = parse_unary(p, level);
    while (left && level < LEVEL_SIGN && (o = parser_operator(p)) != NULL && o->level >= level) {
        char sign = p->token.p[0];

        right = parser_take_operator(p) ? parse_binary(p, o->level + 1) : NULL;
        n = literal_new(p, o->level == LEVEL_SUM ? LITERAL_SUM : LITERAL_OTHER, o->class,
                        left->line);
        n->sign = sign;
        literal_add(p, n, left);
        literal_add(p, n, right);
        left = right ? n : NULL;
    }
    p->depth--;
    return left;
}

static struct literal *parse_lambda(struct literal_tokens *p)
{
    uint32_t line = p->token_line;
    unsigned outside = p->brackets;

    while (p->kind != TOKEN_END && p->kind != TOKEN_BAD && p->brackets >= outside &&
           !(literal_is(p, ":") && p->brackets == outside))
        literal_next(p);
    if (!literal_take(p, ":") || parse_expression(p) == NULL)
        return NULL;
    return literal_new(p, LITERAL_OTHER, "Lambda", line);
}

static struct literal *parse_expression(struct literal_tokens *p)
{
    struct literal *n;

    if (++p->depth > NESTING_MAX)
        return NULL;
    if (literal_is(p, "lambda")) {
        n = parse_lambda(p);
    } else if ((n = parse_binary(p, LEVEL_OR)) != NULL && literal_take(p, "if")) {
        bool is_ok = parse_binary(p, LEVEL_OR) && literal_take(p, "else") && parse_expression(p);

        n = is_ok ? literal_new(p, LITERAL_OTHER, "IfExp", n->line) : NULL;
    }
    p->depth--;
    return n;
}

struct literal *literal_parse(struct arena *a, struct str text)
{
    struct literal_tokens p = {.a = a, .text = text, .line = 1};
    struct literal *n;

    if (memchr(text.p, '\0', text.n))
        return NULL;
    literal_next(&p);
    n = parse_expression(&p);
    while (p.kind == TOKEN_BAD && literal_take_newline(&p, &p.pos))
        literal_next(&p);
    return p.kind == TOKEN_END ? n : NULL;
}
