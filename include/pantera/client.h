/* SPDX-License-Identifier: Apache-2.0 */
/* pantera/client.h: HTTP client: libcurl's multi interface on a loop.
 * Threads:   one client a loop; everything on that loop.
 * Ownership: embed `struct client_request`; zero it, fill the input fields; its memory is yours again
 *            when on_done begins. Strings are borrowed until then.
 * Flow:      a submit either fails at once (never calls back) or calls on_done exactly once, later. */
#ifndef PANTERA_CLIENT_H
#define PANTERA_CLIENT_H

#include <stdint.h>

#include "pantera/address.h"
#include "pantera/arena.h"
#include "pantera/err.h"
#include "pantera/loop.h"

struct client;
struct client_private;

/* Where requests may lead that somebody else than the operator may have thought of. Each address is judged
 * as it is connected to, whatever name led there; also of a connection that stands from before. */
enum client_near {
    NEAR_NONE,                   /* public addresses */
    NEAR_PRIVATE,                /* and private ones; never link-local ones or clouds' metadata services */
    NEAR_LOOPBACK,               /* and this machine */
};
struct client_guard {
    enum client_near near;
    const struct network *networks; /* that may be reached all the same */
    unsigned count;
};
/* --- once, at the start, for the whole process --- */
/* meta.http_client.allow_upstreams: the networks of each client_guard_of. */
enum err client_allow(const char *const *networks, struct why *why);
const struct client_guard *client_guard_of(enum client_near near);
/* meta.http_client.ca_file: authorities besides the system's; borrowed. */
void client_trust(const char *ca_file);

struct client_request {
    /* in */
    const char *method, *url;
    const char *const *headers;   /* "Name: value", NULL-terminated; NULL: none */
    const void *body;             /* whole body, or NULL */
    size_t body_size;
    /* A body that is pulled: gives up to `size` bytes; 0 with *ret_later set: paused until
     * client_resume; 0 without: the end. Needs body_length >= 0 (else chunked). */
    size_t (*read_body)(struct client_request *r, void *ret, size_t size, bool *ret_later);
    int64_t body_length;
    unsigned connect_timeout_ms;  /* default 10,000 */
    unsigned stall_timeout_ms;    /* less than one byte a second for so long: fail; default 30,000 */
    unsigned total_timeout_ms;    /* 0: none */
    unsigned head_timeout_ms;     /* until the response's head is there; 0: none */
    /* NULL: any address. Refused: ERR_FORBIDDEN, and nothing was sent. With a proxy of the environment only
     * what the URL itself says is judged. Not together with follow_redirects. */
    const struct client_guard *guard;
    bool upstream;                /* times that are 0 are those of client_set_timeouts */
    bool follow_redirects;
    const char *ca_file;          /* NULL: the system's, and those of client_trust */
    const char *unix_socket;      /* or NULL */
    void (*on_head)(struct client_request *r); /* status and headers are there; may be NULL */
    /* Response bytes, borrowed. False: pause; the same bytes come again after client_resume. */
    bool (*on_data)(struct client_request *r, const void *data, size_t size);
    void (*on_done)(struct client_request *r);
    void *arg;
    /* out */
    int status;                   /* 0 before the head */
    int64_t length;               /* Content-Length, or -1 */
    enum client_near near;        /* with a guard: what was connected to; NEAR_NONE also through a proxy */
    enum err err;                 /* OK also for a 404: it was answered. UPSTREAM, UPSTREAM_TIMEOUT,
                                     CANCELED */
    struct why why;
    struct client_private *priv;
};

struct client *client_new(struct loop *loop);
void client_free(struct client *c); /* cancels what runs */
/* For requests to come that say `upstream`; 0: the defaults above. */
void client_set_timeouts(struct client *c, unsigned connect_ms, unsigned stall_ms, unsigned total_ms);
MUST_USE enum err client_submit(struct client *c, struct client_request *r, struct why *why);
void client_resume(struct client_request *r); /* both directions */
void client_cancel(struct client_request *r); /* on_done comes, later, with ERR_CANCELED */
/* A response header's value by lower-case name, or NULL; valid until on_done returns. */
const char *client_header(const struct client_request *r, const char *name);
/* All of that name, one call each: `at` is 0 first; NULL: no more. */
const char *client_header_next(const struct client_request *r, const char *name, size_t *at);

/* --- URLs, as this client will read them: one parser for what is judged and for what is connected to --- */
struct client_url {
    const char *text;             /* normalised; no user info, no fragment */
    const char *host;             /* lower case, without brackets; numbers in their usual form */
    const char *origin;           /* "https://host:port", the port always there */
    bool secure;                  /* https */
};
/* `reference` as found in a document at `base` (NULL: it has to be absolute). BAD_REQUEST: not a URL, not
 * http or https, with user info, or too long. Everything is the arena's. */
enum err client_url(struct arena *a, const char *base, const char *reference, struct client_url *ret,
                    struct why *why);

#endif
