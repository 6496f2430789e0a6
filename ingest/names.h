/*
 * names: MLflow's rules on names, lengths and values, with its messages word for word.
 *
 * Source: MLflow 3.17.2 mlflow/utils/validation.py; lengths count Unicode code points. Pure
 * functions; any thread.
 */
#ifndef INGEST_NAMES_H
#define INGEST_NAMES_H

#include "base/arena.h"
#include "base/fail.h"
#include "base/str.h"

/* A message quotes at most this much of what a client sent; MLflow quotes all of it. */
enum { NAMES_QUOTE_MAX = 16 << 10 };

/* Code points in s, which is valid UTF-8. */
size_t names_length(struct str s);
/* The first n code points of s. */
struct str names_cut(struct str s, size_t n);
/* True when key surely passes names_check_key and LIMIT_KEY: short, plain ASCII. False says
 * nothing. For hot paths, which then need not make the path. */
bool names_is_plain(struct str key);
/* The key rule of metrics, params and tags: characters, then path form. path is the parameter's
 * name in the message, "metrics[3].name" for example. */
must_check err_t names_check_key(struct str key, const char *path, struct fail *f);
/* Only the second half: the name is its own path form. */
must_check err_t names_check_path(struct str key, const char *path, struct fail *f);
/* `'<what>' exceeds the maximum length of <max> characters` */
must_check err_t names_check_length(struct str s, size_t max, const char *what, struct fail *f);
/* The syntax of a run id that log-batch and log-inputs ask for. */
must_check err_t names_check_run_id(struct str run_id, struct fail *f);
/* timestamp >= 0, with MLflow's text. path as in names_check_key. */
must_check err_t names_check_timestamp(int64_t timestamp, double value, struct str key,
                                       const char *path, struct fail *f);
/* PostgreSQL's text holds no NUL: ERR_BAD_REQUEST with the driver's words when s does. */
must_check err_t names_check_nul(struct str s, struct fail *f);

#endif
