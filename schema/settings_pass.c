/*
 * settings_pass: settings that are handed on untouched: kafka.NAME, which is librdkafka's NAME.
 *
 * Its names are not rows of settings.def: there are 150 of them, they are another project's, and they
 * change with its versions. So no value is judged here: the library says at the start what it does
 * not know (ingest/kafka_conf.c), and the start fails. A value is secret when its name says so, or when it
 * was read from a file of its own, kafka.NAME_file, as Kubernetes mounts secrets: none of the library's
 * names ends so. A change takes a restart.
 */
#include <string.h>

#include "schema/errors.h"
#include "schema/settings.h"
#include "schema/settings_rows.h"

#define PASS_PREFIX STR("kafka.")

bool setting_is_pass(struct str name)
{
    return str_starts(name, PASS_PREFIX) && name.n > PASS_PREFIX.n;
}

err_t setting_pass_set(struct settings *s, struct str name, struct str value, struct fail *f)
{
    bool is_file = str_ends(name, STR("_file")) || str_ends(name, STR("-file"));
    struct str own = str_skip(name, PASS_PREFIX.n);
    struct setting_pass **at = &s->kafka;
    err_t e;

    if (is_file) {
        own.n -= sizeof("_file") - 1;
        name.n -= sizeof("_file") - 1;
        if ((e = setting_read_file(s, name, value, &value, f)))
            return e;
    }
    if (str_find(value, '\0') < value.n || str_find(name, '\0') < name.n)
        return fail(f, ERR_SETTING, "setting %.*s: must be without zero bytes", STR_ARG(name));
    while (*at && !str_eq(str_of((*at)->name), own))
        at = &(*at)->next;
    if (*at == NULL) {
        *at = arena_zalloc(&s->arena, sizeof(**at));
        (*at)->name = arena_cstr(&s->arena, own);
    }
    (*at)->value = arena_cstr(&s->arena, value);
    (*at)->is_secret = is_file;
    return OK;
}

static bool pass_is_secret(const char *name)
{
    static const char *const words[] = {"password", "secret", "token", "pem", "sasl.oauthbearer"};

    for (size_t i = 0; i < array_len(words); i++) {
        if (strstr(name, words[i]))
            return true;
    }
    return false;
}

void setting_pass_dump(const struct settings *s, struct buf *out)
{
    for (const struct setting_pass *p = s->kafka; p; p = p->next)
        buf_printf(out, "kafka.%s = %s\n", p->name,
                   p->is_secret || pass_is_secret(p->name) ? "***" : p->value);
}
