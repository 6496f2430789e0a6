/*
 * artifacts: settings and environment into a place, and the file threads.
 *
 * Each file thread is a helper of its own with its own queue; requests take them in turn, and what a
 * request asks for comes one after the other, whichever thread does it. So a disk that hangs holds those
 * who wait for it, and no worker.
 */
#include "gateway/artifact/artifacts.h"

#include <curl/curl.h>

#include "gateway/artifact/artifact_place.h"
#include "gateway/helper.h"

err_t artifacts_open(struct artifacts *x, struct arena *a, const struct settings *s, struct fail *f)
{
    err_t e = s3_conf_load(&x->s3, a, f);

    if (e)
        return e;
    check(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
    artifact_place_destination(a, s, &x->destination);
    while (x->thread_count < s->artifact_threads)
        x->threads[x->thread_count++] = helper_start();
    return OK;
}

void artifacts_close(struct artifacts *x)
{
    while (x->thread_count > 0)
        helper_stop(x->threads[--x->thread_count]);
}
