/*
 * news: what changed somewhere, told to every worker of every pod. One door for all who keep something
 * of PostgreSQL in memory.
 *
 *     news_tell(r->worker, NEWS_USER, name)       after the commit, before the answer
 *     news_hear(w, NEWS_USER, heard, arg)         on each worker, before its loop begins
 *
 * heard(arg, name) is called on each worker's own thread: on the teller's at once, on its process' others
 * by their inboxes, in other pods by Redis' publish/subscribe, which takes less than a millisecond. A
 * name is any bytes up to NEWS_NAME; longer ones are told as "any". Without Redis the workers of this
 * process hear it all the same.
 *
 * heard with name.p == NULL: anything of that kind may have changed. That is called when something may
 * have been missed: the connection to Redis is (back) up, or an inbox was full. So whoever listens may
 * trust what it keeps for as long as it likes while Redis is good, and must have a time to live for when
 * it is not: nobody hears anything from other pods then.
 *
 * A new kind is a row of the enum and one of news.c's NEWS_NAMES. All but NEWS_USER are of what all workers
 * share, the run table, the counters of changed grants and the table of workspaces: who tells has changed
 * that already, and from other pods they are heard once for the process, by news.c itself. Only "anything
 * may have changed" comes to each worker.
 */
#ifndef GATEWAY_NEWS_H
#define GATEWAY_NEWS_H

#include "base/str.h"

struct worker;

enum { NEWS_NAME = 1024 };
enum news_kind {
    NEWS_RUN,       /* its stage; name: the run's id */
    NEWS_RUNS,      /* the stage of all runs of an experiment; name: its id */
    NEWS_USER,      /* credentials or rights; name: the user's */
    NEWS_GRANTS,    /* of a user; name: his id, or "" for everybody's */
    NEWS_WORKSPACE, /* made, changed or deleted; its name */
    NEWS_KINDS
};

typedef void (*news_heard)(void *arg, struct str name);

/* In each worker, its own; zero: nobody listens. */
struct news {
    struct {
        news_heard heard;
        void *arg;
    } ears[NEWS_KINDS];
    bool is_owed; /* something could not be told to other pods: they get an "any" instead */
};

/* One listener of a kind on a worker. Before its loop begins. */
void news_hear(struct worker *w, enum news_kind kind, news_heard heard, void *arg);
/* The worker's thread. */
void news_tell(struct worker *w, enum news_kind kind, struct str name);

/* For worker.c and peers.c: a note with this ref has come, or will not be looked at; what another pod has published; something
 * may have been missed; this worker can tell other pods again what it owes. */
void news_take(struct worker *w, uint64_t ref);
void news_drop(uint64_t ref);
void news_take_missed(struct worker *w);
void news_on_message(struct worker *w, struct str text);
void news_miss(struct worker *w);
void news_settle(struct worker *w);

#endif
