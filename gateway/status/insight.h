/*
 * insight: may the caller see how the server does: figures, status, what runs are called?
 *
 * The worker's thread.
 */
#ifndef GATEWAY_INSIGHT_H
#define GATEWAY_INSIGHT_H

#include "gateway/req.h"

/* False: the answer is made, or *e is it. */
bool insight_admits(struct req *r, err_t *e, struct fail *f);

#endif
