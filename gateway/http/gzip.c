/*
 * gzip: zlib at its fastest level, in one call: text of metrics shrinks to a tenth already there.
 */
#include "gateway/http/gzip.h"

#include <stdlib.h>
#include <zlib.h>

#include "base/check.h"

enum { WINDOW_GZIP = 15 + 16, MEMORY = 8 };

void gzip_add(struct str text, struct buf *out)
{
    z_stream z = {0};
    size_t room;

    check(deflateInit2(&z, Z_BEST_SPEED, Z_DEFLATED, WINDOW_GZIP, MEMORY, Z_DEFAULT_STRATEGY) ==
          Z_OK);
    room = deflateBound(&z, text.n);
    z.next_in = (Bytef *)(uintptr_t)text.p;
    z.avail_in = (uInt)text.n;
    z.next_out = (Bytef *)buf_room(out, room);
    z.avail_out = (uInt)room;
    check(text.n < UINT32_MAX / 2 && deflate(&z, Z_FINISH) == Z_STREAM_END);
    buf_added(out, z.total_out);
    deflateEnd(&z);
}

/* A coding's weight is zero: q=0, q=0.0 ... */
static bool is_refused(struct str parameters)
{
    while (parameters.n) {
        struct str value = str_trim(str_cut(&parameters, ';'));
        char text[8];

        if (!str_starts(value, STR("q=")) && !str_starts(value, STR("Q=")))
            continue;
        str_to_cstr(str_skip(value, 2), text, sizeof(text));
        return strtod(text, NULL) <= 0;
    }
    return false;
}

bool gzip_is_wanted(struct str accept_encoding)
{
    bool any = false;

    while (accept_encoding.n) {
        struct str parameters = str_cut(&accept_encoding, ',');
        struct str coding = str_trim(str_cut(&parameters, ';'));

        if (str_ieq(coding, STR("gzip")) || str_ieq(coding, STR("x-gzip")))
            return !is_refused(parameters);
        any = any || (str_eq(coding, STR("*")) && !is_refused(parameters));
    }
    return any;
}
