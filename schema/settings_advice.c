/*
 * settings_advice: settings that are allowed together, and are hardly meant so.
 *
 * settings_check refuses what cannot work. What works badly is said by `sluice config check` and
 * `sluice doctor`, and stops nothing: there may be a reason. A rule is a row.
 */
#include "schema/settings.h"

#include <string.h>

static bool is_none(const char *address)
{
    return strcmp(address, "none") == 0;
}

static bool ring_exceeds_journal(const struct settings *s)
{
    return s->ring_bytes > s->journal_max_bytes;
}

static bool body_exceeds_memory(const struct settings *s)
{
    return s->max_body_bytes > s->body_memory_bytes;
}

static bool body_exceeds_ring(const struct settings *s)
{
    return s->max_body_bytes > s->ring_bytes;
}

static bool segment_is_half(const struct settings *s)
{
    return s->journal_segment_bytes > s->journal_max_bytes / 4;
}

static bool nobody_flushes(const struct settings *s)
{
    return s->flushers == 0 && strcmp(s->queue, "journal") == 0;
}

static bool nobody_writes(const struct settings *s)
{
    return is_none(s->listen);
}

static bool nobody_looks(const struct settings *s)
{
    return is_none(s->admin_listen);
}

static bool window_outlasts_reads(const struct settings *s)
{
    return s->flush_interval > s->sql_timeout;
}

static bool no_time_to_drain(const struct settings *s)
{
    return s->drain_timeout < s->flush_interval;
}

static bool drain_cuts_requests(const struct settings *s)
{
    return s->drain_timeout > 0 && s->drain_timeout < s->sql_timeout;
}

static bool reads_do_not_wait(const struct settings *s)
{
    return s->read_wait == 0;
}

static bool head_is_tight(const struct settings *s)
{
    return s->max_head_bytes < 8192;
}

static bool letters_exceed_journal(const struct settings *s)
{
    return s->deadletter_max_bytes > s->journal_max_bytes;
}

static bool nobody_keeps_artifacts(const struct settings *s)
{
    const char *uri = s->artifacts_destination;

    return s->serve_artifacts && s->upstream[0] == '\0' && strstr(uri, "://") != NULL &&
           strncmp(uri, "s3:", 3) != 0 && strncmp(uri, "file:", 5) != 0;
}

static const struct {
    bool (*applies)(const struct settings *s);
    const char *says;
} rules[] = {
    {ring_exceeds_journal, "ring_bytes is above journal_max_bytes: the ring never fills"},
    {body_exceeds_memory, "max_body_bytes is above body_memory_bytes: such a body is answered 429 "
                          "for ever"},
    {body_exceeds_ring, "max_body_bytes is above ring_bytes: such a batch has no room"},
    {segment_is_half, "journal_segment_bytes is above a quarter of journal_max_bytes: the journal "
                      "gives room back in large pieces"},
    {nobody_flushes, "flushers = 0 with queue = journal: nothing here moves points into "
                     "PostgreSQL, and nobody else may open this journal"},
    {nobody_writes, "listen = none with queue = journal: only what the journal holds is flushed"},
    {nobody_looks, "admin_listen = none: probes and scrapers have the clients' port only"},
    {window_outlasts_reads, "flush_interval is above sql_timeout"},
    {no_time_to_drain, "drain_timeout is below flush_interval"},
    {drain_cuts_requests, "drain_timeout is below sql_timeout: slow requests are cut at shutdown"},
    {reads_do_not_wait, "read_wait = 0: a read may miss what was just written"},
    {head_is_tight, "max_head_bytes is below 8KiB: page tokens and cookies may not fit"},
    {letters_exceed_journal, "deadletter_max_bytes is above journal_max_bytes"},
    {nobody_keeps_artifacts, "artifacts_destination is neither a directory nor S3, and there is no "
                             "upstream that could keep artifacts there: they are answered 501"},
};

unsigned settings_advise(const struct settings *s, const char *between, struct buf *out)
{
    unsigned count = 0;

    for (size_t i = 0; i < array_len(rules); i++) {
        if (!rules[i].applies(s))
            continue;
        buf_printf(out, "%s%s", count ? between : "", rules[i].says);
        count++;
    }
    return count;
}
