/*
 * auth: who sends a request: credentials to a user, remembered, so that a request costs a look-up.
 *
 * With auth = none nobody asks, and r->user is NULL. With basic every request of the clients'
 * listener names a user of MLflow's table `users`, but for the few paths that MLflow leaves open; r->user
 * is set before its handler runs. Order of steps: auth_admit, a long body is read, may_check
 * (gateway/auth/may.h), the handler.
 *
 * A worker's thread, but for auth_shared_*, which is the main thread's.
 */
#ifndef GATEWAY_AUTH_H
#define GATEWAY_AUTH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fail.h"
#include "base/str.h"

struct auth;
struct auth_config;
struct auth_shared;
struct auth_news;
struct auth_try;
struct helper;
struct htpasswd;
struct req;
struct settings;
struct worker;

struct auth_user {
    int64_t id;
    struct str name; /* in the request's arena */
    bool is_admin;
};

/* What all workers have in common: the threads that hash, and who has failed too often. config outlives
 * it. */
struct auth_shared *auth_shared_start(const struct settings *s, const struct auth_config *config,
                                      const struct htpasswd *file);
/* Whatever is still to be hashed is answered without: the end is near. */
void auth_shared_hurry(struct auth_shared *sh);
/* When no worker is left; NULL is fine. */
void auth_shared_stop(struct auth_shared *sh);

/* A worker's memory of credentials. */
struct auth *auth_new(struct worker *w, struct auth_shared *sh);
/* No SQL and no job of it may be under way; NULL is fine. */
void auth_free(struct auth *a);

/* Before the body is read: false when the head alone says 401, which is the answer. */
bool auth_admits_head(struct req *r);
/* The step before all others: next follows with r->user set, at once when the credentials are known, or
 * the request is answered 401, 429 or 503. */
must_check err_t auth_admit(struct req *r, err_t (*next)(struct req *r, struct fail *f));
/* May the path be asked for without credentials? */
bool auth_is_open(const struct req *r);
/* MLflow's 401, word for word. */
err_t auth_challenge(struct req *r);
/* A thread that hashes has done with it: the inbox brought it. */
void auth_on_checked(struct worker *w, struct auth_try *t);
/* The file of names and hashes changed: this one counts from here on. */
void auth_take_file(struct worker *w, const struct htpasswd *file);
/* Tells it of one; false when its inbox is full. Any thread. */
bool auth_send_file(struct worker *w, const struct htpasswd *file);
/* Does this worker go by it? Any thread. */
bool auth_has_file(const struct worker *w, const struct htpasswd *file);
/* Another worker has found credentials right, or looked at their user again: the inbox brought it. Takes
 * the news over; w NULL: nobody wants them any more. */
void auth_learn(struct worker *w, struct auth_news *news);
/* A user was changed, or deleted: what is remembered of the name is forgotten, on every worker of every
 * pod. */
void auth_forget(struct worker *w, struct str name);
/* A number for a question that requests wait for (req_wait_user), another's than all others. */
uint64_t auth_question(struct worker *w);
/* Has a thread that hashes something of this worker's? */
bool auth_is_checking(const struct worker *w);
/* The thread that hashes the passwords of a name. */
struct helper *auth_hasher_of(const struct worker *w, struct str name);

#endif
