/*
 * main: argv to settings to a command.
 *
 * Everything that can be refused is refused here in one line on standard error, before anything is
 * started. Exit code 0 when the command did what it was asked, else 1.
 */
#include <stdio.h>
#include <string.h>

#include "gateway/command/commands.h"
#include "gateway/version.h"

int main(int argc, char **argv)
{
    struct command_line line = {.argc = argc, .argv = argv};
    struct settings *s;
    struct fail f;
    err_t e;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            commands_help();
            return 0;
        }
    }
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        printf("sluice %s\n", SLUICE_VERSION);
        return 0;
    }
    s = settings_new();
    fail_init(&f, &s->arena);
    e = commands_parse(&line, s, &f);
    if (e) {
        fprintf(stderr, "sluice: %.*s\n", STR_ARG(f.text));
        settings_free(s);
        return 1;
    }
    return commands_run(&line, s);
}
