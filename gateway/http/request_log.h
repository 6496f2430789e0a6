/*
 * request_log: one line in the log for a request that is answered, when log_requests asks for it.
 *
 * The worker's thread.
 */
#ifndef GATEWAY_REQUEST_LOG_H
#define GATEWAY_REQUEST_LOG_H

#include "gateway/http/conn.h"

/* After the last byte of its answer; took_us: since its head was complete. */
void request_log(struct conn *c, uint64_t took_us);

#endif
