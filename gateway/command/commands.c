/*
 * commands: the small commands themselves, and what a command line asks for.
 *
 * A command is a function of the settings and of the words behind its name. Words and flags may
 * stand in any order but for this: the first group of flags is where --config is looked for. A
 * command's own flags, which are no settings, come to it as words behind all others.
 * Commands that look into a running system (journal, deadletter) live beside what they look into.
 */
#define _GNU_SOURCE /* environ */
#include "gateway/command/commands.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "gateway/command/cmd_adopt.h"
#include "gateway/command/cmd_deadletter.h"
#include "gateway/command/cmd_doctor.h"
#include "gateway/command/cmd_gc.h"
#include "gateway/command/cmd_journal.h"
#include "gateway/command/cmd_schema.h"
#include "gateway/command/cmd_ui.h"
#include "gateway/server.h"
#include "gateway/version.h"
#include "ingest/kafka_conf.h"
#include "schema/cluster.h"
#include "schema/errors.h"
#include "schema/migrate.h"
#include "schema/pg_connect.h"

/* One row: words after the name, and what it does. */
struct command {
    const char *name;
    const char *words; /* for help */
    const char *flags; /* its own: " name= other ", = where a value follows */
    const char *help;
    int (*run)(struct command_line *line, struct settings *s);
};

static int commands_fail(const struct fail *f)
{
    fprintf(stderr, "sluice: %.*s\n", STR_ARG(f->text));
    return 1;
}

static const char *commands_word(const struct command_line *line, int i)
{
    return i < line->nwords ? line->words[i] : "";
}

static int commands_print(struct buf *out)
{
    struct str s = buf_str(out);

    fwrite(s.p ? s.p : "", 1, s.n, stdout);
    buf_fini(out);
    return fflush(stdout) == 0 ? 0 : 1;
}

/* -- serve ----------------------------------------------------------------------------------- */

static err_t commands_reload(void *arg, struct settings *s, struct fail *f)
{
    struct command_line line = *(const struct command_line *)arg;

    return commands_parse(&line, s, f);
}

static int command_serve(struct command_line *line, struct settings *s)
{
    struct server_source source = {commands_reload, line};

    return server_run(s, &source); /* it frees s */
}

/* -- schema, pg-uri -------------------------------------------------------------------------- */

/* The database in use: as chosen, else the private cluster's. */
static err_t commands_pg_uri(const struct settings *s, struct cluster_info *info, const char **uri,
                             struct fail *f)
{
    err_t e;

    *uri = s->pg_uri;
    if (s->pg_uri[0])
        return OK;
    if ((e = cluster_locate(s->data_dir, info, f)))
        return e;
    *uri = info->uri;
    if (info->pid == 0)
        fprintf(stderr,
                "sluice: the private cluster in %s does not run; `sluice serve` starts it\n",
                info->dir);
    return OK;
}

static int command_pg_uri(struct command_line *line, struct settings *s)
{
    struct cluster_info info;
    const char *uri;
    struct fail f;

    (void)line;
    fail_init(&f, &s->arena);
    if (commands_pg_uri(s, &info, &uri, &f) != OK)
        return commands_fail(&f);
    printf("%s\n", uri);
    return fflush(stdout) == 0 ? 0 : 1;
}

static int command_schema(struct command_line *line, struct settings *s)
{
    struct cluster_info info;
    const char *uri;
    struct fail f;

    fail_init(&f, &s->arena);
    if (commands_pg_uri(s, &info, &uri, &f) != OK)
        return commands_fail(&f);
    return cmd_schema(line->nwords - 1, line->words + 1, s, uri);
}

/* -- what others look after ------------------------------------------------------------------ */

static int command_deadletter(struct command_line *line, struct settings *s)
{
    return cmd_deadletter(line->nwords - 1, line->words + 1, s);
}

static int command_journal(struct command_line *line, struct settings *s)
{
    if (strcmp(commands_word(line, 1), "adopt") == 0)
        return cmd_adopt(line->nwords - 2, line->words + 2, s);
    return cmd_journal(line->nwords - 1, line->words + 1, s);
}

static int command_gc(struct command_line *line, struct settings *s)
{
    return cmd_gc(line->nwords - 1, line->words + 1, s);
}

static int command_doctor(struct command_line *line, struct settings *s)
{
    return cmd_doctor(line->nwords - 1, line->words + 1, s);
}

static int command_ui_fetch(struct command_line *line, struct settings *s)
{
    (void)s;
    return cmd_ui_fetch(line->nwords - 1, line->words + 1);
}

/* -- config, version, help -------------------------------------------------------------------- */

/* All that is wrong with them, then what is odd about them. */
static int commands_judge(const struct settings *s, unsigned wrong, struct buf *out)
{
    struct fail f;

    fail_init(&f, NULL);
    if (settings_check(s, &f) || kafka_conf_check(s, &f)) {
        buf_printf(out, "%.*s\n", STR_ARG(f.text));
        wrong++;
    }
    if (wrong) {
        fprintf(stderr, "%.*s", STR_ARG(buf_str(out)));
        buf_fini(out);
        return 1;
    }
    printf("the settings are good\n");
    if (settings_advise(s, "\nwarning: ", out))
        printf("warning: %.*s\n", STR_ARG(buf_str(out)));
    buf_fini(out);
    return fflush(stdout) == 0 ? 0 : 1;
}

/* Those in effect, or those that a server started with this file and this environment had. */
static int commands_check_config(struct command_line *line, struct settings *s)
{
    struct settings *other;
    unsigned wrong;
    struct buf out;
    struct fail f;
    int code;

    buf_init(&out);
    if (line->nwords < 3)
        return commands_judge(s, 0, &out);
    other = settings_new();
    fail_init(&f, &other->arena);
    wrong = settings_try_file(other, line->words[2], &out);
    if (settings_load_env(other, environ, &f)) {
        buf_printf(&out, "%.*s\n", STR_ARG(f.text));
        wrong++;
    }
    code = commands_judge(other, wrong, &out);
    settings_free(other);
    return code;
}

static int command_config(struct command_line *line, struct settings *s)
{
    const char *word = commands_word(line, 1);
    struct buf out;

    if (strcmp(word, "check") == 0)
        return commands_check_config(line, s);
    if (strcmp(word, "dump") != 0) {
        fprintf(stderr, "sluice: config: want check [FILE] or dump\n");
        return 1;
    }
    buf_init(&out);
    settings_dump(s, &out);
    return commands_print(&out);
}

static int command_version(struct command_line *line, struct settings *s)
{
    (void)line, (void)s;
    printf("sluice %s (MLflow %s, schema %s)\n", SLUICE_VERSION, MLFLOW_VERSION, MIGRATE_HEAD);
    return 0;
}

static int command_help(struct command_line *line, struct settings *s)
{
    (void)line, (void)s;
    commands_help();
    return 0;
}

/* -- the table ------------------------------------------------------------------------------- */

static const struct command commands[] = {
#define COMMAND(name, words, flags, help, run) {name, words, flags, help, run},
#include "gateway/command/commands.def"
#undef COMMAND
};

/* "--run VALUE --all" of " run= all ". */
static void commands_show_flags(struct buf *out, struct str flags)
{
    while (flags.n) {
        struct str flag = str_cut(&flags, ' ');
        bool has_value = str_ends(flag, STR("="));

        if (flag.n)
            buf_printf(out, " [--%.*s%s]", (int)(flag.n - has_value), flag.p,
                       has_value ? " VALUE" : "");
    }
}

void commands_help(void)
{
    struct buf out;

    buf_init(&out);
    buf_printf(&out, "sluice COMMAND [--flag value...]\n\n");
    for (size_t i = 0; i < array_len(commands); i++) {
        buf_printf(&out, "  %s%s%s", commands[i].name, *commands[i].words ? " " : "",
                   commands[i].words);
        commands_show_flags(&out, str_of(commands[i].flags));
        buf_printf(&out, "\n      %s\n", commands[i].help);
    }
    buf_add_byte(&out, '\n');
    settings_help(&out);
    (void)commands_print(&out);
}

/* -- taking a command line apart --------------------------------------------------------------- */

static err_t commands_add_word(struct command_line *line, char *word, struct fail *f)
{
    if (line->nwords == COMMAND_WORDS_MAX)
        return fail(f, ERR_SETTING, "more than %d words", COMMAND_WORDS_MAX);
    line->words[line->nwords++] = word;
    return OK;
}

/* The words up to the next flag. */
static err_t commands_take_words(struct command_line *line, int argc, char **argv, int *i,
                                 struct fail *f)
{
    err_t e = OK;

    while (!e && *i < argc && strncmp(argv[*i], "--", 2) != 0)
        e = commands_add_word(line, argv[(*i)++], f);
    return e;
}

/* The own flags of the command that is named among the arguments. */
static struct str commands_own(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        for (size_t k = 0; k < array_len(commands); k++) {
            if (strcmp(argv[i], commands[k].name) == 0)
                return str_of(commands[k].flags);
        }
    }
    return STR("");
}

/* Is --name among them? *has_value: it wants one. */
static bool commands_is_own(struct str own, struct str name, bool *has_value)
{
    while (own.n) {
        struct str word = str_cut(&own, ' ');

        *has_value = str_ends(word, STR("="));
        if (*has_value)
            word.n--;
        if (word.n && str_eq(word, name))
            return true;
    }
    return false;
}

/* A command line as two lists. */
struct split {
    char **own; /* own flags, each with its value behind it */
    char **rest;
    int own_count;
    int rest_count;
};

static err_t commands_split(const struct command_line *line, struct arena *a, struct split *out,
                            struct fail *f)
{
    struct str flags = commands_own(line->argc, line->argv);

    *out = (struct split){.own = arena_array(a, 2 * (size_t)line->argc, sizeof(char *)),
                          .rest = arena_array(a, (size_t)line->argc, sizeof(char *))};
    for (int i = 0; i < line->argc; i++) {
        char *arg = line->argv[i];
        struct str value = str_of(arg);
        struct str name = str_cut(&value, '=');
        bool is_joined = name.n < strlen(arg);
        bool has_value;

        if (!str_starts(name, STR("--")) ||
            !commands_is_own(flags, str_skip(name, 2), &has_value)) {
            out->rest[out->rest_count++] = arg;
            continue;
        }
        if (has_value ? !is_joined && i + 1 == line->argc : is_joined)
            return fail(f, ERR_SETTING, "%.*s %s", STR_ARG(name),
                        has_value ? "wants a value" : "takes no value");
        out->own[out->own_count++] = arena_cstr(a, name);
        if (has_value)
            out->own[out->own_count++] = is_joined ? arena_cstr(a, value) : line->argv[++i];
    }
    return OK;
}

err_t commands_parse(struct command_line *line, struct settings *s, struct fail *f)
{
    struct split args;
    int i = 1;
    err_t e;

    line->nwords = 0;
    if ((e = commands_split(line, &s->arena, &args, f)) ||
        (e = commands_take_words(line, args.rest_count, args.rest, &i, f)) ||
        (e = settings_load(s, args.rest_count, args.rest, environ, &i, f)))
        return e;
    while (i < args.rest_count) {
        if ((e = commands_take_words(line, args.rest_count, args.rest, &i, f)) ||
            (e = settings_load_args(s, args.rest_count, args.rest, &i, f)))
            return e;
    }
    for (i = 0; i < args.own_count; i++) {
        if ((e = commands_add_word(line, args.own[i], f)))
            return e;
    }
    return settings_check(s, f);
}

int commands_run(struct command_line *line, struct settings *s)
{
    const char *name = line->nwords ? line->words[0] : "help";
    int code;

    for (size_t i = 0; i < array_len(commands); i++) {
        if (strcmp(name, commands[i].name) != 0)
            continue;
        if (commands[i].run == command_serve)
            return command_serve(line, s);
        code = commands[i].run(line, s);
        settings_free(s);
        return code;
    }
    fprintf(stderr, "sluice: there is no command %s; `sluice help` lists them\n", name);
    settings_free(s);
    return 1;
}
