/* SPDX-License-Identifier: Apache-2.0 */
/* api/settings.h: what settings.def's rows say now, for those who act on them. Threads: the worker's. */
#ifndef API_SETTINGS_H
#define API_SETTINGS_H

#include "pantera/worker.h"

/* Of a row of settings.def: what was put, else the node's configuration. */
int64_t settings_number(const struct worker *w, const char *section, const char *key);
const char *settings_text(struct arena *a, const struct worker *w, const char *section, const char *key);

/* Puts into force what has changed since the last call on this worker; one comparison if nothing has. */
void settings_apply(struct worker *w);
bool settings_access_log(void); /* as of the last settings_apply on this thread */

void settings_saved(struct http_request *req, json_t *result); /* {"status": "saved"} */

#endif
