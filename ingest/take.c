/*
 * take: when the time of a take is over.
 *
 *    deadline -fewer than busy_points came since the last look, enough are there, or it is late-> over
 *             -else-> one step later
 *
 * So a take waits for more only while more comes, and looks at the clock once a step.
 */
#include "ingest/take.h"

#include "base/clock.h"

bool take_is_over(struct take_terms *t, uint64_t points)
{
    if (clock_us() < t->deadline_us)
        return false;
    if (points >= t->enough_points || points - t->busy_from < t->busy_points ||
        t->deadline_us >= t->busy_deadline_us)
        return true;
    t->busy_from = points;
    t->deadline_us += t->busy_step_us;
    return false;
}
