/*
 * setup: get-by-name, create, and runs/create as often as there are runs.
 *
 * Up to LANES runs/create are on their way at once: ten thousand runs one after the other would
 * take longer than many a test. Any answer but 200 ends the set-up with its words: a server that
 * cannot make runs while nothing else is asked of it is not one to load.
 */
#include "loadtest/setup.h"

#include <string.h>
#include <yyjson.h>

#include "base/json.h"
#include "schema/errors.h"

enum { LANES = 16, SETUP_TIMEOUT_US = 60000000 };

/* The text at outer.inner.name (outer and inner may be NULL) of a JSON object, into out. */
static bool setup_field(struct str body, const char *outer, const char *inner, const char *name,
                        char *out, size_t cap)
{
    yyjson_doc *doc = yyjson_read(body.p, body.n, 0);
    yyjson_val *at = yyjson_doc_get_root(doc);
    const char *text;

    if (outer)
        at = yyjson_obj_get(at, outer);
    if (inner)
        at = yyjson_obj_get(at, inner);
    text = yyjson_get_str(yyjson_obj_get(at, name));
    if (text && strlen(text) < cap)
        strcpy(out, text);
    else
        text = NULL;
    yyjson_doc_free(doc);
    return text != NULL;
}

static err_t setup_refused(const char *what, const struct answer *a, struct fail *f)
{
    if (a->status == 0)
        return fail(f, ERR_PG, "%s: no answer from the server%s%s", what, a->why ? ": " : "",
                    a->why ? a->why : "");
    return fail(f, ERR_PG, "%s: status %d: %.*s", what, a->status, STR_ARG(str_head(a->body, 150)));
}

static void add_encoded(struct buf *out, const char *text)
{
    for (; *text; text++) {
        bool is_plain = (*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z') ||
                        (*text >= '0' && *text <= '9') || strchr("-_.", *text);

        if (is_plain)
            buf_add_byte(out, *text);
        else
            buf_printf(out, "%%%02X", (unsigned char)*text);
    }
}

static bool is_id(const char *id)
{
    size_t n = strlen(id);

    return n && strspn(id, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_") == n;
}

static void setup_nothing(struct wire *w, const struct answer *a)
{
    (void)w;
    (void)a;
}

err_t setup_experiment(struct shape *s, struct event_base *loop, struct fail *f)
{
    struct wire w;
    struct buf request;
    struct buf text;
    struct answer a;
    err_t e = OK;

    buf_init(&request);
    buf_init(&text);
    wire_init(&w, loop, s->target, SETUP_TIMEOUT_US, setup_nothing);
    w.keep_body = true;
    buf_add_str(&text, STR("experiment_name="));
    add_encoded(&text, s->plan->experiment);
    shape_get(s, &request, "experiments/get-by-name", buf_str(&text));
    a = wire_ask(&w, buf_str(&request));
    if (a.status == 200) {
        if (!setup_field(a.body, "experiment", NULL, "experiment_id", s->experiment,
                         sizeof(s->experiment)))
            e = setup_refused("experiments/get-by-name", &a, f);
    } else if (a.status == 404) {
        buf_reset(&text);
        buf_add_str(&text, STR("{\"name\": "));
        json_quote(&text, str_of(s->plan->experiment));
        buf_add_byte(&text, '}');
        shape_post(s, &request, "experiments/create", buf_str(&text));
        a = wire_ask(&w, buf_str(&request));
        if (a.status != 200 ||
            !setup_field(a.body, NULL, NULL, "experiment_id", s->experiment, sizeof(s->experiment)))
            e = setup_refused("experiments/create", &a, f);
    } else {
        e = setup_refused("experiments/get-by-name", &a, f);
    }
    wire_fini(&w);
    buf_fini(&text);
    buf_fini(&request);
    return e;
}

/* --- runs ------------------------------------------------------------------------------------- */

struct makers {
    struct shape *shape;
    struct ledger *ledger;
    struct event_base *loop;
    struct fail *fail;
    err_t err;
    size_t next; /* run that nobody makes yet */
    size_t made;
};

struct lane {
    struct wire wire; /* first, so that one is found from the other */
    struct makers *makers;
    struct buf request;
    size_t run;
};

static void lane_next(struct lane *lane)
{
    struct makers *m = lane->makers;
    struct call c = {.kind = CALL_CREATE_RUN};

    if (m->next == m->ledger->count)
        return;
    lane->run = m->next++;
    c.run = (uint32_t)lane->run;
    shape_request(m->shape, &c, &lane->request);
    wire_send(&lane->wire, buf_str(&lane->request));
}

static void lane_on_answer(struct wire *w, const struct answer *a)
{
    struct lane *lane = (struct lane *)w;
    struct makers *m = lane->makers;
    char id[LEDGER_ID_MAX + 1];

    if (a->status != 200 || !setup_field(a->body, "run", "info", "run_id", id, sizeof(id)) ||
        !is_id(id)) {
        m->err = setup_refused("runs/create", a, m->fail);
    } else {
        ledger_name(m->ledger, lane->run, id);
        m->made++;
    }
    if (m->err || m->made == m->ledger->count)
        event_base_loopbreak(m->loop);
    else
        lane_next(lane);
}

err_t setup_runs(struct shape *s, struct event_base *loop, struct ledger *l, struct fail *f)
{
    struct makers m = {.shape = s, .ledger = l, .loop = loop, .fail = f};
    struct lane lanes[LANES];

    for (size_t i = 0; i < LANES; i++) {
        lanes[i].makers = &m;
        buf_init(&lanes[i].request);
        wire_init(&lanes[i].wire, loop, s->target, SETUP_TIMEOUT_US, lane_on_answer);
        lanes[i].wire.keep_body = true;
        lane_next(&lanes[i]);
    }
    event_base_loop(loop, EVLOOP_NO_EXIT_ON_EMPTY);
    for (size_t i = 0; i < LANES; i++) {
        wire_fini(&lanes[i].wire);
        buf_fini(&lanes[i].request);
    }
    return m.err;
}
