/*
 * artifact_upload_s3: uploads to S3, of any length, without a copy on disk.
 *
 *   length known, up to SINGLE_BYTES   one PUT, fed as the body comes
 *   length known, more                 a multipart upload, each part fed as the body comes
 *   length unknown (chunked)           gathered to parts of GATHER_BYTES in memory; one PUT when
 *                                      that is all
 *
 * S3 wants the length of each part before its bytes, hence the third way, whose memory counts: a worker
 * gathers for GATHERS_MAX requests, the next one is told to come again.
 *
 * Nobody sees an object before its PUT, or the completion of its parts, has been answered. When the
 * client goes in the middle, the PUT is broken off and the parts are aborted, by a call that outlives the
 * request (s3_send_away). Only when the process dies do parts stay, unseen, for the bucket's own rules
 * to remove.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "gateway/artifact/artifact_path.h"
#include "gateway/artifact/artifact_store_s3.h"
#include "gateway/artifact/artifacts.h"
#include "gateway/artifact/uri.h"
#include "gateway/http/reply.h"
#include "gateway/s3/s3_xml.h"
#include "gateway/say.h"
#include "gateway/server.h"
#include "gateway/worker.h"
#include "schema/errors.h"

enum {
    SINGLE_BYTES = 64 << 20,
    PART_BYTES = 16 << 20,
    GATHER_BYTES = 8 << 20,
    PARTS_MAX = 10000, /* S3's */
    GATHERS_MAX = 16,  /* of a worker: 128 MiB */
    HEADERS_MAX = 32
};

enum upload_way { UPLOAD_SINGLE, UPLOAD_PARTS, UPLOAD_GATHERED };

struct upload {
    enum upload_way way;
    uint64_t length, left; /* of all; not yet fed */
    uint64_t part_bytes, part_left;
    struct str id;   /* of the multipart upload; empty = there is none, or no more */
    struct str rest; /* of the bytes to write */
    struct str *etags;
    unsigned parts, room;
    bool is_counted; /* as one that gathers */
    struct buf gathered;
};

static struct upload *upload_of(struct req *r)
{
    return r->artifact->own;
}

static err_t refused(struct req *r, struct fail *f)
{
    return s3_fail(r, STR("Failed to upload the artifact: "), f);
}

static struct s3_request request_to(struct req *r, const char *method)
{
    return (struct s3_request){.method = method,
                               .bucket = artifact_s3_bucket(&r->artifact->at),
                               .key = artifact_s3_key(&r->arena, &r->artifact->at),
                               .body_bytes = S3_NO_BODY};
}

/* What goes with the object: its type by its name, and what the operator adds. */
static size_t object_headers(struct req *r, struct s3_header headers[HEADERS_MAX])
{
    const struct s3_conf *conf = &server_artifacts(r->worker->server)->s3;
    const char *encoding;
    const char *type =
        artifact_header_guess(&r->arena, artifact_path_base(r->artifact->at.path), &encoding);
    size_t n = 0;

    for (size_t i = 0; i < conf->upload_header_count && n < HEADERS_MAX - 2; i++) {
        headers[n++] = conf->upload_headers[i];
        if (str_eq(headers[n - 1].name, STR("Content-Type")))
            type = NULL;
        if (str_eq(headers[n - 1].name, STR("Content-Encoding")))
            encoding = NULL;
    }
    if (type)
        headers[n++] = (struct s3_header){STR("Content-Type"), str_of(type)};
    if (encoding)
        headers[n++] = (struct s3_header){STR("Content-Encoding"), str_of(encoding)};
    return n;
}

/* -- the parts of a multipart upload --------------------------------------------------------------- */

static err_t create(struct req *r, bool has_headers, req_step next)
{
    static const struct s3_param params[] = {{STR_INIT("uploads"), STR_INIT("")}};
    struct s3_header headers[HEADERS_MAX];
    struct s3_request q = request_to(r, "POST");
    err_t e;

    q.params = params;
    q.param_count = 1;
    q.headers = headers;
    q.header_count = has_headers ? object_headers(r, headers) : 0;
    e = s3_start(r, &q, r->fail);
    return e ? e : s3_await(r, S3_END, next);
}

static err_t created(struct req *r, struct fail *f, struct str *id)
{
    if (r->s3->status != 200)
        return refused(r, f);
    *id = s3_xml_find(&r->arena, buf_str(&r->s3->answer), "UploadId");
    return id->n ? OK : fail_str(f, ERR_STORAGE, STR("The artifact store gave no upload id"));
}

/* Begins the next part: of so many bytes that will be fed, or of these in memory. */
static err_t start_part(struct req *r, uint64_t bytes, struct str body, struct fail *f)
{
    struct upload *u = upload_of(r);
    struct s3_request q = request_to(r, "PUT");
    struct s3_param params[2] = {{STR("partNumber"), arena_printf(&r->arena, "%u", u->parts + 1)},
                                 {STR("uploadId"), u->id}};

    if (u->parts == PARTS_MAX)
        return fail(f, ERR_HTTP_TOO_LARGE, "The artifact needs more than %d parts", PARTS_MAX);
    q.params = params;
    q.param_count = 2;
    if (body.n)
        q.body = body;
    else
        q.body_bytes = bytes;
    return s3_start(r, &q, f);
}

/* A part is stored: its mark is kept. */
static err_t note_part(struct req *r, struct fail *f)
{
    struct upload *u = upload_of(r);

    if (r->s3->status != 200)
        return refused(r, f);
    if (u->parts == u->room) {
        struct str *more;

        u->room = u->room ? u->room * 2 : 16;
        more = arena_array(&r->arena, u->room, sizeof(*more));
        if (u->parts)
            memcpy(more, u->etags, u->parts * sizeof(*more));
        u->etags = more;
    }
    u->etags[u->parts++] = r->s3->etag;
    return OK;
}

static err_t complete(struct req *r, struct str id, const struct artifact_part *parts, size_t n,
                      req_step next)
{
    struct s3_param params[] = {{STR("uploadId"), id}};
    struct s3_header type = {STR("content-type"), STR("application/xml")};
    struct s3_request q = request_to(r, "POST");
    struct buf out;
    err_t e;

    buf_init(&out);
    buf_add_str(&out, STR("<CompleteMultipartUpload>"));
    for (size_t i = 0; i < n; i++) {
        buf_printf(&out, "<Part><PartNumber>%lld</PartNumber><ETag>", (long long)parts[i].number);
        buf_add_str(&out, s3_xml_escape(&r->arena, parts[i].etag));
        buf_add_str(&out, STR("</ETag></Part>"));
    }
    buf_add_str(&out, STR("</CompleteMultipartUpload>"));
    q.params = params;
    q.param_count = 1;
    q.headers = &type;
    q.header_count = 1;
    q.body = arena_dup(&r->arena, buf_str(&out));
    buf_fini(&out);
    e = s3_start(r, &q, r->fail);
    return e ? e : s3_await(r, S3_END, next);
}

/* A completion may begin with 200 and end with an error. */
static err_t completed(struct req *r, struct fail *f)
{
    if (r->s3->status != 200 || s3_xml_find(&r->arena, buf_str(&r->s3->answer), "Error/Code").n)
        return refused(r, f);
    return OK;
}

/* -- begin -------------------------------------------------------------------------------------- */

static err_t begun_parts(struct req *r, struct fail *f)
{
    err_t e = created(r, f, &upload_of(r)->id);

    if (e)
        return e;
    s3_stop(r); /* else it would pass for the first part */
    return r->artifact->next(r, f);
}

static err_t begin_single(struct req *r, struct str body, uint64_t bytes)
{
    struct s3_header headers[HEADERS_MAX];
    struct s3_request q = request_to(r, "PUT");

    q.headers = headers;
    q.header_count = object_headers(r, headers);
    if (body.n)
        q.body = body;
    else
        q.body_bytes = bytes;
    return s3_start(r, &q, r->fail);
}

err_t artifact_s3_begin(struct req *r, uint64_t length, req_step next)
{
    struct artifact_call *c = r->artifact;
    struct upload *u = c->own = arena_zalloc(&r->arena, sizeof(*u));
    err_t e;

    buf_init(&u->gathered);
    c->is_upload = true;
    c->next = next;
    if (length == ARTIFACT_UNKNOWN_LENGTH) {
        if (r->worker->s3_gathers == GATHERS_MAX)
            return fail(r->fail, ERR_BUSY, "Too many uploads without a length are under way");
        r->worker->s3_gathers++;
        u->is_counted = true;
        u->way = UPLOAD_GATHERED;
        return next(r, r->fail);
    }
    u->length = u->left = length;
    if (length <= SINGLE_BYTES) {
        e = begin_single(r, STR(""), length);
        return e ? e : next(r, r->fail);
    }
    u->way = UPLOAD_PARTS;
    u->part_bytes = length / PARTS_MAX + 1 > PART_BYTES ? length / PARTS_MAX + 1 : PART_BYTES;
    return create(r, true, begun_parts);
}

/* -- write -------------------------------------------------------------------------------------- */

static err_t write_more(struct req *r, struct fail *f);

/* The server has ended the call before all was sent: it refuses. */
static bool has_refused(struct req *r)
{
    return r->s3->is_done && (r->s3->status != 200 || r->s3->feed.n);
}

static err_t fed(struct req *r, struct fail *f)
{
    struct upload *u = upload_of(r);

    if (has_refused(r))
        return refused(r, f);
    return u->rest.n || (u->way == UPLOAD_PARTS && u->part_left == 0) ? write_more(r, f)
                                                                      : r->artifact->next(r, f);
}

static err_t part_stored(struct req *r, struct fail *f)
{
    err_t e = note_part(r, f);

    if (e)
        return e;
    s3_stop(r);
    return upload_of(r)->rest.n ? write_more(r, f) : r->artifact->next(r, f);
}

static err_t gathered_stored(struct req *r, struct fail *f)
{
    err_t e = note_part(r, f);

    if (e)
        return e;
    s3_stop(r);
    buf_reset(&upload_of(r)->gathered);
    return r->artifact->next(r, f);
}

static err_t store_gathered(struct req *r, struct fail *f)
{
    err_t e = start_part(r, 0, buf_str(&upload_of(r)->gathered), f);

    return e ? e : s3_await(r, S3_END, gathered_stored);
}

static err_t gathered_created(struct req *r, struct fail *f)
{
    err_t e = created(r, f, &upload_of(r)->id);

    return e ? e : store_gathered(r, f);
}

static err_t gather(struct req *r, struct str bytes, struct fail *f)
{
    struct upload *u = upload_of(r);

    buf_add_str(&u->gathered, bytes);
    if (buf_len(&u->gathered) < GATHER_BYTES)
        return r->artifact->next(r, f);
    return u->id.n ? store_gathered(r, f) : create(r, true, gathered_created);
}

/* Feeds the rest of the bytes: to the only PUT, or up to the end of the part. */
static err_t write_more(struct req *r, struct fail *f)
{
    struct upload *u = upload_of(r);
    struct str bytes = u->rest;
    err_t e;

    if (u->way == UPLOAD_PARTS) {
        if (u->part_left == 0 && r->s3)
            return s3_await(r, S3_END, part_stored);
        if (u->part_left == 0) {
            u->part_left = u->left < u->part_bytes ? u->left : u->part_bytes;
            if ((e = start_part(r, u->part_left, STR(""), f)))
                return e;
        }
        bytes = str_head(bytes, (size_t)(bytes.n < u->part_left ? bytes.n : u->part_left));
        u->part_left -= bytes.n;
    }
    u->rest = str_skip(u->rest, bytes.n);
    u->left -= bytes.n;
    return s3_feed(r, bytes, fed);
}

err_t artifact_s3_write(struct req *r, struct str bytes, req_step next)
{
    struct upload *u = upload_of(r);

    r->artifact->next = next;
    if (bytes.n == 0)
        return next(r, r->fail);
    if (u->way == UPLOAD_GATHERED)
        return gather(r, bytes, r->fail);
    if (bytes.n > u->left)
        return fail(r->fail, ERR_INTERNAL, "More bytes than were announced");
    u->rest = bytes;
    return write_more(r, r->fail);
}

/* -- publish ------------------------------------------------------------------------------------ */

static err_t published_single(struct req *r, struct fail *f)
{
    return r->s3->status == 200 ? r->artifact->next(r, f) : refused(r, f);
}

static err_t published_parts(struct req *r, struct fail *f)
{
    err_t e = completed(r, f);

    if (e)
        return e;
    upload_of(r)->id = STR(""); /* nothing to abort any more */
    return r->artifact->next(r, f);
}

static err_t publish_parts(struct req *r, struct fail *f)
{
    struct upload *u = upload_of(r);
    struct artifact_part *parts = arena_array(&r->arena, u->parts, sizeof(*parts));

    (void)f;
    for (unsigned i = 0; i < u->parts; i++)
        parts[i] = (struct artifact_part){i + 1, u->etags[i]};
    return complete(r, u->id, parts, u->parts, published_parts);
}

static err_t published_last(struct req *r, struct fail *f)
{
    err_t e = note_part(r, f);

    return e ? e : publish_parts(r, f);
}

static err_t publish_gathered(struct req *r)
{
    struct upload *u = upload_of(r);
    err_t e;

    if (u->id.n == 0) {
        e = begin_single(r, buf_str(&u->gathered), 0);
        return e ? e : s3_await(r, S3_END, published_single);
    }
    if (buf_len(&u->gathered) == 0)
        return publish_parts(r, r->fail);
    e = start_part(r, 0, buf_str(&u->gathered), r->fail);
    return e ? e : s3_await(r, S3_END, published_last);
}

err_t artifact_s3_publish(struct req *r, req_step next)
{
    struct upload *u = upload_of(r);

    r->artifact->next = next;
    if (u->way == UPLOAD_GATHERED)
        return publish_gathered(r);
    if (u->left)
        return fail(r->fail, ERR_INTERNAL, "Fewer bytes than were announced");
    return u->way == UPLOAD_PARTS ? publish_parts(r, r->fail)
                                  : s3_await(r, S3_END, published_single);
}

void artifact_s3_over(struct req *r)
{
    struct artifact_call *c = r->artifact;
    struct upload *u = c->is_upload ? c->own : NULL;

    s3_stop(r);
    if (u == NULL)
        return;
    if (u->id.n) {
        struct s3_param params[] = {{STR("uploadId"), u->id}};
        struct s3_request q = request_to(r, "DELETE");

        q.params = params;
        q.param_count = 1;
        s3_send_away(r->worker, &r->arena, &q);
    }
    if (u->is_counted)
        r->worker->s3_gathers--;
    buf_fini(&u->gathered);
    c->own = NULL;
}

/* -- for clients that go to S3 themselves ----------------------------------------------------------- */

static err_t parts_created(struct req *r, struct fail *f)
{
    err_t e = created(r, f, &r->artifact->upload_id);

    return e ? e : r->artifact->next(r, f);
}

err_t artifact_s3_parts_create(struct req *r, req_step next)
{
    r->artifact->next = next;
    return create(r, false, parts_created);
}

static err_t parts_completed(struct req *r, struct fail *f)
{
    err_t e = completed(r, f);

    return e ? e : r->artifact->next(r, f);
}

err_t artifact_s3_parts_complete(struct req *r, struct str id, const struct artifact_part *parts,
                                 size_t n, req_step next)
{
    r->artifact->next = next;
    return complete(r, id, parts, n, parts_completed);
}

static err_t parts_aborted(struct req *r, struct fail *f)
{
    return r->s3->status == 204 || r->s3->status == 200 ? r->artifact->next(r, f) : refused(r, f);
}

err_t artifact_s3_parts_abort(struct req *r, struct str id, req_step next)
{
    struct s3_param params[] = {{STR("uploadId"), id}};
    struct s3_request q = request_to(r, "DELETE");
    err_t e;

    r->artifact->next = next;
    q.params = params;
    q.param_count = 1;
    e = s3_start(r, &q, r->fail);
    return e ? e : s3_await(r, S3_END, parts_aborted);
}

struct str artifact_s3_parts_url(struct req *r, struct str id, int64_t number)
{
    struct s3_param params[] = {
        {STR("partNumber"), arena_printf(&r->arena, "%lld", (long long)number)},
        {STR("uploadId"), id}};
    struct s3_grant g = {.method = "PUT",
                         .bucket = artifact_s3_bucket(&r->artifact->at),
                         .key = artifact_s3_key(&r->arena, &r->artifact->at),
                         .params = params,
                         .param_count = 2,
                         .now_s = (uint64_t)clock_wall_ms() / 1000,
                         .seconds = 3600};

    return s3_url_presign(&r->arena, s3_conf_now(r->worker), &g);
}

static int by_header(const void *x, const void *y)
{
    return str_cmp(((const struct s3_header *)x)->name, ((const struct s3_header *)y)->name);
}

static err_t presign_signed(struct req *r, struct fail *f)
{
    const struct s3_conf *conf = s3_conf_now(r->worker);
    struct s3_header headers[HEADERS_MAX];
    struct s3_grant g = {.method = "PUT",
                         .bucket = artifact_s3_bucket(&r->artifact->at),
                         .key = artifact_s3_key(&r->arena, &r->artifact->at),
                         .headers = headers,
                         .now_s = (uint64_t)clock_wall_ms() / 1000,
                         .seconds = r->artifact->length};
    size_t n = 0;

    headers[n++] = (struct s3_header){STR("content-type"), r->artifact->bytes};
    for (size_t i = 0; i < conf->upload_header_count && n < HEADERS_MAX; i++)
        headers[n++] = (struct s3_header){uri_to_lower(&r->arena, conf->upload_headers[i].name),
                                          conf->upload_headers[i].value};
    qsort(headers, n, sizeof(*headers), by_header);
    g.header_count = n;
    r->artifact->url = s3_url_presign(&r->arena, conf, &g);
    return r->artifact->next(r, f);
}

err_t artifact_s3_presign_put(struct req *r, struct str type, uint64_t seconds, req_step next)
{
    r->artifact->bytes = type;
    r->artifact->length = seconds;
    r->artifact->next = next;
    return s3_need_keys(r, presign_signed);
}
