/*
 * plan: what the operator asked of the load generator; the rows stand in settings.def.
 *
 * plan_new, plan_load (scenario file, then flags: later wins), then read-only; plan_free.
 */
#ifndef LOADTEST_PLAN_H
#define LOADTEST_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/fail.h"
#include "loadtest/call.h"

#define PLAN_C_TIME   uint64_t /* microseconds */
#define PLAN_C_COUNT  uint64_t
#define PLAN_C_BOOL   bool
#define PLAN_C_NUMBER double
#define PLAN_C_SHARE  double
#define PLAN_C_TEXT   const char * /* owned by the plan, never NULL */
#define PLAN_C_LIST   const char * /* the same; parts divided by newlines */

enum plan_id {
#define PLAN(type, name, def, min, max, help) PLAN_##name,
#include "loadtest/settings.def"
#undef PLAN
    PLAN_COUNT
};

struct plan {
#define PLAN(type, name, def, min, max, help) PLAN_C_##type name;
#include "loadtest/settings.def"
#undef PLAN
    double weights[CALL_COUNT]; /* mix, each as a share of all; made by plan_check */
    /* private */
    struct arena arena;
    bool is_set[PLAN_COUNT]; /* somebody chose it; false = the default */
};

/* One with every default. */
struct plan *plan_new(void);
void plan_free(struct plan *p);
/* One setting by its name (underscores or dashes). */
must_check err_t plan_set(struct plan *p, struct str name, struct str value, struct fail *f);
/* Lines `name = value`, # begins a comment. */
must_check err_t plan_load_file(struct plan *p, const char *path, struct fail *f);
/* --name value, --name=value, --no-name; an argument that is no flag is a scenario file, read
 * before the flags wherever it stands; then plan_check. */
must_check err_t plan_load(struct plan *p, int argc, char **argv, struct fail *f);
/* The rules between settings; makes weights of mix. */
must_check err_t plan_check(struct plan *p, struct fail *f);
bool plan_is_set(const struct plan *p, enum plan_id id);
/* The flags with defaults and help. */
void plan_help(struct buf *out);
/* One setting's value as text that plan_set reads back. */
void plan_show(const struct plan *p, enum plan_id id, struct buf *out);
const char *plan_name(enum plan_id id);

#endif
