/*
 * api_trace_artifact: what a trace recorded, for the pages: its spans as one JSON text, or one of the files
 * attached to it.
 *
 *   trace (PostgreSQL) > spans in PostgreSQL: their stored texts, the root first
 *                      > else traces.json at the trace's own location (artifact_place.h)
 *                      > archived: protobuf, which the upstream reads
 *
 * The location is a tag, which every editor of the trace may set. So where it is known who asks, files are read
 * below the artifacts of the trace's own experiment and nowhere else, but for admins (decision 028).
 *
 * A span is passed on as its writer formed it; nothing is parsed. Many spans go out in batches, as any large
 * answer.
 */
#include "gateway/api/api.h"

#include <string.h>

#include "gateway/artifact/artifact_answer.h"
#include "gateway/artifact/artifact_header.h"
#include "gateway/artifact/artifact_path.h"
#include "gateway/artifact/artifact_place.h"
#include "gateway/auth/auth.h"
#include "gateway/http/reply.h"
#include "gateway/req_part.h"
#include "gateway/say.h"
#include "gateway/sql/sql_stream.h"
#include "gateway/worker.h"
#include "ingest/bind.h"
#include "schema/errors.h"

#define DATA_FILE "traces.json"

static const struct stmt TRACE = {
    "artifact_trace", "SELECT (SELECT value FROM trace_tags"
                      " WHERE request_id = t.request_id AND key = 'mlflow.artifactLocation'),"
                      " (SELECT value FROM trace_tags"
                      " WHERE request_id = t.request_id AND key = 'mlflow.trace.spansLocation'),"
                      " (SELECT e.artifact_location FROM experiments e"
                      " WHERE e.experiment_id = t.experiment_id)"
                      " FROM trace_info t WHERE t.request_id = $1::text" SCOPE_OF("t")};
static const struct stmt SPANS = {"artifact_spans", SQL_STREAM
                                  "SELECT content FROM spans" SCOPE_FOUND
                                  " WHERE trace_id = $1::text"
                                  " AND content != '' ORDER BY parent_span_id IS NOT NULL,"
                                  " start_time_unix_nano"};

struct trace_call {
    struct str id;
    struct str path; /* of an attachment; empty = the spans */
    struct str values[1];
    bool has_span;
};

/* -- spans in PostgreSQL ------------------------------------------------------------------------- */

static void spans_write(struct req *r, struct trace_call *t)
{
    for (int i = 0; i < PQntuples(r->rows); i++) {
        buf_add_str(&r->reply.body, t->has_span ? STR(",") : STR(""));
        buf_add_str(&r->reply.body, sql_get(r->rows, i, 0));
        t->has_span = true;
    }
    if (!r->has_more_rows)
        buf_add_str(&r->reply.body, STR("]}"));
}

static void spans_headers(struct req *r)
{
    reply_header(r, "content-disposition", "attachment; filename=" DATA_FILE);
    reply_header(r, "cache-control", "no-cache");
}

static err_t spans_more(struct req *r, struct fail *f);

static err_t spans_next(struct req *r, struct fail *f)
{
    (void)f;
    spans_write(r, r->data);
    return r->has_more_rows ? req_send(r, spans_more) : req_end_answer(r);
}

static err_t spans_more(struct req *r, struct fail *f)
{
    (void)f;
    return req_more_rows(r, spans_next);
}

/* All of them have a length; more do not. */
static err_t spans_first(struct req *r, struct fail *f)
{
    const char *type = artifact_header_type(&r->arena, STR(DATA_FILE));

    (void)f;
    if (r->has_more_rows)
        req_begin_answer(r, 200, type, REQ_NO_LENGTH);
    spans_headers(r);
    buf_reset(&r->reply.body);
    buf_add_str(&r->reply.body, STR("{\"spans\":["));
    spans_write(r, r->data);
    if (r->has_more_rows)
        return req_send(r, spans_more);
    return reply_text(r, 200, type, buf_str(&r->reply.body));
}

/* -- files at the trace's location ---------------------------------------------------------------- */

/* Is it below root, whoever reads it? Nothing in the rest that a store could take for more than a name. */
static bool location_is_below(struct str location, struct str root)
{
    struct str rest;

    while (root.n && root.p[root.n - 1] == '/')
        root.n--;
    if (root.n == 0 || !str_starts(location, root) || location.n == root.n ||
        location.p[root.n] != '/')
        return false;
    for (rest = str_skip(location, root.n + 1); rest.n;) {
        struct str segment = str_cut(&rest, '/');

        if (segment.n == 0 || str_eq(segment, STR(".")) || str_eq(segment, STR("..")))
            return false;
        for (size_t i = 0; i < segment.n; i++) {
            if (strchr("%?#\\", segment.p[i])) /* and NUL, which ends the list */
                return false;
        }
    }
    return true;
}

static err_t answer_file(struct req *r, struct str location, struct str root, struct fail *f)
{
    const struct trace_call *t = r->data;
    struct artifact_place at;
    struct str path = STR(DATA_FILE);
    err_t e;

    if (location.n == 0)
        return SAY(&r->arena, f, ERR_INVALID_STATE, STR("Trace data is corrupted for request_id="),
                   t->id);
    if (r->user && !r->user->is_admin && !location_is_below(location, root))
        return reply_text(r, 403, "text/html; charset=utf-8", STR("Permission denied"));
    if (t->path.n)
        path = SAY_TEXT(&r->arena, STR("attachments/"), t->path);
    if ((e = artifact_place_of(r, arena_dup(&r->arena, location), path, false, &at, f)) ||
        (e = artifact_begin(r, &at, f)))
        return e;
    return artifact_answer(r, STYLE_FLASK);
}

static err_t trace_found(struct req *r, struct fail *f)
{
    struct trace_call *t = r->data;
    const PGresult *row = r->sql.results[0];
    struct str location, spans, root;

    if (PQntuples(row) == 0)
        return SAY(&r->arena, f, ERR_NOT_FOUND, STR("Trace with ID "),
                   t->path.n ? STR("'") : STR(""), t->id,
                   t->path.n ? STR("' not found.") : STR(" is not found."));
    location = sql_get(row, 0, 0);
    spans = sql_get(row, 0, 1);
    root = sql_get(row, 0, 2);
    if (t->path.n)
        return answer_file(r, location, root, f);
    if (str_eq(spans, STR("TRACKING_STORE")))
        return req_rows(r, &(struct sql_step){&SPANS, t->values, 1}, spans_first);
    if (!str_eq(spans, STR("ARCHIVE_REPO")))
        return answer_file(r, location, root, f);
    if (r->worker->upstream == NULL)
        return fail_str(
            f, ERR_NOT_IMPLEMENTED,
            STR("The spans of this trace are archived; reading them takes a MLflow server"
                " behind this one, which its administrator can name with the setting"
                " upstream."));
    return proxy_handle(r, f);
}

/* As uuid.UUID writes it. */
static bool is_uuid(struct str s)
{
    static const char form[] = "hhhhhhhh-hhhh-hhhh-hhhh-hhhhhhhhhhhh";

    if (s.n != sizeof(form) - 1)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        bool is_hex = (s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'a' && s.p[i] <= 'f');

        if (form[i] == '-' ? s.p[i] != '-' : !is_hex)
            return false;
    }
    return true;
}

err_t api_trace_artifact(struct req *r, struct fail *f)
{
    struct trace_call *t = r->data = arena_zalloc(&r->arena, sizeof(*t));
    struct msg_trace_artifact m;
    err_t e;

    if ((e = bind_request(&r->arena, &r->input, &MSG_trace_artifact, &m, f)))
        return e;
    if (m.request_id.s.n == 0)
        return fail_str(f, ERR_BAD_REQUEST,
                        STR("Request must include the \"request_id\" query parameter."));
    t->id = m.request_id.s;
    if (m.path.s.n) {
        if ((e = artifact_path_check(&r->arena, m.path.s, &t->path, f)))
            return e;
        if (!is_uuid(t->path))
            return SAY(&r->arena, f, ERR_NO_ATTRIBUTE, STR("Invalid attachment path: '"), t->path,
                       STR("'. Attachment path must be a valid UUID."));
    }
    t->values[0] = sql_text(&r->arena, t->id);
    return req_sql(r, &(struct sql_step){&TRACE, t->values, 1}, 1, trace_found);
}
