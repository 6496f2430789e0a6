/*
 * notify: tells the service manager how the program is, in the words of sd_notify(3).
 *
 * A datagram to the socket that NOTIFY_SOCKET names; without one, nothing. Main thread: it takes the
 * variable out of the environment, so that no child speaks for the service.
 */
#ifndef BASE_NOTIFY_H
#define BASE_NOTIFY_H

#include <stdbool.h>

struct notify {
    int fd; /* connected; -1 = nobody listens */
};

/* Finds the socket. False when one is named and cannot be reached: the manager will think the start
 * hangs, so it is worth a line in the log. */
bool notify_open(struct notify *n);
/* One state, "READY=1" or several lines. Never waits: a manager that does not read misses it. */
void notify_say(const struct notify *n, const char *state);
void notify_close(struct notify *n);

#endif
