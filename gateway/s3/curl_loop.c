/*
 * curl_loop: libcurl says which sockets to watch and when to come again; the loop's events tell libcurl what
 * happened; after each of them it is asked which transfers are over.
 */
#include "gateway/s3/curl_loop.h"

#include <curl/curl.h>
#include <stdlib.h>

#include "base/check.h"
#include "gateway/worker.h"
#include "gateway/worker_net.h"

enum { CONNECTIONS = 256 /* of a worker */, IDLE_CONNECTIONS = 16 };

/* One socket of libcurl's. */
struct curl_socket {
    struct event event;
    struct curl_loop *loop;
};

/* After every event: which transfers are over? */
static void curl_loop_look(struct curl_loop *l)
{
    CURLMsg *m;
    int left;

    while ((m = curl_multi_info_read(l->multi, &left))) {
        CURL *easy = m->easy_handle;
        CURLcode code = m->data.result;
        struct curl_job *job = NULL;

        if (m->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&job);
        curl_multi_remove_handle(l->multi, easy);
        job->done(job->owner, code == CURLE_OK ? NULL : curl_easy_strerror(code));
    }
}

static void curl_loop_on_socket(evutil_socket_t fd, short what, void *arg)
{
    struct curl_socket *s = arg;
    struct curl_loop *l = s->loop; /* s may be gone afterwards */
    int running,
        mask = (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0);

    worker_touch(l->worker);
    curl_multi_socket_action(l->multi, fd, mask, &running);
    curl_loop_look(l);
}

static void curl_loop_on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct curl_loop *l = arg;
    int running;

    (void)fd, (void)what;
    worker_touch(l->worker);
    curl_multi_socket_action(l->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    curl_loop_look(l);
}

static int curl_loop_watch(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket)
{
    struct curl_loop *l = arg;
    struct curl_socket *s = socket;
    short events = (short)((what & CURL_POLL_IN ? EV_READ : 0) |
                           (what & CURL_POLL_OUT ? EV_WRITE : 0) | EV_PERSIST);

    (void)easy;
    if (s)
        event_del(&s->event);
    if (what == CURL_POLL_REMOVE) {
        free(s);
        curl_multi_assign(l->multi, fd, NULL);
        return 0;
    }
    if (s == NULL) {
        check((s = malloc(sizeof(*s))) != NULL);
        s->loop = l;
        curl_multi_assign(l->multi, fd, s);
    }
    event_assign(&s->event, l->worker->base, fd, events, curl_loop_on_socket, s);
    event_add(&s->event, NULL);
    return 0;
}

static int curl_loop_come_again(CURLM *multi, long ms, void *arg)
{
    struct curl_loop *l = arg;
    struct timeval tv = {ms / 1000, ms % 1000 * 1000};

    (void)multi;
    if (ms < 0)
        event_del(&l->timer);
    else
        event_add(&l->timer, &tv);
    return 0;
}

void curl_loop_open(struct curl_loop *l, struct worker *w)
{
    l->worker = w;
    check((l->multi = curl_multi_init()) != NULL);
    event_assign(&l->timer, w->base, -1, 0, curl_loop_on_timer, l);
    curl_multi_setopt(l->multi, CURLMOPT_SOCKETFUNCTION, curl_loop_watch);
    curl_multi_setopt(l->multi, CURLMOPT_SOCKETDATA, l);
    curl_multi_setopt(l->multi, CURLMOPT_TIMERFUNCTION, curl_loop_come_again);
    curl_multi_setopt(l->multi, CURLMOPT_TIMERDATA, l);
    curl_multi_setopt(l->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)CONNECTIONS);
    curl_multi_setopt(l->multi, CURLMOPT_MAXCONNECTS, (long)IDLE_CONNECTIONS);
}

void curl_loop_close(struct curl_loop *l)
{
    curl_multi_cleanup(l->multi);
    event_del(&l->timer);
}

void curl_loop_add(struct curl_loop *l, void *easy, struct curl_job *job)
{
    curl_easy_setopt(easy, CURLOPT_PRIVATE, job);
    check(curl_multi_add_handle(l->multi, easy) == CURLM_OK);
}

void curl_loop_drop(struct curl_loop *l, void *easy)
{
    curl_multi_remove_handle(l->multi, easy);
}
