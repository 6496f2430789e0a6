/*
 * listen: listening sockets from an address; several that share one port. Main thread.
 */
#ifndef GATEWAY_LISTEN_H
#define GATEWAY_LISTEN_H

#include <stdint.h>

#include "base/fail.h"

enum { LISTEN_URL_MAX = 80 };

/* Opens count sockets on "host:port" ("[::1]:0", ":5000" for all addresses), which the kernel
 * spreads connections over; port 0 picks one for all. url gets "http://host:port". Refuses an
 * address that another program listens on: ERR_SETTING. */
must_check err_t listen_open(const char *setting, const char *address, int *fds, unsigned count,
                             char url[LISTEN_URL_MAX], struct fail *f);
/* A peer of whom nothing is heard for so long, though it must have answered, is gone: for the
 * connections taken from here on. */
void listen_set_peer_timeout(const int *fds, unsigned count, uint64_t timeout_us);
/* Begins to take connections; before that the kernel refuses them. */
must_check err_t listen_begin(const int *fds, unsigned count, struct fail *f);

#endif
