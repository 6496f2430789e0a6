/*
 * artifact_store_s3: the S3 store for requests, each call of which is one or more of s3.h's.
 *
 * Names. at.root is "bucket/prefix"; the key of an artifact is prefix and path joined. "a/" is the
 * folder a: S3 has none, so a folder is there when a key begins with its name and a slash.
 *
 * Downloads pass a Range on and stream what comes. A key that is not there costs one question more: is
 * it a folder? MLflow answers 500 then; here it is 404, or 400 for a folder, as with local files.
 *
 * Removing lists all keys that begin with the path, page by page, and deletes those that are the path or
 * lie below it: "foobar" survives the end of "foo".
 *
 * Uploads are in artifact_upload_s3.c.
 */
#include "gateway/artifact/artifact_store_s3.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "gateway/artifact/artifact_path.h"
#include "gateway/artifact/artifacts.h"
#include "gateway/http/reply.h"
#include "gateway/req_part.h"
#include "gateway/s3/s3_keys.h"
#include "gateway/s3/s3_xml.h"
#include "gateway/say.h"
#include "gateway/server.h"
#include "gateway/worker.h"
#include "schema/errors.h"
#include "schema/limits.h"

/* What list and remove keep between two pages. */
struct pages {
    struct str prefix;
    struct str token; /* of the page to come; empty = the first */
    size_t room;
};

struct str artifact_s3_bucket(const struct artifact_place *at)
{
    return str_head(at->root, str_find(at->root, '/'));
}

struct str artifact_s3_key(struct arena *a, const struct artifact_place *at)
{
    struct str prefix = str_skip(at->root, str_find(at->root, '/') + 1);

    return at->path.n ? artifact_path_join(a, prefix, at->path) : prefix;
}

static struct str without_slashes(struct str s)
{
    while (str_ends(s, STR("/")))
        s.n--;
    return s;
}

/* -- pages of keys ------------------------------------------------------------------------------ */

static err_t ask_page(struct req *r, const struct pages *p, bool is_flat, const char *most,
                      struct fail *f)
{
    struct s3_keys keys = {p->prefix, p->token, is_flat, most};
    struct s3_param params[S3_KEYS_PARAMS];
    struct s3_request q;

    s3_keys_ask(&keys, artifact_s3_bucket(&r->artifact->at), params, &q);
    return s3_start(r, &q, f);
}

static struct str next_token(struct req *r)
{
    return s3_keys_next(&r->arena, buf_str(&r->s3->answer));
}

/* "Failed to list artifacts in s3://bucket/prefix: " */
static struct str failed_to_list(struct req *r)
{
    return SAY_TEXT(&r->arena, STR("Failed to list artifacts in s3://"), r->artifact->at.root,
                    STR(": "));
}

/* -- list --------------------------------------------------------------------------------------- */

static int by_name(const void *x, const void *y)
{
    return str_cmp(((const struct artifact_entry *)x)->name,
                   ((const struct artifact_entry *)y)->name);
}

static void add_entry(struct req *r, struct artifact_entry e)
{
    struct artifact_call *c = r->artifact;
    struct pages *p = c->own;

    if (e.name.n == 0)
        return; /* the folder's own marker */
    if (c->list.n == p->room) {
        struct artifact_entry *more;

        p->room = p->room ? p->room * 2 : 64;
        more = arena_array(&r->arena, p->room, sizeof(*more));
        if (c->list.n)
            memcpy(more, c->list.items, c->list.n * sizeof(*more));
        c->list.items = more;
    }
    c->list.items[c->list.n++] = e;
}

static void take_page(struct req *r)
{
    struct artifact_call *c = r->artifact;
    struct pages *p = c->own;
    struct str key = STR(""), size = STR("");
    struct s3_xml x;

    s3_xml_init(&x, &r->arena, buf_str(&r->s3->answer));
    while (s3_xml_next(&x)) {
        struct artifact_entry e = {.is_directory = true};

        if (s3_xml_is(&x, "Contents/Key")) {
            key = x.text;
        } else if (s3_xml_is(&x, "Contents/Size")) {
            size = x.text;
        } else if (s3_xml_is(&x, "CommonPrefixes/Prefix") && str_starts(x.text, p->prefix)) {
            e.name = without_slashes(str_skip(x.text, p->prefix.n));
            add_entry(r, e);
        } else if (s3_xml_is(&x, "Contents") && str_starts(key, p->prefix)) {
            e.is_directory = false;
            e.name = str_skip(key, p->prefix.n);
            if (str_to_u64(size, &e.bytes) && !str_ends(key, STR("/")))
                add_entry(r, e);
        }
    }
}

static err_t list_page(struct req *r, struct fail *f);

static err_t list_took(struct req *r, struct fail *f)
{
    struct artifact_call *c = r->artifact;
    struct pages *p = c->own;

    if (r->s3->status != 200)
        return s3_fail(r, failed_to_list(r), f);
    take_page(r);
    if (c->list.n > LIMIT_ARTIFACT_LIST)
        return fail(f, ERR_BAD_PARAM, "The directory holds more than %u artifacts",
                    (unsigned)LIMIT_ARTIFACT_LIST);
    p->token = next_token(r);
    if (p->token.n)
        return list_page(r, f);
    s3_stop(r);
    if (c->list.n)
        qsort(c->list.items, c->list.n, sizeof(*c->list.items), by_name);
    return c->next(r, f);
}

static err_t list_page(struct req *r, struct fail *f)
{
    struct artifact_call *c = r->artifact;
    err_t e = ask_page(r, c->own, false, NULL, f);

    return e ? e : s3_await(r, S3_END, list_took);
}

static struct pages *pages_of(struct req *r, bool is_folder)
{
    struct artifact_call *c = r->artifact;
    struct pages *p = c->own = arena_zalloc(&r->arena, sizeof(*p));
    struct str key = without_slashes(artifact_s3_key(&r->arena, &c->at));

    p->prefix = is_folder && key.n ? SAY_TEXT(&r->arena, key, STR("/")) : key;
    return p;
}

static err_t s3_list(struct req *r, req_step next)
{
    struct artifact_call *c = r->artifact;

    c->next = next;
    c->list = (struct artifact_list){NULL, 0};
    (void)pages_of(r, true);
    return list_page(r, r->fail);
}

/* -- open --------------------------------------------------------------------------------------- */

static err_t absent(struct req *r, struct fail *f)
{
    return SAY(&r->arena, f, ERR_NOT_FOUND, STR("No such artifact: '"), r->artifact->at.path,
               STR("'"));
}

static err_t open_looked(struct req *r, struct fail *f)
{
    struct artifact_call *c = r->artifact;

    if (r->s3->status != 200)
        return s3_fail(r, failed_to_list(r), f);
    if (s3_xml_find(&r->arena, buf_str(&r->s3->answer), "Contents/Key").n == 0)
        return absent(r, f);
    c->content.is_directory = true;
    return c->next(r, f);
}

/* There is no such object: is there a folder? */
static err_t open_look(struct req *r, struct fail *f)
{
    err_t e = ask_page(r, pages_of(r, true), true, "1", f);

    return e ? e : s3_await(r, S3_END, open_looked);
}

/* "bytes 0-4/10" or "bytes * /10": the last number. */
static uint64_t whole_of(struct str range)
{
    uint64_t n;

    return str_to_u64(str_skip(range, str_find(range, '/') + 1), &n) ? n : 0;
}

static err_t open_refused(struct req *r, struct fail *f)
{
    return s3_fail(r, STR(""), f);
}

static err_t open_answered(struct req *r, struct fail *f)
{
    struct artifact_call *c = r->artifact;
    const struct s3_call *s = r->s3;
    bool is_part = s->status == 206;
    struct str from = str_skip(s->range, str_find(s->range, ' ') + 1);

    if (s->status == 404)
        return open_look(r, f);
    if (s->status == 416) {
        c->range = RANGE_BEYOND;
        c->content.bytes = whole_of(s->range);
        return c->next(r, f);
    }
    if (s->status != 200 && !is_part)
        return s3_await(r, S3_END, open_refused);
    if (s->length == UINT64_MAX ||
        (is_part && !str_to_u64(str_head(from, str_find(from, '-')), &c->from)))
        return fail_str(f, ERR_STORAGE, STR("The artifact store did not say how much comes"));
    c->n = s->length;
    c->range = is_part ? RANGE_PART : RANGE_WHOLE;
    c->content.bytes = is_part ? whole_of(s->range) : s->length;
    c->content.etag = s->etag;
    c->content.modified = s->modified;
    return c->next(r, f);
}

/* The Range to pass on: one that S3 reads as we do. False when it is none at all. */
static bool range_to_ask(struct req *r, struct s3_header *out, size_t *n)
{
    struct artifact_call *c = r->artifact;
    struct str field = r->head->range;

    *n = 0;
    if (!r->head->has_range || r->head->has_if_range)
        return true;
    c->range = artifact_header_range(field, INT64_MAX, &c->from, &c->n, &c->range_why);
    if (c->range == RANGE_MALFORMED)
        return false;
    if (str_find(field, ',') < field.n)
        return true;
    *out = (struct s3_header){
        STR("range"),
        SAY_TEXT(&r->arena, STR("bytes="), str_trim(str_skip(field, str_find(field, '=') + 1)))};
    *n = 1;
    return true;
}

static err_t s3_open(struct req *r, req_step next)
{
    struct artifact_call *c = r->artifact;
    struct s3_header range;
    struct s3_request q = {.method = reply_has_body(r) ? "GET" : "HEAD",
                           .bucket = artifact_s3_bucket(&c->at),
                           .key = artifact_s3_key(&r->arena, &c->at),
                           .headers = &range,
                           .body_bytes = S3_NO_BODY};
    err_t e;

    c->next = next;
    if (c->at.path.n == 0 || str_ends(c->at.path, STR("/")))
        return open_look(r, r->fail);
    if (!range_to_ask(r, &range, &q.header_count))
        return next(r, r->fail);
    c->from = 0;
    e = s3_start(r, &q, r->fail);
    return e ? e : s3_await(r, S3_HEAD, open_answered);
}

static err_t send_more(struct req *r, struct fail *f);

static err_t send_came(struct req *r, struct fail *f)
{
    struct str bytes = buf_str(&r->s3->answer);

    (void)f;
    if (bytes.n == 0)
        return req_end_answer(r);
    buf_add_str(&r->reply.body, bytes);
    buf_reset(&r->s3->answer);
    return req_send(r, send_more);
}

static err_t send_more(struct req *r, struct fail *f)
{
    (void)f;
    return s3_await(r, S3_BYTES, send_came);
}

/* -- remove ------------------------------------------------------------------------------------- */

static err_t remove_page(struct req *r, struct fail *f);

static err_t remove_deleted(struct req *r, struct fail *f)
{
    struct artifact_call *c = r->artifact;
    struct pages *p = c->own;
    err_t e = s3_keys_deleted(&r->arena, r->s3->status, buf_str(&r->s3->answer), f);

    if (e)
        return e;
    return p->token.n ? remove_page(r, f) : c->next(r, f);
}

/* Those keys of the page that are the path or below it; empty = none. */
static struct str keys_to_delete(struct req *r, struct str path)
{
    struct str text;
    struct s3_xml x;
    struct buf out;

    buf_init(&out);
    s3_xml_init(&x, &r->arena, buf_str(&r->s3->answer));
    while (s3_xml_next(&x))
        if (s3_xml_is(&x, "Contents/Key") && s3_keys_is_within(x.text, path))
            s3_keys_add(&out, &r->arena, x.text);
    text = arena_dup(&r->arena, buf_str(&out));
    buf_fini(&out);
    return text;
}

static err_t remove_listed(struct req *r, struct fail *f)
{
    struct artifact_call *c = r->artifact;
    struct pages *p = c->own;
    struct s3_header headers[2];
    struct s3_request q;
    struct str objects;
    err_t e;

    if (r->s3->status != 200)
        return s3_fail(r, failed_to_list(r), f);
    objects = keys_to_delete(r, p->prefix);
    p->token = next_token(r);
    if (objects.n == 0)
        return p->token.n ? remove_page(r, f) : c->next(r, f);
    s3_keys_delete(&r->arena, objects, artifact_s3_bucket(&c->at), headers, &q);
    e = s3_start(r, &q, f);
    return e ? e : s3_await(r, S3_END, remove_deleted);
}

static err_t remove_page(struct req *r, struct fail *f)
{
    err_t e = ask_page(r, r->artifact->own, true, NULL, f);

    return e ? e : s3_await(r, S3_END, remove_listed);
}

static err_t s3_remove(struct req *r, req_step next)
{
    struct artifact_call *c = r->artifact;

    c->next = next;
    (void)pages_of(r, false);
    return remove_page(r, r->fail);
}

/* -- for clients that go to S3 themselves --------------------------------------------------------- */

/* _attachment_content_disposition of MLflow's S3 store, which is not that of its server. */
static struct str attachment(struct arena *a, struct str name)
{
    bool is_plain = true;
    struct str value;
    struct buf out;

    buf_init(&out);
    for (size_t i = 0; i < name.n; i++)
        is_plain &= (unsigned char)name.p[i] >= 0x20 && (unsigned char)name.p[i] < 0x7f;
    buf_add_str(&out,
                is_plain ? STR("attachment; filename=\"") : STR("attachment; filename*=UTF-8''"));
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];

        if (is_plain && (c == '"' || c == '\\'))
            buf_add_byte(&out, '\\');
        if (is_plain || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
            (c >= '0' && c <= '9') || (c && strchr("_.-~/", c)))
            buf_add_byte(&out, c);
        else
            buf_printf(&out, "%%%02X", (unsigned)(unsigned char)c);
    }
    buf_add_str(&out, is_plain ? STR("\"") : STR(""));
    value = arena_dup(a, buf_str(&out));
    buf_fini(&out);
    return value;
}

static err_t presign_looked(struct req *r, struct fail *f)
{
    struct artifact_call *c = r->artifact;
    const struct s3_conf *conf = s3_conf_now(r->worker);
    struct str key = artifact_s3_key(&r->arena, &c->at);
    struct s3_param params[2] = {
        {STR("response-content-disposition"), attachment(&r->arena, artifact_path_base(key))},
        {STR("x-amz-expected-bucket-owner"), conf->bucket_owner}};
    struct s3_grant g = {.method = "GET",
                         .bucket = artifact_s3_bucket(&c->at),
                         .key = key,
                         .params = params,
                         .param_count = conf->bucket_owner.n ? 2 : 1,
                         .now_s = (uint64_t)clock_wall_ms() / 1000,
                         .seconds = c->length};

    if (r->s3->status != 200)
        return s3_fail(r, STR(""), f);
    c->content.bytes = r->s3->length;
    c->url = s3_url_presign(&r->arena, conf, &g);
    return c->next(r, f);
}

static err_t s3_presign_get(struct req *r, uint64_t seconds, req_step next)
{
    struct artifact_call *c = r->artifact;
    struct s3_request q = {.method = "HEAD",
                           .bucket = artifact_s3_bucket(&c->at),
                           .key = artifact_s3_key(&r->arena, &c->at),
                           .body_bytes = S3_NO_BODY};
    err_t e;

    c->next = next;
    c->length = seconds;
    e = s3_start(r, &q, r->fail);
    return e ? e : s3_await(r, S3_END, presign_looked);
}

const struct artifact_ops artifact_store_s3 = {
    .name = "s3",
    .list = s3_list,
    .open = s3_open,
    .send = send_more,
    .remove = s3_remove,
    .begin = artifact_s3_begin,
    .write = artifact_s3_write,
    .publish = artifact_s3_publish,
    .over = artifact_s3_over,
    .parts_create = artifact_s3_parts_create,
    .parts_complete = artifact_s3_parts_complete,
    .parts_abort = artifact_s3_parts_abort,
    .parts_url = artifact_s3_parts_url,
    .presign_get = s3_presign_get,
    .presign_put = artifact_s3_presign_put,
};
