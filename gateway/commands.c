/*
 * commands: the table of commands, and the small ones themselves.
 *
 * A command is a function of the settings and of the words behind its name. Words and flags may
 * stand in any order but for this: the first group of flags is where --config is looked for.
 * Commands that look into a running system (journal, deadletter) live beside what they look into.
 */
#define _GNU_SOURCE /* environ */
#include "gateway/commands.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "gateway/cmd_deadletter.h"
#include "gateway/cmd_journal.h"
#include "gateway/cmd_schema.h"
#include "gateway/server.h"
#include "gateway/version.h"
#include "schema/cluster.h"
#include "schema/errors.h"
#include "schema/migrate.h"

/* One row: words after the name, and what it does. */
struct command {
    const char *name;
    const char *words; /* for help */
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
    return cmd_journal(line->nwords - 1, line->words + 1, s);
}

/* -- config, version, help -------------------------------------------------------------------- */

static int command_config(struct command_line *line, struct settings *s)
{
    const char *word = commands_word(line, 1);
    struct buf out;

    if (strcmp(word, "check") == 0) {
        printf("the settings are good\n"); /* or we would not be here */
        return 0;
    }
    if (strcmp(word, "dump") != 0) {
        fprintf(stderr, "sluice: config: want check or dump\n");
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
    {"serve", "", "Run the gateway until SIGINT or SIGTERM; SIGHUP reloads settings.",
     command_serve},
    {"schema", "check|create|tune|untune",
     "Check the database's schema, create MLflow's in an empty one, or make (un)do indexes for "
     "speed;"
     " tune and untune take --dry-run and names.",
     command_schema},
    {"config", "check|dump", "Check the settings, or print every one with its value.",
     command_config},
    {"journal", "ls|verify|dump [RUN_ID]", "Look at the journal's segments and entries.",
     command_journal},
    {"deadletter", "ls|show ID", "Look at the points that PostgreSQL refused.", command_deadletter},
    {"pg-uri", "", "Print the connection string of the database in use, for psql.", command_pg_uri},
    {"version", "", "Print the versions of this program and of MLflow.", command_version},
    {"help", "", "Print this.", command_help},
};

void commands_help(void)
{
    struct buf out;

    buf_init(&out);
    buf_printf(&out, "sluice COMMAND [--flag value...]\n\n");
    for (size_t i = 0; i < array_len(commands); i++) {
        char usage[64];

        snprintf(usage, sizeof(usage), "%s %s", commands[i].name, commands[i].words);
        buf_printf(&out, "  %-31s%s\n", usage, commands[i].help);
    }
    buf_add_byte(&out, '\n');
    settings_help(&out);
    (void)commands_print(&out);
}

/* --dry-run is no setting: behind the words of a command that knows it, it counts as one. */
static bool commands_is_word(const struct command_line *line, const char *text)
{
    if (strcmp(text, "--dry-run") == 0)
        return line->nwords > 0 && strcmp(line->words[0], "schema") == 0;
    return strncmp(text, "--", 2) != 0;
}

/* The words up to the next flag. */
static err_t commands_take_words(struct command_line *line, int *i, struct fail *f)
{
    while (*i < line->argc && commands_is_word(line, line->argv[*i])) {
        if (line->nwords == COMMAND_WORDS_MAX)
            return fail(f, ERR_SETTING, "more than %d words", COMMAND_WORDS_MAX);
        line->words[line->nwords++] = line->argv[(*i)++];
    }
    return OK;
}

err_t commands_parse(struct command_line *line, struct settings *s, struct fail *f)
{
    int i = 1;
    err_t e;

    line->nwords = 0;
    if ((e = commands_take_words(line, &i, f)))
        return e;
    if ((e = settings_load(s, line->argc, line->argv, environ, &i, f)))
        return e;
    while (i < line->argc) {
        if ((e = commands_take_words(line, &i, f)))
            return e;
        if ((e = settings_load_args(s, line->argc, line->argv, &i, f)))
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
