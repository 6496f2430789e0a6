/*
 * req_reply: what has been made of a request's answer so far.
 *
 * Written through http/reply.h and gateway/req_part.h; conn_answer.c sends it. The worker's thread.
 */
#ifndef GATEWAY_REQ_REPLY_H
#define GATEWAY_REQ_REPLY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"
#include "gateway/auth/policy.h"

struct reply {
    int status;
    const char *content_type; /* NULL = no body and no type */
    struct buf body;
    struct buf headers;           /* further header lines, each with CRLF */
    unsigned retry_s;             /* Retry-After of a failure; 0 = as its kind has it */
    bool must_close, is_streamed; /* in parts */
    bool is_begun, is_broken;     /* its head is on its way; it failed after that */
    bool has_length;              /* of an answer in parts: its content-length is known */
    uint64_t length, length_left; /* then that, and what is not yet in a part */
    int file;                     /* behind the part in body come bytes of this file: */
    uint64_t file_at, file_left;
    enum policy_lines lines; /* those that stand on every answer of its kind */
    struct str interim;      /* a head of 1xx that goes out before; of the request's arena */
    struct str trailers;     /* CRLF, the last chunk, lines, an empty one; likewise */
    bool is_relayed;         /* headers holds all lines but those of framing and connection */
};

#endif
