/*
 * redistest: a real redis-server for one test program, in a directory of its own, on a free port.
 *
 * It dies with the test. Static functions in a header, because every unit test is a program of its own.
 */
#ifndef TESTS_UNIT_REDISTEST_H
#define TESTS_UNIT_REDISTEST_H

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"

#define REDISTEST_UNUSED __attribute__((unused))

static struct {
    char dir[64];
    unsigned port;
    unsigned tls_port; /* 0 = none */
    const char *password;
    bool lacks_auth; /* it does not know the command AUTH */
    pid_t server;
    pid_t owner;
} redistest;

static unsigned redistest_free_port(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    check(fd >= 0 && bind(fd, (struct sockaddr *)&a, n) == 0);
    check(getsockname(fd, (struct sockaddr *)&a, &n) == 0);
    close(fd);
    return ntohs(a.sin_port);
}

static REDISTEST_UNUSED void redistest_kill(void)
{
    if (redistest.server <= 0)
        return;
    kill(redistest.server, SIGKILL);
    waitpid(redistest.server, NULL, 0);
    redistest.server = 0;
}

static void redistest_at_exit(void)
{
    char command[96];

    if (getpid() != redistest.owner)
        return;
    redistest_kill();
    snprintf(command, sizeof(command), "rm -rf '%s'", redistest.dir);
    check(system(command) == 0);
}

/* A certificate for localhost and 127.0.0.1, and another that nobody trusts. */
static REDISTEST_UNUSED void redistest_make_certificates(void)
{
    static const char *const names[] = {"good", "other"};
    char command[512];

    for (unsigned i = 0; i < 2; i++) {
        snprintf(command, sizeof(command),
                 "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
                 " -subj /CN=%s -addext subjectAltName=DNS:localhost,IP:127.0.0.1"
                 " -keyout '%s/%s.key' -out '%s/%s.pem' 2>/dev/null",
                 names[i], redistest.dir, names[i], redistest.dir, names[i]);
        check(system(command) == 0);
    }
}

static REDISTEST_UNUSED void redistest_init(void)
{
    snprintf(redistest.dir, sizeof(redistest.dir), "/tmp/redistest.XXXXXX");
    check(mkdtemp(redistest.dir));
    redistest.owner = getpid();
    redistest.port = redistest_free_port();
    atexit(redistest_at_exit);
}

/* On the same ports as before. Whoever connects finds it when it is ready: connections come back. */
static REDISTEST_UNUSED void redistest_start(void)
{
    char port[8], tls[8], key[96], pem[96];

    snprintf(port, sizeof(port), "%u", redistest.port);
    snprintf(tls, sizeof(tls), "%u", redistest.tls_port);
    snprintf(key, sizeof(key), "%s/good.key", redistest.dir);
    snprintf(pem, sizeof(pem), "%s/good.pem", redistest.dir);
    redistest.server = fork();
    check(redistest.server >= 0);
    if (redistest.server == 0) {
        const char *argv[32] = {"redis-server", "--port", port, "--bind", "127.0.0.1",
                                "127.0.0.2",    "--save", "",   "--dir",  redistest.dir};
        unsigned n = 10;
        int fd = open("/dev/null", O_RDWR);

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(fd, 1);
        dup2(fd, 2);
        if (redistest.password) {
            argv[n++] = "--requirepass";
            argv[n++] = redistest.password;
        }
        if (redistest.lacks_auth) {
            argv[n++] = "--rename-command";
            argv[n++] = "AUTH";
            argv[n++] = "";
        }
        if (redistest.tls_port) {
            const char *more[] = {"--tls-port",         tls, "--tls-cert-file",    pem,
                                  "--tls-key-file",     key, "--tls-ca-cert-file", pem,
                                  "--tls-auth-clients", "no"};

            memcpy(&argv[n], more, sizeof(more));
        }
        execvp("redis-server", (char *const *)(uintptr_t)argv);
        _exit(127);
    }
}

#endif
