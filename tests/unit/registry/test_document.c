/* SPDX-License-Identifier: Apache-2.0 */
/* Indexes of hosted repositories, proxies and groups, and files that an index locates, with a toy format:
 * one line a version: "VERSION RELEASED_MS URL SHA256". The same listener is the upstream, below /up/. */
#include "fx_registry.h"

#include "pantera/document.h"
#include "pantera/text.h"
#include "pantera/upstream.h"
#include "src/registry/source.h"

static struct fx_registry fx;
static _Atomic int asked, not_modified, composed;
static _Atomic bool down;
static char upstream_text[4096];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* --- the upstream --- */

static void up_set(const char *text)
{
    pthread_mutex_lock(&lock);
    snprintf(upstream_text, sizeof upstream_text, "%s", text);
    pthread_mutex_unlock(&lock);
}

static void up_echo(struct http_request *req, char *data, size_t size, enum err e, void *arg)
{
    (void)arg;
    http_set_header(req, "ETag", "\"echo\"");
    http_reply(req, e ? 400 : 418, http_header(req, "content-type"), data, size);
}

static void up_answer(struct http_request *req, const char *path)
{
    const char *match = http_header(req, "if-none-match");
    char etag[40], text[4096];

    asked++;
    pthread_mutex_lock(&lock);
    snprintf(text, sizeof text, "%s", upstream_text);
    pthread_mutex_unlock(&lock);
    snprintf(etag, sizeof etag, "\"%llx\"", (unsigned long long)hash_text(text));
    if (down) {
        http_reply(req, 500, NULL, "down", 4);
    } else if (!strcmp(path, "echo")) {
        http_body_collect(req, 1000, up_echo, NULL);
    } else if (!strncmp(path, "bytes/", 6)) {
        http_reply(req, 200, NULL, path + 6, strlen(path + 6));
    } else if (strcmp(path, "lib.idx") || !*text) {
        http_reply(req, 404, NULL, "", 0);
    } else if (match && !strcmp(match, etag)) {
        not_modified++;
        http_set_header(req, "ETag", etag);
        http_reply(req, 304, NULL, NULL, 0);
    } else {
        http_set_header(req, "ETag", etag);
        http_reply(req, 200, "text/x-lines", text, strlen(text));
    }
}

/* --- the format --- */

static const char *field(struct arena *a, const char *line, unsigned n)
{
    while (n-- && *line && *line != '\n')
        line += strcspn(line, " \n") + (line[strcspn(line, " \n")] == ' ');
    return arena_strndup(a, line, strcspn(line, " \n"));
}

static enum err lines_compose(const struct document_request *q, const struct document_source *sources,
                              unsigned count, struct buf *ret, struct document_answer *answer, struct why
                              *why)
{
    (void)why;
    composed++;
    answer->content_type = "text/x-joined";
    answer->headers[0][0] = "X-Base";
    answer->headers[0][1] = q->base;
    for (unsigned i = 0; i < count; i++) {
        for (const char *at = sources[i].data; *at; at += strcspn(at, "\n") + (at[strcspn(at, "\n")] != 0)) {
            const char *version = field(q->arena, at, 0);
            struct policy_verdict_of v = { .allowed = true };
            if (sources[i].policy)
                v = policy_judge(sources[i].policy, version, atoll(field(q->arena, at, 1)));
            if (v.allowed)
                (void)buf_printf(ret, "%s@%s ", version, sources[i].repo);
            else if (v.until_ms && (!answer->valid_until_ms || v.until_ms < answer->valid_until_ms))
                answer->valid_until_ms = v.until_ms;
        }
    }
    return ret->length ? OK : ERR_NOT_FOUND;
}

static enum err lines_locate(const struct document_source *index, const struct file_want *want,
                             struct arena *a, struct file_facts *ret, struct why *why)
{
    for (const char *at = index->data; *at; at += strcspn(at, "\n") + (at[strcspn(at, "\n")] != 0)) {
        if (strcmp(field(a, at, 0), want->version))
            continue;
        const char *sha = field(a, at, 3);
        ret->released_ms = atoll(field(a, at, 1));
        ret->url = field(a, at, 2);
        if (strlen(sha) == 64 && hex_decode(sha, 64, ret->digests.sha256))
            ret->digests.kinds = DIGEST_SHA256;
        return OK;
    }
    return fail(why, ERR_NOT_FOUND, "no version %s", want->version);
}

static const struct document_kind lines = { .name = "lines", .limit = 1 << 20, .compose = lines_compose };
static const struct document index_of_lib = { .kind = &lines, .path = "lib.idx", .package = "lib" };

static void on_request(struct http_request *req)
{
    const char *t = req->target, *slash = strchr(t + 1, '/');
    const struct repo *repo;
    char name[32];

    if (!strncmp(t, "/up/", 4)) {
        up_answer(req, t + 4);
        return;
    }
    snprintf(name, sizeof name, "%.*s", slash ? (int)(slash - t - 1) : 0, t + 1);
    repo = registry_repo(worker_of(req)->registry, name);
    if (!repo) {
        fx_failed(req, ERR_NOT_FOUND, NULL);
    } else if (!strcmp(slash, "/-/echo")) {
        registry_forward(req, repo, "echo", 100, fx_failed);
    } else if (req->method == HTTP_M_PUT) {
        registry_put(req, repo, slash + 1, NULL, 0, fx_put_done);
    } else if (strstr(t, ".idx")) {
        registry_document(req, repo, &index_of_lib, fx_failed);
    } else {
        struct file_want want = { .path = slash + 1, .package = "lib", .version = strrchr(t, '/') + 1,
                                  .index = &index_of_lib, .locate = lines_locate };
        registry_file(req, repo, &want, fx_failed);
    }
}

/* --- --- */

static void repo_put(const char *name, const char *type, const char *text)
{
    json_t *repo = json_loads(text, 0, NULL);

    assert_non_null(repo);
    json_object_set_new(repo, "type", json_string(type));
    if (!json_object_get(repo, "members"))
        json_object_set_new(repo, "storage", json_string("default"));
    json_t *args = json_pack("{s:s, s:s, s:O?, s:{s:o}}", "name", name, "type", type, "storage",
                             json_object_get(repo, "storage"), "config", "repo", repo);
    assert_int_equal(fx_propose(&fx, "repo.put", args), OK);
}

static void proxy_put(const char *name, const char *ttl)
{
    char text[256];

    snprintf(text, sizeof text, "{\"remotes\": [{\"url\": \"http://127.0.0.1:%d/up\"}], \"cache\": "
             "{\"metadata\": {\"ttl\": \"%s\"}, \"negative\": {\"enabled\": false}}}", fx.port, ttl);
    repo_put(name, "file-proxy", text);
}

static int start(void **state)
{
    (void)state;
    asked = not_modified = composed = 0;
    down = false;
    up_set("");
    assert_int_equal(upstream_allow((const char *const[]){ "127.0.0.0/8", NULL }, NULL), OK);
    fx_registry_start(&fx);
    fx.listener.on_request = on_request;
    fx_await(&fx, "SELECT count(*) FROM sqlite_master WHERE name = 'upstream_purge'", 1);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    fx_registry_stop(&fx);
    return 0;
}

static void expect(const char *path, int status, const char *body)
{
    struct fx_answer a = fx_http(&fx, "GET", path, "", NULL, 0);

    if (a.status != status || (body && strcmp(a.body, body)))
        print_error("%s: %s\n", path, a.raw);
    assert_int_equal(a.status, status);
    if (body)
        assert_string_equal(a.body, body);
    free(a.raw);
}

static void document_is_made_once_for_the_same_sources(void **state)
{
    struct fx_answer a;
    char header[128];

    (void)state;
    assert_int_equal(fx_status(&fx, "PUT", "files/lib.idx", "", "1 0\n2 0\n"), 201);
    for (int i = 0; i < 3; i++)
        expect("files/lib.idx", 200, "1@files 2@files ");
    assert_int_equal(composed, 1);
    a = fx_http(&fx, "GET", "files/lib.idx", "", NULL, 0);
    assert_non_null(strstr(a.head, "X-Base: http://"));
    assert_non_null(strstr(a.head, "/files\r\n"));
    assert_non_null(strstr(a.head, "Content-Type: text/x-joined\r\n"));
    snprintf(header, sizeof header, "If-None-Match: %.66s\r\n", strstr(a.head, "ETag: ") + 6);
    free(a.raw);
    assert_int_equal(fx_status(&fx, "GET", "files/lib.idx", header, ""), 304);
    a = fx_http(&fx, "HEAD", "files/lib.idx", "", NULL, 0);
    assert_non_null(strstr(a.head, "Content-Length: 16\r\n"));
    free(a.raw);
    assert_int_equal(fx_status(&fx, "PUT", "files/lib.idx", "", "3 0\n"), 200);
    expect("files/lib.idx", 200, "3@files ");
    assert_int_equal(composed, 2);
    repo_put("empty", "file", "{}");
    expect("empty/lib.idx", 404, NULL);
}

static void document_of_a_proxy_is_asked_for_again_when_its_time_is_up(void **state)
{
    (void)state;
    proxy_put("slow", "1h");
    proxy_put("fast", "0s");
    expect("slow/lib.idx", 404, NULL);
    up_set("1 0\n");
    expect("slow/lib.idx", 200, "1@slow ");
    int before = asked;
    for (int i = 0; i < 3; i++)
        expect("slow/lib.idx", 200, "1@slow ");
    assert_int_equal(asked, before);
    expect("fast/lib.idx", 200, "1@fast ");
    expect("fast/lib.idx", 200, "1@fast ");
    assert_int_equal(asked, before + 2);
    assert_int_equal(not_modified, 1);
    up_set("1 0\n2 0\n");
    expect("fast/lib.idx", 200, "1@fast 2@fast ");
    expect("slow/lib.idx", 200, "1@slow ");
    down = true; /* stale is better than nothing */
    expect("fast/lib.idx", 200, "1@fast 2@fast ");
    proxy_put("never", "1h");
    expect("never/lib.idx", 502, NULL);
}

static void document_of_a_group_is_the_union_but_for_hosted_names(void **state)
{
    (void)state;
    proxy_put("mirror", "1h");
    repo_put("own", "file", "{}");
    repo_put("all", "file-group", "{\"members\": [\"mirror\", \"files\", \"own\"]}");
    up_set("9 0\n");
    expect("all/lib.idx", 200, "9@mirror ");
    assert_int_equal(fx_status(&fx, "PUT", "own/lib.idx", "", "1 0\n"), 201);
    expect("all/lib.idx", 200, "1@own 9@mirror ");
    assert_int_equal(fx_status(&fx, "PUT", "files/lib.idx", "", "2 0\n"), 201);
    expect("all/lib.idx", 200, "2@files 1@own 9@mirror ");
    /* "lib" itself is hosted */
    assert_int_equal(fx_status(&fx, "PUT", "own/lib/1", "", "bytes"), 201);
    expect("all/lib.idx", 200, "2@files 1@own ");
    repo_put("open", "file-group", "{\"members\": [\"mirror\", \"own\"], \"allow_upstream\": [\"l*\"]}");
    expect("open/lib.idx", 200, "1@own 9@mirror ");
}

static void file_is_where_the_index_says(void **state)
{
    char text[512], hex[65];
    unsigned char digest[32];

    (void)state;
    proxy_put("mirror", "1h");
    sha256("good", 4, digest);
    hex_encode(digest, 32, hex);
    snprintf(text, sizeof text, "1 1000 bytes/good %s\n2 1000 bytes/evil %s\n3 1000 /up/bytes/three\n", hex,
             hex);
    up_set(text);
    expect("mirror/lib/1", 200, "good");
    expect("mirror/lib/1", 200, "good");
    expect("mirror/lib/2", 502, NULL);
    expect("mirror/lib/3", 200, "three");
    expect("mirror/lib/4", 404, NULL);
    fx_await(&fx, "SELECT count(*) FROM artifact WHERE path LIKE 'lib/%'", 2);
    assert_int_equal(asked, 4); /* the index, and three files */
}

static void cooldown_holds_at_the_index_and_at_the_bytes(void **state)
{
    int64_t now = clock_wall_ms();
    char text[512];
    struct fx_answer a;

    (void)state;
    proxy_put("mirror", "1h");
    snprintf(text, sizeof text, "1 1000 bytes/one\n2 %lld bytes/two\n3 0 bytes/three\n", (long long)now);
    up_set(text);
    expect("mirror/lib/2", 200, "two");
    expect("mirror/lib.idx", 200, "1@mirror 2@mirror 3@mirror ");
    assert_int_equal(fx_propose(&fx, "cooldown.config", json_pack("{s:{s:b, s:s}}", "patch", "enabled", 1,
                                                                  "minimum_allowed_age", "7d")), OK);
    expect("mirror/lib.idx", 200, "1@mirror ");
    expect("mirror/lib/1", 200, "one");
    a = fx_http(&fx, "GET", "mirror/lib/2", "", NULL, 0); /* cached, and judged all the same */
    assert_int_equal(a.status, 403);
    assert_non_null(strstr(a.body, "TOO_YOUNG"));
    assert_non_null(strstr(a.head, "Retry-After: 6"));
    free(a.raw);
    expect("mirror/lib/3", 403, NULL); /* nobody says how old it is */
    fx_await(&fx, "SELECT count(*) FROM cooldown_block", 2); /* of both, and why */
    json_t *args = json_pack("{s:s, s:s, s:s}", "repo", "mirror", "package", "lib", "version", "2");
    assert_int_equal(fx_propose(&fx, "cooldown.unblock", args), OK);
    expect("mirror/lib.idx", 200, "1@mirror 2@mirror ");
    expect("mirror/lib/2", 200, "two");
}

static void age_of_a_cached_file_is_learned_when_it_matters(void **state)
{
    char text[256];

    (void)state;
    proxy_put("mirror", "1h");
    snprintf(text, sizeof text, "1 1000 bytes/one\n2 %lld bytes/two\n", (long long)clock_wall_ms());
    up_set(text);
    expect("mirror/lib/1", 200, "one");
    expect("mirror/lib/2", 200, "two");
    fx_await(&fx, "SELECT count(*) FROM upstream WHERE released_ms > 0", 2);
    for (int i = 1; i <= 2; i++) { /* as if they had come before anybody looked at ages */
        snprintf(text, sizeof text, "lib/%d", i);
        json_t *args = json_pack("{s:I, s:s, s:{s:s, s:i}}", "repo_id",
                                 (json_int_t)fx_int(&fx, "SELECT id FROM repository WHERE name = 'mirror'"),
                                 "path", text, "upstream", "remote", "x", "released_ms", 0);
        assert_int_equal(fx_propose(&fx, "upstream.seen", args), OK);
    }
    assert_int_equal(fx_propose(&fx, "cooldown.config", json_pack("{s:{s:b, s:s}}", "patch", "enabled", 1,
                                                                  "minimum_allowed_age", "7d")), OK);
    int before = asked;
    expect("mirror/lib/1", 200, "one");
    expect("mirror/lib/2", 403, NULL);
    fx_await(&fx, "SELECT count(*) FROM upstream WHERE released_ms > 0", 2);
    expect("mirror/lib/1", 200, "one");
    expect("mirror/lib/2", 403, NULL);
    assert_int_equal(asked, before);
}

static void forward_passes_an_answer_on(void **state)
{
    struct fx_answer a;

    (void)state;
    proxy_put("mirror", "1h");
    repo_put("all", "file-group", "{\"members\": [\"files\", \"mirror\"]}");
    a = fx_http(&fx, "POST", "all/-/echo", "Content-Type: a/b\r\n", "hello", 5);
    assert_int_equal(a.status, 418);
    assert_string_equal(a.body, "hello");
    assert_non_null(strstr(a.head, "Content-Type: a/b\r\n"));
    assert_non_null(strstr(a.head, "etag: \"echo\"\r\n"));
    free(a.raw);
    char big[200];
    memset(big, 'x', sizeof big);
    a = fx_http(&fx, "POST", "mirror/-/echo", "", big, sizeof big);
    assert_int_equal(a.status, 413);
    free(a.raw);
    assert_int_equal(fx_status(&fx, "POST", "files/-/echo", "", "x"), 404);
    down = true;
    assert_int_equal(fx_status(&fx, "POST", "mirror/-/echo", "", "x"), 500);
}

static void a_link_names_the_next_page(void **state)
{
    static const char *const cases[][2] = {
        { "</v2/a/tags/list?last=b&n=2>; rel=\"next\"", "http://h/v2/a/tags/list?last=b&n=2" },
        { "<?p=2>;rel=next", "http://h/v2/a?p=2" },
        { "<x>; rel=\"prev\", <y>; title=\"z\"; rel=\"next\"", "http://h/v2/y" },
        { "<http://other/x>; rel=\"next\"", "http://other/x" },
        { "<x>; rel=\"prev\"", NULL }, { "x; rel=next", NULL }, { "<x", NULL }, { "", NULL }, { NULL, NULL },
    };
    struct arena a;

    (void)state;
    arena_init(&a);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *next = url_next(&a, "http://h/v2/a?p=1", cases[i][0]);
        if (cases[i][1])
            assert_string_equal(next, cases[i][1]);
        else
            assert_null(next);
    }
    arena_release(&a);
}

static void url_resolve_follows_the_rfc(void **state)
{
    static const char *const cases[][3] = { /* RFC 3986 §5.4 */
        { "http://a/b/c/d;p?q", "g:h", "g:h" }, { "http://a/b/c/d;p?q", "g", "http://a/b/c/g" },
        { "http://a/b/c/d;p?q", "./g", "http://a/b/c/g" }, { "http://a/b/c/d;p?q", "g/", "http://a/b/c/g/" },
        { "http://a/b/c/d;p?q", "/g", "http://a/g" }, { "http://a/b/c/d;p?q", "//g", "http://g" },
        { "http://a/b/c/d;p?q", "g?y", "http://a/b/c/g?y" },
        { "http://a/b/c/d;p?q", "g#s", "http://a/b/c/g" },
        { "http://a/b/c/d;p?q", ";x", "http://a/b/c/;x" }, { "http://a/b/c/d;p?q", ".", "http://a/b/c/" },
        { "http://a/b/c/d;p?q", "..", "http://a/b/" }, { "http://a/b/c/d;p?q", "../g", "http://a/b/g" },
        { "http://a/b/c/d;p?q", "../../g", "http://a/g" },
        { "http://a/b/c/d;p?q", "../../../g", "http://a/g" },
        { "http://a/b/c/d;p?q", "/./g", "http://a/g" }, { "http://a/b/c/d;p?q", "g..", "http://a/b/c/g.." },
        { "http://a/b/c/d;p?q", "./g/.", "http://a/b/c/g/" },
        { "http://a/b/c/d;p?q", "g/../h", "http://a/b/c/h" },
        { "http://a", "g", "http://a/g" }, { "http://a?x", "/g", "http://a/g" },
    };
    struct arena a;

    (void)state;
    arena_init(&a);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(url_resolve(&a, cases[i][0], cases[i][1]), cases[i][2]);
    arena_release(&a);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(document_is_made_once_for_the_same_sources),
        TEST(document_of_a_proxy_is_asked_for_again_when_its_time_is_up),
        TEST(document_of_a_group_is_the_union_but_for_hosted_names),
        TEST(file_is_where_the_index_says),
        TEST(cooldown_holds_at_the_index_and_at_the_bytes),
        TEST(age_of_a_cached_file_is_learned_when_it_matters),
        TEST(forward_passes_an_answer_on),
        cmocka_unit_test(url_resolve_follows_the_rfc), cmocka_unit_test(a_link_names_the_next_page),
    };
    int failed;

    work_pool_start(0);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    work_pool_stop();
    return failed;
}
