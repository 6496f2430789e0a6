/*
 * entity_stmt: a statement that fetches what belongs to entities, all of it or as much as a batch of a
 * search may hold.
 *
 * Constants only; any thread.
 */
#ifndef GATEWAY_ENTITY_STMT_H
#define GATEWAY_ENTITY_STMT_H

#include "gateway/auth/scope.h"
#include "gateway/sql/sql.h"

/* Of a page of a search, a statement brings at most these rows (one more tells that there are more),
 * and stops once it has brought so many bytes where a row may be long: see search_batch.h. */
#define ENTITY_SOME_ROWS  2048
#define ENTITY_SOME_BYTES (4 << 20)

/* A statement as a whole, and as far as a batch goes. */
struct entity_stmt {
    struct stmt all;
    struct stmt some;
};
#define ENTITY_TEXT_(x) #x
#define ENTITY_TEXT(x)  ENTITY_TEXT_(x)
#define ENTITY_LIMIT    " LIMIT 1 + " ENTITY_TEXT(ENTITY_SOME_ROWS)
#define ENTITY_STMT(name, text)             \
    {                                       \
        {name, text},                       \
        {                                   \
            name "_some", text ENTITY_LIMIT \
        }                                   \
    }
/* Where single values may be many KB long: bytes are those of a row q. The window has no order of its
 * own, so it adds up the rows as they come. */
#define ENTITY_STMT_WIDE(name, text, bytes)                                                       \
    {                                                                                             \
        {name, text},                                                                             \
        {                                                                                         \
            name "_some", "SELECT * FROM (SELECT q.*, sum(" bytes                                 \
                          ") OVER (ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before"   \
                          " FROM (" text                                                          \
                          ") q) q WHERE coalesce(q.before, 0) <= " ENTITY_TEXT(ENTITY_SOME_BYTES) \
                              ENTITY_LIMIT                                                        \
        }                                                                                         \
    }

#endif
