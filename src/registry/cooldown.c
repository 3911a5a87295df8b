/* SPDX-License-Identifier: Apache-2.0 */
/* src/registry/cooldown.c: the decision about a version that upstream published lately. Rows say what people
 * and lists decided; the age is judged by the configuration of now, not by what a row once said, so a change
 * of it holds before the rows follow. Pure, but for telling the cluster what was blocked. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pantera/clock.h"
#include "src/registry/policy_view.h"

unsigned policy_rows_from(const struct policy_view *v, const char *version)
{
    unsigned low = 0, high = v->count;

    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (strcmp(v->rows[middle].version, version) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The rows of a version, *ret_count of them. */
static const struct policy_row *rows_of(const struct policy_view *v, const char *version, unsigned *ret_count)
{
    unsigned from = policy_rows_from(v, version), end = from;

    while (end < v->count && !strcmp(v->rows[end].version, version))
        end++;
    *ret_count = end - from;
    return v->rows + from;
}

static bool exempt(const struct policy_view *v, const char *version, int64_t now)
{
    for (unsigned i = 0; i < v->exemption_count; i++)
        if ((!v->exemptions[i].until_ms || v->exemptions[i].until_ms > now) &&
            cooldown_pattern_fits(v->exemptions[i].version, version))
            return true;
    return false;
}

/* `block`: the row of an earlier verdict by age, `seen_ms`: since when it is known; either may be none. */
static struct cooldown_verdict judge_age(const struct policy_view *v, const char *version,
                                         int64_t released_ms, int64_t seen_ms,
                                         const struct policy_row *block, int64_t now)
{
    bool undated = block && !strcmp(block->reason, "UNKNOWN_AGE");

    if (released_ms <= 0 && block && !undated)
        released_ms = block->released_ms; /* upstream said it once */
    if (!seen_ms && undated)
        seen_ms = block->released_ms;
    struct cooldown_ruling r = cooldown_rule_judge(&v->rule, released_ms, seen_ms, now);
    if (r.allowed)
        return (struct cooldown_verdict){ .allowed = true };
    if (r.unseen)
        policy_view_note(v, version);
    return (struct cooldown_verdict){
        .reason = r.reason, .until_ms = r.until_ms,
        .record = !block || block->until_ms <= now || strcmp(block->reason, r.reason),
        .since_ms = released_ms > 0 ? released_ms : seen_ms > 0 ? seen_ms : now,
    };
}

struct cooldown_verdict policy_verdict_of(const struct policy_view *v, const char *version,
                                          int64_t released_ms, int64_t now)
{
    unsigned n;
    int64_t seen_ms = 0, until;
    const struct policy_row *row = rows_of(v, version, &n), *block = NULL;

    for (unsigned i = 0; i < n; i++) {
        if (row[i].allowed)
            return (struct cooldown_verdict){ .allowed = true };
        if (row[i].seen_ms) {
            seen_ms = row[i].seen_ms;
        } else if (row[i].by_age) {
            block = &row[i];
        } else if (row[i].until_ms > now) {
            until = row[i].until_ms >= COOLDOWN_FOREVER_MS ? 0 : row[i].until_ms;
            return (struct cooldown_verdict){ .reason = row[i].reason, .until_ms = until };
        }
    }
    if (exempt(v, version, now))
        return (struct cooldown_verdict){ .allowed = true };
    return judge_age(v, version, released_ms, seen_ms, block, now);
}

struct policy_verdict_of policy_judge(const struct policy_view *v, const char *version, int64_t released_ms)
{
    struct cooldown_verdict verdict = policy_verdict_of(v, version, released_ms, clock_wall_ms());

    return (struct policy_verdict_of){ verdict.allowed, verdict.reason, verdict.until_ms };
}

struct policy_verdict_of policy_known(const struct policy_view *v, const char *version)
{
    struct policy_verdict_of ret = { .allowed = true };
    unsigned n;
    const struct policy_row *row = rows_of(v, version, &n);
    bool known = false;

    for (unsigned i = 0; i < n; i++)
        known = known || (!row[i].seen_ms && !row[i].allowed);
    if (known)
        ret = policy_judge(v, version, 0);
    if (!ret.allowed && !strcmp(ret.reason, "UNKNOWN_AGE"))
        ret.allowed = true;
    return ret;
}

void cooldown_decide(struct registry *r, struct arena *a, const struct repo *repo, const char *package,
                     const char *version, int64_t released_ms, struct cooldown_verdict *ret)
{
    struct policy_view *v = policy_view_get(r, repo, package);

    *ret = policy_verdict_of(v, version, released_ms, clock_wall_ms());
    if (ret->reason)
        ret->reason = arena_strdup(a, ret->reason);
    policy_view_flush(r->worker, v);
    policy_view_release(v);
}

static void on_recorded(struct proposal *p)
{
    json_decref(p->result);
    free(p);
}

void policy_record(struct worker *w, const struct repo *repo, const char *package, const char *version,
                   const struct cooldown_verdict *verdict)
{
    struct proposal *p;

    if (!verdict->record || w->registry->closing)
        return;
    p = calloc(1, sizeof *p);
    check(p);
    *p = (struct proposal){
        .op = "cooldown.block", .home = &w->loop, .on_done = on_recorded,
        .args = json_pack("{s:I, s:s, s:s, s:s, s:I, s:I}", "repo_id", (json_int_t)repo->id, "package",
                          package, "version", version, "reason", verdict->reason, "released_ms",
                          (json_int_t)verdict->since_ms, "until_ms", (json_int_t)verdict->until_ms),
    };
    cluster_propose(w->cluster, p);
}

/* --- for people --- */

/* "2d 5h", "5h 12m", "12m"; less than a minute is one. */
static const char *span(int64_t ms, char ret[32])
{
    long long minutes = ms > 60000 ? (long long)((ms + 59999) / 60000) : 1, hours = minutes / 60;

    if (hours >= 24)
        snprintf(ret, 32, hours % 24 ? "%lldd %lldh" : "%lldd", hours / 24, hours % 24);
    else if (hours)
        snprintf(ret, 32, minutes % 60 ? "%lldh %lldm" : "%lldh", hours, minutes % 60);
    else
        snprintf(ret, 32, "%lldm", minutes);
    return ret;
}

/* What is known of its age. */
static void say_age(const struct policy_view *v, const struct cooldown_verdict *verdict, int64_t now,
                    char *ret, size_t size)
{
    char time[32];

    if (!verdict->since_ms)
        *ret = 0;
    else if (!strcmp(verdict->reason, "FROZEN"))
        snprintf(ret, size, ", released after the freeze of %.10s", clock_rfc3339(v->rule.frozen_ms, time));
    else if (!strcmp(verdict->reason, "UNKNOWN_AGE"))
        snprintf(ret, size, ", its release date is not known");
    else if (verdict->since_ms > now)
        snprintf(ret, size, ", released %.10s", clock_rfc3339(verdict->since_ms, time));
    else
        snprintf(ret, size, ", released %s ago", span(now - verdict->since_ms, time));
}

enum err policy_refuse(struct why *why, const struct policy_view *v, const char *package,
                       const char *version, const struct cooldown_verdict *verdict)
{
    char age[64], left[32], date[32], until[80] = "";
    int64_t now = clock_wall_ms();

    say_age(v, verdict, now, age, sizeof age);
    if (verdict->until_ms)
        snprintf(until, sizeof until, ", %s left, until %s", span(verdict->until_ms - now, left),
                 clock_rfc3339(verdict->until_ms, date));
    return fail(why, ERR_FORBIDDEN, "%.40s %.24s is blocked (%.16s%s%s); to release it ask %.80s", package,
                version, verdict->reason, age, until, v->contact ? v->contact : "an administrator");
}

enum err policy_enforce(struct worker *w, const struct repo *repo, const char *package, const char *version,
                        int64_t released_ms, struct why *why, int64_t *ret_until_ms)
{
    struct policy_view *v = policy_view_get(w->registry, repo, package);
    struct cooldown_verdict verdict = policy_verdict_of(v, version, released_ms, clock_wall_ms());
    enum err e = OK;

    if (!verdict.allowed) {
        policy_record(w, repo, package, version, &verdict);
        *ret_until_ms = verdict.until_ms;
        e = policy_refuse(why, v, package, version, &verdict);
    }
    policy_view_flush(w, v);
    policy_view_release(v);
    return e;
}
