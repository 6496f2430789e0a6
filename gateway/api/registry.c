/*
 * registry: what the calls of the model registry have in common.
 */
#include "gateway/api/registry.h"

#include "base/idmap.h"
#include "ingest/names.h"
#include "schema/errors.h"

void registry_tags(struct arena *a, const struct msg_registry_tag *items, size_t n,
                   struct registry_tags *out)
{
    struct idmap places;
    bool is_new;

    *out = (struct registry_tags){arena_array(a, n, sizeof(struct str)),
                                  arena_array(a, n, sizeof(struct str)), 0};
    idmap_init(&places);
    for (size_t i = 0; i < n; i++) {
        uint64_t *place = idmap_put(&places, items[i].key.s, &is_new);

        if (is_new) {
            *place = out->n;
            out->keys[out->n++] = items[i].key.s;
        }
        out->values[*place] = items[i].value.s.p ? items[i].value.s : STR("");
    }
    idmap_fini(&places);
}

bool registry_has_tag(const struct registry_tags *tags, struct str key)
{
    for (size_t i = 0; i < tags->n; i++)
        if (str_eq(tags->keys[i], key))
            return true;
    return false;
}

err_t registry_tags_check_nul(const struct registry_tags *tags, struct fail *f)
{
    err_t e = OK;

    for (size_t i = 0; i < tags->n && !e; i++) {
        if ((e = names_check_nul(tags->keys[i], f)) == OK)
            e = names_check_nul(tags->values[i], f);
    }
    return e;
}

err_t registry_no_model(struct str name, struct fail *f)
{
    return fail(f, ERR_NOT_FOUND, "Registered Model with name=%.*s not found",
                STR_ARG(names_cut(name, NAMES_QUOTE_MAX)));
}

err_t registry_no_version(struct str name, int32_t version, struct fail *f)
{
    return fail(f, ERR_NOT_FOUND, "Model Version (name=%.*s, version=%d) not found",
                STR_ARG(names_cut(name, NAMES_QUOTE_MAX)), version);
}
