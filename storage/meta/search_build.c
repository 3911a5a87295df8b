/* SPDX-License-Identifier: Apache-2.0 */
/* storage/meta/search_build.c: builds the full-text index of this node anew beside the one that answers, a
 * few milliseconds at a time, on the connection that writes, between batches.
 *
 *   IDLE ─(generation asked for)→ CLEAR ─(the other is empty)→ BUILD ─(no document left)→ DROP → IDLE
 *
 *   CLEAR  empties the index that does not answer, some pages a step
 *   BUILD  takes documents in order of their numbers; triggers keep those up to `cursor` right meanwhile
 *   DROP   the new one answers; the old one is emptied as in CLEAR
 *
 * Every step is a transaction of its own, so a crash goes on where it was. */
#include "pantera/meta_search.h"

#include <stdlib.h>
#include <string.h>

#include "pantera/clock.h"
#include "pantera/log.h"
#include "storage/meta/internal.h"
#include "storage/meta/objects.h"
#include "storage/meta/ops.h"

enum { STEP_MS = 6, STEP_DOCUMENTS = 32, STEP_PAGES = 100 };

struct state {
    int active;
    char phase[8];
    int64_t cursor, generation, wanted;
};

/* False: this schema has no index. */
static bool state_read(struct txn *t, struct state *ret)
{
    struct sql *q = sql_txn(t, "SELECT active, phase, cursor, generation, coalesce((SELECT value ->> "
                               "'generation' FROM setting WHERE name = 'internal.search'), 0) "
                               "FROM local_search_state");
    bool found = sql_row(q);

    if (found) {
        ret->active = (int)sql_int(q, 0) & 1;
        snprintf(ret->phase, sizeof ret->phase, "%s", sql_str(q, 1, NULL));
        ret->cursor = sql_int(q, 2);
        ret->generation = sql_int(q, 3);
        ret->wanted = sql_int(q, 4);
    }
    sql_end(q);
    return found;
}

static void phase_set(struct txn *t, const char *phase)
{
    check(!sql_do(t, "UPDATE local_search_state SET phase = ?, cursor = 0", "s", phase));
}

/* Takes pages out of the index that does not answer; 'delete-all' in one go would hold the thread for as
 * long as it has pages. True: it is empty, and FTS5 knows. */
static bool empty_step(struct txn *t, const struct state *s)
{
    /* The first rows (averages, structure) are FTS5's to write. */
    check(!sql_do(t, s->active ? "DELETE FROM local_search_a_data WHERE id IN (SELECT id FROM "
                                 "local_search_a_data WHERE id > 10 LIMIT ?)"
                               : "DELETE FROM local_search_b_data WHERE id IN (SELECT id FROM "
                                 "local_search_b_data WHERE id > 10 LIMIT ?)",
                  "i", (int64_t)STEP_PAGES));
    if (sql_changes(t))
        return false;
    check(!sql_do(t, s->active ? "INSERT INTO local_search_a (local_search_a) VALUES ('delete-all')"
                               : "INSERT INTO local_search_b (local_search_b) VALUES ('delete-all')",
                  ""));
    return true;
}

/* True: there was no document left, and the new index answers. */
static bool build_step(struct txn *t, const struct state *s)
{
    struct sql *q = sql_txn(t, "SELECT max(doc) FROM (SELECT doc FROM artifact WHERE doc > ? "
                               "ORDER BY doc LIMIT ?)");
    int64_t to = 0;

    sql_bind(q, "ii", s->cursor, (int64_t)STEP_DOCUMENTS);
    if (sql_row(q))
        to = sql_int(q, 0);
    sql_end(q);
    if (!to) {
        check(!sql_do(t, "UPDATE local_search_state SET active = 1 - active", ""));
        return true;
    }
    check(!sql_do(t, s->active ? "INSERT INTO local_search_a (rowid, name, version, path, starts_name, "
                                 "starts_version, repo) SELECT * FROM local_search_text "
                                 "WHERE doc > ? AND doc <= ?"
                               : "INSERT INTO local_search_b (rowid, name, version, path, starts_name, "
                                 "starts_version, repo) SELECT * FROM local_search_text "
                                 "WHERE doc > ? AND doc <= ?", "ii", s->cursor, to));
    check(!sql_do(t, "UPDATE local_search_state SET cursor = ?", "i", to));
    return false;
}

static void step(struct txn *t, const struct state *s)
{
    if (!strcmp(s->phase, "build")) {
        if (build_step(t, s)) {
            phase_set(t, "drop");
            log_info("storage", "the search index is built, generation %lld", (long long)s->generation);
        }
    } else if (!strcmp(s->phase, "clear")) {
        if (empty_step(t, s))
            phase_set(t, "build");
    } else if (!strcmp(s->phase, "drop")) {
        if (empty_step(t, s))
            phase_set(t, "idle");
    } else {
        check(!sql_do(t, "UPDATE local_search_state SET phase = 'clear', cursor = 0, generation = ?",
                      "i", s->wanted));
    }
}

bool search_build_once(struct connection *c)
{
    struct txn t = { .connection = c };
    struct state s;

    if (!state_read(&t, &s) || (!strcmp(s.phase, "idle") && s.wanted <= s.generation))
        return false;
    check(!sql_do(&t, "BEGIN IMMEDIATE", ""));
    step(&t, &s);
    check(!sql_do(&t, "COMMIT", ""));
    return true;
}

bool search_build_step(struct connection *c)
{
    uint64_t end = clock_mono_ms() + STEP_MS;

    do {
        if (!search_build_once(c))
            return false;
    } while (clock_mono_ms() < end);
    return true;
}

/* --- search.reindex: a number that every node works towards --- */

enum err op_search_reindex(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    struct state s;
    char value[64];

    if (!state_read(t, &s))
        return fail(why, ERR_UNAVAILABLE, "the cluster is being upgraded; try again");
    snprintf(value, sizeof value, "{\"generation\":%lld}", (long long)s.wanted + 1);
    check(!sql_do(t, "INSERT INTO setting (name, value, updated_ms, updated_by) VALUES "
                     "('internal.search', ?, ?, ?) ON CONFLICT (name) DO UPDATE SET value = "
                     "excluded.value, updated_ms = excluded.updated_ms, updated_by = "
                     "excluded.updated_by", "sis", value, txn_now(t), arg_text(args, "by")));
    *ret_result = json_pack("{s:I}", "generation", (json_int_t)s.wanted + 1);
    return OK;
}
