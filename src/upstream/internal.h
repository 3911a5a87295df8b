/* SPDX-License-Identifier: Apache-2.0 */
/* src/upstream/internal.h: what the files of this folder share. Nobody else includes it. */
#ifndef UPSTREAM_INTERNAL_H
#define UPSTREAM_INTERNAL_H

#include "pantera/upstream.h"

/* --- challenge.c: WWW-Authenticate, and what token services answer; pure --- */
struct challenge {
    const char *realm, *service, *scope; /* service, scope: "" if not said */
};
/* The first Bearer challenge with a realm in the value of one WWW-Authenticate header. */
bool challenge_parse(struct arena *a, const char *value, struct challenge *ret);
/* Text that can stand in a header's value: visible ASCII. */
bool header_text(const char *s);
enum { TOKEN_TEXT_MOST = 64 << 10 }; /* of a whole answer */
/* {"token" or "access_token", "expires_in"}; false: it is none. */
bool token_answer_parse(struct arena *a, const char *json, size_t size, const char **ret_token,
                        int64_t *ret_life_ms);
/* Retry-After, RFC 9110 §10.2.3, within bounds; 0: not there or not readable. */
int64_t retry_after_parse(const char *value, int64_t wall_ms);

/* --- breaker.c: pure --- */
enum breaker_state { BREAKER_CLOSED, BREAKER_HALF_OPEN, BREAKER_OPEN };
struct breaker {
    enum breaker_state state;
    unsigned failures;           /* one after the other */
    unsigned opened;             /* times in a row */
    uint64_t until_ms;           /* OPEN */
    bool probing;                /* HALF_OPEN: somebody tries */
    bool told;                   /* it was the remote that asked for time (429) */
    char why[160];
};
/* May somebody ask now? *ret_probe: he is the one who tries it out, and has to say how it went. */
bool breaker_ask(struct breaker *b, uint64_t now_ms, bool *ret_probe, int64_t *ret_left_ms);
void breaker_good(struct breaker *b);
/* `wait_ms`: what the remote asked for, or 0. `random`: any number, for the jitter. */
void breaker_bad(struct breaker *b, uint64_t now_ms, int64_t wait_ms, bool told, uint64_t random,
                 const char *why);
void breaker_gave_up(struct breaker *b); /* the probe ended without having learnt anything */

/* --- standing.c: what the process knows of a remote: breaker, figures --- */
enum result { /* of metrics; the first are enum upstream_outcome */
    RESULT_CANCELED = UPSTREAM_BLOCKED + 1,
    RESULT_NOT_ASKED,            /* breaker, queue: nothing was sent */
    RESULTS
};
struct standing;
struct standing *standing_get(const char *remote); /* with a use that standing_put ends */
void standing_put(struct standing *s);
bool standing_ask(struct standing *s, bool *ret_probe, int64_t *ret_left_ms, bool *ret_told,
                  struct why *why);
void standing_good(struct standing *s);
void standing_bad(struct standing *s, int64_t wait_ms, bool told, const char *why);
void standing_gave_up(struct standing *s);
void standing_sent(struct standing *s);                     /* an HTTP request */
void standing_count(struct standing *s, enum result result, uint64_t us); /* at the end */

/* --- places.c: so many requests to a destination at a time, so many in its queue; the process's --- */
struct place;
enum place_answer { PLACE_NOW, PLACE_LATER, PLACE_FULL };
/* LATER: `granted` comes, on `home`, unless place_leave is called before. */
enum place_answer place_take(const char *destination, struct loop *home, void (*granted)(void *arg),
                             void *arg, struct place **ret);
void place_leave(struct place *p); /* from the queue, or gives the place to the next one */
void places_retry(void);           /* the limits may have grown */

/* --- tokens.c: tokens and where they come from, until they expire; the process's, bounded --- */
bool tokens_get(struct arena *a, const char *key, const char **ret_value);
void tokens_put(const char *key, const char *value, int64_t life_ms);
void tokens_drop(const char *key);

/* --- decode.c: Content-Encoding --- */
enum coding { CODING_NONE, CODING_GZIP, CODING_DEFLATE, CODING_UNKNOWN };
enum coding coding_parse(const char *value); /* of one header, or of several joined by commas */
/* A packed file, by its name or type, from a server that says the same once more as its encoding: it is the
 * file that was asked for, as it is. */
bool coding_is_the_files(const char *url, const char *content_type);
struct decoder;
struct decoder *decoder_new(enum coding coding); /* GZIP, DEFLATE */
void decoder_free(struct decoder *d);            /* NULL is fine */
/* PAUSED: `give` said false; it wants the same bytes again, and so do we, with or without more behind. BAD:
 * they are not what was said. */
enum decoded { DECODED_ALL, DECODED_PAUSED, DECODED_BAD };
enum decoded decoder_push(struct decoder *d, const void *data, size_t size,
                          bool (*give)(void *arg, const void *data, size_t size), void *arg);
bool decoder_begun(const struct decoder *d);
bool decoder_whole(const struct decoder *d);

/* --- shared.c --- */
struct upstream_limits limits_now(void);
const struct client_guard *guard_now(void);

#endif
