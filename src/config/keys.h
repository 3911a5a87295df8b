/* SPDX-License-Identifier: Apache-2.0 */
/* config/keys.h: the rows of config.def as a table, and what is being built from them.
 * For the files of this folder only. */
#ifndef CONFIG_KEYS_H
#define CONFIG_KEYS_H

#include "pantera/arena.h"
#include "pantera/config.h"

enum kind {
    KIND_TEXT,     /* const char * */
    KIND_SECRET,   /* const char *, never repeated in a message */
    KIND_URL,      /* const char *, http:// or https://, no slash at the end */
    KIND_PATH,     /* const char *, begins with a slash */
    KIND_ADDRESS,  /* const char *, host:port */
    KIND_PORT,     /* int */
    KIND_INT,      /* int */
    KIND_UINT,     /* unsigned */
    KIND_BOOL,     /* bool */
    KIND_DURATION, /* uint64_t, milliseconds */
    KIND_BYTES,    /* uint64_t */
    KIND_LEVEL,    /* enum log_level */
    KIND_NAMES,    /* const char **, NULL-terminated */
    KIND_NETWORKS, /* the same, of networks (address.h) */
    KIND_PEERS     /* struct config_peer *, and peer_count */
};

enum place { PLACE_FIELD, PLACE_STORAGE, PLACE_ENV };

struct key {
    const char *path;     /* "meta.port"; of an ENV row: the variable */
    enum place place;
    enum kind kind;
    size_t offset;        /* of the field */
    const char *fallback; /* the default as text, or NULL */
    long long min, max;
    const char *meaning;
};

extern const struct key keys[];
enum { KEY_COUNT_MAX = 96, PATH_MAX_BYTES = 128 };
unsigned keys_count(void);

const struct key *key_find(const char *path);         /* KEY and STORE rows */
const struct key *key_find_variable(const char *name); /* KEY, STORE and ENV rows */
void key_variable(const struct key *k, char ret[PATH_MAX_BYTES]);
bool key_section(const char *path);           /* some row's path goes on below it */
const char *key_refused(const char *path);    /* REFUSED's sentence, or NULL */
bool key_outside(const char *variable);       /* an OUTSIDE row */
/* " (did you mean 'x'?)"-like text, or "": into `ret`. */
void key_suggest(const char *section, const char *name, char ret[PATH_MAX_BYTES]);
void key_suggest_variable(const char *name, char ret[PATH_MAX_BYTES]);

/* A configuration under construction. `where` has, for each row, what set it ("pantera.yml:3: meta.port"
 * or "PANTERA_PORT"), NULL while it is the default. */
struct build {
    struct config config;
    struct arena arena;
    const char *where[KEY_COUNT_MAX];
};

/* Reads `text` as the row's kind says and stores it. `where`: begins the message on failure. */
enum err value_set(struct build *b, const struct key *k, const char *text, const char *where,
                   struct why *why);
/* The same for lists, which a file gives as items. */
enum err value_set_names(struct build *b, const struct key *k, const char **names, unsigned count,
                         const char *where, struct why *why);
enum err value_set_peers(struct build *b, const struct key *k, const struct config_peer *peers,
                         unsigned count, const char *where, struct why *why);
enum err value_peer(const char *id, const char *address, struct config_peer *ret,
                    const char *where, struct why *why);
/* What a row takes, for people: "a port (0 to 65535)". */
void value_expected(const struct key *k, char *ret, size_t size);
/* Replaces ${NAME}; "$${" stands for "${". */
enum err value_expand(struct arena *a, const char *text, const char *where, const char **ret,
                      struct why *why);

enum err yaml_read(struct build *b, const char *name, const char *text, size_t size,
                   struct why *why);

#endif
