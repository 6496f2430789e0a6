/*
 * fuzz: what every fuzz target shares.
 *
 * A target is one file that defines fuzz_one() and is built twice: with clang's libFuzzer, which
 * looks for new inputs (`make fuzz`), and with gcc and replay.c, which goes through the corpus
 * (`make test`). fuzz_one() gets an input in memory of exactly its length, so that a read beyond it
 * is found, and an arena; what must hold for every input it says with check(), which aborts. It
 * keeps no state from one input to the next.
 *
 * Inputs are texts where that is possible, so that a seed can be read and written by hand: lines
 * are cut off by fuzz_line().
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/fail.h"
#include "base/str.h"

/* A longer input is passed over: what grows with length is found below this, and sooner. */
enum { FUZZ_BYTES_MAX = 1 << 16 };

static void fuzz_one(struct arena *a, struct str in);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct arena a;

    if (n > FUZZ_BYTES_MAX)
        return 0;
    arena_init(&a, 256);
    fuzz_one(&a, (struct str){(const char *)data, n});
    arena_fini(&a);
    return 0;
}

/* The text up to the next line feed; *in is what follows it. */
static inline struct str fuzz_line(struct str *in)
{
    return str_cut(in, '\n');
}

/* s in memory of its own and of exactly its length. Free it with free(). */
static inline char *fuzz_copy(struct str s)
{
    char *p = malloc(s.n ? s.n : 1);

    check(p != NULL);
    if (s.n)
        memcpy(p, s.p, s.n);
    return p;
}

/* Does s lie in whole? Or is it empty, and points nowhere. */
static inline bool fuzz_is_within(struct str s, struct str whole)
{
    return s.n == 0 || ((uintptr_t)s.p >= (uintptr_t)whole.p &&
                        (uintptr_t)s.p + s.n <= (uintptr_t)whole.p + whole.n);
}

/* UTF-8 without lone surrogates? */
static inline bool fuzz_is_utf8(struct str s)
{
    const unsigned char *p = (const unsigned char *)s.p;

    for (size_t i = 0; i < s.n;) {
        size_t len = p[i] < 0x80 ? 1 : p[i] < 0xC2 ? 0 : p[i] < 0xE0 ? 2 : p[i] < 0xF0 ? 3 : 4;

        if (len == 0 || p[i] > 0xF4 || len > s.n - i)
            return false;
        for (size_t k = 1; k < len; k++)
            if ((p[i + k] & 0xC0) != 0x80)
                return false;
        if ((p[i] == 0xE0 && p[i + 1] < 0xA0) || (p[i] == 0xED && p[i + 1] > 0x9F) ||
            (p[i] == 0xF0 && p[i + 1] < 0x90) || (p[i] == 0xF4 && p[i + 1] > 0x8F))
            return false;
        i += len;
    }
    return true;
}

/* What a refusal must be: a code and words, in UTF-8 when the input was. */
static inline void fuzz_check_refusal(err_t e, const struct fail *f)
{
    check(e != OK && f->err == e);
    check(f->text.n > 0);
}

#endif
