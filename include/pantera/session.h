/* SPDX-License-Identifier: Apache-2.0 */
/* pantera/session.h: uploads of several requests, each of which may come to another node.
 * What:      a session collects chunks in order; each is an object that the session's rows name, so that
 *            neither a restart nor the collector takes it. session_join gives all of it as one finished
 *            stage, and a commit that commit_session names ends the session and makes the names, all or none.
 * Not here:  permissions, anyone's protocol. `scope` is the format's word for what a session is for.
 * Threads:   the worker's loop. Callbacks never run inside the call that caused them; none belongs to a
 *            request.
 * Ends:      by a commit, by session_cancel, or after a day without a chunk (housekeeping.c).
 *
 *     session_open → (session_find → stage_body → session_append)… → session_join → commit_session,
 *     commit_put … */
#ifndef PANTERA_SESSION_H
#define PANTERA_SESSION_H

#include "pantera/stage.h"

struct session {
    const char *scope;
    int64_t size;                /* so far */
};
/* By the replica; the lease is the caller's to check. NOT_FOUND. */
enum err session_find(struct registry *r, struct arena *a, const struct repo *repo, const char *id,
                      struct session *ret);

typedef void session_cb(enum err e, const struct why *why, void *arg);
/* `id`: a new random name (random_uuid); `owner` or NULL. TOO_MANY. */
void session_open(struct worker *w, const struct repo *repo, const char *id, const char *scope,
                  const char *owner, session_cb *done, void *arg);
/* Takes a finished stage, when it succeeds; else it is yours again. RANGE: the session's size is not
 * `offset`. */
void session_append(struct worker *w, const struct repo *repo, const char *id, int64_t offset,
                    struct stage *s, session_cb *done, void *arg);
void session_cancel(struct worker *w, const struct repo *repo, const char *id, session_cb *done, void *arg);

/* All chunks and then `last` (finished, or NULL; taken, whatever comes) as one finished stage with digests of
 * `kinds`: a single one as it is, several written anew. Drop it, or commit it together with commit_session.
 * */
void session_join(struct worker *w, const struct repo *repo, const char *id, struct stage *last,
                  unsigned kinds, stage_cb *done, void *arg);
/* This commit ends the session, if it succeeds. */
void commit_session(struct commit *c, const char *id);

#endif
