/*
 * The other side: a pod asks for positions of the queue that we flush, and is told when PostgreSQL has them.
 *
 *   question   POD P1 POS1 P2 POS2 ...      answer   QUEUE P1 POS1 ...
 *
 * On the connection of worker 0, whose inbox rings whenever a mark moves. What cannot be answered at
 * once is remembered, ASKED_MAX of it, the highest position for each pod and partition; a question
 * beyond that is dropped, and the asker asks again. All flushers of a Kafka topic hear a question, and
 * the one that has the partition closes its window; whoever learns that it is committed answers.
 */
#include <stdio.h>
#include <string.h>

#include "gateway/peers/peers_in.h"
#include "schema/errors.h"

/* A queue that is flushed by others is known only by asking PostgreSQL, which the hurry does. */
static bool asked_is_flushed(const struct peers *p, unsigned partition, pos_t pos)
{
    return queue_flushed(p->pod->queue, partition) >= pos;
}

static void asked_remember(struct peers *p, struct str pod, unsigned partition, pos_t pos)
{
    struct asked *a;

    for (unsigned i = 0; i < p->asked_count; i++) {
        a = &p->asked[i];
        if (a->partition == partition && str_eq(str_of(a->pod), pod)) {
            a->pos = a->pos > pos ? a->pos : pos;
            return;
        }
    }
    if (p->asked_count == ASKED_MAX)
        return;
    a = &p->asked[p->asked_count++];
    str_to_cstr(pod, a->pod, sizeof(a->pod));
    a->partition = partition;
    a->pos = pos;
}

static void asked_add(const struct peers *p, struct buf *text, unsigned partition)
{
    if (buf_len(text) == 0)
        buf_printf(text, "%s", queue_id(p->pod->queue));
    buf_printf(text, " %u %llu", partition,
               (unsigned long long)queue_flushed(p->pod->queue, partition));
}

static void asked_send(struct peers *p, struct str pod, struct buf *text)
{
    /* Redis away: the asker's own deadline is the bound. */
    if (buf_len(text) && !peers_publish(p, "pod", pod, buf_str(text)))
        stat_add(p->w->stats, redis_skipped, 1);
    buf_fini(text);
}

void asked_on_question(struct peers *p, struct str text)
{
    struct str pod = str_cut(&text, ' ');
    unsigned partition;
    struct buf answer;
    pos_t pos;

    if (pod.n != POD_ID)
        return;
    buf_init(&answer);
    while (peers_next_pair(&text, &partition, &pos)) {
        if (asked_is_flushed(p, partition, pos)) {
            asked_add(p, &answer, partition);
        } else {
            queue_hurry_to(p->pod->queue, partition, pos);
            asked_remember(p, pod, partition, pos);
        }
    }
    asked_send(p, pod, &answer);
}

void asked_answer(struct peers *p)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < p->asked_count; i++) {
        struct asked *a = &p->asked[i];
        struct buf answer;

        if (!asked_is_flushed(p, a->partition, a->pos)) {
            p->asked[kept++] = *a;
            continue;
        }
        buf_init(&answer);
        asked_add(p, &answer, a->partition);
        asked_send(p, str_of(a->pod), &answer);
    }
    p->asked_count = kept;
}

void asked_on_answer(struct peers *p, struct str text)
{
    struct str queue = str_cut(&text, ' ');
    bool is_own = str_eq(queue, str_of(queue_id(p->pod->queue)));
    unsigned partition;
    pos_t pos;

    if (queue.n > QUEUE_ID_BYTES)
        return;
    while (peers_next_pair(&text, &partition, &pos)) {
        char name[MARKS_NAME];
        int n = snprintf(name, sizeof(name), "%.*s/%u", STR_ARG(queue), partition);

        if (is_own && queue_is_shared(p->pod->queue))
            queue_see_committed(p->pod->queue, partition, pos);
        else if (!is_own)
            marks_raise(p->pod->marks, (struct str){name, (size_t)n}, pos);
    }
    pod_ring(p->pod);
}
