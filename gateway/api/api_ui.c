/*
 * api_ui: the web UI of MLflow's wheel, from ui_dir.
 *
 *   /                 index.html, which a browser asks for again each time
 *   /static-files/…   everything else, for four weeks: names carry a hash of what is in them
 *   (the prefix)      308 to the prefix and a slash, because links in index.html are relative
 *
 * Headers as stock sends them, but for ranges, which no part of the UI asks for. An ETag is made of time
 * and size, as the one of stock is; a file that is replaced under us has another one at once.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "gateway/api/api.h"
#include "gateway/artifact/ui_files.h"
#include "gateway/auth/policy.h"
#include "gateway/http/forwarded.h"
#include "gateway/http/reply.h"
#include "gateway/http/route.h"
#include "gateway/req_part.h"
#include "gateway/server.h"
#include "gateway/worker.h"
#include "schema/errors.h"

#define STATIC_AGE_S 2419200

enum { ETAG_BYTES = 64, DATE_BYTES = 40 };

/* What is open for an answer. */
struct ui_call {
    int fd;
};

static void ui_over(struct req *r)
{
    struct ui_call *c = r->data;

    close(c->fd);
}

static err_t ui_end(struct req *r, struct fail *f)
{
    (void)f;
    return req_end_answer(r);
}

static void ui_add_date(struct req *r, const char *name, time_t when)
{
    char text[DATE_BYTES];
    struct tm tm;

    gmtime_r(&when, &tm);
    strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm);
    reply_header(r, name, "%s", text);
}

/* Does the client hold that very one? Weak tags count as well (RFC 9110 13.1.2). */
static bool ui_is_held(struct str held, struct str etag)
{
    while (held.n) {
        struct str one = str_trim(str_cut(&held, ','));

        if (str_starts(one, STR("W/")))
            one = str_skip(one, 2);
        if (str_eq(one, etag) || str_eq(one, STR("*")))
            return true;
    }
    return false;
}

static void ui_add_headers(struct req *r, const struct ui_file *file, const struct stat *s,
                           const char *etag, bool is_page)
{
    size_t at = file->name.n;

    while (at > 0 && file->name.p[at - 1] != '/')
        at--;
    reply_header(r, "content-disposition", "inline; filename=%.*s",
                 STR_ARG(str_skip(file->name, at)));
    ui_add_date(r, "last-modified", s->st_mtim.tv_sec);
    if (is_page) {
        reply_header(r, "cache-control", "no-cache");
    } else {
        reply_header(r, "cache-control", "public, max-age=%d", STATIC_AGE_S);
        ui_add_date(r, "expires", time(NULL) + STATIC_AGE_S);
    }
    reply_header(r, "etag", "%s", etag);
}

static err_t ui_send(struct req *r, const struct ui_file *file, bool is_page, struct fail *f)
{
    const struct ui_files *u = server_ui(r->worker->server);
    struct ui_call *c = arena_zalloc(&r->arena, sizeof(*c));
    char etag[ETAG_BYTES];
    struct stat s;

    c->fd = ui_files_read(u, file);
    if (c->fd < 0 && (errno == EMFILE || errno == ENFILE))
        return fail(f, ERR_BUSY, "No file descriptor is left.");
    if (c->fd < 0)
        return fail(f, ERR_NO_ENDPOINT, "The file %.*s is not there any more.",
                    STR_ARG(file->name));
    r->data = c;
    r->over = ui_over;
    if (fstat(c->fd, &s) != 0 || !S_ISREG(s.st_mode))
        return fail(f, ERR_NO_ENDPOINT, "%.*s is no file any more.", STR_ARG(file->name));
    snprintf(etag, sizeof(etag), "\"%lld.%ld-%lld\"", (long long)s.st_mtim.tv_sec,
             s.st_mtim.tv_nsec, (long long)s.st_size);
    ui_add_headers(r, file, &s, etag, is_page);
    if (ui_is_held(r->head->if_none_match, str_of(etag)))
        return reply_text(r, 304, NULL, STR(""));
    req_begin_answer(r, 200, file->type, (uint64_t)s.st_size);
    return req_send_file(r, c->fd, 0, (uint64_t)s.st_size, ui_end);
}

err_t api_ui_page(struct req *r, struct fail *f)
{
    struct str prefix = r->worker->policy->prefix;

    if (prefix.n && str_eq(r->head->path, prefix)) {
        struct str to = forwarded_url(r, arena_printf(&r->arena, "%.*s/", STR_ARG(prefix)));

        reply_header(r, "location", "%.*s", STR_ARG(to));
        return reply_text(r, 308, "text/html; charset=utf-8", STR(""));
    }
    return ui_send(r, ui_files_find(server_ui(r->worker->server), STR("index.html")), true, f);
}

err_t api_ui_file(struct req *r, struct fail *f)
{
    struct str name = route_rest(r);
    const struct ui_file *file = ui_files_find(server_ui(r->worker->server), name);

    if (file == NULL)
        return fail(f, ERR_NO_ENDPOINT, "There is no file %.*s.", STR_ARG(str_head(name, 200)));
    return ui_send(r, file, false, f);
}

/* Which models a gateway serves, asked by the table of runs. Without one MLflow pretends that an empty one runs; and
 * so it is here, as an error would stand on every such page. */
err_t api_ui_gateway(struct req *r, struct fail *f)
{
    struct json j;

    if (r->worker->upstream)
        return proxy_handle(r, f);
    reply_json_as(r, &j, JSON_LINE);
    json_open(&j);
    json_key(&j, "endpoints");
    json_open_list(&j);
    json_close_list(&j);
    json_close(&j);
    return reply_ok(r);
}
