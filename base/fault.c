/*
 * fault: see the header. kill -9 at a named place is what a crash at that instruction looks like
 * to the disk and to PostgreSQL: nothing is flushed, nothing is closed, no handler runs.
 *
 * The variable is copied at first use under pthread_once, so that a later setenv of another
 * thread cannot be seen half-written. Passes are counted over all threads. What it does not do:
 * it returns no errors and delays nothing; disks that fail are made by tmpfs, strace and shims.
 */
#include "base/fault.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

enum { FAULT_NAME = 64 };

_Atomic int fault_state = FAULT_UNREAD;

static pthread_once_t fault_once = PTHREAD_ONCE_INIT;
static char fault_name[FAULT_NAME];
static _Atomic long fault_left; /* passes until the one that dies, it included */

static void fault_read(void)
{
    const char *value = getenv("SLUICE_TEST_KILL_AT");
    const char *colon = value ? strrchr(value, ':') : NULL;
    size_t len = colon ? (size_t)(colon - value) : value ? strlen(value) : 0;
    long pass = colon ? strtol(colon + 1, NULL, 10) : 1;

    if (len == 0 || len >= FAULT_NAME) {
        atomic_store_explicit(&fault_state, FAULT_OFF, memory_order_release);
        return;
    }
    memcpy(fault_name, value, len);
    atomic_store(&fault_left, pass > 0 ? pass : 1);
    atomic_store_explicit(&fault_state, FAULT_ARMED, memory_order_release);
    log_warn("", "a test will kill this process", "fault=%s pass=%ld", fault_name, pass);
}

void fault_pass(const char *name)
{
    pthread_once(&fault_once, fault_read);
    if (atomic_load_explicit(&fault_state, memory_order_acquire) != FAULT_ARMED)
        return;
    if (strcmp(name, fault_name) != 0)
        return;
    if (atomic_fetch_sub(&fault_left, 1) == 1) {
        kill(getpid(), SIGKILL);
        /* The signal may come a moment later; nothing more may happen until then. */
        for (;;)
            pause();
    }
}

bool fault_switch(const char *variable)
{
    const char *value = getenv(variable);

    if (!value || strcmp(value, "1") != 0)
        return false;
    log_error("", "a promise is broken on purpose, for a test", "switch=%s", variable);
    return true;
}
