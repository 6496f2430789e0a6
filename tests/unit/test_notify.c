/* notify: one datagram for each state, to both kinds of address, and nothing where nobody listens. */
#include "base/notify.c"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

enum { STATE_ROOM = 64 };

/* A manager's socket at the address, in the form of NOTIFY_SOCKET; its length is the name's. */
static int listen_at(const char *address)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    size_t n = strlen(address);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);

    memcpy(at.sun_path, address, n);
    if (address[0] == '@')
        at.sun_path[0] = '\0';
    assert_int_equal(
        bind(fd, (struct sockaddr *)&at, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)),
        0);
    return fd;
}

static void expect_state(int fd, const char *want)
{
    char got[STATE_ROOM] = "";
    ssize_t n = recv(fd, got, sizeof(got) - 1, 0);

    assert_int_equal(n, strlen(want));
    assert_string_equal(got, want);
}

static void speak(const char *address)
{
    struct notify n;
    int fd = listen_at(address);
    char rest[STATE_ROOM];

    setenv("NOTIFY_SOCKET", address, 1);
    assert_true(notify_open(&n));
    assert_null(getenv("NOTIFY_SOCKET")); /* a child would speak for us */
    assert_true(fcntl(n.fd, F_GETFD) & FD_CLOEXEC);
    notify_say(&n, "READY=1");
    notify_say(&n, "STOPPING=1\nSTATUS=draining");
    expect_state(fd, "READY=1");
    expect_state(fd, "STOPPING=1\nSTATUS=draining");
    assert_int_equal(recv(fd, rest, sizeof(rest), 0), -1);
    assert_int_equal(errno, EAGAIN);
    notify_close(&n);
    notify_say(&n, "READY=1"); /* closed: nothing */
    assert_int_equal(recv(fd, rest, sizeof(rest), 0), -1);
    close(fd);
}

static void test_a_path(void **state)
{
    char address[] = "/tmp/test_notify.XXXXXX";
    int fd = mkstemp(address);

    (void)state;
    assert_true(fd >= 0);
    close(fd);
    unlink(address);
    speak(address);
    unlink(address);
}

static void test_an_abstract_name(void **state)
{
    char address[STATE_ROOM];

    (void)state;
    snprintf(address, sizeof(address), "@test_notify.%d", (int)getpid());
    speak(address);
}

static void test_nobody(void **state)
{
    struct notify n;

    (void)state;
    unsetenv("NOTIFY_SOCKET");
    assert_true(notify_open(&n));
    assert_int_equal(n.fd, -1);
    notify_say(&n, "READY=1");
    notify_close(&n);
}

static void expect_unreachable(const char *address)
{
    struct notify n;

    setenv("NOTIFY_SOCKET", address, 1);
    assert_false(notify_open(&n));
    assert_int_equal(n.fd, -1);
    notify_say(&n, "READY=1");
}

static void test_what_cannot_be_reached(void **state)
{
    char address[256];

    (void)state;
    expect_unreachable("/nowhere/at/all");
    expect_unreachable("vsock:2:1234"); /* no machine manager here */
    memset(address, 'a', sizeof(address) - 1);
    address[0] = '/';
    address[sizeof(address) - 1] = '\0';
    expect_unreachable(address);
}

/* A manager that does not read must not stop us. */
static void test_a_full_socket(void **state)
{
    char address[STATE_ROOM];
    struct notify n;
    int fd;

    (void)state;
    snprintf(address, sizeof(address), "@test_notify_full.%d", (int)getpid());
    fd = listen_at(address);
    setenv("NOTIFY_SOCKET", address, 1);
    assert_true(notify_open(&n));
    for (int i = 0; i < 10000; i++)
        notify_say(&n, "STATUS=busy");
    expect_state(fd, "STATUS=busy");
    notify_close(&n);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_path),        cmocka_unit_test(test_an_abstract_name),
        cmocka_unit_test(test_nobody),        cmocka_unit_test(test_what_cannot_be_reached),
        cmocka_unit_test(test_a_full_socket),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
