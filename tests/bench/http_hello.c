/* SPDX-License-Identifier: Apache-2.0 */
/* What the HTTP layer alone costs: one worker, prepared replies, nothing behind them. For wrk and curl.
 *     http_hello PORT FILE [CERT KEY]
 *     GET /file   FILE by descriptor     GET /bytes   FILE from memory     GET /reply   by http_reply
 *     PUT /sink   swallows and counts    POST /echo   streams the body back */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pantera/http.h"
#include "pantera/tls.h"

static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"
                           "ETag: \"0123456789abcdef\"\r\n";
static int file = -1;
static int64_t size;
static char *bytes;

static void on_sunk(struct http_request *req, const void *data, size_t n, enum err e, void *arg)
{
    if (n)
        return;
    char text[64];
    int length = snprintf(text, sizeof text, "%llu %s\n", (unsigned long long)req->bytes_in,
                          e ? err_name(e) : "OK");
    http_reply(req, e ? err_status(e) : 200, "text/plain", text, (size_t)length);
}

static void on_echoed(struct http_request *req, void *arg)
{
    http_body_resume(req);
}

struct piece {
    char data[65536];
};

static void on_echo(struct http_request *req, const void *data, size_t n, enum err e, void *arg)
{
    struct piece *piece = arg;
    if (n) {
        memcpy(piece->data, data, n);
        http_body_pause(req);
        http_reply_write(req, piece->data, n, on_echoed, NULL);
    } else if (e) {
        http_reply_abort(req);
    } else {
        http_reply_end(req);
    }
}

static void on_request(struct http_request *req)
{
    if (strcmp(req->target, "/file") == 0) {
        http_reply_prepared(req, 200, head, sizeof head - 1, file, 0, size);
    } else if (strcmp(req->target, "/bytes") == 0) {
        http_reply_prepared_bytes(req, 200, head, sizeof head - 1, bytes, (size_t)size);
    } else if (strcmp(req->target, "/reply") == 0) {
        http_reply(req, 200, "application/octet-stream", bytes, (size_t)size);
    } else if (strcmp(req->target, "/sink") == 0) {
        http_body_read(req, -1, on_sunk, NULL);
    } else if (strcmp(req->target, "/echo") == 0) {
        http_reply_begin(req, 200, "application/octet-stream", -1);
        http_body_read(req, -1, on_echo, arena_alloc(&req->arena, sizeof(struct piece)));
    } else {
        http_reply(req, 404, "text/plain", "not found\n", 10);
    }
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: %s PORT FILE [CERT KEY]\n", argv[0]);
        return 2;
    }
    struct stat st;
    file = open(argv[2], O_RDONLY | O_CLOEXEC);
    if (file < 0 || fstat(file, &st) != 0 || !(bytes = malloc((size_t)st.st_size + 1)) ||
        pread(file, bytes, (size_t)st.st_size, 0) != st.st_size) {
        perror(argv[2]);
        return 1;
    }
    size = st.st_size;
    struct why why = { "" };
    struct http_listener_options options = { .host = "127.0.0.1", .port = (int)strtol(argv[1], NULL, 10),
                                             .on_request = on_request };
    if (argc > 4 && tls_context_new(true, argv[3], argv[4], NULL, &options.tls, &why)) {
        fprintf(stderr, "%s\n", why.text);
        return 1;
    }
    struct loop loop;
    loop_init(&loop, "bench", 0);
    struct http_server *server = http_server_new(&loop, NULL);
    int port;
    if (http_listen(server, &options, &port, &why)) {
        fprintf(stderr, "%s\n", why.text);
        return 1;
    }
    printf("listening on %d\n", port);
    fflush(stdout);
    bool never = false;
    loop_run_until(&loop, &never);
    return 0;
}
