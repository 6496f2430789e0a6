/*
 * replay: goes through a target's corpus without libFuzzer.
 *
 *     build/asan/fuzz/http tests/fuzz/corpus/http
 *
 * Arguments are files and directories. Every input is given as it is and cut short at a few places.
 * An input that breaks something ends the program; its name was the last one printed to stderr.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { CUTS = 8 };

static unsigned passed;

/* The first n bytes, in memory of exactly that length. */
static void replay_head(const uint8_t *bytes, size_t n)
{
    uint8_t *copy = malloc(n ? n : 1);

    if (copy == NULL)
        abort();
    memcpy(copy, bytes, n);
    LLVMFuzzerTestOneInput(copy, n);
    free(copy);
}

static int replay_file(const char *path, size_t n)
{
    FILE *file = fopen(path, "rb");
    uint8_t *bytes = malloc(n ? n : 1);
    size_t got = file && bytes ? fread(bytes, 1, n, file) : 0;

    if (file)
        fclose(file);
    if (bytes == NULL || got != n) {
        fprintf(stderr, "%s cannot be read\n", path);
        free(bytes);
        return 1;
    }
    fprintf(stderr, "%s\n", path);
    for (size_t i = 1; i <= CUTS; i++)
        replay_head(bytes, n * i / CUTS);
    free(bytes);
    passed++;
    return 0;
}

static int replay_path(const char *path)
{
    struct dirent **names;
    struct stat st;
    int count, failed = 0;

    if (stat(path, &st) != 0) {
        fprintf(stderr, "%s is missing\n", path);
        return 1;
    }
    if (!S_ISDIR(st.st_mode))
        return replay_file(path, (size_t)st.st_size);
    count = scandir(path, &names, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        char inner[4096];

        snprintf(inner, sizeof(inner), "%s/%s", path, names[i]->d_name);
        if (names[i]->d_name[0] != '.')
            failed += replay_path(inner);
        free(names[i]);
    }
    if (count >= 0)
        free(names);
    return failed;
}

int main(int argc, char **argv)
{
    int failed = 0;

    for (int i = 1; i < argc; i++)
        failed += replay_path(argv[i]);
    printf("%u passed, %d failed\n", passed, failed);
    return failed > 0 || passed == 0;
}
