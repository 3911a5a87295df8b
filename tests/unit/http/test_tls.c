/* SPDX-License-Identifier: Apache-2.0 */
/* TLS over real sockets: the same server behind it, with certificates made here; mutual contexts. */
#include "fixture.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <sys/stat.h>

static char dir[] = "/tmp/pantera-tls-XXXXXX";
static char ca_file[64], cert_file[64], key_file[64], other_file[64], other_key[64];
static struct peer p;
static struct answer a;

/* --- certificates --- */
static void write_pem(const char *file, X509 *cert, EVP_PKEY *key)
{
    FILE *f = fopen(file, "w");
    assert_non_null(f);
    assert_int_equal(cert ? PEM_write_X509(f, cert)
                          : PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
    fclose(f);
}

static void extend(X509 *cert, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    assert_non_null(e);
    X509_add_ext(cert, e, -1);
    X509_EXTENSION_free(e);
}

/* `issuer` NULL: signs itself, and may sign others. */
static X509 *make_cert(const char *name, EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key, long serial)
{
    X509 *cert = X509_new();
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), serial);
    X509_gmtime_adj(X509_getm_notBefore(cert), -60);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_set_pubkey(cert, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                               (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(cert, X509_get_subject_name(issuer ? issuer : cert));
    if (issuer)
        extend(cert, NID_subject_alt_name, "DNS:node.test,IP:127.0.0.1");
    else
        extend(cert, NID_basic_constraints, "critical,CA:TRUE");
    assert_true(X509_sign(cert, issuer ? issuer_key : key, EVP_sha256()) > 0);
    return cert;
}

static int make_files(void **state)
{
    assert_non_null(mkdtemp(dir));
    snprintf(ca_file, sizeof ca_file, "%s/ca.pem", dir);
    snprintf(cert_file, sizeof cert_file, "%s/cert.pem", dir);
    snprintf(key_file, sizeof key_file, "%s/key.pem", dir);
    snprintf(other_file, sizeof other_file, "%s/other.pem", dir);
    snprintf(other_key, sizeof other_key, "%s/other-key.pem", dir);
    EVP_PKEY *ca_key = EVP_EC_gen("P-256"), *key = EVP_EC_gen("P-256"), *lone = EVP_EC_gen("P-256");
    X509 *ca = make_cert("test CA", ca_key, NULL, NULL, 1);
    X509 *cert = make_cert("node-1", key, ca, ca_key, 2);
    X509 *other = make_cert("stranger", lone, NULL, NULL, 3);
    write_pem(ca_file, ca, NULL);
    write_pem(cert_file, cert, NULL);
    write_pem(key_file, NULL, key);
    write_pem(other_file, other, NULL);
    write_pem(other_key, NULL, lone);
    X509_free(ca);
    X509_free(cert);
    X509_free(other);
    EVP_PKEY_free(ca_key);
    EVP_PKEY_free(key);
    EVP_PKEY_free(lone);
    return 0;
}

static int remove_files(void **state)
{
    unlink(ca_file);
    unlink(cert_file);
    unlink(key_file);
    unlink(other_file);
    unlink(other_key);
    return rmdir(dir);
}

/* --- a client that is OpenSSL's own, on a blocking socket --- */
static ssize_t ssl_recv(struct peer *peer, void *data, size_t size)
{
    int n = SSL_read(peer->tls, data, (int)size);
    return n > 0 ? n : 0;
}

static void ssl_send(struct peer *peer, const void *data, size_t size)
{
    assert_true(SSL_write(peer->tls, data, (int)size) > 0);
}

static SSL_CTX *client_ctx;

static void peer_open_tls(void)
{
    peer_open(&p);
    SSL *ssl = SSL_new(client_ctx);
    SSL_set_fd(ssl, p.fd);
    assert_int_equal(SSL_connect(ssl), 1);
    p.tls = ssl;
    peer_recv = ssl_recv;
    peer_send = ssl_send;
}

static void peer_close_tls(void)
{
    SSL_free(p.tls);
    peer_close(&p);
}

static struct tls_context *server_tls;

static int start(void **state)
{
    struct why why = { "" };
    if (tls_context_new(true, cert_file, key_file, NULL, &server_tls, &why))
        fail_msg("%s", why.text);
    client_ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_load_verify_locations(client_ctx, ca_file, NULL);
    SSL_CTX_set_verify(client_ctx, SSL_VERIFY_PEER, NULL);
    fx_start((struct http_limits){ .header_timeout_ms = 10000 }, server_tls);
    return 0;
}

static int stop(void **state)
{
    fx_stop();
    SSL_CTX_free(client_ctx);
    tls_context_free(server_tls);
    return 0;
}

static void ask(const char *text)
{
    peer_say(&p, text);
    assert_true(peer_answer(&p, &a, false));
}

/* The same exchanges as without TLS: small, large both ways, files, pipelined, refused. */
static void exchanges_run_over_tls(void **state)
{
    char sha[65];
    peer_open_tls();
    ask("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_string_equal(a.body, "hello");
    peer_say(&p, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\nGET /later?5 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_true(peer_answer(&p, &a, false));
    assert_true(peer_answer(&p, &a, false));
    assert_string_equal(a.body, "later");
    gen_sha(3000000, sha);
    ask("GET /file HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_string_equal(a.sha, sha);
    ask("GET /file-chunked HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_string_equal(a.sha, sha);
    ask("GET /prepared-file?3000000 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_string_equal(a.sha, sha);
    gen_sha(20 << 20, sha);
    ask("GET /gen?20971520 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_string_equal(a.sha, sha);
    peer_say(&p, "PUT /sink HTTP/1.1\r\nHost: a\r\nContent-Length: 20971520\r\n\r\n");
    for (uint64_t at = 0; at < 20 << 20; at += PIECE) {
        static char data[PIECE];
        gen_fill(data, PIECE, at);
        peer_send(&p, data, PIECE);
    }
    assert_true(peer_answer(&p, &a, false));
    assert_string_equal(a.body, sha);
    ask("BREW /pot HTTP/1.1\r\n\r\n");
    assert_int_equal(a.status, 501);
    peer_expect_end(&p);
    peer_close_tls();
}

/* A slow reader: TLS writes are resumed with the bytes that they began with. */
static void a_slow_reader_gets_every_byte(void **state)
{
    char sha[65];
    gen_sha(20 << 20, sha);
    peer_open_tls();
    peer_say(&p, "GET /gen-chunked?20971520 HTTP/1.1\r\nHost: a\r\n\r\n");
    usleep(100000);
    assert_true(peer_answer(&p, &a, false));
    assert_string_equal(a.sha, sha);
    peer_say(&p, "GET /prepared-file?3000000 HTTP/1.1\r\nHost: a\r\n\r\n");
    usleep(50000);
    gen_sha(3000000, sha);
    assert_true(peer_answer(&p, &a, false));
    assert_string_equal(a.sha, sha);
    peer_close_tls();
}

static void mistakes_are_closed(void **state)
{
    char byte;
    peer_open(&p); /* plain HTTP to the TLS port: at most an alert, then the end */
    peer_say(&p, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    while (recv(p.fd, &byte, 1, 0) == 1)
        assert_true(byte != 'H');
    peer_close(&p);
    peer_open(&p);
    peer_close(&p);
    SSL_CTX_set_max_proto_version(client_ctx, TLS1_1_VERSION);
    SSL_CTX_set_security_level(client_ctx, 0);
    peer_open(&p);
    SSL *ssl = SSL_new(client_ctx);
    SSL_set_fd(ssl, p.fd);
    assert_int_not_equal(SSL_connect(ssl), 1);
    SSL_free(ssl);
    peer_close(&p);
    ERR_clear_error();
    SSL_CTX_set_max_proto_version(client_ctx, 0);
    peer_open_tls(); /* and the server is alive */
    ask("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_string_equal(a.body, "hello");
    peer_close_tls();
}

/* --- sessions without a server --- */
static int shake(struct tls *one, struct tls *two, int *ret_two)
{
    int r1 = TLS_WANT_READ, r2 = TLS_WANT_READ;
    for (int i = 0; i < 100 && (r1 < 0 || r2 < 0); i++) {
        if (r1 == TLS_WANT_READ)
            r1 = tls_handshake(one);
        if (r2 == TLS_WANT_READ)
            r2 = tls_handshake(two);
        if (r1 == TLS_FAILED || r2 == TLS_FAILED)
            break;
    }
    *ret_two = r2;
    return r1;
}

struct pair {
    struct tls_context *server, *client;
    struct tls *s, *c;
    int fds[2], server_result, client_result;
};

static void pair_up(struct pair *pair, const char *client_cert, const char *client_key,
                    const char *host)
{
    struct why why = { "" };
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair->fds), 0);
    if (tls_context_new(true, cert_file, key_file, ca_file, &pair->server, &why) ||
        tls_context_new(false, client_cert, client_key, ca_file, &pair->client, &why))
        fail_msg("%s", why.text);
    pair->s = tls_new(pair->server, pair->fds[0], NULL);
    pair->c = tls_new(pair->client, pair->fds[1], host);
    pair->client_result = shake(pair->c, pair->s, &pair->server_result);
}

static void pair_down(struct pair *pair)
{
    tls_free(pair->s);
    tls_free(pair->c);
    tls_context_free(pair->server);
    tls_context_free(pair->client);
    close(pair->fds[0]);
    close(pair->fds[1]);
}

/* Both must show a certificate of the CA; then each knows the other's name. */
static void mutual_sessions_know_their_peers(void **state)
{
    struct pair pair;
    char text[16];
    pair_up(&pair, cert_file, key_file, "node.test");
    assert_int_equal(pair.client_result, 1);
    assert_int_equal(pair.server_result, 1);
    assert_string_equal(tls_peer_name(pair.s), "node-1");
    assert_string_equal(tls_peer_name(pair.c), "node-1");
    assert_int_equal(tls_read(pair.s, text, sizeof text), TLS_WANT_READ);
    assert_int_equal(tls_write(pair.c, "ping", 4), 4);
    assert_int_equal(tls_read(pair.s, text, 2), 2);
    assert_true(tls_pending(pair.s));
    assert_int_equal(tls_read(pair.s, text, sizeof text), 2);
    tls_shutdown(pair.c);
    assert_int_equal(tls_read(pair.s, text, sizeof text), 0);
    pair_down(&pair);
    pair_up(&pair, cert_file, key_file, "127.0.0.1");
    assert_int_equal(pair.client_result, 1);
    pair_down(&pair);
}

static void strangers_are_refused(void **state)
{
    struct pair pair;
    pair_up(&pair, NULL, NULL, NULL); /* no certificate: the server says no */
    assert_int_equal(pair.server_result, TLS_FAILED);
    assert_string_equal(tls_peer_name(pair.s), "");
    pair_down(&pair);
    pair_up(&pair, other_file, other_key, NULL); /* one of another CA */
    assert_int_equal(pair.server_result, TLS_FAILED);
    assert_true(strlen(tls_error(pair.s)) > 0);
    pair_down(&pair);
    pair_up(&pair, cert_file, key_file, "other.test"); /* the right CA, the wrong name */
    assert_int_equal(pair.client_result, TLS_FAILED);
    pair_down(&pair);
}

/* Between nodes nothing below TLS 1.3, however good the certificate. */
static void mutual_sessions_are_tls_1_3(void **state)
{
    struct pair pair;
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        int mine = -1, theirs = TLS_WANT_READ;
        pair_up(&pair, cert_file, key_file, NULL);
        tls_free(pair.s);
        pair.s = tls_new(pair.server, pair.fds[0], NULL);
        SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
        SSL_CTX_set_max_proto_version(ctx, version);
        SSL_CTX_use_certificate_file(ctx, cert_file, SSL_FILETYPE_PEM);
        SSL_CTX_use_PrivateKey_file(ctx, key_file, SSL_FILETYPE_PEM);
        SSL *ssl = SSL_new(ctx);
        SSL_set_fd(ssl, pair.fds[1]);
        char drop[4096]; /* what the first handshake left behind */
        while (recv(pair.fds[0], drop, sizeof drop, 0) > 0 || recv(pair.fds[1], drop, sizeof drop, 0) > 0)
            ;
        for (int i = 0; i < 20 && (mine != 1 || theirs == TLS_WANT_READ); i++) {
            mine = SSL_connect(ssl);
            theirs = theirs == TLS_WANT_READ ? tls_handshake(pair.s) : theirs;
        }
        assert_int_equal(theirs, version == TLS1_3_VERSION ? 1 : TLS_FAILED);
        SSL_free(ssl);
        SSL_CTX_free(ctx);
        ERR_clear_error();
        pair_down(&pair);
    }
}

static void bad_files_are_named(void **state)
{
    struct tls_context *c = NULL;
    struct why why = { "" };
    assert_int_equal(tls_context_new(true, "/nowhere.pem", key_file, NULL, &c, &why), ERR_BAD_REQUEST);
    assert_non_null(strstr(why.text, "/nowhere.pem"));
    assert_int_equal(tls_context_new(true, cert_file, other_key, NULL, &c, &why), ERR_BAD_REQUEST);
    assert_null(c);
}

int main(void)
{
    log_set_level(LOG_ERROR);
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(exchanges_run_over_tls, start, stop),
        cmocka_unit_test_setup_teardown(a_slow_reader_gets_every_byte, start, stop),
        cmocka_unit_test_setup_teardown(mistakes_are_closed, start, stop),
        cmocka_unit_test(mutual_sessions_know_their_peers),
        cmocka_unit_test(strangers_are_refused),
        cmocka_unit_test(mutual_sessions_are_tls_1_3),
        cmocka_unit_test(bad_files_are_named),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
