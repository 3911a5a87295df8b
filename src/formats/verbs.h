/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/verbs.h: from a request's method to what a format does, once the action is permitted.
 * Not here: paths, and who asks (the guard). */
#ifndef FORMATS_VERBS_H
#define FORMATS_VERBS_H

#include "pantera/format.h"

struct format_verb {
    unsigned methods;            /* none for the end of the list */
    enum repo_action action;
    const char *what;            /* "upload to": for who may not */
    void (*handle)(struct http_request *req, const struct repo *repo, const char *path);
};

/* A proxy and a group are read only, but what a proxy has cached may be dropped. What is refused is told by
 * `failed`: METHOD (with Allow) or FORBIDDEN. OPTIONS is answered before formats are asked. */
void format_dispatch(struct http_request *req, const struct repo *repo, const char *path,
                     const struct format_verb *verbs, registry_fail_cb *failed);

#endif
