/*
 * conf: a number and a unit.
 *
 * Units are looked up without regard to letter case; nothing stands between number and unit. A
 * size may go without unit (bytes), a time must have one unless it is 0, because nobody agrees on
 * what a bare number of time means.
 */
#include "base/conf.h"

#include <stdio.h>

struct unit {
    struct str name;
    uint64_t factor;
};

static const struct unit size_units[] = {
    {STR_INIT("TiB"), UINT64_C(1) << 40},
    {STR_INIT("GiB"), UINT64_C(1) << 30},
    {STR_INIT("MiB"), UINT64_C(1) << 20},
    {STR_INIT("KiB"), UINT64_C(1) << 10},
    {STR_INIT("B"), 1},
};

static const struct unit time_units[] = {
    {STR_INIT("h"), UINT64_C(3600) * 1000000},
    {STR_INIT("m"), UINT64_C(60) * 1000000},
    {STR_INIT("s"), 1000000},
    {STR_INIT("ms"), 1000},
    {STR_INIT("us"), 1},
};

/* The number at the front of *text, which then begins behind it. */
static bool conf_number(struct str *text, uint64_t *value)
{
    size_t n = 0;

    while (n < text->n && text->p[n] >= '0' && text->p[n] <= '9')
        n++;
    if (!str_to_u64(str_head(*text, n), value))
        return false;
    *text = str_skip(*text, n);
    return true;
}

static bool conf_unit(struct str name, const struct unit *units, size_t count, uint64_t *factor)
{
    for (size_t i = 0; i < count; i++) {
        if (str_ieq(name, units[i].name)) {
            *factor = units[i].factor;
            return true;
        }
    }
    return false;
}

bool conf_size(struct str text, uint64_t *bytes)
{
    uint64_t factor = 1;
    uint64_t number;

    if (!conf_number(&text, &number))
        return false;
    if (text.n && !conf_unit(text, size_units, array_len(size_units), &factor))
        return false;
    return !__builtin_mul_overflow(number, factor, bytes);
}

bool conf_time(struct str text, uint64_t *us)
{
    uint64_t factor = 1;
    uint64_t number;

    if (!conf_number(&text, &number))
        return false;
    if (text.n == 0 && number != 0)
        return false;
    if (text.n && !conf_unit(text, time_units, array_len(time_units), &factor))
        return false;
    return !__builtin_mul_overflow(number, factor, us);
}

bool conf_count(struct str text, uint64_t *count)
{
    return conf_number(&text, count) && text.n == 0;
}

bool conf_bool(struct str text, bool *value)
{
    static const struct str yes[] = {STR_INIT("true"), STR_INIT("on"), STR_INIT("1"),
                                     STR_INIT("yes")};
    static const struct str no[] = {STR_INIT("false"), STR_INIT("off"), STR_INIT("0"),
                                    STR_INIT("no")};

    for (size_t i = 0; i < array_len(yes); i++) {
        if (str_ieq(text, yes[i]) || str_ieq(text, no[i])) {
            *value = str_ieq(text, yes[i]);
            return true;
        }
    }
    return false;
}

/* With the largest unit that divides it. */
static void conf_show(uint64_t value, const struct unit *units, size_t count, char *out)
{
    for (size_t i = 0; i < count; i++) {
        if (value % units[i].factor == 0) {
            snprintf(out, 32, "%llu%.*s", (unsigned long long)(value / units[i].factor),
                     STR_ARG(units[i].name));
            return;
        }
    }
}

void conf_show_size(uint64_t bytes, char out[32])
{
    if (bytes % 1024)
        snprintf(out, 32, "%llu", (unsigned long long)bytes);
    else if (bytes == 0)
        snprintf(out, 32, "0");
    else
        conf_show(bytes, size_units, array_len(size_units), out);
}

void conf_show_time(uint64_t us, char out[32])
{
    if (us == 0)
        snprintf(out, 32, "0s");
    else
        conf_show(us, time_units, array_len(time_units), out);
}

bool conf_is_name(struct str given, struct str name)
{
    if (given.n != name.n)
        return false;
    for (size_t i = 0; i < name.n; i++) {
        if (given.p[i] != name.p[i] && !(given.p[i] == '-' && name.p[i] == '_'))
            return false;
    }
    return true;
}
