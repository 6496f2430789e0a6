/*
 * log: a line is made on the stack and leaves as one write(2), so lines of threads never mix and
 * nothing here takes a lock or allocates.
 *
 * The format of the pairs is walked piece by piece ("len=%zu", "peer=%.*s", divided by blanks)
 * and each piece is printed on its own. So it is known where a value ends, and a value that
 * holds blanks, quotes or line ends is quoted and escaped: what a client sends can never look
 * like a second pair or a second line. A piece without '=' in the format, like the "%s" of
 * pairs made elsewhere, and ctx, are taken apart at their blanks.
 *
 * Repeats: next_us of the call site is moved on by whoever writes a line; all others within that
 * second only count. The count goes out with the next line of that site, so lines held back at
 * the very end are not reported. Debug lines do not collapse: who switches them on wants all.
 */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/line.h"
#include "base/str.h"

enum { REPEAT_US = 1000000, PIECE_BYTES = 4096 };

static _Atomic int log_level = LOG_INFO;
static _Atomic bool log_is_json;

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&log_level, (int)level, memory_order_relaxed);
}

bool log_is_on(enum log_level level)
{
    return (int)level <= atomic_load_explicit(&log_level, memory_order_relaxed);
}

void log_set_json(bool on)
{
    atomic_store_explicit(&log_is_json, on, memory_order_relaxed);
}

/* --- one conversion of the format ------------------------------------------------------------- */

struct args {
    va_list ap;   /* in a struct, so that its address can be passed on every platform */
    int error_no; /* errno as the caller left it, for %m */
};

/* A '*' takes its number from the arguments; a negative precision means none. */
static void spec_star(char *spec, size_t *n, size_t cap, struct args *args)
{
    int v = va_arg(args->ap, int);

    if (v < 0 && spec[*n - 1] == '.')
        *n -= 1;
    else
        *n += (size_t)snprintf(spec + *n, cap - *n, "%d", v);
}

/* The format is checked by the compiler where the log call stands; here it is taken apart. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static int spec_print(const char *spec, char kind, const char *length, char *out, size_t cap,
                      struct args *args)
{
    if (strchr("di", kind) &&
        (*length == 'l' || *length == 'j' || *length == 'z' || *length == 't'))
        return snprintf(out, cap, spec, va_arg(args->ap, long));
    if (strchr("uxXo", kind) && (*length == 'l' || *length == 'j' || *length == 'z'))
        return snprintf(out, cap, spec, va_arg(args->ap, unsigned long));
    if (strchr("dic", kind))
        return snprintf(out, cap, spec, va_arg(args->ap, int));
    if (strchr("uxXo", kind))
        return snprintf(out, cap, spec, va_arg(args->ap, unsigned));
    if (strchr("feEgGaA", kind) && *length != 'L')
        return snprintf(out, cap, spec, va_arg(args->ap, double));
    if (strchr("sp", kind))
        return snprintf(out, cap, spec, va_arg(args->ap, void *));
    if (kind == 'm') {
        errno = args->error_no;
        return snprintf(out, cap, "%m");
    }
    check(!"a conversion that log.c does not know");
    return 0;
}
#pragma GCC diagnostic pop

_Static_assert(sizeof(long) == sizeof(long long) && sizeof(long) == sizeof(size_t) &&
                   sizeof(long) == sizeof(ptrdiff_t),
               "spec_print takes them for one another");

/* Prints the conversion that begins at fmt ('%'); returns what follows it. */
static const char *log_convert(const char *fmt, struct str *out, char *space, size_t cap,
                               struct args *args)
{
    char spec[48] = "%";
    char length[3] = "";
    size_t n = 1;
    int len;

    for (fmt++; *fmt && strchr("-+ #0123456789.*", *fmt); fmt++) {
        check(n < sizeof(spec) - 16);
        if (*fmt == '*')
            spec_star(spec, &n, sizeof(spec), args);
        else
            spec[n++] = *fmt;
    }
    for (size_t i = 0; *fmt && strchr("hljztL", *fmt); fmt++) {
        check(i < 2);
        length[i++] = *fmt;
        spec[n++] = *fmt;
    }
    spec[n++] = *fmt;
    spec[n] = '\0';
    if (*fmt == '%') {
        *out = STR("%");
        return fmt + 1;
    }
    check(*fmt != '\0');
    len = spec_print(spec, *fmt, length, space, cap, args);
    check(len >= 0);
    *out = (struct str){space, (size_t)len < cap ? (size_t)len : cap - 1};
    return fmt + 1;
}

/* Prints one piece of the format, up to a blank or the end, and puts it as a pair. */
static const char *log_piece(struct line *l, const char *fmt, struct args *args)
{
    char text[PIECE_BYTES];
    char key[64];
    size_t n = 0;
    size_t key_len = 0;
    bool has_key = false;

    while (*fmt && *fmt != ' ') {
        struct str part = {fmt, 1};

        if (*fmt == '%') {
            fmt = log_convert(fmt, &part, text + n, sizeof(text) - n, args);
        } else if (*fmt == '=' && !has_key && n < sizeof(key)) {
            has_key = true;
            memcpy(key, text, n);
            key_len = n;
            n = 0;
            fmt++;
            continue;
        } else {
            fmt++;
        }
        if (part.p != text + n && part.n < sizeof(text) - n)
            memcpy(text + n, part.p, part.n);
        n += part.n < sizeof(text) - n ? part.n : 0;
    }
    if (has_key)
        line_pair(l, (struct str){key, key_len}, (struct str){text, n});
    else
        line_pairs(l, (struct str){text, n});
    return fmt;
}

/* --- the line --------------------------------------------------------------------------------- */

static void log_put_time(struct line *l)
{
    int64_t ms = clock_wall_ms();
    time_t seconds = (time_t)(ms / 1000);
    struct tm t;
    char text[40];
    size_t n;

    gmtime_r(&seconds, &t);
    n = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &t);
    snprintf(text + n, sizeof(text) - n, ".%03dZ", (int)(ms % 1000));
    line_pair_z(l, "ts", text);
}

static void log_put_site(struct line *l, const struct log_site *site)
{
    static const char *const levels[] = {"error", "warn", "info", "debug"};
    const char *slash = strrchr(site->file, '/');
    char text[128];

    snprintf(text, sizeof(text), "%s:%d", slash ? slash + 1 : site->file, site->line);
    line_pair_z(l, "level", levels[site->level]);
    line_pair_z(l, "at", text);
}

/* May this call write? Counts it when not; *suppressed: how many were held back before it. */
static bool log_may_write(struct log_site *site, uint32_t *suppressed)
{
    uint64_t now = clock_us();
    uint64_t next = atomic_load_explicit(&site->next_us, memory_order_relaxed);

    *suppressed = 0;
    if (site->level == LOG_DEBUG)
        return true;
    if (now < next ||
        !atomic_compare_exchange_strong_explicit(&site->next_us, &next, now + REPEAT_US,
                                                 memory_order_relaxed, memory_order_relaxed)) {
        atomic_fetch_add_explicit(&site->suppressed, 1, memory_order_relaxed);
        return false;
    }
    *suppressed = atomic_exchange_explicit(&site->suppressed, 0, memory_order_relaxed);
    return true;
}

void log_line(struct log_site *site, const char *ctx, const char *msg, const char *pairs, ...)
{
    struct line l;
    struct str text;
    struct args args = {.error_no = errno};
    uint32_t suppressed;
    char number[16];

    if (!log_may_write(site, &suppressed))
        return;
    line_init(&l, atomic_load_explicit(&log_is_json, memory_order_relaxed));
    log_put_time(&l);
    log_put_site(&l, site);
    line_pairs(&l, str_of(ctx));
    line_pair_z(&l, "msg", msg);
    if (suppressed) {
        snprintf(number, sizeof(number), "%u", suppressed);
        line_pair_z(&l, "suppressed", number);
    }
    va_start(args.ap, pairs);
    while (*pairs)
        pairs = *pairs == ' ' ? pairs + 1 : log_piece(&l, pairs, &args);
    va_end(args.ap);
    text = line_end(&l);
again:
    if (write(STDERR_FILENO, text.p, text.n) < 0 && errno == EINTR)
        goto again;
}
