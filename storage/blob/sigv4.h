/* SPDX-License-Identifier: Apache-2.0 */
/* AWS Signature Version 4 (docs: "Authenticating Requests (AWS Signature Version 4)"): pure functions of
 * a request, keys and a time. No I/O, no clock, no S3 semantics. Any thread. */
#ifndef BLOB_SIGV4_H
#define BLOB_SIGV4_H

#include <stdint.h>

#include "pantera/arena.h"

struct sigv4_keys {
    const char *access, *secret;
    const char *token; /* session token, or NULL */
};

struct sigv4_request {
    const char *method, *host;  /* host as the Host header has it, with a port that is not the default */
    const char *path;           /* percent-encoded, begins with '/' */
    const char *query;          /* canonical: sorted, encoded, "a=1&b="; or "" */
    const char *payload_hash;   /* 64 hex digits, or UNSIGNED-PAYLOAD */
    const char *const *headers; /* more to sign: "lower-case-name:value", NULL-terminated; or NULL */
    const char *region, *service;
    int64_t wall_ms;
};

/* "20260102T030405Z" */
void sigv4_date(int64_t wall_ms, char ret[17]);
/* The Authorization header's value. Signs host, x-amz-content-sha256, x-amz-date, x-amz-security-token
 * and `headers`; the caller sends them with just these values. */
char *sigv4_authorization(struct arena *a, const struct sigv4_request *r,
                          const struct sigv4_keys *keys);
/* The query string of a presigned URL: UNSIGNED-PAYLOAD, only `host` signed. */
char *sigv4_presign(struct arena *a, const struct sigv4_request *r, const struct sigv4_keys *keys,
                    unsigned seconds);

#endif
