/*
 * artifact_store: what can be done with artifacts, whatever keeps them.
 *
 * A handler begins with artifact_begin and a place (artifact/artifact_place.h), then goes step by step
 * through r->artifact->at.ops: each call starts one wait, or calls next at once, and fails with MLflow's
 * words. One at a time for a request. The worker's thread; what would
 * block it is done elsewhere.
 *
 *     list                            the entries directly below path
 *     open, answer                    a download, or the range of it that the request asks for
 *     remove                          the artifact, or all below path
 *     begin, write..., publish        an upload; without publish nothing of it is ever seen
 *     parts_*, presign                for stores that clients may talk to themselves, else NULL
 *
 * One store answers nothing itself (artifact_store_upstream): there each of these is the request's last step.
 */
#ifndef GATEWAY_ARTIFACT_STORE_H
#define GATEWAY_ARTIFACT_STORE_H

#include "gateway/artifact/artifact_entry.h"
#include "gateway/artifact/artifact_header.h"
#include "gateway/req.h"

struct artifact_ops;

#define ARTIFACT_UNKNOWN_LENGTH UINT64_MAX

struct artifact_part {
    int64_t number;
    struct str etag;
};

struct artifact_place {
    const struct artifact_ops *ops;
    struct str root; /* the directory; or s3://bucket/prefix */
    struct str path; /* below it; checked */
};

struct artifact_call {
    struct artifact_place at;
    struct artifact_list list;       /* after list */
    struct artifact_content content; /* after open */
    enum range_kind range;           /* of it */
    uint64_t from, n;                /* then what is asked for */
    const char *range_why;
    struct str upload_id; /* after parts_create */
    struct str url;       /* after presign */
    unsigned style;       /* enum artifact_style, of the answer */
    /* private: the store's */
    req_step next;
    struct str bytes;
    uint64_t length;
    void *own;
    bool is_upload; /* own is one */
};

struct artifact_ops {
    const char *name;
    err_t (*list)(struct req *r, req_step next);
    /* A directory: content.is_directory, and nothing to answer. */
    err_t (*open)(struct req *r, req_step next);
    /* The bytes as the rest of the answer that req_begin_answer began. */
    err_t (*send)(struct req *r, struct fail *f);
    err_t (*remove)(struct req *r, req_step next);
    /* length: of what will be written, or ARTIFACT_UNKNOWN_LENGTH. */
    err_t (*begin)(struct req *r, uint64_t length, req_step next);
    /* bytes must stay until next. */
    err_t (*write)(struct req *r, struct str bytes, req_step next);
    err_t (*publish)(struct req *r, req_step next);
    /* What the request holds is given back, what is half done undone. */
    void (*over)(struct req *r);
    err_t (*parts_create)(struct req *r, req_step next);
    err_t (*parts_complete)(struct req *r, struct str id, const struct artifact_part *parts,
                            size_t n, req_step next);
    err_t (*parts_abort)(struct req *r, struct str id, req_step next);
    /* A URL for a part of an upload. */
    struct str (*parts_url)(struct req *r, struct str id, int64_t number);
    /* Its size in content.bytes and a URL to get it with. */
    err_t (*presign_get)(struct req *r, uint64_t seconds, req_step next);
    err_t (*presign_put)(struct req *r, struct str type, uint64_t seconds, req_step next);
};

extern const struct artifact_ops artifact_store_local;    /* artifact_store_local.c */
extern const struct artifact_ops artifact_store_s3;       /* artifact_store_s3.c */
extern const struct artifact_ops artifact_store_upstream; /* artifact_store_upstream.c */

/* Gives back what begin took, before the request's end: it may begin with another place. */
void artifact_end(struct req *r);
/* Makes r->artifact and sets r->over. ERR_BUSY when artifact_transfers are under way. */
must_check err_t artifact_begin(struct req *r, const struct artifact_place *at, struct fail *f);

#endif
