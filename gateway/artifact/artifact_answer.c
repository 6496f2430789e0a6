/*
 * artifact_answer: what the calls about artifacts have in common: files lists, bytes, uploads.
 *
 * A download says how long it is, what it is called and when it changed; it is never shown inline. It
 * comes from a file by sendfile, from S3 in parts as they arrive. MLflow's own server gives S3's artifacts
 * without a length and ignores ranges; these have both.
 *
 * An upload goes piece by piece: a piece of the body, then its bytes to the store, then the next. So what
 * a client sends faster than the store takes it stays in the client's socket.
 */
#include "gateway/artifact/artifact_answer.h"

#include "gateway/artifact/artifact_path.h"
#include "gateway/http/reply.h"
#include "gateway/req_body.h"
#include "gateway/req_part.h"
#include "gateway/say.h"
#include "gateway/worker.h"
#include "schema/errors.h"

/* -- lists -------------------------------------------------------------------------------------- */

void artifact_answer_files(struct req *r, struct json *j, struct str folder)
{
    const struct artifact_list *list = &r->artifact->list;

    if (list->n == 0)
        return;
    json_key(j, "files");
    json_open_list(j);
    for (size_t i = 0; i < list->n; i++) {
        const struct artifact_entry *e = &list->items[i];

        json_open(j);
        json_pair_str(j, "path", artifact_path_join(&r->arena, folder, e->name));
        json_key(j, "is_dir");
        json_bool(j, e->is_directory);
        if (!e->is_directory && e->bytes) {
            json_key(j, "file_size");
            json_u64(j, e->bytes);
        }
        json_close(j);
    }
    json_close_list(j);
}

err_t artifact_answer_detail(struct req *r, int status, struct str detail)
{
    struct json j;

    reply_json_as(r, &j, JSON_COMPACT);
    json_open(&j);
    json_pair_str(&j, "detail", detail);
    json_close(&j);
    return reply_text(r, status, "application/json", buf_str(&r->reply.body));
}

/* -- downloads ---------------------------------------------------------------------------------- */

static err_t refuse_directory(struct req *r, struct fail *f)
{
    struct artifact_call *c = r->artifact;
    struct str words = SAY_TEXT(
        &r->arena, STR("Artifact path refers to a directory, not a file: '"), c->at.path, STR("'"));

    if (c->style == STYLE_NATIVE)
        return artifact_answer_detail(r, 400, words);
    return fail_str(f, ERR_BAD_PARAM, words);
}

static void add_headers(struct req *r)
{
    struct artifact_call *c = r->artifact;
    struct artifact_content *x = &c->content;
    struct str name = artifact_path_base(artifact_path_norm(&r->arena, c->at.path));

    if (x->modified.n == 0 && x->modified_us)
        x->modified = artifact_header_date(&r->arena, x->modified_us);
    reply_header(r, "content-disposition", "%s",
                 arena_cstr(&r->arena, artifact_header_disposition(&r->arena, name)));
    reply_header(r, "accept-ranges", "bytes");
    if (x->modified.n)
        reply_header(r, "last-modified", "%s", arena_cstr(&r->arena, x->modified));
    if (x->etag.n)
        reply_header(r, "etag", "%s", arena_cstr(&r->arena, x->etag));
    if (c->style == STYLE_FLASK)
        reply_header(r, "cache-control", "no-cache");
    if (c->range == RANGE_PART)
        reply_header(r, "content-range", "bytes %llu-%llu/%llu", (unsigned long long)c->from,
                     (unsigned long long)(c->from + c->n - 1), (unsigned long long)x->bytes);
}

static err_t opened(struct req *r, struct fail *f)
{
    struct artifact_call *c = r->artifact;
    struct str name = artifact_path_base(artifact_path_norm(&r->arena, c->at.path));

    if (c->content.is_directory)
        return refuse_directory(r, f);
    stat_add(r->worker->stats, artifact_downloads, 1);
    if (c->range == RANGE_MALFORMED)
        return reply_text(r, 400, "text/plain; charset=utf-8", str_of(c->range_why));
    if (c->range == RANGE_BEYOND) {
        reply_header(r, "content-range", "bytes */%llu", (unsigned long long)c->content.bytes);
        return reply_text(r, 416, "text/plain; charset=utf-8", STR(""));
    }
    req_begin_answer(r, c->range == RANGE_PART ? 206 : 200, artifact_header_type(&r->arena, name),
                     c->n);
    add_headers(r);
    return c->at.ops->send(r, f);
}

err_t artifact_answer(struct req *r, enum artifact_style style)
{
    r->artifact->style = style;
    return r->artifact->at.ops->open(r, opened);
}

/* -- uploads ------------------------------------------------------------------------------------ */

struct receipt {
    req_step next;
    uint64_t max, got;
};

static err_t receive_more(struct req *r, struct fail *f);

static err_t receive_end(struct req *r, struct fail *f)
{
    struct receipt *x = r->whole;

    (void)f;
    stat_add(r->worker->stats, artifact_uploads, 1);
    return x->next(r, r->fail);
}

static err_t receive_piece(struct req *r, struct fail *f)
{
    struct receipt *x = r->whole;

    x->got += r->piece.n;
    if (x->got > x->max)
        return fail_str(f, ERR_BAD_PARAM, STR("Artifact size is too large. Max size is 10MB."));
    return r->artifact->at.ops->write(r, r->piece, receive_more);
}

static err_t receive_more(struct req *r, struct fail *f)
{
    struct receipt *x = r->whole;

    if (!r->is_whole)
        return req_next_piece(r, receive_piece);
    if (x->max != UINT64_MAX && x->got == 0)
        return fail_str(f, ERR_BAD_PARAM, STR("Request must specify data."));
    return r->artifact->at.ops->publish(r, receive_end);
}

err_t artifact_receive(struct req *r, uint64_t max, req_step next)
{
    struct receipt *x = r->whole = arena_zalloc(&r->arena, sizeof(*x));

    x->next = next;
    x->max = max;
    return r->artifact->at.ops->begin(
        r, r->head->is_chunked ? ARTIFACT_UNKNOWN_LENGTH : r->head->content_length, receive_more);
}
