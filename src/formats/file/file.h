/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/file/file.h: what the files of this format share. */
#ifndef FORMATS_FILE_H
#define FORMATS_FILE_H

#include "pantera/format.h"

/* A folder's listing in the form that Accept prefers. Replies; false, without a reply: there is no such
 * folder (and this node can prove it: it was current after reading). */
bool file_listing(struct http_request *req, const struct repo *repo, const char *folder);

#endif
