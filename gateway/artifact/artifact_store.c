/*
 * artifact_store: the begin and the end of a request's dealings with a store, whichever it is. What is
 * held beyond the arena is bounded by the number of transfers: descriptors, buffers of libcurl's.
 */
#include "gateway/artifact/artifact_store.h"

#include "gateway/worker.h"
#include "gateway/worker_net.h"
#include "schema/errors.h"

/* Of a worker: each may have a job on a file thread, whose notes must leave room in the inbox. */
enum { LOCAL_MAX = INBOX_NOTES * 3 / 8 };

static void artifact_over(struct req *r)
{
    struct artifact_call *c = r->artifact;

    if (c->is_upload && c->own)
        stat_add(r->worker->stats, artifact_uploads_cut, 1);
    c->at.ops->over(r);
    r->worker->transfers--;
}

void artifact_end(struct req *r)
{
    artifact_over(r);
    r->over = NULL;
    r->artifact = NULL;
}

err_t artifact_begin(struct req *r, const struct artifact_place *at, struct fail *f)
{
    struct worker *w = r->worker;
    uint64_t most = w->settings->artifact_transfers / w->net->worker_count;

    if (at->ops == &artifact_store_local && most > LOCAL_MAX)
        most = LOCAL_MAX;
    if (w->transfers >= (most ? most : 1))
        return fail(f, ERR_BUSY,
                    "As many artifacts are on their way as artifact_transfers allows.");
    w->transfers++;
    r->artifact = arena_zalloc(&r->arena, sizeof(*r->artifact));
    r->artifact->at = *at;
    r->artifact->content.fd = -1;
    r->over = artifact_over;
    return OK;
}
