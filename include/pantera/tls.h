/* SPDX-License-Identifier: Apache-2.0 */
/* pantera/tls.h: TLS on a non-blocking descriptor (OpenSSL), for the listeners and between nodes.
 * Threads: a context is immutable and shared; a session belongs to one thread at a time.
 * Errors:  tls_read/tls_write return bytes, 0 for a clean end (read), or one of the TLS_ values. */
#ifndef PANTERA_TLS_H
#define PANTERA_TLS_H

#include <stddef.h>
#include <sys/types.h>

#include "pantera/err.h"

struct tls_context;
struct tls;

/* PEM files. `ca_file` NULL: peers show no certificate (a public listener). With it, both sides must
 * show one that it signed (mTLS). TLS 1.2 at least; between nodes 1.3. */
enum err tls_context_new(bool server, const char *cert_file, const char *key_file,
                         const char *ca_file, struct tls_context **ret, struct why *why);
void tls_context_free(struct tls_context *c);
/* A PEM file of at least one certificate. BAD_REQUEST: it is none, and what is wrong with it. */
enum err tls_authorities_check(const char *file, struct why *why);

enum { TLS_WANT_READ = -1, TLS_WANT_WRITE = -2, TLS_FAILED = -3 };

/* Borrows `fd`. `host`: name to check in the peer's certificate, or NULL (then only the CA is). */
struct tls *tls_new(struct tls_context *c, int fd, const char *host);
void tls_free(struct tls *t);
int tls_handshake(struct tls *t); /* 1 done, or TLS_ */
ssize_t tls_read(struct tls *t, void *ret, size_t size);
ssize_t tls_write(struct tls *t, const void *data, size_t size);
void tls_shutdown(struct tls *t); /* best effort, does not wait */
bool tls_pending(const struct tls *t); /* decrypted bytes wait that poll(2) does not show */
/* Common name of the peer's certificate; "" without one. Valid until tls_free. */
const char *tls_peer_name(const struct tls *t);
/* What went wrong last, for a log line. */
const char *tls_error(const struct tls *t);
/* sendfile over kTLS is possible on this session. */
bool tls_can_sendfile(const struct tls *t);
ssize_t tls_sendfile(struct tls *t, int file, off_t offset, size_t size);

#endif
