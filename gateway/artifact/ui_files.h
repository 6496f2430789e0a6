/*
 * ui_files: the built web UI, by the names of its files.
 *
 * Order of calls: ui_files_open, ui_files_find by any thread, ui_files_close when no request is left.
 * The table is made once: a name that was not there at the start is not served, whatever a request
 * spells.
 */
#ifndef GATEWAY_UI_FILES_H
#define GATEWAY_UI_FILES_H

#include "base/fail.h"
#include "base/str.h"

struct ui_files;

struct ui_file {
    struct str name;  /* below the folder, such as static/js/main.js */
    const char *type; /* for Content-Type */
};

/* Reads the folder's tree; ERR_SETTING when it holds no index.html. Main thread. */
must_check err_t ui_files_open(const char *dir, struct ui_files **out, struct fail *f);
void ui_files_close(struct ui_files *u);
/* The file of that name, or NULL. */
const struct ui_file *ui_files_find(const struct ui_files *u, struct str name);
/* A descriptor for reading it, for the caller to close; -1 with errno. */
int ui_files_read(const struct ui_files *u, const struct ui_file *file);
size_t ui_files_count(const struct ui_files *u);

#endif
