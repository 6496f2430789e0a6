/*
 * workspace_delete: what becomes of the things in a workspace that is deleted.
 *
 * The worker's thread.
 */
#ifndef GATEWAY_WORKSPACE_DELETE_H
#define GATEWAY_WORKSPACE_DELETE_H

#include "gateway/req.h"

enum workspace_mode { WORKSPACE_RESTRICT, WORKSPACE_SET_DEFAULT, WORKSPACE_CASCADE };

/* next follows when it is gone, and with it, or not, what was in it. */
must_check err_t workspace_delete(struct req *r, struct str name, enum workspace_mode mode,
                                  req_step next);

#endif
