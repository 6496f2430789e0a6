/*
 * req_body: a body of any length, taken by its handler in pieces.
 *
 * A route with BODY_STREAM runs its handler as soon as the head is complete: r->head says has_body,
 * is_chunked, content_length; r->input.body is empty. The handler judges the head and either answers,
 * and then what comes of the body is passed over or ends the connection, or asks for pieces:
 *
 *     static err_t upload_take(struct req *r, struct fail *f)
 *     {
 *         ... store r->piece, which is good until the next wait ...
 *         return r->is_whole ? upload_finish(r, f) : req_next_piece(r, upload_take);
 *     }
 *
 *     err_t api_upload(struct req *r, struct fail *f)
 *     {
 *         ... r->data = what upload_over needs to undo: temporary file, descriptor ...
 *         r->over = upload_over;
 *         req_limit_body(r, max);
 *         return r->is_whole ? upload_finish(r, f) : req_next_piece(r, upload_take);
 *     }
 *
 * Nobody reads the socket between two calls of req_next_piece, so a slow handler slows its sender: any
 * other wait (req_sql, req_prepare, req_wait_event) may stand between them, and r->piece with it is good
 * until req_next_piece is called again. A piece has 64 KiB or what is there. Expect: 100-continue is
 * answered by the first req_next_piece, so a handler that refuses saves the sender its body.
 *
 * A body that breaks the framing, passes its limit (413), or is slower than min_body_rate (408) is
 * answered in place of the next step; a peer that goes ends the request without an answer. In every
 * case, and after an answer of the handler's own, over is called once, last: it frees what the request
 * holds beyond its arena, which is still good. It must not answer nor wait. The worker's thread.
 */
#ifndef GATEWAY_REQ_BODY_H
#define GATEWAY_REQ_BODY_H

#include "gateway/req.h"

/* next follows with more of the body in r->piece, and r->is_whole when nothing comes behind it. */
must_check err_t req_next_piece(struct req *r, req_step next);
/* From an event, as req_event: the wait for a piece ends with an empty one, and the body goes on where it
 * was. False when the request waits for something else. */
bool req_interrupt(struct req *r);
/* A chunked body that grows longer, or one that says it is, is answered 413. Without it no length is
 * too much. */
void req_limit_body(struct req *r, uint64_t max_bytes);
/* For conn_body.c: the piece is in r->piece; goes on as after req_start. */
void req_piece_came(struct req *r);
/* For conn_end.c: no piece will come, f says why; answers that. */
void req_body_failed(struct req *r, const struct fail *f);

#endif
