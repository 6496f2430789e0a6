/*
 * str: comparing, cutting and reading slices.
 *
 * Everything is bytes: letter case means ASCII only, and no function looks at the locale. Slices
 * handed out point into the slices handed in. memcmp and friends are not called with a NULL
 * pointer even for zero bytes, because that is undefined.
 */
#include "base/str.h"

#include <string.h>

struct str str_of(const char *z)
{
    return (struct str){z, z ? strlen(z) : 0};
}

bool str_eq(struct str a, struct str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static unsigned char lower(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

bool str_ieq(struct str a, struct str b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++) {
        if (lower(a.p[i]) != lower(b.p[i]))
            return false;
    }
    return true;
}

int str_cmp(struct str a, struct str b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int d = n ? memcmp(a.p, b.p, n) : 0;

    if (d)
        return d;
    return (a.n > b.n) - (a.n < b.n);
}

bool str_starts(struct str s, struct str prefix)
{
    return s.n >= prefix.n && str_eq(str_head(s, prefix.n), prefix);
}

bool str_ends(struct str s, struct str suffix)
{
    return s.n >= suffix.n && str_eq(str_skip(s, s.n - suffix.n), suffix);
}

size_t str_find(struct str s, char c)
{
    const char *at = s.n ? memchr(s.p, c, s.n) : NULL;

    return at ? (size_t)(at - s.p) : s.n;
}

struct str str_skip(struct str s, size_t n)
{
    if (n > s.n)
        n = s.n;
    return n ? (struct str){s.p + n, s.n - n} : s;
}

struct str str_head(struct str s, size_t n)
{
    return (struct str){s.p, n < s.n ? n : s.n};
}

struct str str_cut(struct str *s, char c)
{
    size_t at = str_find(*s, c);
    struct str head = str_head(*s, at);

    *s = str_skip(*s, at + 1);
    return head;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct str str_trim(struct str s)
{
    while (s.n && is_blank(s.p[0]))
        s = str_skip(s, 1);
    while (s.n && is_blank(s.p[s.n - 1]))
        s.n--;
    return s;
}

/* Sign and magnitude; the magnitude must fit 64 bits. */
static bool str_to_parts(struct str s, bool *is_negative, uint64_t *magnitude)
{
    uint64_t v = 0;

    *is_negative = s.n && s.p[0] == '-';
    if (s.n && (s.p[0] == '-' || s.p[0] == '+'))
        s = str_skip(s, 1);
    if (s.n == 0)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        unsigned digit = (unsigned)(unsigned char)s.p[i] - '0';

        if (digit > 9 || __builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, digit, &v))
            return false;
    }
    *magnitude = v;
    return true;
}

bool str_to_i64(struct str s, int64_t *out)
{
    bool is_negative;
    uint64_t v;

    if (!str_to_parts(s, &is_negative, &v) || v > (uint64_t)INT64_MAX + is_negative)
        return false;
    *out = is_negative ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

bool str_to_u64(struct str s, uint64_t *out)
{
    bool is_negative;
    uint64_t v;

    if (!str_to_parts(s, &is_negative, &v) || (is_negative && v))
        return false;
    *out = v;
    return true;
}

void str_to_cstr(struct str s, char *out, size_t cap)
{
    size_t n = s.n < cap ? s.n : cap - 1;

    if (cap == 0)
        return;
    if (n)
        memcpy(out, s.p, n);
    out[n] = '\0';
}
