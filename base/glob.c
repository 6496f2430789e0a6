/*
 * glob: Python's fnmatch, byte by byte.
 *
 * Lists of hosts and origins are written for MLflow, which has Python match them. The C library's
 * fnmatch differs where it matters to a list that keeps somebody out: `[^a]` is "not a" there and
 * "^ or a" here, `[:` begins a class there and is two bytes here, and it wants terminated strings.
 *
 *   [seq]    one byte of the set; a `]` right behind `[` or `[!` belongs to it
 *   a-c      in a set, the bytes from a to c; none when c is before a
 *   [        without a `]` further on stands for itself
 *   [!]      cannot be closed, so it stands for itself as well
 *
 * Only the last `*` needs to be tried again: what an earlier one passed over is as good as any. So
 * the time is bounded by pattern times text. Python matches characters where this matches bytes; the two
 * differ for `?` and sets beside letters that are not ASCII, which no host has.
 */
#include "base/glob.h"

/* The length of the set that begins at the pattern's first byte, with its brackets; 0: none does. */
static size_t glob_set_length(struct str p)
{
    size_t i = 1;

    if (i < p.n && p.p[i] == '!')
        i++;
    if (i < p.n && p.p[i] == ']')
        i++;
    while (i < p.n && p.p[i] != ']')
        i++;
    return i < p.n ? i + 1 : 0;
}

/* Does the set, brackets and all, hold c? */
static bool glob_set_has(struct str set, unsigned char c)
{
    bool is_negated = set.p[1] == '!';
    size_t end = set.n - 1;
    bool has = false;

    for (size_t i = is_negated ? 2 : 1; i < end; i++) {
        unsigned char from = (unsigned char)set.p[i];
        unsigned char to = from;

        if (i + 2 < end && set.p[i + 1] == '-') {
            to = (unsigned char)set.p[i + 2];
            i += 2;
        }
        has = has || (from <= c && c <= to);
    }
    return has != is_negated;
}

/* Does the pattern's first element match c? Its length goes to *n. */
static bool glob_element_matches(struct str p, char c, size_t *n)
{
    *n = 1;
    if (p.p[0] == '?')
        return true;
    if (p.p[0] == '[') {
        size_t length = glob_set_length(p);

        if (length) {
            *n = length;
            return glob_set_has(str_head(p, length), (unsigned char)c);
        }
    }
    return p.p[0] == c;
}

bool glob_matches(struct str pattern, struct str text)
{
    struct str star = {0}; /* behind the last one */
    struct str again = {0};
    size_t n;

    while (text.n) {
        if (pattern.n && pattern.p[0] == '*') {
            pattern = star = str_skip(pattern, 1);
            if (pattern.n == 0)
                return true;
            again = text;
        } else if (pattern.n && glob_element_matches(pattern, text.p[0], &n)) {
            pattern = str_skip(pattern, n);
            text = str_skip(text, 1);
        } else if (star.p) {
            again = str_skip(again, 1);
            text = again;
            pattern = star;
        } else {
            return false;
        }
    }
    while (pattern.n && pattern.p[0] == '*')
        pattern = str_skip(pattern, 1);
    return pattern.n == 0;
}
