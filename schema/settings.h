/*
 * settings: what the operator chose; the rows stand in settings.def.
 *
 * Order of calls: settings_new, settings_load (file, then environment, then flags: later wins; then
 * settings_check); after that the snapshot is immutable and any thread may read it.
 */
#ifndef SCHEMA_SETTINGS_H
#define SCHEMA_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/fail.h"

#define SETTING_C_SIZE   uint64_t
#define SETTING_C_TIME   uint64_t /* microseconds */
#define SETTING_C_COUNT  uint64_t
#define SETTING_C_BOOL   bool
#define SETTING_C_TEXT   const char * /* owned by the snapshot, never NULL */
#define SETTING_C_SECRET const char * /* same, never shown */

enum setting {
#define SETTING(type, name, def, min, max, reload, help) SETTING_##name,
#include "schema/settings.def"
#undef SETTING
    SETTING_COUNT
};

/* A setting kafka.NAME, which a library shall have as it is. */
struct setting_pass {
    const char *name; /* without "kafka." */
    const char *value;
    bool is_secret; /* it came from a file of its own: never shown */
    struct setting_pass *next;
};

struct settings {
#define SETTING(type, name, def, min, max, reload, help) SETTING_C_##type name;
#include "schema/settings.def"
#undef SETTING
    struct setting_pass *kafka; /* in the order in which they were set */
    /* private */
    struct arena arena;
    bool is_set[SETTING_COUNT]; /* somebody chose it; false = the default */
};

/* A snapshot with every default. */
struct settings *settings_new(void);
void settings_free(struct settings *s);
/* One setting by its name (underscores or dashes), or name_file for a secret; ERR_SETTING names
 * it, its bounds and its help. */
must_check err_t settings_set(struct settings *s, struct str name, struct str value,
                              struct fail *f);
/* Lines `name = value`, # begins a comment. */
must_check err_t settings_load_file(struct settings *s, const char *path, struct fail *f);
/* The same, but goes on behind what it refuses, and adds a line for each; how many. */
unsigned settings_try_file(struct settings *s, const char *path, struct buf *out);
/* SLUICE_NAME, SLUICE_NAME_FILE for secrets; then MLflow's own variables (MLFLOW_BACKEND_STORE_URI
 * and those that docs/config.md lists) for what nobody has set. */
must_check err_t settings_load_env(struct settings *s, char **envp, struct fail *f);
/* --name value and --name=value, --no-name for booleans, --config FILE (which settings_load
 * reads); *argi stops at the first argument that is no flag. */
must_check err_t settings_load_args(struct settings *s, int argc, char **argv, int *argi,
                                    struct fail *f);
/* The rules between settings, and the forms of addresses. */
must_check err_t settings_check(const struct settings *s, struct fail *f);
/* Is pg_uri a store that only a stock server speaks, so that everything goes upstream? */
bool settings_passes_all(const struct settings *s);
/* What is allowed and hardly meant, a sentence each, with a text between them; how many. */
unsigned settings_advise(const struct settings *s, const char *between, struct buf *out);
/* File named by --config or SLUICE_CONFIG, then environment, then flags; then settings_check. */
must_check err_t settings_load(struct settings *s, int argc, char **argv, char **envp, int *argi,
                               struct fail *f);
/* s is to follow old while the program runs: settings that need a restart get old's value back.
 * Names, comma separated, go to changed (they take effect) and kept (they do not). */
void settings_follow(struct settings *s, const struct settings *old, struct buf *changed,
                     struct buf *kept);
/* Where new experiments keep artifacts: as chosen, else as MLflow chooses; paths are absolute. */
struct str settings_artifact_root(const struct settings *s, struct arena *a);
/* `name = value` for every setting, secrets as ***. */
void settings_dump(const struct settings *s, struct buf *out);
/* The flags with defaults, bounds and help, for --help. */
void settings_help(struct buf *out);
/* docs/config.md. */
void settings_doc(struct buf *out);

#endif
