/*
 * conn_steps: what the files of a connection's machine share; conn.c draws it.
 *
 * conn.c has the machine and the head, conn_body.c what comes behind it, conn_answer.c what goes out,
 * conn_end.c what is refused, passed over and dropped. A step that returns bool says whether the
 * machine goes on at once; after false the connection may be gone. The worker's thread.
 */
#ifndef GATEWAY_CONN_STEPS_H
#define GATEWAY_CONN_STEPS_H

#include "gateway/http/conn.h"

enum read_result { READ_SOME, READ_WAIT, READ_END, READ_LOST };

/* How much of one connection in a turn of the loop. */
enum { READS_MAX = 16, PIPELINE_MAX = 16 };

/* conn.c */
void conn_goto(struct conn *c, enum conn_state to);
const struct settings *conn_settings(const struct conn *c);
/* Waits for bytes; false, so that the machine stops there. */
bool conn_await_bytes(struct conn *c, enum conn_timer timer);
/* One read into b, at most max bytes. */
enum read_result conn_read_into(struct conn *c, struct buf *b, size_t room, size_t max);
/* Closes it; false. */
bool conn_gone(struct conn *c, const char *why);
/* A body comes, or is dropped, from here on. */
void conn_begin_phase(struct conn *c);
/* Another look at a body, or at what is dropped, once its list's time is over: did enough come, and
 * is it not too late altogether? Then it goes on. */
bool conn_is_fast(struct conn *c, enum conn_timer timer, uint64_t least);
/* The request is over and done with; the next one may stand in the buffer already. */
bool conn_next(struct conn *c);

/* conn_body.c */
/* What can be judged before the body is read: its length, and whether there is room for it. */
err_t conn_judge(struct conn *c, struct fail *f);
/* The head was let through: is the body here already? */
bool conn_take_body(struct conn *c);
bool conn_read_body(struct conn *c);
/* Handles it without its body, which is passed over. */
bool conn_handle_early(struct conn *c);
/* Its list's time is over: did as much come as min_body_rate asks for? Then it begins anew. */
bool conn_body_is_fast(struct conn *c);
/* The handler takes pieces of the body: it wants the next one. */
bool conn_ask_piece(struct conn *c);
bool conn_receive(struct conn *c);
/* Its handler is called without a piece. */
void conn_interrupt(struct conn *c);
/* The same question for a body that comes in pieces: while we waited for the peer. */
bool conn_piece_is_fast(struct conn *c);

/* conn_answer.c */
/* The reply is complete: makes its bytes. */
bool conn_answer(struct conn *c);
/* The handler has run: what came of it? */
bool conn_handled(struct conn *c);
bool conn_write(struct conn *c);
/* Counts the answer that is out. */
void conn_count(struct conn *c);
/* Something of the answer is out, and something is not. */
bool conn_is_amid_answer(const struct conn *c);

/* conn_end.c */
/* What came is not a request, or not in time: answer and close. */
bool conn_refuse(struct conn *c, const struct fail *f);
/* The body will not be read: passed over when it is here or nearly, else the connection ends. */
void conn_pass_body(struct conn *c);
/* Answered before the body was read. */
bool conn_answer_early(struct conn *c);
bool conn_refuse_early(struct conn *c, const struct fail *f);
/* Our side ends here. */
bool conn_end(struct conn *c);
/* An answer that has begun ends without being whole: the peer must not take it for the end. */
void conn_cut_off(struct conn *c);
bool conn_skip(struct conn *c);
bool conn_linger(struct conn *c);
/* Did enough come to be waited for? */
bool conn_linger_is_fast(struct conn *c);

#endif
