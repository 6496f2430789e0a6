/*
 * A command to Redis that one request waits for, redis_wait at most.
 *
 * The answer may come when the request has gone on without it, or is gone altogether. So the two hold
 * each other: who ends first lets go of the other.
 */
#include <stdlib.h>

#include "gateway/peers/peers_in.h"

struct command {
    struct req *r; /* NULL: it went on without */
    struct peers_said *said;
};

static void command_on_answer(void *arg, const struct redisReply *reply)
{
    struct command *c = arg;
    struct req *r = c->r;

    if (r) {
        struct peers_said *said = c->said;

        worker_touch(r->worker);
        said->is_there = reply && reply->type != REDIS_REPLY_ERROR;
        if (said->is_there && redis_text(reply).p)
            said->text = arena_dup(&r->arena, redis_text(reply));
        for (size_t i = 0;
             said->is_there && reply->type == REDIS_REPLY_ARRAY && i < 2 && i < reply->elements;
             i++)
            said->numbers[i] = reply->element[i]->integer;
        r->peers.command = NULL;
        req_wake(r);
    }
    free(c);
}

void peers_forget(struct req *r)
{
    r->peers.command->r = NULL;
    r->peers.command = NULL;
}

err_t peers_command(struct req *r, const struct str *words, unsigned n, struct peers_said *said,
                    req_step next)
{
    struct peers *p = r->worker->peers;
    struct command *c;

    *said = (struct peers_said){0};
    if (!p || !redis_is_good(p->voice)) {
        stat_add(r->worker->stats, redis_skipped, p != NULL);
        return next(r, r->fail);
    }
    c = malloc(sizeof(*c));
    check(c);
    *c = (struct command){r, said};
    if (!redis_send(p->voice, words, n, command_on_answer, c)) {
        free(c);
        return next(r, r->fail);
    }
    r->peers.command = c;
    peers_park(r, PARK_COMMAND, next);
    return OK;
}
