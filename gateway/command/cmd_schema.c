/*
 * cmd_schema: `sluice schema check`, `create`, `tune` and `untune`.
 *
 *   check    is it a database we may work on, and which changes of schema/tune.def has it
 *   create   MLflow's tables in an empty database, then schema sluice
 *   tune     applies the changes named, all without a name; says of each what it does and what it costs
 *   untune   reverts them, the last first
 *
 * With --dry-run, tune and untune say what they would do, SQL and all, and do nothing. Each change stands
 * for itself: what is done stays done when a later one fails or is interrupted, and the same command goes
 * on from there.
 */
#include "gateway/command/cmd_schema.h"

#include <inttypes.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "gateway/auth/workspace_start.h"
#include "gateway/version.h"
#include "schema/errors.h"
#include "schema/migrate.h"
#include "schema/pg_connect.h"
#include "schema/tune.h"

/* What the words ask for. */
struct tune_call {
    bool is_revert;
    bool is_dry;
    int named_count;
    char **named;
};

static err_t schema_connect(const char *uri, const struct settings *s, PGconn **out, struct fail *f)
{
    struct pg_terms terms = pg_terms_of(uri, s);
    PGconn *c = *out = pg_connect_wait(&terms, "sluice schema");

    if (c == NULL || PQstatus(c) != CONNECTION_OK)
        return fail(f, ERR_PG, "cannot connect to PostgreSQL: %.*s",
                    STR_ARG(str_trim(str_of(PQerrorMessage(c)))));
    return OK;
}

static void schema_say_version(void)
{
    printf("the schema is MLflow %s's, revision %s\n", MLFLOW_VERSION, MIGRATE_HEAD);
}

static err_t schema_check(PGconn *c, struct fail *f)
{
    err_t e;

    if ((e = migrate_check(c, f)))
        return e;
    schema_say_version();
    for (size_t i = 0; i < tune_count; i++) {
        enum tune_state state;
        long long bytes;

        if ((e = tune_look(c, &tune_changes[i], &state, &bytes, f)))
            return e;
        printf("tune %-22s %s\n", tune_changes[i].name, tune_state_text(state));
    }
    return OK;
}

static err_t schema_create(PGconn *c, struct settings *s, struct fail *f)
{
    struct str root = settings_artifact_root(s, &s->arena);
    err_t e = migrate_prepare(c, workspace_first_root(&s->arena, s, root), f);

    if (!e)
        schema_say_version();
    return e;
}

/* -- tune ------------------------------------------------------------------------------------ */

static err_t tune_words(int argc, char **argv, struct tune_call *call, struct fail *f)
{
    int n = 0;

    *call = (struct tune_call){.is_revert = strcmp(argv[0], "untune") == 0, .named = argv + 1};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--dry-run") == 0) {
            call->is_dry = true;
            continue;
        }
        if (!tune_find(argv[i]))
            return fail(f, ERR_SETTING,
                        "schema: there is no change %s; `sluice schema check` lists them", argv[i]);
        call->named[n++] = argv[i];
    }
    call->named_count = n;
    return OK;
}

static bool tune_is_asked(const struct tune_call *call, const struct tune_change *t)
{
    for (int i = 0; i < call->named_count; i++) {
        if (strcmp(call->named[i], t->name) == 0)
            return true;
    }
    return call->named_count == 0;
}

static err_t tune_one(PGconn *c, const struct tune_call *call, const struct tune_change *t,
                      struct fail *f)
{
    uint64_t began_us = clock_us();
    enum tune_state before, after;
    long long bytes;
    err_t e;

    if ((e = tune_look(c, t, &before, &bytes, f)))
        return e;
    printf("%s: %s\n    why:  %s\n    cost: %s\n", t->name, tune_state_text(before), t->why,
           t->cost);
    if (before == (call->is_revert ? TUNE_IS_OFF : TUNE_IS_ON) || before == TUNE_CANNOT)
        return OK;
    printf("    %s: %s\n", call->is_dry ? "would run" : "runs",
           call->is_revert ? t->revert : t->apply);
    if (call->is_dry)
        return OK;
    fflush(stdout);
    if ((e = call->is_revert ? tune_revert(c, t, f) : tune_apply(c, t, f)) ||
        (e = tune_look(c, t, &after, &bytes, f)))
        return e;
    printf("    now %s, after %.1f s, %.1f MB on disk\n", tune_state_text(after),
           (double)(clock_us() - began_us) / 1e6, (double)bytes / 1e6);
    return OK;
}

static err_t schema_tune(PGconn *c, const struct tune_call *call, struct fail *f)
{
    err_t e;

    if ((e = migrate_check(c, f)) || (!call->is_dry && (e = tune_lock(c, f))))
        return e;
    for (size_t i = 0; i < tune_count && !e; i++) {
        const struct tune_change *t = &tune_changes[call->is_revert ? tune_count - 1 - i : i];

        if (tune_is_asked(call, t))
            e = tune_one(c, call, t, f);
    }
    return e;
}

/* -- the words ------------------------------------------------------------------------------- */

static err_t schema_run(int argc, char **argv, struct settings *s, PGconn *c, struct fail *f)
{
    const char *word = argc > 0 ? argv[0] : "";
    struct tune_call call;
    err_t e;

    if (strcmp(word, "tune") != 0 && strcmp(word, "untune") != 0) {
        if (argc > 1)
            return fail(f, ERR_SETTING, "schema: %s takes no %s", word, argv[1]);
        return strcmp(word, "check") == 0 ? schema_check(c, f) : schema_create(c, s, f);
    }
    if ((e = tune_words(argc, argv, &call, f)))
        return e;
    return schema_tune(c, &call, f);
}

static bool schema_knows(const char *word)
{
    static const char *const words[] = {"check", "create", "tune", "untune"};

    for (size_t i = 0; i < array_len(words); i++) {
        if (strcmp(word, words[i]) == 0)
            return true;
    }
    return false;
}

int cmd_schema(int argc, char **argv, struct settings *s, const char *uri)
{
    PGconn *c = NULL;
    struct fail f;
    err_t e;

    fail_init(&f, &s->arena);
    if (!schema_knows(argc > 0 ? argv[0] : ""))
        e = fail(&f, ERR_SETTING, "schema: want check, create, tune or untune");
    else if (!(e = schema_connect(uri, s, &c, &f)))
        e = schema_run(argc, argv, s, c, &f);
    PQfinish(c);
    fflush(stdout);
    if (e)
        fprintf(stderr, "sluice: %.*s\n", STR_ARG(f.text));
    return e ? 1 : 0;
}
