/* SPDX-License-Identifier: Apache-2.0 */
/* TLS by OpenSSL 3 on a raw descriptor: sessions read and write the socket themselves, so that the kernel
 * can take over the records (kTLS) where it knows how. Errors are texts; what they mean for the
 * connection is the caller's. */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pantera/log.h"
#include "pantera/tls.h"

struct tls_context {
    SSL_CTX *ctx;
    bool server;
};

struct tls {
    SSL *ssl;
    bool established, failed;
    char peer[256];
    char error[256];
};

/* The newest entry of this thread's queue, as text; the queue is empty afterwards. */
static void take_error(char *ret, size_t size, const char *what)
{
    unsigned long code = ERR_peek_last_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;
    snprintf(ret, size, "%s: %s", what, reason ? reason : errno ? strerror(errno) : "closed");
    ERR_clear_error();
}

static enum err context_fail(struct why *why, const char *what, const char *file)
{
    char text[160];
    take_error(text, sizeof text, what);
    return fail(why, ERR_BAD_REQUEST, "%s%s%s", text, file ? " in " : "", file ? file : "");
}

/* RFC 7301: we speak http/1.1; a client that offers other protocols only is not refused here. */
static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_size,
                       const unsigned char *in, unsigned in_size, void *arg)
{
    static const unsigned char ours[] = "\x08http/1.1";
    unsigned char *chosen;
    if (SSL_select_next_proto(&chosen, out_size, ours, sizeof ours - 1, in, in_size) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static enum err load_files(SSL_CTX *ctx, const char *cert_file, const char *key_file,
                           const char *ca_file, struct why *why)
{
    if (cert_file && SSL_CTX_use_certificate_chain_file(ctx, cert_file) != 1)
        return context_fail(why, "cannot load the certificate", cert_file);
    if (key_file && SSL_CTX_use_PrivateKey_file(ctx, key_file, SSL_FILETYPE_PEM) != 1)
        return context_fail(why, "cannot load the private key", key_file);
    if (cert_file && SSL_CTX_check_private_key(ctx) != 1)
        return context_fail(why, "the private key does not belong to the certificate", key_file);
    if (ca_file && SSL_CTX_load_verify_locations(ctx, ca_file, NULL) != 1)
        return context_fail(why, "cannot load the CA certificates", ca_file);
    return OK;
}

enum err tls_context_new(bool server, const char *cert_file, const char *key_file,
                         const char *ca_file, struct tls_context **ret, struct why *why)
{
    ERR_clear_error();
    errno = 0;
    SSL_CTX *ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
    if (!ctx)
        return context_fail(why, "cannot make a TLS context", NULL);
    SSL_CTX_set_min_proto_version(ctx, ca_file ? TLS1_3_VERSION : TLS1_2_VERSION);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_ENABLE_KTLS |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    enum err e = load_files(ctx, cert_file, key_file, ca_file, why);
    if (e) {
        SSL_CTX_free(ctx);
        return e;
    }
    if (ca_file) {
        static const unsigned char session_context[] = "pantera";
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
        SSL_CTX_set_session_id_context(ctx, session_context, sizeof session_context - 1);
    }
    if (server)
        SSL_CTX_set_alpn_select_cb(ctx, select_alpn, NULL);
    struct tls_context *c = calloc(1, sizeof *c);
    if (!c)
        log_fatal("http", "out of memory: a TLS context");
    c->ctx = ctx;
    c->server = server;
    *ret = c;
    return OK;
}

enum err tls_authorities_check(const char *file, struct why *why)
{
    ERR_clear_error();
    errno = 0;
    X509_STORE *store = X509_STORE_new();
    bool good = store && X509_STORE_load_file(store, file) == 1;
    enum err e = good ? OK : context_fail(why, "cannot load the CA certificates", file);
    X509_STORE_free(store);
    return e;
}

void tls_context_free(struct tls_context *c)
{
    if (!c)
        return;
    SSL_CTX_free(c->ctx);
    free(c);
}

/* The name that the peer must show; an address is compared as one. */
static bool expect_host(SSL *ssl, const char *host)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    if (X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1)
        return true;
    ERR_clear_error();
    return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

struct tls *tls_new(struct tls_context *c, int fd, const char *host)
{
    struct tls *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    t->ssl = SSL_new(c->ctx);
    if (!t->ssl || SSL_set_fd(t->ssl, fd) != 1 || (host && !expect_host(t->ssl, host))) {
        ERR_clear_error();
        tls_free(t);
        return NULL;
    }
    if (host) /* a name without a look at the certificate would be worth nothing */
        SSL_set_verify(t->ssl, SSL_VERIFY_PEER, NULL);
    if (c->server)
        SSL_set_accept_state(t->ssl);
    else
        SSL_set_connect_state(t->ssl);
    return t;
}

void tls_free(struct tls *t)
{
    if (!t)
        return;
    SSL_free(t->ssl);
    free(t);
}

/* SSL_get_error → TLS_; 0: the peer has said that it ends. */
static int outcome(struct tls *t, int result, const char *what)
{
    switch (SSL_get_error(t->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        return TLS_WANT_READ;
    case SSL_ERROR_WANT_WRITE:
        return TLS_WANT_WRITE;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    default:
        t->failed = true;
        take_error(t->error, sizeof t->error, what);
        return TLS_FAILED;
    }
}

static void begin_call(void)
{
    ERR_clear_error(); /* SSL_get_error looks at the thread's queue */
    errno = 0;
}

static void note_peer(struct tls *t)
{
    X509 *cert = SSL_get0_peer_certificate(t->ssl);
    if (cert && X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, t->peer,
                                          sizeof t->peer) < 0)
        t->peer[0] = '\0';
}

int tls_handshake(struct tls *t)
{
    begin_call();
    int result = SSL_do_handshake(t->ssl);
    if (result == 1) {
        t->established = true;
        note_peer(t);
        return 1;
    }
    result = outcome(t, result, "handshake");
    if (result == 0) {
        t->failed = true;
        snprintf(t->error, sizeof t->error, "handshake: closed");
        return TLS_FAILED;
    }
    long verdict = SSL_get_verify_result(t->ssl);
    if (result == TLS_FAILED && verdict != X509_V_OK)
        snprintf(t->error, sizeof t->error, "handshake: %s", X509_verify_cert_error_string(verdict));
    return result;
}

ssize_t tls_read(struct tls *t, void *ret, size_t size)
{
    size_t n;
    begin_call();
    int result = SSL_read_ex(t->ssl, ret, size, &n);
    return result == 1 ? (ssize_t)n : outcome(t, result, "read");
}

ssize_t tls_write(struct tls *t, const void *data, size_t size)
{
    size_t n;
    begin_call();
    int result = SSL_write_ex(t->ssl, data, size, &n);
    if (result == 1)
        return (ssize_t)n;
    result = outcome(t, result, "write");
    return result ? result : TLS_FAILED;
}

void tls_shutdown(struct tls *t)
{
    if (!t->established || t->failed)
        return; /* OpenSSL forbids it after a fatal error */
    begin_call();
    SSL_shutdown(t->ssl);
    ERR_clear_error();
}

bool tls_pending(const struct tls *t)
{
    return SSL_has_pending(t->ssl) == 1;
}

const char *tls_peer_name(const struct tls *t)
{
    return t->peer;
}

const char *tls_error(const struct tls *t)
{
    return t->error;
}

bool tls_can_sendfile(const struct tls *t)
{
    BIO *out = SSL_get_wbio(t->ssl);
    return out && BIO_get_ktls_send(out) > 0;
}

ssize_t tls_sendfile(struct tls *t, int file, off_t offset, size_t size)
{
    begin_call();
    ossl_ssize_t n = SSL_sendfile(t->ssl, file, offset, size, 0);
    if (n > 0)
        return n;
    if (n == 0) { /* the file is shorter than promised */
        t->failed = true;
        snprintf(t->error, sizeof t->error, "sendfile: end of file");
        return TLS_FAILED;
    }
    int result = outcome(t, -1, "sendfile");
    return result ? result : TLS_FAILED;
}
