/*
 * settings: what the operator chose; the rows stand in settings.def.
 *
 * Order of calls: settings_new, settings_load (file, then environment, then flags: later wins),
 * settings_check; after that the snapshot is immutable and any thread may read it.
 */
#ifndef SCHEMA_SETTINGS_H
#define SCHEMA_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/fail.h"

#define SETTING_C_SIZE uint64_t
#define SETTING_C_TIME uint64_t /* microseconds */
#define SETTING_C_COUNT uint64_t
#define SETTING_C_BOOL bool
#define SETTING_C_TEXT const char *   /* owned by the snapshot, never NULL */
#define SETTING_C_SECRET const char * /* same, never shown */

struct settings {
#define SETTING(type, name, def, min, max, reload, help) SETTING_C_##type name;
#include "schema/settings.def"
#undef SETTING
    /* private */
    struct arena arena;
};

/* A snapshot with every default. */
struct settings *settings_new(void);
void settings_free(struct settings *s);
/* One setting by its name (underscores or dashes); ERR_SETTING names it, its bounds and its help. */
must_check err_t settings_set(struct settings *s, struct str name, struct str value,
                              struct fail *f);
/* Lines `name = value`, # begins a comment. */
must_check err_t settings_load_file(struct settings *s, const char *path, struct fail *f);
/* SLUICE_NAME, SLUICE_NAME_FILE for secrets, MLFLOW_BACKEND_STORE_URI and the other fallbacks that docs/config.md lists. */
must_check err_t settings_load_env(struct settings *s, char **envp, struct fail *f);
/* --name value and --name=value, --no-name for booleans, --config FILE; *argi stops at the first argument that is no flag. */
must_check err_t settings_load_args(struct settings *s, int argc, char **argv, int *argi,
                                    struct fail *f);
/* File named by --config or SLUICE_CONFIG, then environment, then flags; then rules between settings. */
must_check err_t settings_load(struct settings *s, int argc, char **argv, char **envp, int *argi,
                               struct fail *f);
/* `name = value` for every setting, secrets as ***. */
void settings_dump(const struct settings *s, struct buf *out);
/* The flags with defaults, bounds and help, for --help. */
void settings_help(struct buf *out);
/* docs/config.md. */
void settings_doc(struct buf *out);

#endif
