/*
 * fault: places where a test lets the program die, and ways in which it breaks it on purpose.
 *
 * SLUICE_TEST_KILL_AT="name" or "name:N" raises SIGKILL at the first or N-th pass through
 * fault_point("name"). A test that cannot fail proves nothing, so some promises can also be broken
 * by a switch, SLUICE_TEST_..=1: the crash suite must notice. The environment is read once, at
 * first use; a place costs one load when nothing is set. Any thread.
 */
#ifndef BASE_FAULT_H
#define BASE_FAULT_H

#include <stdatomic.h>
#include <stdbool.h>

enum fault_state { FAULT_UNREAD, FAULT_OFF, FAULT_ARMED };

/* private: fault_point looks here */
extern _Atomic int fault_state;
void fault_pass(const char *name);

/* Dies here when the environment says so. */
static inline void fault_point(const char *name)
{
    if (__builtin_expect(atomic_load_explicit(&fault_state, memory_order_acquire) != FAULT_OFF, 0))
        fault_pass(name);
}

/* Is this environment variable "1"? Says so loudly in the log. To be asked once, at start. */
bool fault_switch(const char *variable);

#endif
