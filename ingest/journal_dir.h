/*
 * journal_dir: the directory of a journal: made, locked, named, and marked when it was adopted.
 *
 * Order of calls: journal_dir_open, journal_dir_lock, then the others. Who only looks does not
 * lock. One thread.
 */
#ifndef INGEST_JOURNAL_DIR_H
#define INGEST_JOURNAL_DIR_H

#include <stdbool.h>

#include "base/fail.h"
#include "ingest/queue.h"

enum { JOURNAL_ADOPTED = 256 };

/* NONE: no file, or a damaged one. OLD: without a checksum, as the first versions wrote it. */
enum journal_id { JOURNAL_ID_NONE, JOURNAL_ID_OLD, JOURNAL_ID_SOUND };

/* <data_dir>/journal as a descriptor; both are made when may_create. */
must_check err_t journal_dir_open(const char *data_dir, bool may_create, int *dir, struct fail *f);
/* *lock is the descriptor to keep, also after a failure; ERR_LOCKED names the owner. */
must_check err_t journal_dir_lock(int dir, const char *data_dir, int *lock, struct fail *f);
/* Reads the queue id; "" with JOURNAL_ID_NONE. */
enum journal_id journal_dir_read_id(int dir, char id[QUEUE_ID_BYTES + 1]);
/* Durably: PostgreSQL will know the queue by this name. */
must_check err_t journal_dir_write_id(int dir, const char *id, struct fail *f);
/* A new random id, written. */
must_check err_t journal_dir_make_id(int dir, char id[QUEUE_ID_BYTES + 1], struct fail *f);
/* Durably: all of it is in PostgreSQL, put there by somebody else; text says who and when, one line. */
must_check err_t journal_dir_mark_adopted(int dir, const char *text, struct fail *f);
/* The text of that mark; "" = there is none. */
void journal_dir_adopted(int dir, char text[JOURNAL_ADOPTED]);
/* An owner is back: says so in the log and takes the mark away. The owner only. */
void journal_dir_unmark(int dir);
/* Makes created, renamed and removed names durable. */
must_check err_t journal_dir_sync(int dir, struct fail *f);

#endif
