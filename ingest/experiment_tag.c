/*
 * experiment_tag: key rule, lengths, trace archival, custom views.
 *
 * Unlike run tags, experiment tags are never cut: a value that is too long is refused.
 *
 * Two keys have values with a form of their own, both JSON objects:
 *   mlflow.trace.archivalRetention   {"type": "duration", "value": "30d"}
 *   mlflow.trace.archiveNow          {} or {"older_than": "12h"}
 * A duration is a number without leading zeros and one of m, h, d.
 */
#include "ingest/experiment_tag.h"

#include "ingest/document.h"
#include "ingest/names.h"
#include "schema/errors.h"
#include "schema/limits.h"

enum { DURATION_MAX = 32 };

static err_t check_duration(yyjson_val *v, struct fail *f)
{
    struct str s;
    size_t digits = 0;

    if (v && yyjson_is_str(v)) {
        s = str_trim(document_str(v));
        if (names_length(s) > DURATION_MAX)
            return fail(f, ERR_BAD_PARAM, "Trace archival duration must be at most 32 characters.");
        while (digits < s.n && s.p[digits] >= '0' && s.p[digits] <= '9')
            digits++;
        if (digits > 0 && s.p[0] != '0' && digits + 1 == s.n &&
            (s.p[digits] == 'm' || s.p[digits] == 'h' || s.p[digits] == 'd'))
            return OK;
    }
    return fail(f, ERR_BAD_PARAM,
                "Trace archival retention must be in the form `<int><unit>`, where unit is one of"
                " 'm', 'h', or 'd'.");
}

static err_t check_archival(struct arena *a, struct str key, struct str value, struct fail *f)
{
    bool is_retention = str_eq(key, STR("mlflow.trace.archivalRetention"));
    struct document_error why;
    yyjson_val *root, *v;

    if (!is_retention && !str_eq(key, STR("mlflow.trace.archiveNow")))
        return OK;
    root = document_read_text(a, value, &why);
    if (!root || !yyjson_is_obj(root))
        return fail(f, ERR_BAD_PARAM, "Trace archival config must be encoded as a JSON object.");
    if (!is_retention) {
        v = document_get(root, STR("older_than"));
        return v && !yyjson_is_null(v) ? check_duration(v, f) : OK;
    }
    v = document_get(root, STR("type"));
    if (!v || !yyjson_is_str(v) || !str_eq(document_str(v), STR("duration")))
        return fail(f, ERR_BAD_PARAM, "Trace archival config must use type 'duration'.");
    return check_duration(document_get(root, STR("value")), f);
}

err_t experiment_tag_check(struct arena *a, struct str key, struct str value, struct fail *f)
{
    err_t e;

    if ((e = names_check_key(key, "key", f)))
        return e;
    if ((e = names_check_length(key, LIMIT_KEY, "key", f)))
        return e;
    if ((e = names_check_length(value, LIMIT_EXPERIMENT_TAG, "value", f)))
        return e;
    return check_archival(a, key, value, f);
}

bool experiment_tag_is_view(struct str key)
{
    return str_starts(key, STR(EXPERIMENT_TAG_VIEW_PREFIX));
}

err_t experiment_tag_too_many_views(struct str experiment_id, struct fail *f)
{
    return fail(f, ERR_BAD_PARAM,
                "Unable to create another custom view%s%.*s; the maximum number of custom views per"
                " experiment is %d. Delete an existing custom view before creating a new one.",
                experiment_id.n ? " for experiment " : "", STR_ARG(experiment_id),
                LIMIT_CUSTOM_VIEWS);
}
