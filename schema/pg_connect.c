/*
 * What ends a connection whose peer is gone without a word:
 *
 *   while connecting           connect_us, by whoever waits; the kernel gives up on one host of several
 *                              after silence_us, and libpq goes on to the next
 *   bytes are under way        the kernel, when nothing is acknowledged for silence_us
 *   idle                       the kernel: keepalives begin after half of silence_us and are three, so
 *                              that such a connection is dead after about silence_us too
 *   the peer acknowledges, but nothing answers (a stopped process): the deadline of each answer, which
 *                              is the caller's
 *
 * What stands before dbname in the list the operator's connection string may override.
 */
#include "schema/pg_connect.h"

#include <stdio.h>

#include "base/str.h"

enum { TERMS_NUMBERS = 5 };

struct pg_terms pg_terms_of(const char *uri, const struct settings *s)
{
    return (struct pg_terms){.uri = uri,
                             .connect_us = s->pg_connect_timeout,
                             .silence_us = s->pg_user_timeout,
                             .answer_us = s->flush_timeout};
}

static uint64_t at_least_one(uint64_t n)
{
    return n ? n : 1;
}

/* The numbers that libpq wants as text. */
static void terms_print(const struct pg_terms *t, char out[TERMS_NUMBERS][24])
{
    const uint64_t second = 1000000;
    const uint64_t numbers[TERMS_NUMBERS] = {t->silence_us / 1000,
                                             at_least_one(t->silence_us / 2 / second),
                                             at_least_one(t->silence_us / 6 / second), 3,
                                             /* libpq takes 1 for 2 */
                                             at_least_one((t->connect_us + second - 1) / second)};

    for (size_t i = 0; i < TERMS_NUMBERS; i++)
        snprintf(out[i], sizeof(out[i]), "%llu", (unsigned long long)numbers[i]);
}

PGconn *pg_connect_begin(const struct pg_terms *t, const char *name, const struct pg_names *names)
{
    static const char *const keys[] = {"tcp_user_timeout",
                                       "keepalives_idle",
                                       "keepalives_interval",
                                       "keepalives_count",
                                       "dbname",
                                       "client_encoding",
                                       "application_name",
                                       "host",
                                       "hostaddr",
                                       "port",
                                       NULL};
    char numbers[TERMS_NUMBERS][24];
    /* A value that is NULL counts as not given. */
    const char *values[] = {numbers[0], numbers[1], numbers[2], numbers[3], t->uri, "UTF8",
                            name,       NULL,       NULL,       NULL,       NULL};

    terms_print(t, numbers);
    if (names) {
        values[7] = pg_names_host(names);
        values[8] = pg_names_hostaddr(names);
        values[9] = pg_names_port(names);
    }
    return PQconnectStartParams(keys, values, 1);
}

PGconn *pg_connect_wait(const struct pg_terms *t, const char *name)
{
    static const char *const keys[] = {
        "tcp_user_timeout", "keepalives_idle",  "keepalives_interval",
        "keepalives_count", "connect_timeout",  "dbname",
        "client_encoding",  "application_name", NULL};
    char numbers[TERMS_NUMBERS][24];
    const char *values[] = {numbers[0], numbers[1], numbers[2], numbers[3], numbers[4],
                            t->uri,     "UTF8",     name,       NULL};

    terms_print(t, numbers);
    return PQconnectdbParams(keys, values, 1);
}
