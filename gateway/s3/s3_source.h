/*
 * s3_source: where credentials for S3 come from, found in boto3's order.
 *
 * Read once, at the start, by the main thread; read-only afterwards, any thread.
 */
#ifndef GATEWAY_S3_SOURCE_H
#define GATEWAY_S3_SOURCE_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/fail.h"
#include "base/str.h"

enum s3_source_kind {
    S3_SOURCE_GIVEN,        /* keys that do not expire; or nothing is to be signed */
    S3_SOURCE_WEB_IDENTITY, /* a token in a file, for which STS gives keys */
    S3_SOURCE_CONTAINER,    /* ECS, EKS pod identity: an address that gives keys */
    S3_SOURCE_INSTANCE,     /* EC2's metadata service, version 2 */
    S3_SOURCE_NOWHERE
};

struct s3_source {
    enum s3_source_kind kind;
    struct str access_key, secret_key, session_token; /* GIVEN; token empty = none */
    struct str url;                /* of STS, of the address; the service's, without path */
    struct str role, session_name; /* WEB_IDENTITY */
    struct str token_file;         /* of the identity; what goes with a request to url */
    struct str token;              /* CONTAINER, without a file; empty = none */
};

/* A section of ~/.aws/credentials or ~/.aws/config. */
struct s3_profile {
    struct str text, section;
};

/* files: credentials, config. ERR_SETTING: a variable that cannot be meant. */
must_check err_t s3_source_load(struct s3_source *s, struct arena *a,
                                const struct s3_profile files[2], struct str region,
                                struct fail *f);

#endif
