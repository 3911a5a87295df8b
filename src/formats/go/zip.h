/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/go/zip.h: is it a module's zip file (golang.org/x/mod/zip)? For a pool thread. */
#ifndef FORMATS_GO_ZIP_H
#define FORMATS_GO_ZIP_H

#include "pantera/arena.h"
#include "pantera/buf.h"
#include "pantera/limits.h"

#define GO_ZIP_BYTES MIB(500)    /* packed, and unpacked */
#define GO_MOD_BYTES MIB(16)

/* BAD_REQUEST, and which file is wrong how; TOO_BIG. `ret_mod` gets its go.mod, or what stands for one
 * that is not there: a line that names the module. */
enum err go_zip_check(int fd, const char *module, const char *version, struct buf *ret_mod, struct why *why);

#endif
