/*
 * policy: lists, header lines and networks, made once so that a request costs none of it.
 *
 * MLflow 3.17's rules, from mlflow/server/security_utils.py: a list is cut at commas and its entries are
 * trimmed; an entry with a '*' is a glob (base/glob.h), any other the very text; "*" alone lets
 * everybody in. An empty list of hosts stands for MLflow's own, which covers private addresses and
 * the names of this machine.
 *
 * The lines that stand on every answer depend on x_frame_options alone. They are written into one
 * array in the order in which the usual answer has them, so that its head is one copy:
 *
 *   HTTP/1.1 200 OK / server / nosniff / [x-frame-options] / vary / content-type: application/json
 */
#include "gateway/auth/policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/glob.h"

#define DEFAULT_HOSTS                                                                              \
    "localhost,127.0.0.1,[::1],0.0.0.0,localhost:*,127.0.0.1:*,[[]::1]:*,0.0.0.0:*,192.168.*,10.*" \
    ","                                                                                            \
    "172.16.*,172.17.*,172.18.*,172.19.*,172.20.*,172.21.*,172.22.*,172.23.*,172.24.*,172.25.*,"   \
    "172.26.*,172.27.*,172.28.*,172.29.*,172.30.*,172.31.*,fc00:*,fd00:*"
#define LINE_SERVER "server: sluice\r\n"
#define LINE_SNIFF  "x-content-type-options: nosniff\r\n"
#define LINE_VARY   "vary: Origin\r\n"

/* -- lists ----------------------------------------------------------------------------------- */

bool policy_list_has(struct str list, struct str value)
{
    while (list.n) {
        struct str entry = str_trim(str_cut(&list, ','));

        if (str_find(entry, '*') == entry.n ? str_eq(entry, value) : glob_matches(entry, value))
            return true;
    }
    return false;
}

bool policy_list_names(struct str list, struct str value)
{
    while (list.n) {
        if (str_eq(str_trim(str_cut(&list, ',')), value))
            return true;
    }
    return false;
}

/* -- lines ----------------------------------------------------------------------------------- */

/* The value of X-Frame-Options in capitals, as MLflow sends it; empty = none is sent. */
static void policy_frame_line(const struct settings *s, char line[LIMIT_FRAME_OPTIONS + 32])
{
    line[0] = '\0';
    if (s->x_frame_options[0] == '\0' || str_ieq(str_of(s->x_frame_options), STR("NONE")))
        return;
    strcpy(line, "x-frame-options: ");
    for (const char *from = s->x_frame_options; *from; from++) {
        size_t n = strlen(line);

        line[n] = *from >= 'a' && *from <= 'z' ? (char)(*from - 'a' + 'A') : *from;
        line[n + 1] = '\0';
    }
    strcat(line, "\r\n");
}

static size_t policy_write(struct policy *p, size_t at, const char *text)
{
    size_t n = strlen(text);

    check(at + n < sizeof(p->text));
    memcpy(p->text + at, text, n);
    return at + n;
}

static void policy_write_lines(struct policy *p, const struct settings *s)
{
    char frame[LIMIT_FRAME_OPTIONS + 32];
    size_t at = policy_write(p, 0, "HTTP/1.1 200 OK\r\n");

    policy_frame_line(s, frame);
    for (enum policy_lines which = LINES_ALL; which <= LINES_BARE; which++) {
        p->lines_begin[which] = at;
        at = policy_write(p, at, LINE_SERVER);
        if (which <= LINES_FRAMEABLE && !p->is_off)
            at = policy_write(p, at, LINE_SNIFF);
        if (which == LINES_ALL && !p->is_off)
            at = policy_write(p, at, frame);
        if (which != LINES_BARE && !p->is_off)
            at = policy_write(p, at, LINE_VARY);
        p->lines_end[which] = at;
        if (which == LINES_ALL)
            p->ok_end = at = policy_write(p, at, "content-type: application/json\r\n");
    }
}

struct str policy_ok_json(const struct policy *p)
{
    return (struct str){p->text, p->ok_end};
}

struct str policy_lines(const struct policy *p, enum policy_lines which)
{
    return (struct str){p->text + p->lines_begin[which],
                        p->lines_end[which] - p->lines_begin[which]};
}

/* -- proxies --------------------------------------------------------------------------------- */

static void policy_read_proxies(struct policy *p, struct str list)
{
    size_t most = 1;

    if (str_eq(list, STR("*"))) {
        p->trusts_all = true;
        return;
    }
    for (size_t i = 0; i < list.n; i++)
        most += list.p[i] == ',';
    p->proxies = calloc(most, sizeof(*p->proxies));
    check(p->proxies != NULL);
    while (list.n) /* settings_check has seen that each is a network */
        check(net_parse(str_trim(str_cut(&list, ',')), &p->proxies[p->proxies_count++]));
}

bool policy_trusts(const struct policy *p, const uint8_t address[NET_BYTES])
{
    for (size_t i = 0; i < p->proxies_count; i++) {
        if (net_has(&p->proxies[i], address))
            return true;
    }
    return p->trusts_all;
}

/* -- life ------------------------------------------------------------------------------------ */

struct policy *policy_new(const struct settings *s)
{
    struct policy *p = calloc(1, sizeof(*p));

    check(p != NULL);
    p->is_off = s->disable_security_middleware;
    p->hosts = s->allowed_hosts[0] ? str_of(s->allowed_hosts) : STR(DEFAULT_HOSTS);
    p->origins = str_of(s->cors_allowed_origins);
    p->prefix = str_of(s->static_prefix);
    p->is_any_host = policy_list_names(p->hosts, STR("*"));
    p->is_any_origin = policy_list_names(p->origins, STR("*"));
    policy_write_lines(p, s);
    policy_read_proxies(p, str_of(s->trusted_proxies));
    return p;
}

void policy_free(struct policy *p)
{
    if (p)
        free(p->proxies);
    free(p);
}
