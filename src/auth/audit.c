/* SPDX-License-Identifier: Apache-2.0 */
/* What reaches the audit log outside of an operation: sign-ins by password, and whatever a caller notes.
 * Also who asks, for the operations that record themselves (storage/meta/audit.def).
 *
 * A stranger can fail to sign in as often as the network allows, but must not make the log grow with it:
 * of each minute the first few attempts of an address, and some of all addresses together, get a row of
 * their own; the rest is counted, and becomes one row when the minute is over. */
#include <stdlib.h>
#include <string.h>

#include "pantera/clock.h"
#include "pantera/text.h"
#include "src/auth/internal.h"
#include "src/auth/sign_ins.h"

json_t *audit_envelope(const struct http_request *req)
{
    const struct principal *p = req->principal;
    const char *actor = p ? p->name : req->user;
    return json_pack("{s:s*, s:s, s:s}", "actor", actor, "address", req->peer ? req->peer : "",
                     "request_id", req->id);
}

/* --- notes: proposals that nobody waits for --- */

static void note_done(struct proposal *p)
{
    json_decref(p->result);
    free(p);
}

void audit_note(struct cluster *c, struct loop *home, json_t *args)
{
    struct proposal *p = calloc(1, sizeof *p);
    check(p && args);
    *p = (struct proposal){ .op = "audit.note", .args = args, .home = home, .on_done = note_done };
    cluster_propose(c, p);
}

static const char *text_or_mark(const char *name)
{
    return utf8_valid(name, strlen(name)) ? name : "(not text)";
}

/* --- a minute's budget --- */

bool sign_ins_take(struct sign_ins *s, const char *address)
{
    struct sign_in_address *a = NULL;
    for (unsigned i = 0; i < s->count && !a; i++)
        if (strcmp(s->addresses[i].text, address) == 0)
            a = &s->addresses[i];
    if (!a && s->count < SIGN_IN_ADDRESSES) {
        a = &s->addresses[s->count++];
        *a = (struct sign_in_address){ .rows = 0 };
        snprintf(a->text, sizeof a->text, "%s", address);
    }
    if (a && a->rows < s->each && s->rows < s->all) {
        a->rows++;
        s->rows++;
        return true;
    }
    if (a)
        a->dropped++;
    s->dropped++;
    return false;
}

json_t *sign_ins_turn(struct sign_ins *s, int64_t minute)
{
    enum { NAMED = 20 };
    json_t *detail = NULL;
    uint64_t named = 0;
    if (minute == s->minute)
        return NULL;
    if (s->dropped) {
        char text[32];
        json_t *by = json_object();
        for (unsigned i = 0; i < s->count && json_object_size(by) < NAMED; i++) {
            const struct sign_in_address *a = &s->addresses[i];
            if (!a->dropped)
                continue;
            json_object_set_new(by, a->text, json_integer((json_int_t)a->dropped));
            named += a->dropped;
        }
        detail = json_pack("{s:s, s:I, s:o, s:I}", "minute", clock_rfc3339(s->minute * 60000, text),
                           "not_listed", (json_int_t)s->dropped, "by_address", by, "elsewhere",
                           (json_int_t)(s->dropped - named));
    }
    s->minute = minute;
    s->rows = s->count = 0;
    s->dropped = 0;
    return detail;
}

/* --- sign-ins; one budget a process and outcome --- */

static uv_once_t once = UV_ONCE_INIT;
static uv_mutex_t lock;
static struct sign_ins failed = { .each = 10, .all = 60 }, passed = { .each = 60, .all = 600 };

static void lock_make(void)
{
    check(uv_mutex_init(&lock) == 0);
}

static void summary(struct cluster *c, struct loop *home, const char *action, json_t *detail)
{
    if (detail)
        audit_note(c, home, json_pack("{s:s, s:s, s:s, s:o}", "actor", "system", "action", action,
                                      "type", "user", "detail", detail));
}

static void turn(struct cluster *c, struct loop *home)
{
    int64_t minute = clock_wall_ms() / 60000;
    json_t *f = sign_ins_turn(&failed, minute), *p = sign_ins_turn(&passed, minute);
    summary(c, home, "login.failed.more", f);
    summary(c, home, "login.basic.more", p);
}

void audit_tick(struct cluster *c, struct loop *home)
{
    uv_once(&once, lock_make);
    uv_mutex_lock(&lock);
    turn(c, home);
    uv_mutex_unlock(&lock);
}

void audit_sign_in(struct cluster *c, struct loop *home, const struct sign_in *in)
{
    const char *name = text_or_mark(in->name), *refused = in->refused;
    uv_once(&once, lock_make);
    uv_mutex_lock(&lock);
    turn(c, home);
    bool row = sign_ins_take(refused ? &failed : &passed, in->address);
    uv_mutex_unlock(&lock);
    if (row)
        audit_note(c, home,
                   json_pack("{s:s, s:s, s:s, s:s, s:s, s:{s:s, s:s*}}", "actor",
                             refused ? "anonymous" : name, "address", in->address, "action",
                             refused ? "login.failed" : "login.basic", "type", "user", "resource", name,
                             "detail", "method", in->method, "reason",
                             refused ? text_or_mark(refused) : NULL));
}

void audit_refused(struct http_request *req, struct cluster *c, struct loop *home, const char *name,
                   const char *method, const char *why)
{
    audit_sign_in(c, home, &(struct sign_in){ name, req->peer ? req->peer : "", method, why });
}
