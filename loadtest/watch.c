/*
 * watch: /proc and /metrics.
 *
 * A look at /proc is two reads and a directory listing; at /metrics one request on a connection of
 * its own, which is skipped while the last one is still unanswered. A server that has gone leaves
 * the old figures standing.
 */
#include "loadtest/watch.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The number behind name in a file of lines such as "VmRSS:   123 kB"; -1 when there is none. */
static double proc_field(uint64_t pid, const char *name)
{
    char path[64];
    char line[256];
    double value = -1;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%llu/status", (unsigned long long)pid);
    file = fopen(path, "re");
    if (file == NULL)
        return -1;
    while (value < 0 && fgets(line, sizeof(line), file)) {
        if (strncmp(line, name, strlen(name)) == 0)
            value = strtod(line + strlen(name), NULL);
    }
    fclose(file);
    return value;
}

static double proc_fds(uint64_t pid)
{
    char path[64];
    double count = -2; /* "." and ".." are none */
    DIR *folder;

    snprintf(path, sizeof(path), "/proc/%llu/fd", (unsigned long long)pid);
    folder = opendir(path);
    if (folder == NULL)
        return -1;
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

/* The value of a metric without labels; -1 when it is not there. */
static double metric_of(struct str text, struct str name)
{
    while (text.n) {
        struct str line = str_cut(&text, '\n');
        char value[64];

        if (str_starts(line, name) && line.n > name.n && line.p[name.n] == ' ') {
            str_to_cstr(str_skip(line, name.n + 1), value, sizeof(value));
            return strtod(value, NULL);
        }
    }
    return -1;
}

static void watch_on_metrics(struct wire *wire, const struct answer *a)
{
    struct watch *w = (struct watch *)((char *)wire - offsetof(struct watch, wire));

    if (a->status != 200)
        return;
    w->row->backlog = metric_of(a->body, STR("sluice_backlog_points"));
    w->row->connections = metric_of(a->body, STR("sluice_open_connections"));
}

err_t watch_init(struct watch *w, const struct plan *p, struct event_base *loop, struct sample *row,
                 struct arena *a, struct fail *f)
{
    err_t e;

    *w = (struct watch){.pid = p->pid, .row = row, .has_admin = *p->admin_url != '\0'};
    buf_init(&w->request);
    if (!w->has_admin)
        return OK;
    if ((e = target_open(&w->target, str_of(p->admin_url), a, f)))
        return e;
    wire_init(&w->wire, loop, &w->target, 5000000, watch_on_metrics);
    w->wire.keep_body = true;
    target_head(&w->target, &w->request, STR("GET"), STR("/metrics"), STR(""), 0);
    return OK;
}

void watch_fini(struct watch *w)
{
    if (w->has_admin)
        wire_fini(&w->wire);
    buf_fini(&w->request);
}

void watch_look(struct watch *w)
{
    if (w->pid) {
        double rss = proc_field(w->pid, "VmRSS:");
        double fds = proc_fds(w->pid);

        if (rss >= 0)
            w->row->rss_bytes = rss * 1024;
        if (fds >= 0)
            w->row->fds = fds;
    }
    if (w->has_admin && !wire_is_busy(&w->wire))
        wire_send(&w->wire, buf_str(&w->request));
}

double watch_backlog(struct watch *w)
{
    struct answer a;

    if (!w->has_admin)
        return -1;
    if (wire_is_busy(&w->wire))
        wire_close(&w->wire); /* the last look: nobody runs the loop for it any more */
    a = wire_ask(&w->wire, buf_str(&w->request));
    return a.status == 200 ? metric_of(a.body, STR("sluice_backlog_points")) : -1;
}

double watch_peak_bytes(const struct watch *w)
{
    double peak = w->pid ? proc_field(w->pid, "VmHWM:") : -1;

    return peak < 0 ? 0 : peak * 1024;
}

double slope_of(const double *x, const double *y, size_t n)
{
    double mx = 0;
    double my = 0;
    double xx = 0;
    double xy = 0;

    for (size_t i = 0; i < n; i++) {
        mx += x[i] / (double)n;
        my += y[i] / (double)n;
    }
    for (size_t i = 0; i < n; i++) {
        xx += (x[i] - mx) * (x[i] - mx);
        xy += (x[i] - mx) * (y[i] - my);
    }
    return xx > 0 ? xy / xx : 0;
}
