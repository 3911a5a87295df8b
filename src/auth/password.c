/* SPDX-License-Identifier: Apache-2.0 */
/* Passwords: argon2id (OWASP's m = 19 MiB, t = 2, p = 1) and the policy for new ones. Hashing takes
 * tens of milliseconds of a core and 19 MiB: at most HASHERS run at once in a process, so that the
 * pool stays free for fsync, and at most QUEUE wait; more is refused. */
#include <argon2.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "pantera/ids.h"
#include "pantera/limits.h"
#include "src/auth/internal.h"

enum { MEMORY_KIB = 19 * 1024, PASSES = 2, LANES = 1, SALT = 16, HASH = 32, HASHERS = 2, QUEUE = 128 };

enum err password_hash_now(const char *password, char ret_encoded[160])
{
    unsigned char salt[SALT];
    random_bytes(salt, sizeof salt);
    int rc = argon2id_hash_encoded(PASSES, MEMORY_KIB, LANES, password, strlen(password), salt,
                                   SALT, HASH, ret_encoded, 160);
    return rc == ARGON2_OK ? OK : ERR_UNAVAILABLE; /* memory: the only thing that can be short */
}

/* --- the queue --- */

static struct {
    uv_once_t once;
    uv_mutex_t lock;
    unsigned running, waiting;
    struct work *head, **tail;
} queue = { .once = UV_ONCE_INIT };

static void queue_init(void)
{
    check(uv_mutex_init(&queue.lock) == 0);
    queue.tail = &queue.head;
}

static void hash_run(struct work *work)
{
    struct password_hash *h = container_of(work, struct password_hash, work);
    if (h->verify) {
        int rc = argon2id_verify(h->encoded, h->password, strlen(h->password));
        h->matches = rc == ARGON2_OK;
        h->err = rc == ARGON2_MEMORY_ALLOCATION_ERROR ? ERR_UNAVAILABLE : OK;
    } else {
        h->err = password_hash_now(h->password, h->encoded);
    }
    explicit_bzero(h->password, sizeof h->password);
}

static void hash_done(struct work *work)
{
    struct password_hash *h = container_of(work, struct password_hash, work);
    struct work *next;
    uv_mutex_lock(&queue.lock);
    if ((next = queue.head)) {
        queue.head = next->next;
        if (!queue.head)
            queue.tail = &queue.head;
        queue.waiting--;
    } else {
        queue.running--;
    }
    uv_mutex_unlock(&queue.lock);
    if (next)
        work_submit(next, next->home, hash_run, hash_done);
    h->done(h);
}

static void hash_refused(struct task *task)
{
    struct password_hash *h = container_of(task, struct password_hash, work.task);
    h->done(h);
}

void password_hash_start(struct password_hash *h, struct loop *home)
{
    bool refused = false, now = false;
    uv_once(&queue.once, queue_init);
    h->err = OK;
    h->matches = false;
    h->work.home = home;
    uv_mutex_lock(&queue.lock);
    if (queue.running < HASHERS) {
        queue.running++;
        now = true;
    } else if (queue.waiting < QUEUE) {
        queue.waiting++;
        h->work.next = NULL;
        *queue.tail = &h->work;
        queue.tail = &h->work.next;
    } else {
        refused = true;
    }
    uv_mutex_unlock(&queue.lock);
    if (now)
        work_submit(&h->work, home, hash_run, hash_done);
    if (refused) {
        explicit_bzero(h->password, sizeof h->password);
        h->err = ERR_UNAVAILABLE;
        h->work.task.run = hash_refused;
        loop_post(home, &h->work.task);
    }
}

/* --- the policy --- */

static const char special[] = "!@#$%^&*()-_=+[]{};:,.<>?/|~`'\"\\";

/* Known ones, lower case, compared without the digits and signs that people put at the end. */
static const char *const weak[] = {
    "password", "passw0rd", "p@ssword", "p@ssw0rd", "adminadmin", "administrator", "welcome",
    "changeme", "letmein", "qwertyuiop", "qwerty", "iloveyou", "abcdefghijkl", "monkey", "dragon",
    "football", "baseball", "sunshine", "princess", "trustno", "superman", "secret", "default",
    "pantera", "panterapantera",
};

static bool password_weak(const char *password)
{
    char lower[LIMIT_PASSWORD + 1];
    size_t n = strlen(password);
    for (size_t i = 0; i < n; i++)
        lower[i] = (char)tolower((unsigned char)password[i]);
    while (n && !isalpha((unsigned char)lower[n - 1]))
        n--;
    lower[n] = '\0';
    for (size_t i = 0; i < sizeof weak / sizeof *weak; i++)
        if (strcmp(lower, weak[i]) == 0)
            return true;
    return false;
}

enum err password_policy(const char *user, const char *password, struct why *why)
{
    bool upper = false, lower = false, digit = false, sign = false;
    size_t length = strlen(password);
    if (length > LIMIT_PASSWORD)
        return fail(why, ERR_BAD_REQUEST, "the password is longer than %d bytes", LIMIT_PASSWORD);
    for (const unsigned char *p = (const unsigned char *)password; *p; p++) {
        upper = upper || (*p >= 'A' && *p <= 'Z');
        lower = lower || (*p >= 'a' && *p <= 'z');
        digit = digit || (*p >= '0' && *p <= '9');
        sign = sign || strchr(special, *p);
    }
    if (length < 12)
        return fail(why, ERR_BAD_REQUEST, "the password must have at least 12 characters");
    if (!upper || !lower || !digit || !sign)
        return fail(why, ERR_BAD_REQUEST,
                    "the password must have an upper case letter, a lower case letter, a digit and "
                    "a special character");
    if (strcasecmp(user, password) == 0)
        return fail(why, ERR_BAD_REQUEST, "the password must not be the user name");
    if (password_weak(password))
        return fail(why, ERR_BAD_REQUEST, "the password is a well-known one");
    return OK;
}
