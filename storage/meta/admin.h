/* SPDX-License-Identifier: Apache-2.0 */
/* storage/meta/admin.h: the one rule about permissions that an operation knows: an enabled user with an
 * enabled role that grants everything must remain. Asked before and after a change. */
#ifndef STORAGE_META_ADMIN_H
#define STORAGE_META_ADMIN_H

#include "pantera/meta.h"

bool admin_remains(struct txn *t);

#endif
