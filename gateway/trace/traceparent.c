/*
 * traceparent: fixed places, so a table of places is all the grammar. Version ff is forbidden; those
 * above 00 are read as 00 as far as that goes, as the standard asks.
 */
#include "gateway/trace/traceparent.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/random.h>

#include "base/check.h"

/* n hex digits of lower case; false when one is none. */
static bool hex_value(const char *p, size_t n, uint64_t *out)
{
    *out = 0;
    for (size_t i = 0; i < n; i++) {
        char c = p[i];

        if (c >= '0' && c <= '9')
            *out = *out << 4 | (unsigned)(c - '0');
        else if (c >= 'a' && c <= 'f')
            *out = *out << 4 | (unsigned)(c - 'a' + 10);
        else
            return false;
    }
    return true;
}

bool traceparent_parse(struct str s, struct traceparent *out)
{
    uint64_t version, flags;

    if (s.n != TRACEPARENT_BYTES || s.p[2] != '-' || s.p[35] != '-' || s.p[52] != '-')
        return false;
    if (!hex_value(s.p, 2, &version) || version == 0xff ||
        !hex_value(s.p + 3, 16, &out->trace[0]) || !hex_value(s.p + 19, 16, &out->trace[1]) ||
        !hex_value(s.p + 36, 16, &out->span) || !hex_value(s.p + 53, 2, &flags))
        return false;
    out->flags = (uint8_t)flags;
    return (out->trace[0] | out->trace[1]) != 0 && out->span != 0;
}

void traceparent_write(const struct traceparent *t, char out[TRACEPARENT_BYTES + 1])
{
    snprintf(out, TRACEPARENT_BYTES + 1, "00-%016" PRIx64 "%016" PRIx64 "-%016" PRIx64 "-%02x",
             t->trace[0], t->trace[1], t->span, t->flags);
}

struct traceparent traceparent_new(void)
{
    struct traceparent t = {0};

    check(getrandom(t.trace, sizeof(t.trace), 0) == (ssize_t)sizeof(t.trace));
    check(getrandom(&t.span, sizeof(t.span), 0) == (ssize_t)sizeof(t.span));
    t.trace[1] |= 1; /* an id of zeros is none */
    t.span |= 1;
    return t;
}
