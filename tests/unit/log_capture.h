/*
 * What the unit tests of logging share: standard error is a pipe from log_capture_begin to
 * log_capture_end, which are setup and teardown. Included before cmocka.h.
 */
#ifndef TESTS_UNIT_LOG_CAPTURE_H
#define TESTS_UNIT_LOG_CAPTURE_H

#include <fcntl.h>
#include <unistd.h>

#include "base/log.h"

static struct {
    int ends[2];
    int real_stderr;
    char text[65536];
} log_capture;

static int log_capture_begin(void **state)
{
    (void)state;
    log_capture.real_stderr = dup(STDERR_FILENO);
    if (pipe(log_capture.ends))
        return -1;
    fcntl(log_capture.ends[0], F_SETFL, O_NONBLOCK);
    dup2(log_capture.ends[1], STDERR_FILENO);
    log_set_level(LOG_INFO);
    log_set_json(false);
    return 0;
}

static int log_capture_end(void **state)
{
    (void)state;
    dup2(log_capture.real_stderr, STDERR_FILENO);
    close(log_capture.real_stderr);
    close(log_capture.ends[0]);
    close(log_capture.ends[1]);
    return 0;
}

/* What was logged since the last call. */
static const char *logged(void)
{
    ssize_t n = read(log_capture.ends[0], log_capture.text, sizeof(log_capture.text) - 1);

    log_capture.text[n > 0 ? n : 0] = '\0';
    return log_capture.text;
}

#endif
