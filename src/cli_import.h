/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli_import.h: what the files of `pantera import` share: where artifacts come from, the uploads under
 * way, what is shown. One thread, one loop; only hashing is on the pool. */
#ifndef SRC_CLI_IMPORT_H
#define SRC_CLI_IMPORT_H

#include "pantera/buf.h"
#include "pantera/digest.h"
#include "src/cli.h"

struct import_item {
    char *path;                  /* in the repository, without the folder it goes to; malloc'ed */
    char *from;                  /* a file's path or a URL; malloc'ed */
    int64_t created_ms;          /* -1: not known */
};
void import_item_free(struct import_item *item);

/* --- where from: cli_import_dir.c, cli_import_url.c --- */
struct import_source {
    bool remote;
    int64_t files, bytes;        /* in all, when it begins; -1: not known */
    unsigned failed;             /* folders and links that could not be read; each was said */
    /* False: no more. May run the loop. */
    bool (*next)(struct import_source *s, struct import_item *ret);
    void (*close)(struct import_source *s);
};
/* NULL: that was said. */
struct import_source *import_dir_open(const char *path);
struct import_source *import_url_open(struct cli *cli, const char *url, const char *authorization);
/* Calls `each` with every link of a listing that leads to a direct child of `folder` (an URL with its slash):
 * its last segment, decoded, and whether it is a folder. */
void import_links(const char *html, const char *folder, void *arg,
                  void (*each)(void *arg, const char *name, bool directory));

/* --- uploads: cli_import_job.c --- */
enum { IMPORT_JOBS = 32 };
enum import_outcome { IMPORT_CREATED, IMPORT_PRESENT, IMPORT_FAILED };

struct import;
struct import_job {
    struct import *im;
    enum { JOB_IDLE, JOB_WAIT, JOB_HASH, JOB_HEAD, JOB_TARGET, JOB_FETCH, JOB_PUT } step;
    struct import_item item;
    struct arena arena;          /* of one attempt */
    const char *path;            /* in the repository */
    int fd;                      /* the bytes: the file, or what was fetched; -1: not yet */
    int64_t size, sent;
    unsigned char sha256[32];
    bool hashed, has_etag, broken, asked_again;
    unsigned char etag[32];      /* what the source says that it is */
    unsigned tries;
    uint64_t due_ms;             /* JOB_WAIT */
    struct client_request request;
    struct buf answer;
    struct digester *digester;
    struct work work;
};

struct import {
    struct cli *cli;
    const char *repo_url, *repo, *folder, *type, *source_authorization;
    struct import_source *source;
    struct import_job jobs[IMPORT_JOBS];
    unsigned job_count;
    volatile bool wake;          /* something has ended */
    bool sign_in;                /* the token is not good any more */
    int stop;                    /* not 0: start nothing more, and exit with this */
    int64_t created, present, failed, bytes; /* bytes: of what is done */
    bool terminal;
    uint64_t began_ms, drawn_ms;
};

void import_job_start(struct import_job *job, struct import_item *item); /* takes what the item holds */
void import_job_again(struct import_job *job); /* a JOB_WAIT whose time has come */
bool import_job_running(const struct import_job *job); /* a request or a hash is under way */

/* --- what is shown: cli_import_show.c --- */
void import_show(struct import *im, enum import_outcome outcome, const char *path, const char *message);
void import_draw(struct import *im, bool now); /* the bar, some times a second */
void import_summary(struct import *im);

#endif
