/* SPDX-License-Identifier: Apache-2.0 */
/* The vtable behind pantera/blob.h, for storage/blob only. A store of another kind is a `struct blob_ops`
 * and a line in store.c's list. store.c has judged the key before any of these is called. */
#ifndef BLOB_STORE_H
#define BLOB_STORE_H

#include "pantera/blob.h"

struct blob_ops {
    const char *type;
    enum err (*judge)(const json_t *config, bool clustered, struct why *why);
    enum err (*open)(const struct blob_store_options *o, const json_t *config,
                     struct blob_store **ret, struct why *why);
    void (*close)(struct blob_store *s);
    enum err (*put_begin)(struct blob_store *s, struct blob_put *p, const char *key,
                          int64_t expected, unsigned digest_kinds, struct why *why);
    void (*put_write)(struct blob_put *p, const void *data, size_t size,
                      void (*on_written)(struct blob_put *p, enum err e, const struct why *why,
                                         void *arg),
                      void *arg);
    void (*put_finish)(struct blob_put *p,
                       void (*on_finished)(struct blob_put *p, enum err e, const struct why *why,
                                           void *arg),
                       void *arg);
    void (*put_abort)(struct blob_put *p);
    enum err (*get_open)(struct blob_store *s, struct blob_get *g, const char *key, int64_t size,
                         int64_t offset, int64_t length, const struct blob_sink *sink, void *arg,
                         struct why *why);
    void (*get_more)(struct blob_get *g);
    void (*get_close)(struct blob_get *g);
    int (*open_now)(struct blob_store *s, const char *key);
    enum err (*delete)(struct blob_store *s, struct blob_delete *d, struct why *why);
    enum err (*presign)(struct blob_store *s, const char *key, unsigned seconds,
                        struct arena *arena, char **ret_url);
};

/* First member of every store. */
struct blob_store {
    const struct blob_ops *ops;
    struct loop *loop;
};

extern const struct blob_ops blob_fs_ops, blob_s3_ops;

/* A configuration object's keys: the closed list of what is known, judged by one function. */
struct blob_config_key {
    const char *name;
    json_type type; /* JSON_TRUE stands for both booleans */
    bool required;
};
/* `where` is put before the key's name in `why`: "" or "credentials.". The list ends with NULL. */
enum err blob_config_check(const json_t *config, const char *where,
                           const struct blob_config_key *keys, struct why *why);

#endif
