/*
 * status_page: status.html, inside the program, and what a browser may do with it.
 *
 * Any thread, after status_page_init.
 */
#ifndef GATEWAY_STATUS_PAGE_H
#define GATEWAY_STATUS_PAGE_H

#include "base/str.h"

/* Once, on the main thread. */
void status_page_init(void);
struct str status_page(void);
/* Its Content-Security-Policy: the style and the script that it holds, the JSON of its own server. */
const char *status_page_policy(void);

#endif
