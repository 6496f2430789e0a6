/*
 * artifact_answer: lists and downloads as MLflow answers them. Steps as in gateway/req.h.
 */
#ifndef GATEWAY_ARTIFACT_ANSWER_H
#define GATEWAY_ARTIFACT_ANSWER_H

#include "base/json.h"
#include "gateway/artifact/artifact_store.h"

/* Whose words: MLflow has two servers behind one another. */
enum artifact_style { STYLE_NATIVE /* FastAPI */, STYLE_FLASK };

/* Asks for r->artifact and answers with its bytes, or with the range that the request asks for. */
must_check err_t artifact_answer(struct req *r, enum artifact_style style);
/* "files": [...] of what was listed, below folder; nothing when it is empty. */
void artifact_answer_files(struct req *r, struct json *j, struct str folder);
/* FastAPI's {"detail": ...}. */
err_t artifact_answer_detail(struct req *r, int status, struct str detail);
/* Takes the rest of an upload's body into r->artifact, at most max bytes, then next. */
must_check err_t artifact_receive(struct req *r, uint64_t max, req_step next);

#endif
