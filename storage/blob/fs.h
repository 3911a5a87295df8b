/* SPDX-License-Identifier: Apache-2.0 */
/* The `fs` store's own struct: fs.c (open, get, delete) and fs_put.c share it. */
#ifndef BLOB_FS_H
#define BLOB_FS_H

#include <stdatomic.h>

#include "store.h"

struct fs_store {
    struct blob_store base;
    unsigned refs; /* 1 for the opener, 1 for each put whose job may outlive it */
    char *root;    /* never ends in '/' */
    /* "blobs/<2 hex>" folders whose entry in their parent this process has made durable. */
    atomic_bool folder_synced[256];
};

void fs_store_unref(struct fs_store *s);
char *fs_path(const struct fs_store *s, const char *key); /* gives: free() */
enum err fs_fail(struct why *why, int errno_value, const char *what, const char *key);

enum err fs_put_begin(struct blob_store *s, struct blob_put *p, const char *key, int64_t expected,
                      unsigned digest_kinds, struct why *why);
void fs_put_write(struct blob_put *p, const void *data, size_t size,
                  void (*on_written)(struct blob_put *p, enum err e, const struct why *why,
                                     void *arg),
                  void *arg);
void fs_put_finish(struct blob_put *p,
                   void (*on_finished)(struct blob_put *p, enum err e, const struct why *why,
                                       void *arg),
                   void *arg);
void fs_put_abort(struct blob_put *p);

#endif
