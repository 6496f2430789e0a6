/*
 * settings_rows: the rows of settings.def as data, for the files settings*.c alone.
 *
 * Read-only; any thread.
 */
#ifndef SCHEMA_SETTINGS_ROWS_H
#define SCHEMA_SETTINGS_ROWS_H

#include "schema/settings.h"

enum setting_type {
    SETTING_IS_SIZE,
    SETTING_IS_TIME,
    SETTING_IS_COUNT,
    SETTING_IS_BOOL,
    SETTING_IS_TEXT,
    SETTING_IS_SECRET
};

enum { SETTING_NAME_MAX = 64 }; /* bytes of a name, terminator included */

struct setting_row {
    const char *name;
    enum setting_type type;
    const char *def;
    const char *min; /* for texts: the words allowed, divided by '|' */
    const char *max;
    bool is_reload; /* SIGHUP is enough */
    const char *help;
    size_t offset; /* of the field in struct settings */
};

extern const struct setting_row setting_rows[SETTING_COUNT];

/* A variable of MLflow's server that is read when the setting is not set. */
struct setting_fallback {
    const char *variable;
    enum setting id;
};

extern const struct setting_fallback setting_fallbacks[];
extern const size_t setting_fallback_count;

/* The row of a name (underscores or dashes), or NULL; *is_file: it was a secret's name_file. */
const struct setting_row *setting_find(struct str name, bool *is_file);
/* What the file of a secret holds, blanks and line ends around it dropped; text lives in s. name: of
 * the secret, for words. */
must_check err_t setting_read_file(struct settings *s, struct str name, struct str path,
                                   struct str *text, struct fail *f);
/* Does the name begin with "kafka."? */
bool setting_is_pass(struct str name);
/* Keeps kafka.NAME; the last value stands. With kafka.NAME_file value is the path of a file that holds it. */
must_check err_t setting_pass_set(struct settings *s, struct str name, struct str value,
                                  struct fail *f);
/* `kafka.NAME = value` for each, passwords and keys as ***. */
void setting_pass_dump(const struct settings *s, struct buf *out);
/* The value as text that settings_set reads back; secrets are not hidden. */
struct str setting_show(const struct settings *s, const struct setting_row *row, char space[32]);
/* What values the row takes: "from 1MiB to 16GiB", "one of error, warn, info, debug", or "". */
void setting_bounds(const struct setting_row *row, struct buf *out);

#endif
