/*
 * run_name: what a run is called when its client does not say.
 *
 * The form is MLflow's: two words and a number from 0 to 1000, lower case, at most 20 characters. The
 * words are our own and short enough that every combination fits. Nothing depends on a name being
 * unique; the id is.
 */
#include "gateway/api/run_name.h"

#include <stdint.h>
#include <sys/random.h>

static const char *const adjectives[] = {
#define ADJECTIVE(word) #word,
#define NOUN(word)
#include "gateway/search/words.def"
#undef ADJECTIVE
#undef NOUN
};
static const char *const nouns[] = {
#define ADJECTIVE(word)
#define NOUN(word) #word,
#include "gateway/search/words.def"
#undef ADJECTIVE
#undef NOUN
};

/* Requests of up to 256 bytes are never cut short once the kernel's pool is ready. */
static void random_bytes(void *out, size_t n)
{
    check(getrandom(out, n, 0) == (ssize_t)n);
}

struct str run_name_id(struct arena *a)
{
    static const char hex[] = "0123456789abcdef";
    uint8_t bytes[16];
    char *p = arena_alloc(a, 33);

    random_bytes(bytes, sizeof(bytes));
    bytes[6] = (uint8_t)((bytes[6] & 0x0F) | 0x40); /* version 4 */
    bytes[8] = (uint8_t)((bytes[8] & 0x3F) | 0x80); /* the usual variant */
    for (size_t i = 0; i < sizeof(bytes); i++) {
        p[2 * i] = hex[bytes[i] >> 4];
        p[2 * i + 1] = hex[bytes[i] & 15];
    }
    p[32] = '\0';
    return (struct str){p, 32};
}

struct str run_name_make(struct arena *a)
{
    uint32_t r[3];

    random_bytes(r, sizeof(r));
    return arena_printf(a, "%s-%s-%u", adjectives[r[0] % array_len(adjectives)],
                        nouns[r[1] % array_len(nouns)], r[2] % 1001);
}
