/*
 * clock: what time it is, in microseconds.
 *
 * Deadlines, ages and rates use the monotonic clock; only what is stored or shown uses the wall
 * clock. Any thread.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

/* Microseconds since some fixed moment; never goes back. */
uint64_t clock_us(void);
/* Microseconds of CPU that the calling thread has used. */
uint64_t clock_cpu_us(void);
/* Milliseconds since the epoch, as MLflow stores times. */
int64_t clock_wall_ms(void);

#endif
