/*
 * replay: a request that is sent again, byte for byte, by the same user within create_replay_window gets
 * the first one's answer, and makes nothing.
 *
 * For runs/create: a client that lost the answer sends it again, and without this makes a second run that
 * nobody writes to. Needs Redis; without it, or with the window 0, every request counts. The worker's
 * thread.
 */
#ifndef GATEWAY_REPLAY_H
#define GATEWAY_REPLAY_H

#include "gateway/req.h"

/* Answers what was answered before; else goes on with next, which ends with replay_keep or fails. */
must_check err_t replay_begin(struct req *r, req_step next);
/* The answer is written: it is kept, before it leaves. */
void replay_keep(struct req *r);

#endif
