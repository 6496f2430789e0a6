/*
 * base64: three bytes as four letters, and back.
 *
 * Reading goes as binascii.a2b_base64 does it when it is not strict: it takes six bits from each letter
 * of the alphabet, passes over everything else, and ends with the padding that completes four
 * places. '=' elsewhere is passed over too.
 */
#include "base/base64.h"

#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

bool base64_decode(struct arena *a, struct str text, struct str *out)
{
    char *bytes = arena_alloc(a, text.n);
    unsigned place = 0, pads = 0, left = 0;
    size_t n = 0;

    for (size_t i = 0; i < text.n; i++) {
        const char *found;
        unsigned bits;

        if (text.p[i] == '=') {
            if (place >= 2 && place + ++pads >= 4) {
                *out = (struct str){bytes, n};
                return true;
            }
            continue;
        }
        found = text.p[i] ? strchr(alphabet, text.p[i]) : NULL;
        if (!found)
            continue;
        bits = (unsigned)(found - alphabet);
        pads = 0;
        if (place > 0)
            bytes[n++] = (char)(left << 2 * place | bits >> (6 - 2 * place));
        left = bits;
        place = (place + 1) % 4;
    }
    *out = (struct str){bytes, n};
    return place == 0;
}

struct str base64_encode(struct arena *a, struct str bytes)
{
    char *out = arena_alloc(a, (bytes.n + 2) / 3 * 4 + 1);
    size_t n = 0;

    for (size_t i = 0; i < bytes.n; i += 3) {
        size_t left = bytes.n - i;
        unsigned bits = (unsigned)(unsigned char)bytes.p[i] << 16;

        if (left > 1)
            bits |= (unsigned)(unsigned char)bytes.p[i + 1] << 8;
        if (left > 2)
            bits |= (unsigned char)bytes.p[i + 2];
        out[n++] = alphabet[bits >> 18];
        out[n++] = alphabet[bits >> 12 & 63];
        out[n++] = '=';
        out[n++] = '=';
        if (left > 1)
            out[n - 2] = alphabet[bits >> 6 & 63];
        if (left > 2)
            out[n - 1] = alphabet[bits & 63];
    }
    out[n] = '\0';
    return (struct str){out, n};
}
