/*
 * tracer: a ring under a mutex, and a thread that empties it once a second or when it is a quarter full.
 *
 * The mutex is taken for a traced request only, and held for one copy. The thread alone waits for the
 * collector: ANSWER_MS for each request, and what a failed one held is dropped, because a collector that
 * was away has better things to do than to hear of old requests. After a failure nothing is tried for a
 * moment, which grows to PAUSE_MOST_US; meanwhile the ring fills and then drops the newest. Both are counted
 * (spans_dropped), and said in the log once for each time that it begins.
 *
 * OTEL_EXPORTER_OTLP_HEADERS (key=value, comma separated) and OTEL_SERVICE_NAME are read from the
 * environment, as every OpenTelemetry SDK does; the headers may hold a token and are never shown.
 */
#define _GNU_SOURCE /* pthread_setname_np */
#include "gateway/trace/tracer.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "gateway/trace/otlp.h"
#include "gateway/trace/trace.h"
#include "gateway/trace/traceparent.h"
#include "gateway/trace/tracks.h"
#include "gateway/version.h"

enum {
    BATCH = 256, /* spans of requests in one POST: some 200 KiB */
    EAGER = TRACER_QUEUE / 4,
    CONNECT_MS = 2000,
    ANSWER_MS = 5000,
    LAST_MS = 2000
};
#define BEAT_US       ((uint64_t)1000 * 1000)
#define PAUSE_MOST_US ((uint64_t)30 * 1000 * 1000)

struct tracer {
    struct otlp_resource who;
    char host[256];
    char *url;
    struct curl_slist *headers;
    CURL *curl;
    struct stats *stats;
    pthread_t thread;
    uint64_t pause_us; /* after the last failure; 0 = it went well */
    uint64_t retry_us;
    struct tracks tracks;
    _Atomic uint64_t sample; /* of flushes that nobody's request is in; 0 = none */
    _Atomic uint64_t turn;   /* those so far */

    pthread_mutex_t lock; /* for what follows */
    pthread_cond_t wake;
    struct span *ring;
    unsigned first, count;
    bool is_stopping;
};

bool tracer_put(struct tracer *t, const struct span *s)
{
    bool has_room;

    pthread_mutex_lock(&t->lock);
    has_room = t->count < TRACER_QUEUE;
    if (has_room) {
        t->ring[(t->first + t->count++) % TRACER_QUEUE] = *s;
        if (t->count == EAGER)
            pthread_cond_signal(&t->wake);
    }
    pthread_mutex_unlock(&t->lock);
    return has_room;
}

void tracer_note(struct tracer *t, uint64_t end, const struct span *s)
{
    tracks_note(&t->tracks, end, &(struct trail_link){{s->trace[0], s->trace[1]}, s->id});
}

/* A flush begins: whose trace is it in? */
static bool tracer_flush_begins(void *arg, const struct take *take, struct trail *out)
{
    struct tracer *t = arg;
    struct trail_link found[1 + TRAIL_LINKS];
    struct traceparent own;
    uint64_t sample = atomic_load_explicit(&t->sample, memory_order_relaxed);
    unsigned n = tracks_find(&t->tracks, take, found, array_len(found));

    if (n == 0 && (sample == 0 || atomic_fetch_add(&t->turn, 1) % sample != sample - 1))
        return false;
    own = traceparent_new();
    if (n > 0) {
        memcpy(own.trace, found[0].trace, sizeof(own.trace));
        out->parent = found[0].span;
        out->link_count = n < array_len(found) ? n - 1 : TRAIL_LINKS;
        memcpy(out->links, found + 1, out->link_count * sizeof(out->links[0]));
    }
    own.flags = TRACE_SAMPLED;
    out->followed = n;
    out->self = (struct trail_link){{own.trace[0], own.trace[1]}, own.span};
    memcpy(out->application, TRACE_APPLICATION, strlen(TRACE_APPLICATION));
    traceparent_write(&own, out->application + strlen(TRACE_APPLICATION));
    return true;
}

static bool tracer_flush_ends(void *arg, const struct trail *t)
{
    struct span s = {.trace = {t->self.trace[0], t->self.trace[1]},
                     .id = t->self.span,
                     .parent = t->parent,
                     .begin_us = t->begin_us,
                     .end_us = t->end_us,
                     .wall_us = clock_wall_ms() * 1000,
                     .is_flush = true,
                     .trail = *t};

    return tracer_put(arg, &s);
}

struct follower tracer_follower(struct tracer *t)
{
    return (struct follower){t, tracer_flush_begins, tracer_flush_ends};
}

void tracer_sample(struct tracer *t, uint64_t sample)
{
    atomic_store(&t->sample, sample);
}

/* The next spans, out of the ring. */
static unsigned tracer_take(struct tracer *t, struct span out[BATCH])
{
    unsigned n;

    pthread_mutex_lock(&t->lock);
    for (n = 0; n < BATCH && t->count > 0; n++) {
        out[n] = t->ring[t->first];
        t->first = (t->first + 1) % TRACER_QUEUE;
        t->count--;
    }
    pthread_mutex_unlock(&t->lock);
    return n;
}

/* Waits for the next beat, or for many spans; false: it is to stop. */
static bool tracer_await(struct tracer *t)
{
    struct timespec until;
    bool goes_on;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += BEAT_US / 1000000;
    pthread_mutex_lock(&t->lock);
    while (!t->is_stopping && t->count < EAGER &&
           pthread_cond_timedwait(&t->wake, &t->lock, &until) == 0)
        continue;
    goes_on = !t->is_stopping;
    pthread_mutex_unlock(&t->lock);
    return goes_on;
}

static size_t tracer_ignore(char *p, size_t size, size_t n, void *arg)
{
    (void)p, (void)arg;
    return size * n;
}

/* Is the collector's answer good? */
static bool tracer_post(struct tracer *t, struct str body, long most_ms)
{
    long status = 0;
    CURLcode code;

    curl_easy_setopt(t->curl, CURLOPT_POSTFIELDS, body.p);
    curl_easy_setopt(t->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.n);
    curl_easy_setopt(t->curl, CURLOPT_TIMEOUT_MS, most_ms);
    code = curl_easy_perform(t->curl);
    curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
    if (code == CURLE_OK && status / 100 == 2) {
        if (t->pause_us)
            log_info("", "the collector takes spans again", "%s", "");
        t->pause_us = 0;
        return true;
    }
    if (t->pause_us == 0)
        log_warn("", "the collector does not take spans: they are dropped", "curl=%d status=%ld",
                 (int)code, status);
    t->pause_us = t->pause_us ? 2 * t->pause_us : BEAT_US;
    if (t->pause_us > PAUSE_MOST_US)
        t->pause_us = PAUSE_MOST_US;
    t->retry_us = clock_us() + t->pause_us;
    return false;
}

/* One batch; false when there was none, or it was in vain. */
static bool tracer_send(struct tracer *t, struct span *batch, long most_ms)
{
    unsigned n = tracer_take(t, batch), spans = otlp_count(batch, n);
    struct buf body;
    bool is_taken;

    if (n == 0)
        return false;
    buf_init(&body);
    otlp_write(&t->who, batch, n, &body);
    is_taken = tracer_post(t, buf_str(&body), most_ms);
    buf_fini(&body);
    if (is_taken)
        stat_add(t->stats, spans_sent, spans);
    else
        stat_add(t->stats, spans_dropped, spans);
    return is_taken;
}

static void *tracer_main(void *arg)
{
    struct tracer *t = arg;
    struct span *batch = calloc(BATCH, sizeof(*batch));
    uint64_t until_us;

    check(batch != NULL);
    while (tracer_await(t)) {
        if (t->pause_us && clock_us() < t->retry_us) {
            struct timespec moment = {.tv_nsec = 100000000};

            nanosleep(&moment, NULL); /* the ring may be full all the while */
            continue;
        }
        while (tracer_send(t, batch, ANSWER_MS))
            continue;
    }
    until_us = clock_us() + (uint64_t)LAST_MS * 1000;
    while (clock_us() < until_us &&
           tracer_send(t, batch, (long)((until_us - clock_us()) / 1000) + 1))
        continue;
    free(batch);
    return NULL;
}

/* "a=b,c=d" as header lines. */
static void tracer_add_headers(struct tracer *t, const char *list)
{
    struct str rest = str_of(list);

    while (rest.n) {
        struct str value = str_trim(str_cut(&rest, ',')), key = str_trim(str_cut(&value, '='));
        struct buf line;

        if (key.n == 0)
            continue;
        buf_init(&line);
        buf_printf(&line, "%.*s: %.*s", STR_ARG(key), STR_ARG(str_trim(value)));
        buf_add_byte(&line, '\0');
        t->headers = curl_slist_append(t->headers, buf_str(&line).p);
        buf_fini(&line);
    }
}

static char *tracer_url(const char *endpoint)
{
    struct str base = str_of(endpoint);
    const char *path = "/v1/traces";
    char *url = malloc(base.n + strlen(path) + 1);

    check(url != NULL);
    while (base.n && base.p[base.n - 1] == '/')
        base.n--;
    memcpy(url, base.p, base.n);
    url[base.n] = '\0';
    if (!str_ends(base, str_of(path)))
        strcpy(url + base.n, path);
    return url;
}

static void tracer_open_curl(struct tracer *t)
{
    const char *headers = getenv("OTEL_EXPORTER_OTLP_HEADERS");

    check(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
    t->curl = curl_easy_init();
    check(t->curl != NULL);
    t->headers = curl_slist_append(NULL, "Content-Type: application/json");
    t->headers = curl_slist_append(t->headers, "Expect:");
    if (headers)
        tracer_add_headers(t, headers);
    curl_easy_setopt(t->curl, CURLOPT_URL, t->url);
    curl_easy_setopt(t->curl, CURLOPT_HTTPHEADER, t->headers);
    curl_easy_setopt(t->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(t->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(t->curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
    curl_easy_setopt(t->curl, CURLOPT_WRITEFUNCTION, tracer_ignore);
    curl_easy_setopt(t->curl, CURLOPT_USERAGENT, "sluice/" SLUICE_VERSION);
}

struct tracer *tracer_start(const char *endpoint, const char *instance, struct stats *stats)
{
    struct tracer *t = calloc(1, sizeof(*t));
    const char *service = getenv("OTEL_SERVICE_NAME");
    pthread_condattr_t monotonic;

    check(t != NULL);
    t->ring = calloc(TRACER_QUEUE, sizeof(t->ring[0]));
    check(t->ring != NULL && pthread_mutex_init(&t->lock, NULL) == 0);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    check(pthread_cond_init(&t->wake, &monotonic) == 0);
    pthread_condattr_destroy(&monotonic);
    if (gethostname(t->host, sizeof(t->host) - 1) != 0)
        t->host[0] = '\0';
    t->who = (struct otlp_resource){service && *service ? service : "sluice", instance, t->host};
    t->stats = stats;
    tracks_init(&t->tracks);
    t->url = tracer_url(endpoint);
    tracer_open_curl(t);
    check(pthread_create(&t->thread, NULL, tracer_main, t) == 0);
    pthread_setname_np(t->thread, "tracer");
    return t;
}

void tracer_stop(struct tracer *t)
{
    if (!t)
        return;
    pthread_mutex_lock(&t->lock);
    t->is_stopping = true;
    pthread_cond_signal(&t->wake);
    pthread_mutex_unlock(&t->lock);
    pthread_join(t->thread, NULL);
    curl_easy_cleanup(t->curl);
    curl_slist_free_all(t->headers);
    curl_global_cleanup();
    pthread_cond_destroy(&t->wake);
    pthread_mutex_destroy(&t->lock);
    tracks_fini(&t->tracks);
    free(t->ring);
    free(t->url);
    free(t);
}
