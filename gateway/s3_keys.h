/*
 * s3_keys: a worker's credentials for S3, fetched where they expire, and fetched anew before they do.
 *
 * s3_keys_open; s3_keys_ask before every use; s3_keys_close. While they are good for long it costs a look at
 * the clock. Towards their end the first who asks begins a fetch and goes on with what is there; when there
 * is nothing, `came` follows once the fetch has ended, well or not. The worker's thread.
 */
#ifndef GATEWAY_S3_KEYS_H
#define GATEWAY_S3_KEYS_H

#include "gateway/curl_loop.h"
#include "gateway/s3_conf.h"

struct s3_keys; /* opaque */

enum s3_keys_answer { S3_KEYS_GOOD, S3_KEYS_COMING, S3_KEYS_NONE };

/* conf: the worker's own copy, whose access_key, secret_key and session_token are kept up to date. */
struct s3_keys *s3_keys_open(struct curl_loop *loop, struct s3_conf *conf,
                             void (*came)(void *owner), void *owner);
void s3_keys_close(struct s3_keys *k);
enum s3_keys_answer s3_keys_ask(struct s3_keys *k);
/* Why there are none; lives until the next fetch. */
const char *s3_keys_why(const struct s3_keys *k);

#endif
