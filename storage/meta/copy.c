/* SPDX-License-Identifier: Apache-2.0 */
/* The replica's file as a file: durable, copied, kept short. All of it blocks and has connections of its
 * own: none of it runs on a loop. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "pantera/log.h"
#include "storage/meta/internal.h"

enum {
    CHECKPOINT_EVERY_MS = 250,
    WAL_PAGES_TOO_MANY = 20000,
    WRITER_WAITS_MS = 100, /* at most, while the WAL starts over and a reader is still in it */
};

static void sync_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return; /* no WAL: all is in the main file */
    if (fd < 0 || fdatasync(fd))
        log_fatal("storage", "cannot sync %s: %s", path, strerror(errno));
    close(fd);
}

void meta_make_durable(const char *dir)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/" META_FILE "-wal", dir);
    sync_file(path);
    snprintf(path, sizeof path, "%s/" META_FILE, dir);
    sync_file(path);
}

static sqlite3 *open_plain(const char *dir, int flags)
{
    char path[4096];
    sqlite3 *db;
    snprintf(path, sizeof path, "%s/" META_FILE, dir);
    if (sqlite3_open_v2(path, &db, flags | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK) {
        sqlite3_close(db);
        return NULL;
    }
    sqlite3_busy_timeout(db, 5000);
    return db;
}

static bool read_applied(const char *path, uint64_t *ret)
{
    sqlite3 *db;
    sqlite3_stmt *stmt = NULL;
    bool good = sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL) ==
                    SQLITE_OK &&
                sqlite3_prepare_v2(db, "SELECT value FROM local_state WHERE name = 'applied'", -1, &stmt,
                                   NULL) == SQLITE_OK &&
                sqlite3_step(stmt) == SQLITE_ROW;
    if (good)
        *ret = (uint64_t)sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    sqlite3_close(db);
    return good;
}

enum err meta_copy(const char *dir, const char *to_path, uint64_t *ret_applied, struct why *why)
{
    sqlite3 *db = open_plain(dir, SQLITE_OPEN_READWRITE);
    sqlite3_stmt *stmt = NULL;
    enum err e = OK;
    unlink(to_path);
    if (!db || sqlite3_prepare_v2(db, "VACUUM INTO ?", -1, &stmt, NULL) != SQLITE_OK ||
        sqlite3_bind_text(stmt, 1, to_path, -1, SQLITE_STATIC) != SQLITE_OK ||
        sqlite3_step(stmt) != SQLITE_DONE)
        e = fail(why, ERR_IO, "cannot copy the replica: %s", db ? sqlite3_errmsg(db) : "not opened");
    sqlite3_finalize(stmt);
    sqlite3_close(db);
    if (!e && !read_applied(to_path, ret_applied))
        e = fail(why, ERR_IO, "the replica's copy is not readable");
    return e;
}

static struct {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stop, running;
    char dir[4000];
} checkpointer = { .lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER };

static void *checkpoint_main(void *arg)
{
    sqlite3 *db = open_plain(checkpointer.dir, SQLITE_OPEN_READWRITE);
    if (!db)
        log_fatal("storage", "the checkpointer cannot open the replica");
    connection_exec(db, "PRAGMA wal_autocheckpoint = 0");
    sqlite3_busy_timeout(db, WRITER_WAITS_MS);
    /* A connection that has read nothing does not know of the WAL, and its checkpoints do nothing. */
    connection_exec(db, "SELECT count(*) FROM sqlite_schema");
    pthread_mutex_lock(&checkpointer.lock);
    while (!checkpointer.stop) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += CHECKPOINT_EVERY_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        pthread_cond_timedwait(&checkpointer.wake, &checkpointer.lock, &until);
        pthread_mutex_unlock(&checkpointer.lock);
        int pages = 0, done = 0;
        /* PASSIVE never blocks the writer; RESTART waits for readers so that the WAL starts over. */
        sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_PASSIVE, &pages, &done);
        if (pages > WAL_PAGES_TOO_MANY)
            sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_RESTART, &pages, &done);
        pthread_mutex_lock(&checkpointer.lock);
    }
    pthread_mutex_unlock(&checkpointer.lock);
    sqlite3_close(db);
    return NULL;
}

void meta_checkpointer_start(const char *dir)
{
    snprintf(checkpointer.dir, sizeof checkpointer.dir, "%s", dir);
    checkpointer.stop = false;
    if (pthread_create(&checkpointer.thread, NULL, checkpoint_main, NULL))
        log_fatal("storage", "cannot start the checkpointer");
    checkpointer.running = true;
}

void meta_checkpointer_stop(void)
{
    if (!checkpointer.running)
        return;
    pthread_mutex_lock(&checkpointer.lock);
    checkpointer.stop = true;
    pthread_cond_signal(&checkpointer.wake);
    pthread_mutex_unlock(&checkpointer.lock);
    pthread_join(checkpointer.thread, NULL);
    checkpointer.running = false;
}

/* --- readers --- */

struct meta_reader *meta_reader_open(const char *dir, struct why *why)
{
    struct meta_reader *r = calloc(1, sizeof *r);
    check(r != NULL);
    r->connection.db = open_plain(dir, SQLITE_OPEN_READONLY);
    if (!r->connection.db) {
        free(r);
        fail(why, ERR_IO, "cannot open the replica in '%s'", dir);
        return NULL;
    }
    connection_exec(r->connection.db, "PRAGMA cache_size = -2048");
    return r;
}

void meta_reader_close(struct meta_reader *r)
{
    if (!r)
        return;
    connection_close(&r->connection);
    json_decref(r->settings);
    free(r);
}

uint64_t meta_reader_applied(struct meta_reader *r)
{
    struct sql *q = sql_read(r, "SELECT value FROM local_state WHERE name = 'applied'");
    uint64_t applied = sql_row(q) ? (uint64_t)sql_int(q, 0) : 0;
    sql_end(q);
    return applied;
}
