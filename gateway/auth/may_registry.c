/*
 * may_registry: who may call what about registered models, prompts and their versions.
 *
 * A prompt is a registered model with the tag mlflow.prompt.is_prompt = true as it is stored, and its
 * grants are of a kind of their own: those on a model of that name do not count for it. A container that
 * does not exist is judged as a registered model where the call is about itself, and refused where it is
 * about versions.
 */
#include "gateway/auth/may_input.h"
#include "gateway/auth/may_rule.h"

#include "gateway/api/model_source.h"
#include "gateway/api/registry.h"
#include "ingest/document.h"
#include "schema/errors.h"
#include "yyjson.h"

static const struct str PROMPT_TAG = STR_INIT(REGISTRY_PROMPT_TAG);

err_t may_ask_model(struct may *m, struct fail *f)
{
    err_t e = may_param(m, "name", &m->name, f);

    if (e)
        return e;
    (void)may_find(m, FIND_MODEL, m->name);
    return OK;
}

err_t may_settle_model(struct may *m, struct fail *f)
{
    (void)f;
    if (!may_container(m) && m->r->scope.mark)
        may_refuse(m);
    may_need_rows(m);
    return OK;
}

err_t may_settle_version(struct may *m, struct fail *f)
{
    (void)f;
    if (!may_container(m))
        may_refuse(m);
    may_need_rows(m);
    return OK;
}

/* What the last tag of that name says; false = there is none. */
static bool prompt_in_tags(struct may *m, bool *is_prompt)
{
    yyjson_val *tags = may_value(m, "tags"), *tag;
    size_t i, max;
    bool is_there = false;

    *is_prompt = false;
    if (!yyjson_is_arr(tags))
        return false;
    yyjson_arr_foreach(tags, i, max, tag) {
        if (!str_eq(may_text(m, may_member(m, tag, "key")), PROMPT_TAG))
            continue;
        is_there = true;
        *is_prompt = str_ieq(may_text(m, may_member(m, tag, "value")), STR("true"));
    }
    return is_there;
}

err_t may_settle_model_create(struct may *m, struct fail *f)
{
    bool is_prompt;

    (void)f;
    (void)may_field(m, "name", &m->name);
    (void)prompt_in_tags(m, &is_prompt);
    may_need(m, is_prompt ? GRANT_PROMPT : GRANT_REGISTERED_MODEL, m->name, DO_NOT_DENIED);
    may_need_place(m);
    return OK;
}

/* -- versions made ------------------------------------------------------------------------------------ */

/* What stands behind "models:/": a logged model's id, or the name of a registered one, as the handler
 * reads it ("MODELS:/" too). One that it will refuse is told by the text. */
static bool source_parts(struct may *m, struct str source, struct str *model_id, struct str *name)
{
    struct model_source parts;
    struct fail why;

    *model_id = *name = STR("");
    fail_init(&why, &m->r->arena);
    if (model_source_parse(&m->r->arena, source, &parts, &why) == OK) {
        bool is_id = parts.ref == REF_MODEL_ID && str_starts(parts.name, STR("m-"));

        *(is_id ? model_id : name) = parts.name;
        return parts.ref != REF_NONE;
    }
    if (!str_starts(source, STR("models:/")))
        return false;
    source = str_skip(source, 8);
    while (source.n && source.p[0] == '/') /* an empty host, or more slashes */
        source = str_skip(source, 1);
    if (str_starts(source, STR("m-")) && str_find(source, '/') == source.n) {
        *model_id = source;
        return true;
    }
    *name = str_find(source, '/') < source.n ? str_cut(&source, '/') : str_cut(&source, '@');
    return true;
}

err_t may_ask_version_create(struct may *m, struct fail *f)
{
    struct str source, id, model_id, name;
    err_t e = may_ask_model(m, f);

    if (e)
        return e;
    (void)may_field(m, "source", &source);
    if (source_parts(m, source, &model_id, &name) && name.n) {
        (void)may_find(m, FIND_MODEL, name);
        m->id = name;
        return OK;
    }
    if (may_field(m, "run_id", &id))
        (void)may_find(m, FIND_RUN, id);
    if (may_field(m, "model_id", &id))
        (void)may_find(m, FIND_LOGGED, id);
    if (model_id.n)
        (void)may_find(m, FIND_LOGGED, model_id);
    return OK;
}

/* The other registered model that the version is copied from: its own reader may. */
static void need_source(struct may *m)
{
    struct str name = m->name;
    enum grant_type container = m->container;

    m->name = m->id;
    if (!may_container(m))
        may_refuse(m);
    may_need(m, m->container, m->name, DO_READ);
    m->name = name;
    m->container = container;
}

err_t may_settle_version_create(struct may *m, struct fail *f)
{
    bool is_prompt;

    (void)f;
    if (!may_container(m))
        may_refuse(m);
    may_need_rows(m);
    if (prompt_in_tags(m, &is_prompt) && is_prompt != (m->container == GRANT_PROMPT))
        may_need(m, is_prompt ? GRANT_PROMPT_VERSION : GRANT_REGISTERED_MODEL_VERSION, STR(""),
                 DO_NOT_DENIED);
    if (m->id.n) {
        need_source(m);
        return OK;
    }
    for (const struct may_find *find = m->finds; find; find = find->next) {
        enum grant_type type = find->kind == FIND_RUN ? GRANT_RUN : GRANT_LOGGED_MODEL;

        if (find->kind == FIND_MODEL)
            continue;
        if (!find->is_found)
            may_refuse(m);
        may_need(m, GRANT_EXPERIMENT, find->experiment, DO_READ);
        may_need_or(m, type, DO_READ, GRANT_EXPERIMENT, find->experiment, DO_READ);
    }
    return OK;
}

err_t may_ask_version_artifact(struct may *m, struct fail *f)
{
    if (!may_query(m, "name", &m->name) || m->name.n == 0)
        return fail(f, ERR_BAD_PARAM, "Request must specify name parameter");
    (void)may_find(m, FIND_MODEL, m->name);
    return OK;
}

/* Also a prompt's artifact is for who may read a registered model of that name. */
err_t may_settle_version_artifact(struct may *m, struct fail *f)
{
    (void)f;
    if (!may_container(m))
        may_refuse(m);
    may_need(m, GRANT_REGISTERED_MODEL, m->name, DO_READ);
    may_need_rows(m);
    return OK;
}
