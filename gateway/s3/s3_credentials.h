/*
 * s3_credentials: a worker's credentials for S3, fetched where they expire, and fetched anew before they do.
 *
 * s3_credentials_open; s3_credentials_ask before every use; s3_credentials_close. While they are good for long it costs a look at
 * the clock. Towards their end the first who asks begins a fetch and goes on with what is there; when there
 * is nothing, `came` follows once the fetch has ended, well or not. The worker's thread.
 */
#ifndef GATEWAY_S3_CREDENTIALS_H
#define GATEWAY_S3_CREDENTIALS_H

#include "gateway/s3/curl_loop.h"
#include "gateway/s3/s3_conf.h"

struct s3_credentials; /* opaque */

enum s3_credentials_answer { S3_CREDENTIALS_GOOD, S3_CREDENTIALS_COMING, S3_CREDENTIALS_NONE };

/* loop NULL: for a command, which waits; a fetch then ends before s3_credentials_ask does, and none is COMING.
 * conf: the worker's own copy, whose access_key, secret_key and session_token are kept up to date. */
struct s3_credentials *s3_credentials_open(struct curl_loop *loop, struct s3_conf *conf,
                                           void (*came)(void *owner), void *owner);
void s3_credentials_close(struct s3_credentials *k);
enum s3_credentials_answer s3_credentials_ask(struct s3_credentials *k);
/* Why there are none; lives until the next fetch. */
const char *s3_credentials_why(const struct s3_credentials *k);

#endif
