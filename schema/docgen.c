/*
 * docgen: the texts that are made of tables, written from the tables.
 *
 *   docgen errors|settings|stats|routes     prints one page of docs/
 *   docgen sluice.1|sluice.conf.5|sluice.conf|bash|zsh|fish
 *                                           prints what `make install` installs
 *   docgen FOLDER                           writes the pages of docs/ into FOLDER
 *
 * Run by `make docs` and `make install`; `make lint` writes the pages elsewhere and compares. The
 * output depends on the .def files alone. routes.def and commands.def are all of the gateway that it
 * sees, and sees them as text: what names a function is made a string, so nothing has to be linked.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "schema/completion.h"
#include "schema/errors.h"
#include "schema/manual.h"
#include "schema/settings.h"
#include "schema/stats.h"

/* One row of routes.def, as written there. */
struct route_text {
    const char *methods;
    const char *path;
    const char *handler;
    const char *body;
    const char *may;
    const char *where;
    const char *prefix;
};

static const struct route_text routes[] = {
#define ROUTE(methods, path, handler, body, may, where) \
    {#methods, path, #handler, #body, #may, #where, ""},
#define MLFLOW(methods, path, handler, body, may) \
    {#methods, path, #handler, #body, #may, "ON_CLIENT", "…"},
#define ARTIFACTS(methods, path, handler, body, may) \
    {#methods, path, #handler, #body, #may, "ON_CLIENT", "…-artifacts"},
#define USERS(methods, path, handler, body, may) \
    {#methods, path, #handler, #body, #may, "ON_USERS", "…"},
#define USERS_3(methods, path, handler, body, may)                             \
    {#methods, "/api/3.0/mlflow" path, #handler, #body, #may, "ON_USERS", ""}, \
        {#methods, "/ajax-api/3.0/mlflow" path, #handler, #body, #may, "ON_USERS", ""},
#define MLFLOW_3(methods, path, handler, body, may)                             \
    {#methods, "/api/3.0/mlflow" path, #handler, #body, #may, "ON_CLIENT", ""}, \
        {#methods, "/ajax-api/3.0/mlflow" path, #handler, #body, #may, "ON_CLIENT", ""},
#include "gateway/http/routes.def"
#undef ROUTE
#undef MLFLOW
#undef MLFLOW_3
#undef ARTIFACTS
#undef USERS
#undef USERS_3
};

static const struct manual_command commands[] = {
#define COMMAND(name, words, flags, help, run) {name, words, flags, help},
#include "gateway/command/commands.def"
#undef COMMAND
};

/* "GET | POST" as "GET, POST"; HEAD comes with GET. */
static void add_methods(struct buf *out, const char *methods)
{
    struct str rest = str_of(methods);

    while (rest.n) {
        struct str method = str_trim(str_cut(&rest, '|'));

        buf_add_str(out, method);
        if (str_eq(method, STR("GET")))
            buf_add_str(out, STR(", HEAD"));
        buf_add_str(out, rest.n ? STR(", ") : STR(""));
    }
}

/* "BODY_SMALL" as "small": what follows the first underscore, in lower case. */
static void add_word(struct buf *out, const char *name)
{
    struct str word = str_of(name);

    str_cut(&word, '_');
    for (size_t i = 0; i < word.n; i++)
        buf_add_byte(out,
                     word.p[i] >= 'A' && word.p[i] <= 'Z' ? (char)(word.p[i] + 32) : word.p[i]);
}

static void routes_doc(struct buf *out)
{
    buf_add_str(out,
                STR("# Routes\n\n"
                    "Generated from `gateway/http/routes.def` by `make docs`.\n\n"
                    "Every path that Sluice answers itself; any other goes to `upstream`, or gets "
                    "404 with MLflow's error\nJSON where that is not set. `…` stands for "
                    "`/api/2.0/mlflow` and `/ajax-api/2.0/mlflow`;\n"
                    "`static_prefix` goes before both. Body: `none` is read and ignored, "
                    "`small` is at most 1 MiB, `large` at most 4 MiB, `stream` any length, `point` "
                    "as `small` and "
                    "`batch` at most\n`max_body_bytes`; the last two are refused at the head when "
                    "the queue is full. Permission is what the caller needs once "
                    "authentication is on. Listener: `client`\nis `listen`, `admin` is "
                    "`admin_listen`, `users` is `listen` with `auth = basic`.\n\n"
                    "| methods | path | body | permission | listener | handler |\n"
                    "|---|---|---|---|---|---|\n"));
    for (size_t i = 0; i < array_len(routes); i++) {
        const struct route_text *r = &routes[i];

        buf_add_str(out, STR("| "));
        add_methods(out, r->methods);
        buf_printf(out, " | `%s%s` | ", r->prefix, r->path);
        add_word(out, r->body);
        buf_add_str(out, STR(" | "));
        add_word(out, r->may);
        buf_add_str(out, STR(" | "));
        add_word(out, r->where);
        buf_printf(out, " | `%s` |\n", r->handler);
    }
}

static void program_manual(struct buf *out)
{
    manual_program(out, commands, array_len(commands));
}

static void bash_completion(struct buf *out)
{
    completion_bash(out, commands, array_len(commands));
}

static void zsh_completion(struct buf *out)
{
    completion_zsh(out, commands, array_len(commands));
}

static void fish_completion(struct buf *out)
{
    completion_fish(out, commands, array_len(commands));
}

static const struct page {
    const char *name; /* as on the command line */
    const char *file; /* of docs/; NULL = not kept there */
    void (*write)(struct buf *out);
} pages[] = {
    {"errors", "errors.md", errors_doc},  {"settings", "config.md", settings_doc},
    {"stats", "metrics.md", stats_doc},   {"routes", "routes.md", routes_doc},
    {"sluice.1", NULL, program_manual},   {"sluice.conf.5", NULL, manual_settings},
    {"sluice.conf", NULL, manual_sample}, {"bash", NULL, bash_completion},
    {"zsh", NULL, zsh_completion},        {"fish", NULL, fish_completion},
};

/* Writes page to file and closes it, unless it is standard output. */
static int print_page(const struct page *page, FILE *file)
{
    struct buf out;
    struct str text;
    bool is_written;

    buf_init(&out);
    page->write(&out);
    text = buf_str(&out);
    is_written = fwrite(text.p, 1, text.n, file) == text.n;
    buf_fini(&out);
    if ((file == stdout ? fflush(file) : fclose(file)) != 0)
        is_written = false;
    if (!is_written)
        fprintf(stderr, "docgen: cannot write %s: %s\n", page->name, strerror(errno));
    return is_written ? 0 : 1;
}

static int write_all(const char *folder)
{
    for (size_t i = 0; i < array_len(pages); i++) {
        char path[4096];
        FILE *file;

        if (pages[i].file == NULL)
            continue;
        snprintf(path, sizeof(path), "%s/%s", folder, pages[i].file);
        file = fopen(path, "we");
        if (file == NULL) {
            fprintf(stderr, "docgen: cannot write %s: %s\n", path, strerror(errno));
            return 1;
        }
        if (print_page(&pages[i], file))
            return 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: docgen PAGE|FOLDER\n");
        return 2;
    }
    for (size_t i = 0; i < array_len(pages); i++) {
        if (strcmp(argv[1], pages[i].name) == 0)
            return print_page(&pages[i], stdout);
    }
    return write_all(argv[1]);
}
