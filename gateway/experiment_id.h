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

/* Python's int(text), within the column's four bytes. */
must_check err_t experiment_id_parse(struct str text, int32_t *out, struct fail *f);
/* No such experiment: 404. */
err_t experiment_id_unknown(int32_t id, struct fail *f);

#endif
