/*
 * tag_swap: read, change, and write if nobody else has written meanwhile; otherwise all of it again.
 *
 * MLflow keeps lists in tags, which grow by an entry at a time. There two clients that do so at once
 * may lose one of their entries. A lock would have to be held from one statement to the next, and a
 * session with it; so the write compares instead. Of those who meet one gets through each time, so
 * only a crowd larger than ATTEMPTS_MAX can make somebody give up.
 */
#include "gateway/api/tag_swap.h"

#include "schema/errors.h"

enum { ATTEMPTS_MAX = 20 };

static err_t swap_written(struct req *r, struct fail *f)
{
    const struct tag_swap *s = r->data;

    if (PQntuples(r->sql.results[0]) > 0)
        return s->written(r, f);
    if (s->attempts < ATTEMPTS_MAX)
        return tag_swap(r);
    return fail(f, ERR_UNAVAILABLE, "The tag %s is changed by others all the time.", s->key);
}

static err_t swap_write(struct req *r, struct fail *f)
{
    struct tag_swap *s = r->data;
    const PGresult *res = r->sql.results[0];
    bool has_tag = PQntuples(res) > 0 && !sql_is_null(res, 0, s->column);
    err_t e;

    s->values[2] = has_tag ? arena_dup(&r->arena, sql_get(res, 0, s->column)) : sql_null();
    if ((e = s->change(r, s->values[2], &s->values[1], f)))
        return e;
    return req_sql(r, &(struct sql_step){s->write, s->values, 3}, 1, swap_written);
}

err_t tag_swap(struct req *r)
{
    struct tag_swap *s = r->data;

    s->attempts++;
    return req_sql(r, &(struct sql_step){s->read, s->values, 1}, 1, swap_write);
}
