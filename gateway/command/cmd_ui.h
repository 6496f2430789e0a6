/*
 * cmd_ui: `sluice ui-fetch`, which brings the web UI that ui_dir serves.
 */
#ifndef GATEWAY_CMD_UI_H
#define GATEWAY_CMD_UI_H

/* words: the folder to make. Becomes another program; 1 when it cannot. */
int cmd_ui_fetch(int count, char **words);

#endif
