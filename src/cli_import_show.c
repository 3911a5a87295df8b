/* SPDX-License-Identifier: Apache-2.0 */
/* What `pantera import` shows: a bar at a terminal, else one line a file; at the end, the sum. */
#include <stdio.h>
#include <string.h>

#include "pantera/clock.h"
#include "pantera/limits.h"
#include "src/cli_import.h"

static const char *const words[] = { "created", "present", "failed" };

static const char *sized(struct arena *a, double bytes)
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
    unsigned u = 0;
    for (; bytes >= 1024 && u < 4; u++)
        bytes /= 1024;
    return arena_printf(a, u ? "%.1f %s" : "%.0f %s", bytes, units[u]);
}

void import_show(struct import *im, enum import_outcome outcome, const char *path, const char *message)
{
    char text[LIMIT_PATH + 1];
    snprintf(text, sizeof text, "%s", path);
    cli_tame(text);
    if (im->terminal && outcome == IMPORT_FAILED)
        fputs("\r\033[K", stderr);
    if (outcome == IMPORT_FAILED)
        cli_say("%s: %s", text, message);
    else if (!im->terminal && !im->cli->json)
        printf("%s %s\n", words[outcome], text);
    import_draw(im, outcome == IMPORT_FAILED);
}

void import_draw(struct import *im, bool now)
{
    enum { WIDTH = 30 };
    char bar[WIDTH + 1];
    uint64_t at = clock_mono_ms();
    struct arena a;
    if (!im->terminal || (!now && at < im->drawn_ms + 100))
        return;
    im->drawn_ms = at;
    arena_init(&a);
    int64_t bytes = im->bytes, done = im->created + im->present + im->failed;
    for (unsigned i = 0; i < im->job_count; i++)
        bytes += im->jobs[i].step == JOB_PUT ? im->jobs[i].sent : 0;
    int64_t all = im->source->bytes, files = im->source->files;
    double part = all > 0 ? (double)bytes / (double)all : files > 0 ? (double)done / (double)files : 0;
    int full = (int)(WIDTH * (part > 1 ? 1 : part));
    memset(bar, '.', WIDTH);
    memset(bar, '#', (size_t)full);
    bar[WIDTH] = '\0';
    double seconds = (double)(at - im->began_ms + 1) / 1000;
    const char *of = files >= 0 ? arena_printf(&a, "/%lld", (long long)files) : "";
    fprintf(stderr, "\r\033[K%s%s%s %lld%s files, %s, %s/s", files >= 0 ? "[" : "", files >= 0 ? bar : "",
            files >= 0 ? "]" : "", (long long)done, of, sized(&a, (double)bytes),
            sized(&a, (double)bytes / seconds));
    fflush(stderr);
    arena_release(&a);
}

void import_summary(struct import *im)
{
    double seconds = (double)(clock_mono_ms() - im->began_ms) / 1000;
    if (im->terminal)
        fputs("\r\033[K", stderr);
    if (im->cli->json) {
        json_t *sum = json_pack("{s:I, s:I, s:I, s:I, s:f}", "created", (json_int_t)im->created, "present",
                                (json_int_t)im->present, "failed", (json_int_t)im->failed, "bytes",
                                (json_int_t)im->bytes, "seconds", seconds);
        cli_print_json(sum);
        json_decref(sum);
    } else {
        printf("%lld created, %lld present already, %lld failed; %s in %.1f s\n", (long long)im->created,
               (long long)im->present, (long long)im->failed, sized(&im->cli->arena, (double)im->bytes),
               seconds);
    }
}
