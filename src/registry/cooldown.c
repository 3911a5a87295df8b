/* SPDX-License-Identifier: Apache-2.0 */
/* src/registry/cooldown.c: the decision about a version that upstream published lately. Rows say what people
 * and lists decided; the age is judged by the configuration of now, not by what a row once said, so a change
 * of it holds before the rows follow. */
#include "pantera/clock.h"
#include "pantera/meta_cooldown.h"
#include "pantera/meta_setting.h"
#include "src/registry/internal.h"

void cooldown_decide(struct registry *r, struct arena *a, const struct repo *repo, const char *package,
                     const char *version, int64_t released_ms, struct cooldown_verdict *ret)
{
    struct meta_reader *reader = r->worker->reader;
    int64_t now = clock_wall_ms();
    struct cooldown_state state;

    *ret = (struct cooldown_verdict){ .allowed = true };
    cooldown_state(reader, repo->id, cooldown_key(a, repo->type, package), version, now, &state);
    if (state.allowed)
        return;
    if (state.blocked && !state.by_age) {
        *ret = (struct cooldown_verdict){ false, false, arena_strdup(a, state.reason), state.until_ms };
        return;
    }
    struct cooldown_rule rule = cooldown_rule(setting_now(reader, COOLDOWN_SETTING), repo->type,
                                              repo->config);
    if (!rule.enabled)
        return;
    if (released_ms <= 0)
        released_ms = state.by_age ? state.released_ms : 0;
    if (released_ms <= 0) {
        *ret = (struct cooldown_verdict){ .allowed = false, .reason = "UNKNOWN_AGE" };
        return;
    }
    if (released_ms > now + COOLDOWN_AGE_MOST_MS) /* upstream says what it likes: no overflow */
        released_ms = now + COOLDOWN_AGE_MOST_MS;
    if (released_ms + rule.age_ms <= now)
        return;
    *ret = (struct cooldown_verdict){ false, !state.blocked, "TOO_YOUNG", released_ms + rule.age_ms };
}
