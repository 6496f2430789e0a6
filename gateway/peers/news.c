/*
 * A message is "POD KIND NAME", POD being the id of the process that tells, which does not hear itself.
 * KIND is a word of NEWS_NAMES, or "any" for all kinds at once; a word that is not known is of a newer
 * version and is passed over.
 *
 * One connection of a process hears (peers.c, worker 0's) and spreads by the workers' inboxes, a copy of
 * the name for each. An inbox that is full is told by a flag that it has missed something: it is looked
 * at with the notes, and the inbox that was full has been rung.
 */
#include "gateway/peers/news.h"

#include <stdlib.h>
#include <string.h>

#include "gateway/auth/grant_cache.h"
#include "gateway/auth/workspace_table.h"
#include "gateway/peers/peers.h"
#include "gateway/pod.h"
#include "gateway/worker.h"

static const struct str NEWS_NAMES[NEWS_KINDS] = {[NEWS_RUN] = STR_INIT("run"),
                                                  [NEWS_RUNS] = STR_INIT("runs"),
                                                  [NEWS_USER] = STR_INIT("user"),
                                                  [NEWS_GRANTS] = STR_INIT("grants"),
                                                  [NEWS_WORKSPACE] = STR_INIT("workspace")};

#define NEWS_ANY STR("any")

/* On its way to one worker, which frees it. */
struct news_item {
    enum news_kind kind;
    size_t n;
    char name[];
};

static void news_call(struct worker *w, enum news_kind kind, struct str name)
{
    if (w->news.ears[kind].heard)
        w->news.ears[kind].heard(w->news.ears[kind].arg, name);
}

static void news_send(struct pod_worker *to, enum news_kind kind, struct str name)
{
    struct news_item *item = malloc(sizeof(*item) + name.n);
    struct note note = {.kind = WORKER_NEWS, .ref = (uintptr_t)item};

    check(item);
    item->kind = kind;
    item->n = name.n;
    if (name.n)
        memcpy(item->name, name.p, name.n);
    if (inbox_send(to->inbox, &note))
        return;
    free(item);
    atomic_store(&to->has_missed, true);
    inbox_ring(to->inbox);
}

static bool news_is_shared(enum news_kind kind)
{
    return kind == NEWS_RUN || kind == NEWS_RUNS || kind == NEWS_GRANTS || kind == NEWS_WORKSPACE;
}

/* To all workers of this process; to this one at once. */
static void news_spread(struct worker *w, enum news_kind kind, struct str name)
{
    struct pod *p = w->pod;
    unsigned n = atomic_load_explicit(&p->worker_count, memory_order_acquire);

    for (unsigned i = 0; i < n; i++) {
        if (i != w->index)
            news_send(&p->workers[i], kind, name);
    }
    news_call(w, kind, name);
}

void news_hear(struct worker *w, enum news_kind kind, news_heard heard, void *arg)
{
    check(!w->news.ears[kind].heard);
    w->news.ears[kind].heard = heard;
    w->news.ears[kind].arg = arg;
}

void news_tell(struct worker *w, enum news_kind kind, struct str name)
{
    struct buf text;

    if (!news_is_shared(kind)) /* who tells of those has changed what is shared */
        news_spread(w, kind, name);
    if (!w->peers)
        return;
    buf_init(&text);
    buf_printf(&text, "%s %.*s ", w->pod->id,
               STR_ARG(name.n <= NEWS_NAME ? NEWS_NAMES[kind] : NEWS_ANY));
    if (name.n <= NEWS_NAME)
        buf_add_str(&text, name);
    if (!peers_publish(w->peers, "news", STR(""), buf_str(&text)))
        w->news.is_owed = true;
    buf_fini(&text);
}

void news_settle(struct worker *w)
{
    struct buf text;

    if (!w->news.is_owed)
        return;
    buf_init(&text);
    buf_printf(&text, "%s %.*s ", w->pod->id, STR_ARG(NEWS_ANY));
    w->news.is_owed = !peers_publish(w->peers, "news", STR(""), buf_str(&text));
    buf_fini(&text);
}

void news_take(struct worker *w, uint64_t ref)
{
    struct news_item *item = (struct news_item *)(uintptr_t)ref;

    news_call(w, item->kind, (struct str){item->name, item->n});
    free(item);
}

void news_drop(uint64_t ref)
{
    free((void *)(uintptr_t)ref);
}

void news_take_missed(struct worker *w)
{
    if (!atomic_exchange(&w->pod->workers[w->index].has_missed, false))
        return;
    for (unsigned kind = 0; kind < NEWS_KINDS; kind++)
        news_call(w, kind, (struct str){0});
}

void news_miss(struct worker *w)
{
    struct pod *p = w->pod;
    unsigned n = atomic_load_explicit(&p->worker_count, memory_order_acquire);

    runs_forget_all(p->runs);
    workspace_table_forget_all(w->workspaces);
    for (unsigned i = 0; i < n; i++) {
        atomic_store(&p->workers[i].has_missed, true);
        inbox_ring(p->workers[i].inbox);
    }
}

/* Once for the process: the counters are all workers'. */
static void news_heard_grants(struct str name)
{
    int64_t id;

    if (name.n && str_to_i64(name, &id))
        grants_changed(id);
    else
        grants_changed_all();
}

static void news_heard_run(struct worker *w, struct str name)
{
    struct run_id id;

    if (run_id_set(&id, name))
        runs_forget(w->runs, &id);
}

void news_on_message(struct worker *w, struct str text)
{
    struct str pod = str_cut(&text, ' ');
    struct str word = str_cut(&text, ' ');

    if (str_eq(pod, str_of(w->pod->id)))
        return;
    stat_add(w->stats, redis_news, 1);
    if (str_eq(word, NEWS_ANY))
        news_miss(w);
    else if (str_eq(word, NEWS_NAMES[NEWS_RUN]))
        news_heard_run(w, text);
    else if (str_eq(word, NEWS_NAMES[NEWS_RUNS]))
        runs_forget_all(w->runs);
    else if (str_eq(word, NEWS_NAMES[NEWS_GRANTS]))
        news_heard_grants(text);
    else if (str_eq(word, NEWS_NAMES[NEWS_WORKSPACE]))
        workspace_table_forget(w->workspaces, text);
    for (unsigned kind = 0; kind < NEWS_KINDS; kind++) {
        if (!news_is_shared(kind) && str_eq(word, NEWS_NAMES[kind]))
            news_spread(w, kind, text.p ? text : STR(""));
    }
}
