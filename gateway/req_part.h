/*
 * req_part: large answers, of which little is ever in memory: rows come in batches, the answer goes out
 * in parts.
 *
 * A handler writes what it has, calls req_send_part between the pieces and reply_ok at the end. An
 * answer that is whole before its first part is worth sending goes out like any other. What fails later
 * breaks the connection off, so that nobody takes a piece for the whole. All steps are as in req.h.
 *
 * An answer that is no JSON, or is a file, begins with req_begin_answer; then, in any order, bytes
 * written to r->reply.body and sent by req_send, and ranges of files; then req_end_answer:
 *
 *     req_begin_answer(r, 200, "application/octet-stream", size);
 *     return req_send_file(r, fd, 0, size, download_end);      download_end: return req_end_answer(r);
 *
 * HEAD gets the head alone: what should follow the first send does not run. So what the answer needs
 * (a descriptor) is given back by r->over (gateway/req_body.h).
 */
#ifndef GATEWAY_REQ_PART_H
#define GATEWAY_REQ_PART_H

#include "gateway/req.h"

/* Runs a statement that may give many rows (its text begins with SQL_STREAM, sql/sql_stream.h):
 * next follows with the first of them in r->rows; values live until then. A failure does not reach
 * next. While rows are left, a session is held for the request. */
must_check err_t req_rows(struct req *r, const struct sql_step *step, req_step next);
/* While r->has_more_rows: the same with more of them, all within stream_timeout. */
must_check err_t req_more_rows(struct req *r, req_step next);
/* Runs n statements on two sessions at the same time, the first ones on one and the rest on the
 * other, each a transaction of its own; next follows with all results in the order of the steps. */
must_check err_t req_sql_both(struct req *r, const struct sql_step *steps, unsigned n,
                              unsigned first, req_step next);
/* Sends what is written of a 200 with JSON; next follows when the peer has taken it, or at once while
 * it is too little. A peer that goes, or takes longer than request_timeout, ends the request here. */
must_check err_t req_send_part(struct req *r, req_step next);
/* True when there is enough for a part: where a loop over much should stop. */
bool req_has_part(const struct req *r);

#define REQ_NO_LENGTH UINT64_MAX
/* Any status; content_type NULL or text that lives as long as the request. length: of the content, or
 * REQ_NO_LENGTH: then chunked, and for HTTP/1.0 up to the end of the connection. Forgets what is in
 * r->reply.body. */
void req_begin_answer(struct req *r, int status, const char *content_type, uint64_t length);
/* Sends what is in r->reply.body, however little; next follows when the peer has taken it. */
must_check err_t req_send(struct req *r, req_step next);
/* The same, and behind it n bytes of a file from offset at. The descriptor stays the caller's. For an
 * answer with a length. A file that proves shorter breaks the answer off. */
must_check err_t req_send_file(struct req *r, int fd, uint64_t at, uint64_t n, req_step next);
/* Sends an interim head ("HTTP/1.1 103 ..." up to its empty line), before the answer has begun. */
must_check err_t req_send_interim(struct req *r, struct str head, req_step next);
/* The answer is whole, with what is in r->reply.body. Fewer bytes than its length break it off. */
must_check err_t req_end_answer(struct req *r);

#endif
