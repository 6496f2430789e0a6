/*
 * settings_reload: what new settings may change while the program runs.
 *
 * Settings marked RELOAD are taken as they come. Those marked RESTART were used when things were
 * opened; they keep the value that the program runs with, so that nobody who reads the snapshot
 * sees one that is not true.
 */
#include "schema/settings.h"

#include <string.h>

#include "schema/settings_rows.h"

static bool setting_is_same(const struct setting_row *row, const struct settings *a,
                            const struct settings *b)
{
    char one[32], other[32];

    return str_eq(setting_show(a, row, one), setting_show(b, row, other));
}

static void setting_copy(const struct setting_row *row, struct settings *to,
                         const struct settings *from)
{
    char *field = (char *)to + row->offset;
    const char *source = (const char *)from + row->offset;
    const char *text;

    switch (row->type) {
    case SETTING_IS_BOOL: memcpy(field, source, sizeof(bool)); break;
    case SETTING_IS_TEXT:
    case SETTING_IS_SECRET:
        memcpy(&text, source, sizeof(text));
        text = arena_cstr(&to->arena, str_of(text)); /* from may go before to */
        memcpy(field, &text, sizeof(text));
        break;
    default: memcpy(field, source, sizeof(uint64_t)); break;
    }
}

static void add_name(struct buf *names, const char *name)
{
    buf_printf(names, "%s%s", buf_len(names) ? "," : "", name);
}

void settings_follow(struct settings *s, const struct settings *old, struct buf *changed,
                     struct buf *kept)
{
    for (int i = 0; i < SETTING_COUNT; i++) {
        const struct setting_row *row = &setting_rows[i];

        if (setting_is_same(row, s, old))
            continue;
        add_name(row->is_reload ? changed : kept, row->name);
        if (!row->is_reload)
            setting_copy(row, s, old);
    }
}
