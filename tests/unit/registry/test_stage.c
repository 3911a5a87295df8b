/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes first, names after: stages, commits of several names, documents that are changed by many. */
#include "fx_registry.h"

#include "pantera/limits.h"
#include "src/registry/staging.h"
#include "pantera/text.h"

static struct fx_registry fx;
static uv_sem_t done;
static enum err last;
static char why_was[256];

static int start(void **state)
{
    (void)state;
    fx_registry_start(&fx);
    assert_int_equal(uv_sem_init(&done, 0), 0);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    uv_sem_destroy(&done);
    fx_registry_stop(&fx);
    return 0;
}

static const struct repo *files(void)
{
    return registry_repo(fx.worker.registry, "files");
}

static void on_loop_and_wait(void (*run)(struct fx_registry *))
{
    fx_on_loop(&fx, run);
    uv_sem_wait(&done);
}

static void ended(enum err e, const struct why *why, void *arg)
{
    (void)arg;
    last = e;
    snprintf(why_was, sizeof why_was, "%s", why->text);
    uv_sem_post(&done);
}

static void expect_body(const char *path, int status, const char *body)
{
    struct fx_answer a = fx_http(&fx, "GET", path, "", NULL, 0);

    assert_int_equal(a.status, status);
    if (body)
        assert_string_equal(a.body, body);
    free(a.raw);
}

/* --- one commit: two stages, a link, a condition --- */

static struct stage *first, *second;
static bool with_condition;
static unsigned staged;

static void run_commit(void)
{
    struct commit *c = commit_new(&fx.worker, files(), NULL);
    unsigned char sha256_of_two[32];

    sha256("two", 3, sha256_of_two);
    commit_put(c, "one.txt", first, &(struct commit_what){ .content_type = "a/b" });
    commit_put(c, ".doc/two", second, &(struct commit_what){ .hidden = true });
    commit_link(c, "again.txt", files(), ".doc/two", sha256_of_two, NULL);
    if (with_condition)
        commit_expect(c, "nowhere", true, NULL);
    commit_run(c, ended, NULL);
}

static void on_staged(struct stage *s, enum err e, const struct why *why, void *arg)
{
    (void)s, (void)why, (void)arg;
    assert_int_equal(e, OK);
    if (++staged == 2)
        run_commit();
}

static void stage_both(struct fx_registry *f)
{
    staged = 0;
    first = stage_bytes(&f->worker, files(), "one", 3, DIGEST_MD5, on_staged, NULL);
    second = stage_bytes(&f->worker, files(), "two", 3, 0, on_staged, NULL);
}

static void commit_again(struct fx_registry *f)
{
    (void)f;
    run_commit();
}

static void drop_both(struct fx_registry *f)
{
    (void)f;
    stage_drop(first);
    stage_drop(second);
}

static void all_or_none(void **state)
{
    (void)state;
    with_condition = true;
    on_loop_and_wait(stage_both);
    assert_int_equal(last, ERR_PRECONDITION);
    assert_string_equal(why_was, "'nowhere' is not there");
    expect_body("one.txt", 404, NULL);
    assert_int_equal(fx_int(&fx, "SELECT count(*) FROM artifact"), 0);

    with_condition = false; /* the stages are still ours */
    on_loop_and_wait(commit_again);
    assert_int_equal(last, OK);
    expect_body("one.txt", 200, "one");
    expect_body("again.txt", 200, "two");
    assert_int_equal(fx_int(&fx, "SELECT refs FROM blob WHERE size = 3 AND sha256 = (SELECT b.sha256 FROM "
                                 "artifact a JOIN blob b ON b.id = a.blob_id WHERE path = 'again.txt')"), 2);
    assert_int_equal(fx_int(&fx, "SELECT count(*) FROM artifact WHERE doc IS NULL"), 1);
    assert_int_equal(fx_status(&fx, "DELETE", ".doc/two", "", NULL), 204);
    expect_body("again.txt", 200, "two");
}

/* What was staged and given up leaves nothing reserved, and its object goes. */
static void what_is_dropped_is_collected(void **state)
{
    (void)state;
    with_condition = true;
    on_loop_and_wait(stage_both);
    assert_int_equal(last, ERR_PRECONDITION);
    fx_on_loop(&fx, drop_both);
    fx_await(&fx, "SELECT count(*) FROM blob", 0);
    assert_int_equal(fx_int(&fx, "SELECT count(*) FROM artifact"), 0);
}

/* --- a document that many change at once, and one more behind their backs --- */

enum { CHANGES = 200 };
static unsigned ends, good;

static enum err append(void *arg, const char *data, size_t size, struct buf *ret, struct why *why)
{
    (void)why;
    if (data)
        (void)buf_add(ret, data, size);
    (void)buf_printf(ret, "%d\n", (int)(intptr_t)arg);
    return OK;
}

static void appended(enum err e, const struct why *why, void *arg)
{
    (void)why, (void)arg;
    good += e == OK;
    if (++ends == CHANGES)
        uv_sem_post(&done);
}

static void change_all(struct fx_registry *f)
{
    for (intptr_t i = 0; i < CHANGES; i++)
        registry_update(&f->worker, files(), &(struct registry_update){
            .path = ".doc/list", .content_type = "text/plain", .limit = KIB(64), .apply = append,
            .done = appended, .arg = (void *)i });
}

static void every_change_is_there(void **state)
{
    struct fx_answer a;
    char line[16];

    (void)state;
    ends = good = 0;
    on_loop_and_wait(change_all);
    assert_int_equal(good, CHANGES);
    a = fx_http(&fx, "GET", ".doc/list", "", NULL, 0);
    for (int i = 0; i < CHANGES; i++) {
        snprintf(line, sizeof line, "%s%d\n", i ? "\n" : "", i);
        assert_non_null(i ? strstr(a.body, line) : a.body);
    }
    free(a.raw);
}

static unsigned attempts;

/* Between its reading and its writing somebody else writes, as another node would: twice. */
static enum err slow_append(void *arg, const char *data, size_t size, struct buf *ret, struct why *why)
{
    if (attempts++ < 2)
        assert_true(fx_status(&fx, "PUT", ".doc/rival", "", attempts == 1 ? "a" : "b") / 100 == 2);
    return append(arg, data, size, ret, why);
}

static void change_slowly(struct fx_registry *f)
{
    registry_update(&f->worker, files(), &(struct registry_update){
        .path = ".doc/rival", .limit = KIB(4), .apply = slow_append, .done = ended, .arg = (void *)7 });
}

static void who_comes_second_reads_again(void **state)
{
    (void)state;
    attempts = 0;
    on_loop_and_wait(change_slowly);
    assert_int_equal(last, OK);
    assert_int_equal(attempts, 3);
    expect_body(".doc/rival", 200, "b7\n");
}

/* --- a document with a file, refused together --- */

static void add_condition(void *arg, struct commit *c)
{
    (void)arg;
    commit_expect(c, "nowhere", true, NULL);
}

static void change_with_condition(struct fx_registry *f)
{
    registry_update(&f->worker, files(), &(struct registry_update){
        .path = ".doc/x", .limit = KIB(4), .apply = append, .add = add_condition, .done = ended });
}

static void a_condition_of_the_caller_ends_it(void **state)
{
    (void)state;
    on_loop_and_wait(change_with_condition);
    assert_int_equal(last, ERR_PRECONDITION);
    expect_body(".doc/x", 404, NULL);
}

static void change_too_much(struct fx_registry *f)
{
    registry_update(&f->worker, files(), &(struct registry_update){
        .path = ".doc/x", .limit = 2, .apply = append, .done = ended, .arg = (void *)100 });
}

static void a_document_has_a_limit(void **state)
{
    (void)state;
    on_loop_and_wait(change_too_much);
    assert_int_equal(last, ERR_TOO_BIG);
}

/* --- a long one, at the store's pace; and looking into it --- */

enum { LONG = 3 << 20, PIECE = 100000 };
static size_t given;
static unsigned waits;
static int64_t looked_size;
static char looked[4];

static void on_looked(enum err e, const struct why *why, int fd, int64_t size, void *arg)
{
    (void)why, (void)arg;
    assert_int_equal(e, OK);
    looked_size = size;
    assert_int_equal(pread(fd, looked, 3, size - 3), 3);
    close(fd);
    stage_drop(first);
    uv_sem_post(&done);
}

static void on_long(struct stage *s, enum err e, const struct why *why, void *arg)
{
    (void)why, (void)arg;
    assert_int_equal(e, OK);
    assert_int_equal(stage_size(s), LONG + 3);
    stage_fd(s, LONG + 3, on_looked, NULL);
}

static void give(struct stage *s, void *arg)
{
    static const char zeros[PIECE];
    bool room = true;

    (void)arg;
    while (given < LONG && room) {
        size_t n = LONG - given < PIECE ? LONG - given : PIECE;
        given += n;
        room = stage_write(s, zeros, n, give, NULL);
    }
    waits += !room;
    if (!room)
        return;
    if (!stage_write(s, "end", 3, NULL, NULL))
        waits++;
    stage_finish(s, on_long, NULL);
}

static void give_long(struct fx_registry *f)
{
    given = waits = 0;
    first = stage_new(&f->worker, files(), -1, -1, 0);
    give(first, NULL);
}

static void a_long_stage_waits_for_room(void **state)
{
    (void)state;
    on_loop_and_wait(give_long);
    assert_int_equal(looked_size, LONG + 3);
    assert_string_equal(looked, "end");
    assert_true(waits > 2);
    fx_await(&fx, "SELECT count(*) FROM blob", 0);
}

static void on_too_long(struct stage *s, enum err e, const struct why *why, void *arg)
{
    stage_drop(s);
    ended(e, why, arg);
}

static void give_too_much(struct fx_registry *f)
{
    first = stage_new(&f->worker, files(), -1, 4, 0);
    assert_true(stage_write(first, "abc", 3, NULL, NULL));
    assert_true(stage_write(first, "def", 3, NULL, NULL));
    assert_int_equal(stage_err(first), ERR_TOO_BIG);
    stage_finish(first, on_too_long, NULL);
}

static void a_stage_has_a_limit(void **state)
{
    (void)state;
    on_loop_and_wait(give_too_much);
    assert_int_equal(last, ERR_TOO_BIG);
}

#define EACH(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        EACH(all_or_none), EACH(what_is_dropped_is_collected), EACH(every_change_is_there),
        EACH(who_comes_second_reads_again), EACH(a_condition_of_the_caller_ends_it),
        EACH(a_document_has_a_limit), EACH(a_long_stage_waits_for_room), EACH(a_stage_has_a_limit),
    };
    work_pool_start(2);
    int failed = cmocka_run_group_tests_name("stages", tests, NULL, NULL);
    work_pool_stop();
    return failed;
}
