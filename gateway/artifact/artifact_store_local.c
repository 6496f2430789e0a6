/*
 * artifact_store_local: the local store for requests: each call of artifact_local.h runs on a file
 * thread, and the request goes on when it has returned.
 *
 * A download is opened there and then sent by the worker: sendfile takes the bytes from the page cache
 * into the socket, no faster than the peer takes them. The kernel is asked to read ahead when the file
 * is opened, so the worker seldom waits for the disk.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <unistd.h>

#include "gateway/artifact/artifact_local.h"
#include "gateway/artifact/artifact_store.h"
#include "gateway/req_aside.h"
#include "gateway/req_part.h"

enum { AHEAD_BYTES = 4 << 20 };

/* -- on a file thread ---------------------------------------------------------------------------- */

static err_t do_list(struct req *r, struct fail *f)
{
    struct artifact_call *c = r->artifact;

    return artifact_local_list(&r->arena, c->at.root, c->at.path, &c->list, f);
}

static err_t do_open(struct req *r, struct fail *f)
{
    struct artifact_call *c = r->artifact;
    err_t e = artifact_local_open(&r->arena, c->at.root, c->at.path, &c->content, f);

    if (e == OK && c->content.fd >= 0)
        posix_fadvise(c->content.fd, 0, AHEAD_BYTES, POSIX_FADV_WILLNEED);
    return e;
}

static err_t do_remove(struct req *r, struct fail *f)
{
    struct artifact_call *c = r->artifact;

    return artifact_local_remove(&r->arena, c->at.root, c->at.path, f);
}

static err_t do_begin(struct req *r, struct fail *f)
{
    struct artifact_call *c = r->artifact;
    struct artifact_upload *u = arena_zalloc(&r->arena, sizeof(*u));
    err_t e = artifact_local_begin(&r->arena, c->at.root, c->at.path, u, f);

    c->own = e ? NULL : u;
    c->is_upload = true;
    return e;
}

static err_t do_write(struct req *r, struct fail *f)
{
    struct artifact_call *c = r->artifact;

    return artifact_local_write(&r->arena, c->own, c->bytes, f);
}

static err_t do_publish(struct req *r, struct fail *f)
{
    struct artifact_call *c = r->artifact;
    struct artifact_upload *u = c->own;

    c->own = NULL;
    return artifact_local_publish(&r->arena, u, f);
}

/* -- on the worker ------------------------------------------------------------------------------ */

static err_t local_list(struct req *r, req_step next)
{
    return req_on_files(r, do_list, next);
}

static err_t local_opened(struct req *r, struct fail *f)
{
    struct artifact_call *c = r->artifact;
    struct str field = r->head->range, when = r->head->if_range;

    c->range = RANGE_WHOLE;
    if (c->content.fd >= 0 && r->head->has_range &&
        (!r->head->has_if_range || str_eq(when, c->content.etag) ||
         str_eq(when, artifact_header_date(&r->arena, c->content.modified_us))))
        c->range = artifact_header_range(field, c->content.bytes, &c->from, &c->n, &c->range_why);
    if (c->range != RANGE_PART) {
        c->from = 0;
        c->n = c->content.bytes;
    }
    return c->next(r, f);
}

static err_t local_open(struct req *r, req_step next)
{
    struct artifact_call *c = r->artifact;

    c->next = next;
    return req_on_files(r, do_open, local_opened);
}

static err_t local_sent(struct req *r, struct fail *f)
{
    (void)f;
    return req_end_answer(r);
}

static err_t local_send(struct req *r, struct fail *f)
{
    struct artifact_call *c = r->artifact;

    (void)f;
    return req_send_file(r, c->content.fd, c->from, c->n, local_sent);
}

static err_t local_remove(struct req *r, req_step next)
{
    return req_on_files(r, do_remove, next);
}

static err_t local_begin(struct req *r, uint64_t length, req_step next)
{
    (void)length;
    return req_on_files(r, do_begin, next);
}

static err_t local_write(struct req *r, struct str bytes, req_step next)
{
    struct artifact_call *c = r->artifact;

    c->bytes = bytes;
    return req_on_files(r, do_write, next);
}

static err_t local_publish(struct req *r, req_step next)
{
    return req_on_files(r, do_publish, next);
}

static void local_over(struct req *r)
{
    struct artifact_call *c = r->artifact;

    if (c->content.fd >= 0)
        close(c->content.fd);
    if (c->own)
        artifact_local_abandon(c->own);
    c->content.fd = -1;
    c->own = NULL;
}

const struct artifact_ops artifact_store_local = {
    .name = "local",
    .list = local_list,
    .open = local_open,
    .send = local_send,
    .remove = local_remove,
    .begin = local_begin,
    .write = local_write,
    .publish = local_publish,
    .over = local_over,
};
