/*
 * arena: a list of blocks, of which one is being filled.
 *
 *   first -> newest -> ... -> second     last = the block that next and end point into
 *
 * The list has no order that matters, but the first block stays first, because arena_reset()
 * keeps it. A block's data is a multiple of ALIGN, so what is left of a block always is one too:
 * when n bytes fit, n rounded up fits as well. An ask beyond ARENA_BLOCK_MAX gets a block of
 * exactly its size, and the block that was being filled goes on being filled.
 *
 * Under AddressSanitizer, bytes that are not handed out are poisoned and allocations stand a gap
 * apart, so an overrun inside a block is found as it would be on the heap. Under valgrind (make
 * valgrind) too, and what is handed out counts as never written.
 */
#include "base/arena.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__has_feature)
#define IS_SANITIZED __has_feature(address_sanitizer) /* clang's way to say it */
#elif defined(__SANITIZE_ADDRESS__)
#define IS_SANITIZED 1
#else
#define IS_SANITIZED 0
#endif

#if IS_SANITIZED
#include <sanitizer/asan_interface.h>
#define GAP            ((size_t)16)
#define poison(p, n)   ASAN_POISON_MEMORY_REGION(p, n)
#define unpoison(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
#elif defined(ARENA_MEMCHECK)
#include <valgrind/memcheck.h>
#define GAP            ((size_t)16)
#define poison(p, n)   ((void)VALGRIND_MAKE_MEM_NOACCESS(p, n))
#define unpoison(p, n) ((void)VALGRIND_MAKE_MEM_UNDEFINED(p, n))
#else
#define GAP            ((size_t)0)
#define poison(p, n)   ((void)(p), (void)(n))
#define unpoison(p, n) ((void)(p), (void)(n))
#endif

#define ALIGN ((size_t)16)

struct arena_block {
    struct arena_block *next;
    size_t bytes; /* of data */
    _Alignas(16) char data[];
};

static size_t round_up(size_t n)
{
    return (n + ALIGN - 1) & ~(ALIGN - 1);
}

void arena_init(struct arena *a, size_t first_bytes)
{
    *a = (struct arena){.first_bytes = round_up(first_bytes ? first_bytes : 1)};
}

static void arena_free_after(struct arena_block *b)
{
    while (b->next) {
        struct arena_block *gone = b->next;

        b->next = gone->next;
        free(gone);
    }
}

void arena_fini(struct arena *a)
{
    if (a->first) {
        arena_free_after(a->first);
        free(a->first);
    }
    arena_init(a, a->first_bytes);
}

/* Points the cursor at the start of b. */
static void arena_fill(struct arena *a, struct arena_block *b)
{
    a->last = b;
    a->next = b->data;
    a->end = b->data + b->bytes;
}

void arena_reset(struct arena *a)
{
    a->used_bytes = 0;
    if (a->first == NULL)
        return;
    arena_free_after(a->first);
    poison(a->first->data, a->first->bytes);
    arena_fill(a, a->first);
}

struct arena_mark arena_mark(const struct arena *a)
{
    return (struct arena_mark){a->first ? a->first->next : NULL, a->last, a->next, a->used_bytes};
}

/* Blocks younger than the mark stand between the first and the one that was the newest then. */
void arena_rewind(struct arena *a, const struct arena_mark *m)
{
    if (m->last == NULL) {
        arena_reset(a);
        return;
    }
    while (a->first->next != m->newest) {
        struct arena_block *gone = a->first->next;

        a->first->next = gone->next;
        free(gone);
    }
    arena_fill(a, m->last);
    a->next = m->next;
    a->used_bytes = m->used_bytes;
    poison(a->next, (size_t)(a->end - a->next));
}

static struct arena_block *arena_grow(struct arena *a, size_t bytes)
{
    struct arena_block *b = malloc(sizeof(*b) + bytes);

    check(b != NULL);
    b->bytes = bytes;
    poison(b->data, bytes);
    if (a->first) {
        b->next = a->first->next;
        a->first->next = b;
    } else {
        b->next = NULL;
        a->first = b;
    }
    return b;
}

/* A place for n bytes (n > 0, gap included) that the block being filled has no room for. */
static char *arena_place(struct arena *a, size_t n)
{
    if (a->first == NULL)
        arena_fill(a, arena_grow(a, a->first_bytes));
    if (n > (size_t)(a->end - a->next)) {
        size_t bytes = a->last->bytes;

        if (n > ARENA_BLOCK_MAX)
            return arena_grow(a, round_up(n))->data;
        do {
            bytes = bytes * 2 < ARENA_BLOCK_MAX ? bytes * 2 : ARENA_BLOCK_MAX;
        } while (bytes < n);
        arena_fill(a, arena_grow(a, bytes));
    }
    a->next += round_up(n);
    return a->next - round_up(n);
}

void *arena_alloc(struct arena *a, size_t n)
{
    size_t want = n ? n + GAP : 1 + GAP;
    char *p = a->next;

    check(n <= PTRDIFF_MAX / 2);
    if (__builtin_expect(want <= (size_t)(a->end - a->next), 1))
        a->next += round_up(want);
    else
        p = arena_place(a, want);
    a->used_bytes += round_up(n);
    unpoison(p, n);
    return p;
}

void *arena_zalloc(struct arena *a, size_t n)
{
    return memset(arena_alloc(a, n), 0, n);
}

void *arena_array(struct arena *a, size_t count, size_t size)
{
    size_t n;

    check(!__builtin_mul_overflow(count, size, &n));
    return arena_alloc(a, n);
}

struct str arena_dup(struct arena *a, struct str s)
{
    return (struct str){arena_cstr(a, s), s.n};
}

char *arena_cstr(struct arena *a, struct str s)
{
    char *p = arena_alloc(a, s.n + 1);

    if (s.n)
        memcpy(p, s.p, s.n);
    p[s.n] = '\0';
    return p;
}

struct str arena_printf(struct arena *a, const char *fmt, ...)
{
    struct str s;
    va_list ap;

    va_start(ap, fmt);
    s = arena_vprintf(a, fmt, ap);
    va_end(ap);
    return s;
}

struct str arena_vprintf(struct arena *a, const char *fmt, va_list ap)
{
    char small[256];
    va_list again;
    char *p;
    int n;

    va_copy(again, ap);
    n = vsnprintf(small, sizeof(small), fmt, ap);
    check(n >= 0);
    p = arena_alloc(a, (size_t)n + 1);
    if ((size_t)n < sizeof(small))
        memcpy(p, small, (size_t)n + 1);
    else
        vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    return (struct str){p, (size_t)n};
}

size_t arena_used(const struct arena *a)
{
    return a->used_bytes;
}
