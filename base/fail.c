/*
 * fail: most texts fit the struct itself and cost no allocation; longer ones go to the arena.
 *
 * Without an arena a long text is cut, at the boundary of a UTF-8 character, because texts end
 * up inside JSON.
 */
#include "base/fail.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void fail_init(struct fail *f, struct arena *arena)
{
    f->arena = arena;
    f->err = OK;
    f->text = STR("");
    f->small[0] = '\0';
}

/* n, or a little less where byte n stands inside a UTF-8 character. */
static size_t fail_cut(const char *text, size_t n)
{
    while (n > 0 && ((unsigned char)text[n] & 0xC0) == 0x80)
        n--;
    return n;
}

err_t fail(struct fail *f, err_t err, const char *fmt, ...)
{
    char text[sizeof(f->small)]; /* not small itself: the old text may be among the values */
    va_list ap;
    size_t n;
    int len;

    if (f == NULL)
        return err;
    f->err = err;
    va_start(ap, fmt);
    len = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    check(len >= 0);
    n = (size_t)len;
    if (n >= sizeof(text) && f->arena) {
        va_start(ap, fmt);
        f->text = arena_vprintf(f->arena, fmt, ap);
        va_end(ap);
        return err;
    }
    if (n >= sizeof(text)) /* what the NUL replaced is unknown, so judge one byte earlier */
        n = fail_cut(text, sizeof(text) - 2);
    memcpy(f->small, text, n);
    f->small[n] = '\0';
    f->text = (struct str){f->small, n};
    return err;
}

err_t fail_str(struct fail *f, err_t err, struct str text)
{
    if (f) {
        f->err = err;
        f->text = text;
    }
    return err;
}
