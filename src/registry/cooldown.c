/* SPDX-License-Identifier: Apache-2.0 */
/* src/registry/cooldown.c: the decision about a version that upstream published lately. Rows say what people
 * and lists decided; the age is judged by the configuration of now, not by what a row once said, so a change
 * of it holds before the rows follow. Pure, but for telling the cluster what was blocked. */
#include <stdlib.h>
#include <string.h>

#include "pantera/clock.h"
#include "src/registry/policy_view.h"

/* The rows of a version: from *ret on, `count` of them. */
static const struct policy_row *rows_of(const struct policy_view *v, const char *version, unsigned *ret_count)
{
    unsigned low = 0, high = v->count;

    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (strcmp(v->rows[middle].version, version) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_count = 0;
    while (low + *ret_count < v->count && !strcmp(v->rows[low + *ret_count].version, version))
        ++*ret_count;
    return v->rows + low;
}

static struct cooldown_verdict judge_age(const struct cooldown_rule *rule, int64_t released_ms, bool recorded,
                                         int64_t now)
{
    if (!rule->enabled)
        return (struct cooldown_verdict){ .allowed = true };
    if (released_ms <= 0)
        return (struct cooldown_verdict){ .reason = "UNKNOWN_AGE" };
    if (released_ms > now + COOLDOWN_AGE_MOST_MS) /* upstream says what it likes: no overflow */
        released_ms = now + COOLDOWN_AGE_MOST_MS;
    if (released_ms + rule->age_ms <= now)
        return (struct cooldown_verdict){ .allowed = true };
    return (struct cooldown_verdict){ false, !recorded, "TOO_YOUNG", released_ms + rule->age_ms };
}

struct cooldown_verdict policy_verdict_of(const struct policy_view *v, const char *version,
                                          int64_t released_ms, int64_t now)
{
    unsigned n;
    const struct policy_row *row = rows_of(v, version, &n), *by_age = NULL;

    for (unsigned i = 0; i < n; i++) {
        if (row[i].allowed)
            return (struct cooldown_verdict){ .allowed = true };
        if (row[i].by_age)
            by_age = &row[i];
        else if (row[i].until_ms > now)
            return (struct cooldown_verdict){ false, false, row[i].reason, row[i].until_ms };
    }
    if (released_ms <= 0 && by_age)
        released_ms = by_age->released_ms;
    return judge_age(&v->rule, released_ms, by_age && by_age->until_ms > now, now);
}

struct policy_verdict_of policy_judge(const struct policy_view *v, const char *version, int64_t released_ms)
{
    struct cooldown_verdict verdict = policy_verdict_of(v, version, released_ms, clock_wall_ms());

    return (struct policy_verdict_of){ verdict.allowed, verdict.reason, verdict.until_ms };
}

void cooldown_decide(struct registry *r, struct arena *a, const struct repo *repo, const char *package,
                     const char *version, int64_t released_ms, struct cooldown_verdict *ret)
{
    struct policy_view *v = policy_view_get(r, repo, package);

    *ret = policy_verdict_of(v, version, released_ms, clock_wall_ms());
    if (ret->reason)
        ret->reason = arena_strdup(a, ret->reason);
    policy_view_release(v);
}

static void on_recorded(struct proposal *p)
{
    json_decref(p->result);
    free(p);
}

void policy_record(struct worker *w, const struct repo *repo, const char *package, const char *version,
                   int64_t released_ms, const struct cooldown_verdict *verdict)
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
                          (json_int_t)released_ms, "until_ms", (json_int_t)verdict->until_ms),
    };
    cluster_propose(w->cluster, p);
}

enum err policy_refuse(struct why *why, const char *package, const char *version,
                       const struct cooldown_verdict *verdict)
{
    char until[32];

    if (!verdict->until_ms)
        return fail(why, ERR_FORBIDDEN, "%.80s %.60s is blocked (%s); an administrator can unblock it",
                    package, version, verdict->reason);
    return fail(why, ERR_FORBIDDEN, "%.80s %.60s is blocked (%s) until %s; an administrator can unblock it",
                package, version, verdict->reason, clock_rfc3339(verdict->until_ms, until));
}
