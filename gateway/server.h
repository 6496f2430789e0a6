/*
 * server: what is process-wide, started and stopped in a fixed order.
 *
 * server_run: private cluster when there is no pg_uri, schema check, queue replay, flushers,
 * workers, listeners; then waits for SIGTERM or SIGINT (SIGHUP reloads), drains in the reverse
 * order and returns the exit code. Main thread.
 */
#ifndef GATEWAY_SERVER_H
#define GATEWAY_SERVER_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/fail.h"
#include "schema/settings.h"
#include "schema/stats.h"

struct artifacts;
struct auth_config;
struct queue;
struct ui_files;
struct pulse;
struct server;
struct worker;

/* WARN: everything goes on; BAD: it is not ready; OFF: there is no such thing here. */
enum server_check_state { CHECK_GOOD, CHECK_WARN, CHECK_BAD, CHECK_OFF };
enum { SERVER_CHECKS = 8 };

struct server_check {
    const char *name;
    enum server_check_state state;
    const char *words; /* what is the matter; "" when nothing is */
};

/* How a reload gets the settings once more, from where they came. */
struct server_source {
    err_t (*load)(void *arg, struct settings *s, struct fail *f);
    void *arg;
};

/* Does all of it; takes s over. 0 after a clean stop. */
int server_run(struct settings *s, const struct server_source *source);
/* File descriptors that it may come to need. */
uint64_t server_files(const struct settings *s);
/* Sums the statistics of all threads. Any thread. */
void server_stats(struct server *sv, struct stats_view *v);
/* False while starting, draining, or when the journal or PostgreSQL is away. why gets a line for
 * each check, or only for those that fail. Any thread. */
bool server_is_ready(struct server *sv, bool is_verbose, struct buf *why);
/* What that is made of, some of them without a say in it; returns how many, SERVER_CHECKS at most. */
unsigned server_checks(struct server *sv, struct server_check *out);
/* The statistics of one flusher; false behind the last one. Any thread. */
bool server_flusher_stats(const struct server *sv, unsigned index, struct stats_view *v);
/* What it did lately. Any thread. */
struct pulse *server_pulse(struct server *sv);
/* Client connections open on all workers. Any thread. */
uint64_t server_open_connections(struct server *sv);
/* The queue that all workers append to. Any thread. */
struct queue *server_queue(struct server *sv);
/* Microseconds since it began to serve. Any thread. */
uint64_t server_uptime_us(struct server *sv);
/* The files of the web UI; NULL without ui_dir. Any thread. */
const struct ui_files *server_ui(const struct server *sv);
/* A worker by its index; NULL behind the last that has started. Any thread. */
struct worker *server_worker(struct server *sv, unsigned index);
/* Logins that wait to be hashed are given up: the end is near. Any thread. */
void server_hurry_logins(struct server *sv);
/* What basic_auth.ini says; NULL = auth is none. Any thread. */
const struct auth_config *server_auth_config(const struct server *sv);
/* Where new experiments keep their artifacts; constant. Any thread. */
const char *server_artifact_root(struct server *sv);
/* What the calls about artifacts go by; read-only. Any thread. */
const struct artifacts *server_artifacts(struct server *sv);

#endif
