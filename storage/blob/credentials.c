/* SPDX-License-Identifier: Apache-2.0 */
/* The credential chain. One attempt walks the sources in AWS's order and stops at the first that applies:
 *
 *   alias | env ──> web identity (token file on the pool ──> STS) ──> shared file (pool) ──>
 *   IMDSv2 (token ──> role name ──> keys) ──> nothing found
 *
 * A source that applies but fails ends the attempt: falling through to another identity would hide it. */
#include "credentials.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "pantera/buf.h"
#include "pantera/clock.h"
#include "pantera/text.h"
#include "store.h"
#include "xml.h"

enum {
    ANSWER_BYTES = 64 << 10,
    FILE_BYTES = 256 << 10,
    REFRESH_BEFORE_MS = 5 * 60 * 1000,
    RETRY_MS = 15 * 1000,         /* a failed refresh of keys that are still good */
    FILE_GOOD_MS = 5 * 60 * 1000, /* a shared file may be rotated: look again */
};

enum source { SOURCE_BASIC, SOURCE_DEFAULT, SOURCE_PROFILE, SOURCE_WEB_IDENTITY, SOURCE_IMDS };

struct credentials {
    struct loop *loop;
    struct client *client;
    enum source source;
    char *region, *profile;
    /* what is known now; `expires_ms` on the wall clock, 0: never */
    char *access, *secret, *token;
    int64_t expires_ms, retry_at_ms;
    bool stale; /* the store said so */
    /* the attempt under way */
    bool fetching, freed, requesting;
    struct credentials_wait *waiters;
    struct work work;
    char *role_arn, *token_file, *shared_file, *file_text; /* the pool's while it runs */
    struct task later;
    struct client_request request;
    struct arena arena; /* of the attempt */
    struct buf answer;
    const char *imds_token;
    void (*on_answer)(struct credentials *c, int status);
};

/* --- results --- */

static void keys_free(struct credentials *c)
{
    free(c->access);
    free(c->secret);
    free(c->token);
    c->access = c->secret = c->token = NULL;
}

static void credentials_destroy(struct credentials *c)
{
    keys_free(c);
    free(c->region);
    free(c->profile);
    free(c->role_arn);
    free(c->token_file);
    free(c->shared_file);
    free(c->file_text);
    arena_release(&c->arena);
    buf_free(&c->answer);
    free(c);
}

/* The end of an attempt. Waiters are called from here, never inside credentials_wait: an attempt's end
 * always comes from a task, the pool or the client. */
static void finish(struct credentials *c, enum err e, const struct why *why)
{
    struct credentials_wait *w = c->waiters;
    c->fetching = false;
    c->waiters = NULL;
    arena_reset(&c->arena);
    buf_clear(&c->answer);
    if (e != OK)
        c->retry_at_ms = clock_wall_ms() + RETRY_MS;
    while (w) {
        struct credentials_wait *next = w->next;
        w->on_ready(w, e, why);
        w = next;
    }
}

static void finish_failed(struct credentials *c, enum err e, const char *text)
{
    struct why why;
    finish(c, fail(&why, e, "S3 credentials: %s", text), &why);
}

static void finish_keys(struct credentials *c, const char *access, const char *secret,
                        const char *token, int64_t expires_ms)
{
    if (!access || !*access || !secret || !*secret) {
        finish_failed(c, ERR_FORBIDDEN, "the source gave no keys");
        return;
    }
    keys_free(c);
    c->access = strdup(access);
    c->secret = strdup(secret);
    c->token = token && *token ? strdup(token) : NULL;
    c->expires_ms = expires_ms;
    c->stale = false;
    finish(c, OK, NULL);
}

/* "2026-01-02T03:04:05Z"; 0 if it is not one, which counts as an hour from now. */
static int64_t parse_time(const char *text)
{
    struct tm tm = { .tm_isdst = 0 };
    const char *end = text ? strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) : NULL;
    return end ? (int64_t)timegm(&tm) * 1000 : clock_wall_ms() + 3600 * 1000;
}

/* --- asking over HTTP --- */

static bool on_data(struct client_request *r, const void *data, size_t size)
{
    struct credentials *c = r->arg;
    buf_add(&c->answer, data, size); /* past the cap: seen by who reads it */
    return true;
}

static void on_done(struct client_request *r)
{
    struct credentials *c = r->arg;
    c->requesting = false;
    if (c->freed)
        credentials_destroy(c);
    else if (r->err != OK)
        finish_failed(c, ERR_STORE_DOWN, r->why.text);
    else if (buf_err(&c->answer) != OK)
        finish_failed(c, ERR_STORE_DOWN, "the answer is too large");
    else
        c->on_answer(c, r->status);
}

static void ask(struct credentials *c, const char *method, const char *url, const char *header,
                const char *body, void (*on_answer)(struct credentials *c, int status))
{
    struct why why;
    const char **headers = arena_alloc(&c->arena, 2 * sizeof *headers);
    headers[0] = header;
    buf_clear(&c->answer);
    c->on_answer = on_answer;
    c->request = (struct client_request){
        .method = method, .url = url, .headers = headers, .body = body,
        .body_size = body ? strlen(body) : 0, .connect_timeout_ms = 2000, .stall_timeout_ms = 5000,
        .total_timeout_ms = 10000, .on_data = on_data, .on_done = on_done, .arg = c,
    };
    if (client_submit(c->client, &c->request, &why) == OK)
        c->requesting = true;
    else
        finish_failed(c, ERR_STORE_DOWN, why.text);
}

static const char *environment(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

/* --- IMDSv2 --- */

static const char *imds_url(struct credentials *c, const char *path)
{
    const char *base = environment("AWS_EC2_METADATA_SERVICE_ENDPOINT");
    base = base ? base : "http://169.254.169.254";
    size_t n = strlen(base);
    return arena_printf(&c->arena, "%.*s%s", (int)(base[n - 1] == '/' ? n - 1 : n), base, path);
}

static void on_imds_keys(struct credentials *c, int status)
{
    json_t *o = status == 200 ? json_loadb(c->answer.data, c->answer.length, 0, NULL) : NULL;
    if (!o) {
        finish_failed(c, ERR_FORBIDDEN, "the metadata service gave no keys");
        return;
    }
    finish_keys(c, json_string_value(json_object_get(o, "AccessKeyId")),
                json_string_value(json_object_get(o, "SecretAccessKey")),
                json_string_value(json_object_get(o, "Token")),
                parse_time(json_string_value(json_object_get(o, "Expiration"))));
    json_decref(o);
}

static void on_imds_role(struct credentials *c, int status)
{
    char *role = arena_strndup(&c->arena, c->answer.data ? c->answer.data : "", c->answer.length);
    role[strcspn(role, "\r\n")] = 0;
    if (status != 200 || !name_valid(role)) {
        finish_failed(c, ERR_FORBIDDEN, "the metadata service names no role");
        return;
    }
    ask(c, "GET", imds_url(c, arena_printf(&c->arena,
                                           "/latest/meta-data/iam/security-credentials/%s", role)),
        c->imds_token, NULL, on_imds_keys);
}

static void on_imds_token(struct credentials *c, int status)
{
    if (status != 200 || c->answer.length == 0 || c->answer.length > 1024 ||
        memchr(c->answer.data, '\n', c->answer.length)) {
        finish_failed(c, ERR_FORBIDDEN, "the metadata service gives no session token");
        return;
    }
    c->imds_token = arena_printf(&c->arena, "X-aws-ec2-metadata-token: %.*s",
                                 (int)c->answer.length, c->answer.data);
    ask(c, "GET", imds_url(c, "/latest/meta-data/iam/security-credentials/"), c->imds_token, NULL,
        on_imds_role);
}

static void start_imds(struct credentials *c)
{
    const char *off = environment("AWS_EC2_METADATA_DISABLED");
    if (off && strcasecmp(off, "true") == 0)
        finish_failed(c, ERR_FORBIDDEN, "none found in the alias, the environment or the shared file");
    else
        ask(c, "PUT", imds_url(c, "/latest/api/token"),
            "X-aws-ec2-metadata-token-ttl-seconds: 21600", NULL, on_imds_token);
}

/* --- web identity: AssumeRoleWithWebIdentity --- */

static void on_sts(struct credentials *c, int status)
{
    const char *xml = c->answer.data;
    if (status != 200) {
        char *code = xml_text(&c->arena, xml, "Code");
        finish_failed(c, status >= 500 ? ERR_STORE_DOWN : ERR_FORBIDDEN,
                      arena_printf(&c->arena, "STS answers %d %.80s", status, code ? code : ""));
        return;
    }
    finish_keys(c, xml_text(&c->arena, xml, "AccessKeyId"),
                xml_text(&c->arena, xml, "SecretAccessKey"),
                xml_text(&c->arena, xml, "SessionToken"),
                parse_time(xml_text(&c->arena, xml, "Expiration")));
}

static void ask_sts(struct credentials *c)
{
    const char *endpoint = environment("AWS_ENDPOINT_URL_STS");
    const char *session = environment("AWS_ROLE_SESSION_NAME");
    c->file_text[strcspn(c->file_text, "\r\n")] = 0;
    const char *url = endpoint ? arena_printf(&c->arena, "%s/", endpoint)
                               : arena_printf(&c->arena, "https://sts.%s.amazonaws.com/", c->region);
    const char *body = arena_printf(
        &c->arena, "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=%s"
        "&RoleSessionName=%s&WebIdentityToken=%s", percent_encode(&c->arena, c->role_arn, false),
        percent_encode(&c->arena, session ? session : "pantera", false),
        percent_encode(&c->arena, c->file_text, false));
    ask(c, "POST", url, "Content-Type: application/x-www-form-urlencoded", body, on_sts);
}

/* --- files, on the pool --- */

/* Reads `path` whole, up to the cap; NULL if it can't be read. */
static char *read_file(const char *path)
{
    FILE *f = fopen(path, "re");
    char *text = f ? calloc(1, FILE_BYTES + 1) : NULL;
    if (text && fread(text, 1, FILE_BYTES, f) == 0) {
        free(text);
        text = NULL;
    }
    if (f)
        fclose(f);
    return text;
}

static void files_run(struct work *work)
{
    struct credentials *c = container_of(work, struct credentials, work);
    c->file_text = read_file(c->token_file ? c->token_file : c->shared_file);
}

static char *trim(char *text)
{
    text += strspn(text, " \t\r");
    size_t n = strlen(text);
    while (n > 0 && strchr(" \t\r", text[n - 1]))
        text[--n] = 0;
    return text;
}

/* The INI dialect of ~/.aws/credentials: [profile], key = value, # and ; begin comments. */
static bool parse_shared(char *text, const char *profile, const char **access, const char **secret,
                         const char **token)
{
    bool inside = false, found = false;
    char *save = NULL;
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        line = trim(line);
        if (line[0] == '[') {
            line[strcspn(line, "]")] = 0;
            inside = strcmp(trim(line + 1), profile) == 0;
            found = found || inside;
            continue;
        }
        char *equals = strchr(line, '=');
        if (!inside || !equals || line[0] == '#' || line[0] == ';')
            continue;
        *equals = 0;
        const char *name = trim(line), *value = trim(equals + 1);
        if (strcmp(name, "aws_access_key_id") == 0)
            *access = value;
        else if (strcmp(name, "aws_secret_access_key") == 0)
            *secret = value;
        else if (strcmp(name, "aws_session_token") == 0)
            *token = value;
    }
    return found;
}

static void on_files(struct work *work)
{
    struct credentials *c = container_of(work, struct credentials, work);
    const char *access = NULL, *secret = NULL, *token = NULL;
    const char *profile = c->profile ? c->profile : environment("AWS_PROFILE");
    if (c->freed) {
        credentials_destroy(c);
        return;
    }
    if (c->token_file) {
        if (c->file_text)
            ask_sts(c);
        else
            finish_failed(c, ERR_FORBIDDEN, "the web identity token file can't be read");
    } else if (c->file_text && parse_shared(c->file_text, profile ? profile : "default", &access,
                                            &secret, &token)) {
        finish_keys(c, access, secret, token, clock_wall_ms() + FILE_GOOD_MS);
    } else if (c->source == SOURCE_PROFILE) {
        finish_failed(c, ERR_FORBIDDEN, "the shared file has no such profile");
    } else {
        start_imds(c);
    }
    if (c->file_text)
        explicit_bzero(c->file_text, strlen(c->file_text));
    free(c->file_text);
    c->file_text = NULL;
}

static char *copy_or_null(const char *text)
{
    return text ? strdup(text) : NULL;
}

static char *shared_file_path(void)
{
    const char *path = environment("AWS_SHARED_CREDENTIALS_FILE"), *home = environment("HOME");
    char *made = NULL;
    if (path)
        return strdup(path);
    return asprintf(&made, "%s/.aws/credentials", home ? home : "") < 0 ? NULL : made;
}

static void start_files(struct credentials *c)
{
    bool web = c->source == SOURCE_WEB_IDENTITY || c->source == SOURCE_DEFAULT;
    free(c->role_arn);
    free(c->token_file);
    free(c->shared_file);
    c->role_arn = copy_or_null(environment("AWS_ROLE_ARN"));
    c->token_file = web && c->role_arn
                        ? copy_or_null(environment("AWS_WEB_IDENTITY_TOKEN_FILE")) : NULL;
    c->shared_file = shared_file_path();
    if (c->source == SOURCE_WEB_IDENTITY && !c->token_file)
        finish_failed(c, ERR_FORBIDDEN, "AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN are not set");
    else if (c->token_file || c->shared_file)
        work_submit(&c->work, c->loop, files_run, on_files);
    else
        start_imds(c);
}

/* --- an attempt --- */

static void start(struct task *task)
{
    struct credentials *c = container_of(task, struct credentials, later);
    const char *access = environment("AWS_ACCESS_KEY_ID");
    const char *secret = environment("AWS_SECRET_ACCESS_KEY");
    if (c->freed)
        credentials_destroy(c);
    else if (c->source == SOURCE_DEFAULT && access && secret)
        finish_keys(c, access, secret, environment("AWS_SESSION_TOKEN"), 0);
    else if (c->source == SOURCE_IMDS)
        start_imds(c);
    else
        start_files(c);
}

static void fetch(struct credentials *c)
{
    if (c->fetching)
        return;
    c->fetching = true;
    c->later.run = start;
    loop_post(c->loop, &c->later);
}

bool credentials_now(struct credentials *c, struct sigv4_keys *ret)
{
    int64_t left = c->expires_ms ? c->expires_ms - clock_wall_ms() : INT64_MAX;
    if (!c->access || c->stale || left <= 0)
        return false;
    if (left < REFRESH_BEFORE_MS && c->source != SOURCE_BASIC &&
        clock_wall_ms() >= c->retry_at_ms)
        fetch(c);
    *ret = (struct sigv4_keys){ c->access, c->secret, c->token };
    return true;
}

void credentials_wait(struct credentials *c, struct credentials_wait *w)
{
    w->next = c->waiters;
    c->waiters = w;
    fetch(c);
}

void credentials_prefetch(struct credentials *c)
{
    fetch(c);
}

void credentials_cancel(struct credentials *c, struct credentials_wait *w)
{
    for (struct credentials_wait **at = &c->waiters; *at; at = &(*at)->next)
        if (*at == w) {
            *at = w->next;
            return;
        }
}

void credentials_invalidate(struct credentials *c)
{
    c->stale = c->source != SOURCE_BASIC;
}

/* --- configuration --- */

static const struct blob_config_key basic_keys[] = {
    { "type", JSON_STRING, true }, { "accessKeyId", JSON_STRING, true },
    { "secretAccessKey", JSON_STRING, true }, { "sessionToken", JSON_STRING, false },
    { NULL, JSON_NULL, false },
}, profile_keys[] = {
    { "type", JSON_STRING, true }, { "profile", JSON_STRING, true }, { NULL, JSON_NULL, false },
}, plain_keys[] = {
    { "type", JSON_STRING, true }, { NULL, JSON_NULL, false },
};

static const struct kind {
    const char *name;
    enum source source;
    const struct blob_config_key *keys;
} kinds[] = {
    { "basic", SOURCE_BASIC, basic_keys },
    { "default", SOURCE_DEFAULT, plain_keys },
    { "profile", SOURCE_PROFILE, profile_keys },
    { "web-identity", SOURCE_WEB_IDENTITY, plain_keys },
    { "imds", SOURCE_IMDS, plain_keys },
};

static const struct kind *kind_of(const json_t *config)
{
    const char *type = config ? json_string_value(json_object_get(config, "type")) : "default";
    for (size_t i = 0; type && i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(kinds[i].name, type) == 0)
            return &kinds[i];
    return NULL;
}

enum err credentials_check(const json_t *config, struct why *why)
{
    const struct kind *kind = kind_of(config);
    if (!kind)
        return fail(why, ERR_BAD_REQUEST, "storage: credentials.type: expected basic, default, "
                    "profile, web-identity or imds");
    return config ? blob_config_check(config, "credentials.", kind->keys, why) : OK;
}

struct credentials *credentials_new(struct loop *loop, struct client *client, const json_t *config,
                                    const char *region)
{
    struct credentials *c = calloc(1, sizeof *c);
    check(c != NULL);
    c->loop = loop;
    c->client = client;
    c->source = kind_of(config)->source;
    c->region = strdup(region);
    arena_init(&c->arena);
    buf_init(&c->answer, ANSWER_BYTES);
    if (c->source == SOURCE_BASIC) {
        c->access = strdup(json_string_value(json_object_get(config, "accessKeyId")));
        c->secret = strdup(json_string_value(json_object_get(config, "secretAccessKey")));
        c->token = copy_or_null(json_string_value(json_object_get(config, "sessionToken")));
    } else if (c->source == SOURCE_PROFILE) {
        c->profile = strdup(json_string_value(json_object_get(config, "profile")));
    }
    return c;
}

void credentials_free(struct credentials *c)
{
    if (!c)
        return;
    c->freed = true;
    if (!c->fetching)
        credentials_destroy(c);
    else if (c->requesting)
        client_cancel(&c->request);
}
