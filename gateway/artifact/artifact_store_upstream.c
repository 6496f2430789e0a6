/*
 * artifact_store_upstream: artifacts at a kind of place that is not served here (gs, wasbs, hdfs, ftp...), by
 * the stock server behind, which has a package for it.
 *
 * Whatever is to be done is done by passing the whole request on: it was checked here as it would be for our
 * own places, and nothing of its body has been read that cannot be given on. So every call of the store is
 * the last step of its request, and `next` never follows. The transfer that artifact_begin counted ends before; what
 * is under way then counts among upstream_connections.
 */
#include "gateway/artifact/artifact_store.h"

#include "gateway/api/api.h"
#include "gateway/worker.h"

static err_t pass(struct req *r)
{
    artifact_end(r);
    return proxy_handle(r, r->fail);
}

static err_t pass_step(struct req *r, req_step next)
{
    (void)next;
    return pass(r);
}

static err_t pass_upload(struct req *r, uint64_t length, req_step next)
{
    (void)length, (void)next;
    return pass(r);
}

static err_t pass_complete(struct req *r, struct str id, const struct artifact_part *parts,
                           size_t n, req_step next)
{
    (void)id, (void)parts, (void)n, (void)next;
    return pass(r);
}

static err_t pass_abort(struct req *r, struct str id, req_step next)
{
    (void)id, (void)next;
    return pass(r);
}

static err_t pass_presign(struct req *r, uint64_t seconds, req_step next)
{
    (void)seconds, (void)next;
    return pass(r);
}

static err_t pass_presign_put(struct req *r, struct str type, uint64_t seconds, req_step next)
{
    (void)type, (void)seconds, (void)next;
    return pass(r);
}

static void nothing_held(struct req *r)
{
    (void)r;
}

const struct artifact_ops artifact_store_upstream = {
    .name = "upstream",
    .list = pass_step,
    .open = pass_step,
    .remove = pass_step,
    .begin = pass_upload,
    .over = nothing_held,
    .parts_create = pass_step,
    .parts_complete = pass_complete,
    .parts_abort = pass_abort,
    .presign_get = pass_presign,
    .presign_put = pass_presign_put,
};
