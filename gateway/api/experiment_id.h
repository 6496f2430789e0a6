/*
 * experiment_id: what MLflow makes of the text a client sends as the id of an experiment.
 *
 * A pure function; any thread.
 */
#ifndef GATEWAY_EXPERIMENT_ID_H
#define GATEWAY_EXPERIMENT_ID_H

#include <stdint.h>

#include "base/fail.h"
#include "base/str.h"

enum { EXPERIMENT_ID_ROOM = 12 };

/* Python's int(text), within the column's four bytes. */
must_check err_t experiment_id_parse(struct str text, int32_t *out, struct fail *f);
/* The id that text comes to, as it is written ("2" for " 02"), in room; text itself where it is none. */
struct str experiment_id_settle(struct str text, char room[EXPERIMENT_ID_ROOM]);
/* No such experiment: 404. */
err_t experiment_id_unknown(int32_t id, struct fail *f);

#endif
