/*
 * req_part: large answers, of which little is ever in memory: rows come in batches, the answer goes out
 * in parts.
 *
 * A handler writes what it has, calls req_send_part between the pieces and reply_ok at the end. An
 * answer that is whole before its first part is worth sending goes out like any other. What fails later
 * breaks the connection off, so that nobody takes a piece for the whole. All steps are as in req.h.
 */
#ifndef GATEWAY_REQ_PART_H
#define GATEWAY_REQ_PART_H

#include "gateway/req.h"

/* Runs a statement that may give many rows (its text begins with SQL_STREAM, gateway/sql_stream.h):
 * next follows with the first of them in r->rows; values live until then. A failure does not reach
 * next. While rows are left, a session is held for the request. */
must_check err_t req_rows(struct req *r, const struct sql_step *step, req_step next);
/* While r->has_more_rows: the same with more of them, all within stream_timeout. */
must_check err_t req_more_rows(struct req *r, req_step next);
/* Runs two statements at the same time, on two sessions, each a transaction of its own; next follows
 * with r->sql.results[0] and what the second brought, until the next wait for SQL. */
must_check err_t req_sql_both(struct req *r, const struct sql_step steps[2], req_step next);
const PGresult *req_second(const struct req *r);
/* Sends what is written of a 200 with JSON; next follows when the peer has taken it, or at once while
 * it is too little. A peer that goes, or takes longer than request_timeout, ends the request here. */
must_check err_t req_send_part(struct req *r, req_step next);
/* True when there is enough for a part: where a loop over much should stop. */
bool req_has_part(const struct req *r);

#endif
