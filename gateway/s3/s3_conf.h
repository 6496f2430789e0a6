/*
 * s3_conf: how to reach S3, from the environment and the files that MLflow and boto3 read.
 *
 * Read once, at the start, by the main thread; read-only afterwards, any thread. Texts live in the
 * arena that was given.
 */
#ifndef GATEWAY_S3_CONF_H
#define GATEWAY_S3_CONF_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/fail.h"
#include "base/str.h"
#include "gateway/s3/s3_source.h"

/* One line that goes with every upload. */
struct s3_header {
    struct str name, value;
};

struct s3_conf {
    struct s3_source source;           /* of credentials */
    struct str access_key, secret_key; /* empty = there are none, or none yet */
    struct str session_token;          /* empty = none */
    struct str region;
    struct str endpoint;  /* "http://host:port", without a slash at its end; empty = AWS */
    struct str ca_bundle; /* file; empty = the system's */
    struct str bucket_owner;
    bool is_path_style, verifies_tls, is_unsigned;
    struct s3_header *upload_headers;
    size_t upload_header_count;
};

/* ERR_SETTING when MLFLOW_S3_UPLOAD_EXTRA_ARGS is none, or the endpoint no URL. Missing credentials are
 * no error here: nothing may ever need them. */
must_check err_t s3_conf_load(struct s3_conf *c, struct arena *a, struct fail *f);
/* The value of a key in a section of an INI file, as configparser reads it; empty when not there. */
struct str s3_conf_ini(struct str text, struct str section, struct str key);

#endif
