/*
 * journal_backlog: an entry waits when its position is not below the stored one of its partition.
 *
 * Partitions without entries have old positions, so the lowest of them says nothing but where to
 * begin to read: segments that end before it hold nothing that waits.
 */
#include "gateway/command/journal_backlog.h"

#include <stdlib.h>

#include "base/str.h"
#include "ingest/segment.h"
#include "schema/errors.h"
#include "schema/record.h"

static err_t backlog_refused(PGconn *c, PGresult *r, struct fail *f)
{
    PQclear(r);
    return fail(f, ERR_PG, "%.*s", STR_ARG(str_trim(str_of(PQerrorMessage(c)))));
}

err_t journal_backlog_positions(PGconn *c, const char *id, struct journal_backlog *b,
                                struct fail *f)
{
    const char *values[1] = {id};
    PGresult *r = PQexec(c, "SELECT 1 WHERE to_regclass('sluice.positions') IS NOT NULL");

    if (PQresultStatus(r) != PGRES_TUPLES_OK)
        return backlog_refused(c, r, f);
    bool has_table = PQntuples(r) > 0;

    PQclear(r);
    if (!has_table)
        return OK;
    r = PQexecParams(c, "SELECT partition, position FROM sluice.positions WHERE queue_id = $1", 1,
                     NULL, values, NULL, NULL, 0);
    if (PQresultStatus(r) != PGRES_TUPLES_OK)
        return backlog_refused(c, r, f);
    b->is_known = PQntuples(r) > 0;
    for (int i = 0; i < PQntuples(r); i++) {
        unsigned long p = strtoul(PQgetvalue(r, i, 0), NULL, 10);

        if (p < QUEUE_PARTITIONS)
            b->positions[p] = strtoull(PQgetvalue(r, i, 1), NULL, 10);
    }
    PQclear(r);
    return OK;
}

static void backlog_segment(struct journal_backlog *b, int dir, pos_t base, pos_t next,
                            uint64_t most_bytes)
{
    struct segment_cursor c;
    struct entry e;

    if (segment_cursor_open(&c, dir, base, NULL))
        return;
    while (b->looked_at < most_bytes && segment_cursor_next(&c, next, &e)) {
        b->looked_at += e.end - e.pos;
        if (e.pos < b->positions[e.partition])
            continue;
        b->entries++;
        b->points += record_points(e.payload, e.version);
        if (b->oldest_ms == 0)
            b->oldest_ms = c.head.created_ms;
    }
    b->is_cut = b->looked_at >= most_bytes;
    segment_cursor_close(&c);
}

void journal_backlog_count(struct journal_backlog *b, int dir, uint64_t most_bytes)
{
    pos_t lowest = UINT64_MAX, *bases = NULL;
    size_t count = 0;

    for (unsigned p = 0; p < QUEUE_PARTITIONS; p++)
        lowest = b->positions[p] < lowest ? b->positions[p] : lowest;
    if (segment_list(dir, &bases, &count, NULL))
        return;
    for (size_t i = 0; i < count; i++) {
        pos_t next = i + 1 < count ? bases[i + 1] : UINT64_MAX;

        if (next > lowest)
            backlog_segment(b, dir, bases[i], next, most_bytes);
    }
    free(bases);
}
