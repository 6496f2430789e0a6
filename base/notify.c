/*
 * notify: tells the service manager how the program is.
 *
 * The protocol is older and simpler than any library for it: lines NAME=VALUE in one datagram, to an
 * address in the file system or, behind an '@', in the abstract name space. systemd takes datagrams
 * from the main process alone (NotifyAccess=main), which is what calls this.
 */
#include "base/notify.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

bool notify_open(struct notify *n)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    const char *path = getenv("NOTIFY_SOCKET");
    size_t length = path ? strlen(path) : 0;

    n->fd = -1;
    if (length == 0)
        return true;
    if ((path[0] != '/' && path[0] != '@') || length >= sizeof(to.sun_path))
        return false;
    memcpy(to.sun_path, path, length);
    if (path[0] == '@')
        to.sun_path[0] = '\0';
    unsetenv("NOTIFY_SOCKET"); /* path is gone with it */
    n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (n->fd < 0)
        return false;
    if (connect(n->fd, (struct sockaddr *)&to,
                (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)) == 0)
        return true;
    notify_close(n);
    return false;
}

void notify_say(const struct notify *n, const char *state)
{
    if (n->fd >= 0)
        (void)send(n->fd, state, strlen(state), MSG_NOSIGNAL);
}

void notify_close(struct notify *n)
{
    if (n->fd >= 0)
        close(n->fd);
    n->fd = -1;
}
