/*
 * log: one line per event, logfmt, on standard error.
 *
 *   ts=2026-01-02T03:04:05.678Z level=warn at=conn.c:214 conn=2/117 msg="body refused" len=70000000
 *
 * The message is constant text in lower case; values are key=value pairs in the format, and never
 * quoted there ("why=%s"), for the line quotes what needs it. %m is the text of errno. error: a
 * person must act; warn: we coped; info: life events; debug: per request. Repeats of one call
 * site collapse to one line per second with a count. Bodies, tokens and connection strings are
 * never logged. Any thread; a line is one write(2).
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* A call site's memory of its own repeats. */
struct log_site {
    const char *file;
    int line;
    enum log_level level;
    _Atomic uint64_t next_us;    /* no line before this moment; 0 at first */
    _Atomic uint32_t suppressed; /* lines held back since */
};

/* Lines above this level are dropped; LOG_INFO at first. */
void log_set_level(enum log_level level);
bool log_is_on(enum log_level level);
/* JSON lines instead of logfmt. */
void log_set_json(bool on);
/* Writes a line; ctx ("" or "conn=2/117 peer=...") goes before msg, the pairs after it. */
void log_line(struct log_site *site, const char *ctx, const char *msg, const char *pairs, ...)
    __attribute__((format(printf, 4, 5)));

#define LOG_AT(lvl, ctx, msg, ...)                                                               \
    do {                                                                                         \
        static struct log_site log_site_ = {.file = __FILE__, .line = __LINE__, .level = (lvl)}; \
        if (log_is_on(lvl))                                                                      \
            log_line(&log_site_, (ctx), (msg), __VA_ARGS__);                                     \
    } while (0)

/* The answer to a person, who asked twice to hear twice: repeats do not collapse. */
#define log_each(lvl, ctx, msg, ...)                                                      \
    do {                                                                                  \
        struct log_site log_site_ = {.file = __FILE__, .line = __LINE__, .level = (lvl)}; \
        if (log_is_on(lvl))                                                               \
            log_line(&log_site_, (ctx), (msg), __VA_ARGS__);                              \
    } while (0)

/* log_warn(ctx, "message", "key=%d", value); the pairs may be "%s" with "". */
#define log_error(ctx, msg, ...) LOG_AT(LOG_ERROR, ctx, msg, __VA_ARGS__)
#define log_warn(ctx, msg, ...)  LOG_AT(LOG_WARN, ctx, msg, __VA_ARGS__)
#define log_info(ctx, msg, ...)  LOG_AT(LOG_INFO, ctx, msg, __VA_ARGS__)
#define log_debug(ctx, msg, ...) LOG_AT(LOG_DEBUG, ctx, msg, __VA_ARGS__)

#endif
