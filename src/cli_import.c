/* SPDX-License-Identifier: Apache-2.0 */
/* `pantera import DIR|URL REPOSITORY[/FOLDER]`: everything below a folder or a listing, through /.import.
 * May be interrupted and run again at any time. docs/guide/import.md. */
#include "src/cli_import.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pantera/clock.h"
#include "pantera/text.h"

enum { JOBS = 8, TICK_MS = 100 };

/* --- where to --- */

/* The repository port is beside the management port, or behind the same name. */
static const char *repo_url_of(struct cli *cli)
{
    const char *set = cli_option(cli, "repo-url"), *port;
    if (!set)
        set = getenv("PANTERA_REPO_URL");
    if (!set || !*set) {
        size_t n = strlen(cli->url);
        port = n > 5 ? cli->url + n - 5 : "";
        return strcmp(port, ":8086") == 0 ? arena_printf(&cli->arena, "%.*s:8080", (int)(n - 5), cli->url)
                                          : cli->url;
    }
    size_t n = strlen(set);
    while (n && set[n - 1] == '/')
        n--;
    return arena_strndup(&cli->arena, set, n);
}

/* Whoever may not read the configuration says --type, or imports files. */
static int type_of(struct cli *cli, struct import *im)
{
    int status;
    im->type = cli_option(cli, "type");
    if (im->type)
        return CLI_OK;
    const char *path = arena_printf(&cli->arena, "/repositories/%s", cli_escape(cli, im->repo));
    json_t *answer = cli_call(cli, "GET", path, NULL, &status);
    const char *type = json_string_value(json_object_get(json_object_get(answer, "repo"), "type"));
    im->type = type ? arena_strdup(&cli->arena, type) : "file";
    json_decref(answer);
    if (status == 404)
        cli_say("there is no repository '%s'", im->repo);
    return !status ? CLI_UNAVAILABLE : status == 404 ? CLI_NOT_FOUND : CLI_OK;
}

static bool target_of(struct cli *cli, const char *word, struct import *im)
{
    size_t n = strcspn(word, "/"), end = strlen(word);
    while (end > n && word[end - 1] == '/')
        end--;
    im->repo = arena_strndup(&cli->arena, word, n);
    im->folder = end > n ? arena_strndup(&cli->arena, word + n + 1, end - n - 1) : "";
    if (name_valid(im->repo))
        return true;
    cli_say("'%s' is not a repository's name", im->repo);
    return false;
}

static bool jobs_of(struct cli *cli, struct import *im)
{
    const char *text = cli_option(cli, "jobs");
    char *end;
    long n = text ? strtol(text, &end, 10) : JOBS;
    if (n < 1 || n > IMPORT_JOBS || (text && *end)) {
        cli_say("--jobs is a number from 1 to %d", IMPORT_JOBS);
        return false;
    }
    im->job_count = (unsigned)n;
    return true;
}

/* --- where from --- */

static bool is_url(const char *word)
{
    return strncmp(word, "http://", 7) == 0 || strncmp(word, "https://", 8) == 0;
}

/* Our token goes to our server and nowhere else. */
static const char *authorization_of(struct cli *cli, const struct import *im, const char *url)
{
    const char *user = cli_option(cli, "source-user"), *token = getenv("PANTERA_SOURCE_TOKEN");
    const char *pass = getenv("PANTERA_SOURCE_PASS");
    size_t n = strlen(im->repo_url);
    if (user) {
        const char *both = arena_printf(&cli->arena, "%s:%s", user, pass ? pass : "");
        return arena_printf(&cli->arena, "Authorization: Basic %s",
                            base64_encode(&cli->arena, both, strlen(both)));
    }
    if (token && *token)
        return arena_printf(&cli->arena, "Authorization: Bearer %s", token);
    if (strncmp(url, im->repo_url, n) == 0 && url[n] == '/')
        return arena_printf(&cli->arena, "Authorization: Bearer %s", cli->token);
    return NULL;
}

static struct import_source *source_of(struct cli *cli, struct import *im, const char *word)
{
    if (!is_url(word))
        return import_dir_open(word);
    im->source_authorization = authorization_of(cli, im, word);
    return import_url_open(cli, word, im->source_authorization);
}

/* --- the run --- */

static void on_tick(uv_timer_t *timer)
{
    struct import *im = timer->data;
    uint64_t now = clock_mono_ms();
    for (unsigned i = 0; i < im->job_count; i++) {
        struct import_job *job = &im->jobs[i];
        if (job->step == JOB_WAIT && job->due_ms <= now && !im->sign_in && !im->stop)
            import_job_again(job);
    }
    import_draw(im, false);
}

static unsigned count_of(const struct import *im, bool running)
{
    unsigned n = 0;
    for (unsigned i = 0; i < im->job_count; i++)
        n += running ? import_job_running(&im->jobs[i]) : im->jobs[i].step != JOB_IDLE;
    return n;
}

/* False: the source has no more. */
static bool fill(struct import *im)
{
    struct import_item item;
    for (unsigned i = 0; i < im->job_count && !im->stop && !im->sign_in; i++)
        while (im->jobs[i].step == JOB_IDLE && !im->stop && !im->sign_in) {
            if (!im->source->next(im->source, &item))
                return false;
            import_job_start(&im->jobs[i], &item);
        }
    return true;
}

/* Those that wait will not be tried again. */
static void give_up(struct import *im)
{
    for (unsigned i = 0; i < im->job_count; i++)
        if (im->jobs[i].step == JOB_WAIT) {
            im->failed++;
            im->jobs[i].step = JOB_IDLE;
            buf_free(&im->jobs[i].answer);
            arena_release(&im->jobs[i].arena);
            import_item_free(&im->jobs[i].item);
            if (im->jobs[i].fd >= 0)
                close(im->jobs[i].fd);
        }
}

static void run(struct import *im)
{
    struct cli *cli = im->cli;
    bool more = true;
    for (;;) {
        im->wake = false;
        if (im->sign_in && !count_of(im, true)) {
            im->stop = im->stop ? im->stop : cli_sign_in(cli);
            im->sign_in = false;
        }
        if (im->stop && !count_of(im, true))
            give_up(im);
        if (more && !im->stop && !im->sign_in)
            more = fill(im);
        if (!count_of(im, false) && (!more || im->stop))
            return;
        if (!im->wake)
            loop_run_until(&cli->loop, &im->wake);
    }
}

static void on_closed(uv_handle_t *handle)
{
    *(volatile bool *)handle->data = true;
}

static void run_ticking(struct import *im)
{
    uv_timer_t timer;
    volatile bool closed = false;
    uv_timer_init(&im->cli->loop.uv, &timer);
    timer.data = im;
    uv_timer_start(&timer, on_tick, TICK_MS, TICK_MS);
    run(im);
    timer.data = (void *)(uintptr_t)&closed;
    uv_close((uv_handle_t *)&timer, on_closed);
    loop_run_until(&im->cli->loop, &closed);
}

int cli_import(struct cli *cli, int argc, char **argv)
{
    struct import *im = calloc(1, sizeof *im);
    check(im);
    im->cli = cli;
    im->repo_url = repo_url_of(cli);
    im->terminal = isatty(STDERR_FILENO) && !cli->json;
    im->began_ms = clock_mono_ms();
    for (unsigned i = 0; i < IMPORT_JOBS; i++)
        im->jobs[i].im = im;
    int code = jobs_of(cli, im) && target_of(cli, argv[1], im) ? type_of(cli, im) : CLI_USAGE;
    if (!code && !(im->source = source_of(cli, im, argv[0])))
        code = CLI_USAGE;
    if (!code) {
        work_pool_start(0);
        run_ticking(im);
        import_summary(im);
        code = im->stop ? im->stop : im->failed || im->source->failed ? CLI_FAILED : CLI_OK;
        work_pool_stop();
    }
    if (im->source)
        im->source->close(im->source);
    free(im);
    return code;
}
