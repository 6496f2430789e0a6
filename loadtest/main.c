/*
 * main: argv to a plan, a storm, a verdict, a report and an exit code.
 *
 *   0  done, and no condition of fail_if holds
 *   1  it could not be done: no server, no database, a file that cannot be written
 *   2  the command line or the scenario is wrong
 *   3  a condition of fail_if holds, or verify found something wrong
 *
 * Ctrl-C or SIGTERM ends the load early and reports what there is; a second one ends the program.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/slice.h"
#include "loadtest/page.h"
#include "loadtest/report.h"
#include "loadtest/setup.h"
#include "loadtest/spectrum.h"

static void main_on_signal(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    signal((int)fd, SIG_DFL);
    storm_stop(arg);
}

/* A descriptor for each connection, and some. */
static void raise_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int write_file(const char *path, struct str text)
{
    bool is_stdout = strcmp(path, "-") == 0;
    FILE *file = is_stdout ? stdout : fopen(path, "we");
    bool is_written = file && fwrite(text.p, 1, text.n, file) == text.n;

    if (file && (is_stdout ? fflush(file) : fclose(file)) != 0)
        is_written = false;
    if (!is_written)
        fprintf(stderr, "sluice-loadtest: cannot write %s: %s\n", path, strerror(errno));
    return is_written ? 0 : 1;
}

static int write_reports(const struct storm *s, const struct result *r, const struct verdict *v)
{
    struct buf out;
    int code = 0;

    buf_init(&out);
    report_text(s, r, v, &out);
    if (strcmp(s->plan->json, "-") != 0)
        code |= write_file("-", buf_str(&out));
    if (*s->plan->json) {
        buf_reset(&out);
        report_json(s, r, v, &out);
        code |= write_file(s->plan->json, buf_str(&out));
    }
    if (*s->plan->hdr) {
        buf_reset(&out);
        spectrum_write(&s->tally.latency, &out);
        code |= write_file(s->plan->hdr, buf_str(&out));
    }
    if (*s->plan->html) {
        buf_reset(&out);
        page_write(s, r, v, &out);
        code |= write_file(s->plan->html, buf_str(&out));
    }
    buf_fini(&out);
    return code;
}

static int finish(struct storm *s, struct fail *f)
{
    struct verdict verdict;
    const struct verdict *v = NULL;
    struct result r;
    struct buf said;
    int code;

    if (s->plan->progress)
        fputc('\n', stderr);
    if (s->plan->verify) {
        if (verify_all(s, &verdict, f))
            return 1;
        v = &verdict;
    }
    result_make(&r, s, v);
    code = write_reports(s, &r, v);
    buf_init(&said);
    if (result_judge(&r, s->plan->fail_if, &said) && code == 0)
        code = 3;
    fwrite(buf_str(&said).p, 1, buf_len(&said), stderr);
    buf_fini(&said);
    return code == 0 && v && !verdict_is_clean(v) ? 3 : code;
}

static int storm_of(const struct plan *p, struct fail *f)
{
    static struct storm storm; /* its histograms are too many for a stack */
    struct event *signals[2];
    int code = 1;

    if (storm_init(&storm, p, f))
        return 1;
    storm.on_sample = report_progress;
    if (setup_experiment(&storm.shape, storm.loop, f) == OK &&
        setup_runs(&storm.shape, storm.loop, &storm.ledger, f) == OK) {
        signals[0] = evsignal_new(storm.loop, SIGINT, main_on_signal, &storm);
        signals[1] = evsignal_new(storm.loop, SIGTERM, main_on_signal, &storm);
        for (int i = 0; i < 2; i++)
            event_add(signals[i], NULL);
        /* Who measures how late others are is not to be late itself: base/slice.c. */
        (void)slice_set_us(SLICE_SHORT_US);
        storm_run(&storm);
        for (int i = 0; i < 2; i++)
            event_free(signals[i]);
        code = finish(&storm, f);
    }
    storm_fini(&storm);
    return code;
}

int main(int argc, char **argv)
{
    struct plan *p = plan_new();
    struct fail f;
    int code = 2;

    fail_init(&f, NULL);
    raise_descriptors();
    signal(SIGPIPE, SIG_IGN); /* TLS writes without MSG_NOSIGNAL */
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0)) {
        struct buf out;

        buf_init(&out);
        plan_help(&out);
        result_help(&out);
        code = write_file("-", buf_str(&out));
        buf_fini(&out);
    } else if (plan_load(p, argc, argv, &f) == OK &&
               result_check_conditions(p->fail_if, &f) == OK) {
        code = storm_of(p, &f);
    }
    if (f.err)
        fprintf(stderr, "sluice-loadtest: %.*s\n", STR_ARG(f.text));
    plan_free(p);
    return code;
}
