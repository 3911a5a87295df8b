/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/maven/young.c: what policy leaves of upstream's metadata.
 *
 * Metadata has no date for each version; a version is as old as its POM, of which upstream says when it was
 * changed last. Metadata says when it was changed itself: no version is younger than that, so while that is
 * old enough nothing is asked. Else the newest versions' POMs are asked for, and the newest of each of the
 * newest lines (1.4, 1.5, 2.0: one that is still mended has its latest there); and while none of these may be
 * had, the next below them.
 *
 * What is older than those is taken to be old: its bytes are judged by their own date, and what is refused
 * there is left out here from then on. The same goes for what upstream can't be asked about just now, but for
 * what it calls latest and release and the last in its list: those may be what changed. */
#include "src/formats/maven/young.h"

#include <string.h>

#include "pantera/limits.h"
#include "src/formats/maven/path.h"
#include "src/formats/maven/version.h"

enum { NEWEST = 16, LINES = 16, OF_LINE = 4 }; /* in one go */

struct filter {
    const struct document_source *source;
    const struct maven_metadata *m;
    const char *last;            /* in the list as upstream gave it */
    int64_t updated_ms;
    int64_t until_ms;            /* the first block that ends; 0: none */
};

static struct filter filter_of(const struct maven_metadata *m, const struct document_source *s)
{
    int64_t updated_ms = maven_time_ms(m->last_updated);

    return (struct filter){
        .source = s, .m = m, .updated_ms = updated_ms > 0 ? updated_ms : INT64_MAX / 2, /* maybe just now */
        .last = m->version_count ? m->versions[m->version_count - 1] : NULL,
    };
}

static bool same(const char *a, const char *b)
{
    return a && b && !strcmp(a, b);
}

/* May be what the metadata's last change brought. */
static bool is_named(const struct filter *f, const char *version)
{
    return same(version, f->m->latest) || same(version, f->m->release) || same(version, f->last);
}

static const struct document_date *date_of(const struct filter *f, const char *version)
{
    for (unsigned i = 0; i < f->source->date_count; i++)
        if (!strcmp(f->source->dates[i].version, version))
            return &f->source->dates[i];
    return NULL;
}

static bool blocked(struct filter *f, const char *version, int64_t released_ms)
{
    struct policy_verdict_of v = policy_judge(f->source->policy, version, released_ms);

    if (!v.allowed && v.until_ms && (!f->until_ms || v.until_ms < f->until_ms))
        f->until_ms = v.until_ms;
    return !v.allowed;
}

/* Neither blocked whatever its age, nor allowed although it may be as young as the metadata. */
static bool depends(const struct filter *f, const char *version)
{
    struct filter quiet = *f;

    return !blocked(&quiet, version, 1) && blocked(&quiet, version, f->updated_ms);
}

static bool keeps(struct filter *f, const char *version)
{
    const struct document_date *date = date_of(f, version);
    struct filter quiet = *f;

    if (blocked(f, version, 1)) /* of whatever age */
        return false;
    if (!depends(f, version))
        return true;
    if (date && date->released_ms >= 0)
        return !blocked(f, version, date->released_ms);
    if (!blocked(&quiet, version, 0)) /* decided, or its age is known */
        return true;
    if (!is_named(f, version))
        return !strcmp(policy_judge(f->source->policy, version, 0).reason, "UNKNOWN_AGE");
    (void)blocked(f, version, f->updated_ms); /* for the end of it */
    return false;
}

void maven_leave_out(struct maven_metadata *m, const struct document_source *s, int64_t *until_ms)
{
    struct filter f = filter_of(m, s);
    unsigned kept = 0;

    f.until_ms = *until_ms;
    for (unsigned i = 0; i < m->version_count; i++)
        if (keeps(&f, m->versions[i]))
            m->versions[kept++] = m->versions[i];
    m->version_count = kept;
    *until_ms = f.until_ms;
}

/* --- whose dates are wanted --- */

/* "3.2" of "3.2.5", "31.1" of "31.1-jre" */
static size_t line_of(const char *version)
{
    size_t n = strcspn(version, ".-_");

    return version[n] ? n + 1 + strcspn(version + n + 1, ".-_") : n;
}

static bool same_line(const char *a, const char *b)
{
    size_t n = line_of(a);

    return n == line_of(b) && !strncmp(a, b, n);
}

/* It is upstream's word, and becomes a part of a path. */
static bool is_segment(const char *version)
{
    return *version && *version != '.' && strlen(version) <= LIMIT_PATH_SEGMENT && !strchr(version, '/');
}

static bool want(struct arena *a, const char *folder, const char *version, struct document_date *ret)
{
    ret->path = arena_printf(a, "%s/%s/%s-%s.pom", folder, version, maven_base(folder), version);
    ret->version = version;
    return strlen(ret->path) <= LIMIT_PATH;
}

struct look {                    /* from the highest version down */
    bool first;                  /* nothing is known yet */
    bool run, line;              /* none that may be had was seen so far: at all, of this line */
    unsigned newest, lines, of_line; /* wanted, but for `lines`: begun */
    const char *above;
};

static void look_at(struct look *l, const char *version)
{
    bool begins = !l->above || !same_line(l->above, version);

    l->above = version;
    if (!begins)
        return;
    l->of_line = 0;
    l->line = l->lines++ < LINES;
}

static bool look_wants(struct look *l)
{
    if (l->run && l->newest < NEWEST) {
        l->newest++;
        l->of_line++;
        return true;
    }
    return l->line && l->of_line++ < (l->first ? 1 : OF_LINE);
}

unsigned maven_undated(const struct document_source *s, const char *path, struct arena *a,
                       struct document_date *ret, unsigned room)
{
    const char *folder = maven_parent(a, path);
    struct look l = { .first = !s->date_count, .run = true };
    struct maven_metadata m;
    unsigned n = 0;

    maven_metadata_init(&m, a);
    if (maven_metadata_read(&m, s->data, s->size, NULL))
        return 0;
    struct filter f = filter_of(&m, s);
    maven_metadata_finish(&m);
    for (unsigned i = m.version_count; i-- > 0 && n < room;) {
        const char *version = m.versions[i];
        const struct document_date *date = date_of(&f, version);
        look_at(&l, version);
        if (date && date->released_ms < 0)
            return 0; /* upstream is not to be asked just now */
        if (maven_version_is_snapshot(version) || !is_segment(version) || !depends(&f, version))
            continue;
        if (date && !blocked(&f, version, date->released_ms))
            l.run = l.line = false;
        else if (!date && (look_wants(&l) || (l.first && is_named(&f, version))))
            n += want(a, folder, version, &ret[n]);
    }
    return n;
}
