/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/listing.h: what is in a folder, for the formats whose repositories can be looked through. */
#ifndef FORMATS_LISTING_H
#define FORMATS_LISTING_H

#include "pantera/format.h"

/* A folder's listing in the form that Accept prefers; documents of ours (paths that begin with a dot, of all
 * formats but file) are left out. Replies; false, without a reply: there is no such folder (and this node can
 * prove it: it was current after reading). */
bool format_listing(struct http_request *req, const struct repo *repo, const char *folder);

#endif
