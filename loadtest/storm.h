/*
 * storm: schedules the requests of all jobs and drives them over their connections.
 *
 *   storm_init, setup_experiment and setup_runs, storm_run, storm_fini
 *
 * One thread, one event loop. Nothing is allocated for a request once each connection has sent a
 * few: buffers stay, points follow from numbers.
 */
#ifndef LOADTEST_STORM_H
#define LOADTEST_STORM_H

#include "loadtest/ledger.h"
#include "loadtest/plan.h"
#include "loadtest/shape.h"
#include "loadtest/tally.h"
#include "loadtest/watch.h"
#include "loadtest/wire.h"

enum { SLOT_MEMORY = 16 }; /* earlier calls that a connection can repeat */

struct job;

/* What a connection is about. */
enum slot_state {
    SLOT_FREE,    /* waits for what is due */
    SLOT_ASKING,  /* a request is on its way */
    SLOT_WAITING, /* before a retry, or pausing */
};

struct slot {
    struct wire wire; /* first, so that one is found from the other */
    struct job *job;
    enum slot_state state;
    struct slot *next_free;
    struct call call;
    bool is_replay;
    bool is_broken; /* the server was away (no answer, or 5xx), and no 2xx came since */
    unsigned replays_left;
    unsigned attempts; /* made of this request */
    uint64_t intended_us;
    uint64_t sent_us;
    struct buf request;
    struct event timer;
    struct call memory[SLOT_MEMORY];
    unsigned memory_count; /* ever noted */
};

struct job {
    struct storm *storm;
    uint32_t first_run;
    uint32_t turn;     /* counts requests, to take runs in turn */
    uint64_t random;   /* of everything but the arrivals */
    uint64_t arrivals; /* its own, so that answers do not move what is due */
    double due_us;     /* when the next request is due, open loop */
    struct event timer;
    struct slot *free; /* connections that wait for what is due */
};

struct storm {
    const struct plan *plan;
    struct target target;
    struct ssl_ctx_st *tls; /* of all connections; NULL when nothing is https */
    struct arena arena;
    struct event_base *loop;
    struct ledger ledger;
    struct shape shape;
    struct tally tally;
    struct watch watch;
    struct job *jobs;
    struct slot *slots;
    size_t slot_count;
    size_t busy; /* slots that are not free */
    uint64_t begin_us;
    uint64_t warm_us;                         /* when what is measured begins */
    uint64_t end_us;                          /* when no request is begun any more */
    bool is_over;                             /* no request is begun any more */
    void (*on_sample)(const struct storm *s); /* after each row of the curves; may be NULL */
    struct event ticker;
    struct event ender;
};

must_check err_t storm_init(struct storm *s, const struct plan *p, struct fail *f);
void storm_fini(struct storm *s);
void storm_run(struct storm *s);
/* Ends early: no request is begun any more. For a signal handler's event. */
void storm_stop(struct storm *s);

#endif
