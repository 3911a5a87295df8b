/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes into a real connection over a socket pair, cut where the first bytes of the input say, with
 * handlers that read, echo, pause, answer late and give up. What must hold: no report of a sanitizer,
 * every begun request is ended once, and the connection ends when the client has. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pantera/log.h"
#include "src/http/conn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static struct loop loop;
static struct http_server *server;
static int begun, ended;

static void on_end(void *arg)
{
    ended++;
}

static void on_collected(struct http_request *req, char *data, size_t size, enum err e, void *arg)
{
    check(!e == (data != NULL));
    http_reply(req, e ? err_status(e) : 200, "text/plain", data, size);
}

static void on_sent(struct http_request *req, void *arg)
{
    http_body_resume(req);
}

struct piece {
    char data[65536];
};

static void on_chunk(struct http_request *req, const void *data, size_t size, enum err e, void *arg)
{
    struct piece *piece = arg;
    if (size) {
        memcpy(piece->data, data, size);
        http_body_pause(req);
        http_reply_write(req, piece->data, size, on_sent, NULL);
    } else if (e) {
        http_reply_abort(req);
    } else {
        http_reply_end(req);
    }
}

static void on_request(struct http_request *req)
{
    begun++;
    http_on_end(req, on_end, NULL);
    (void)http_header(req, "authorization");
    struct http_range ranges[16];
    const char *range = http_header(req, "range");
    (void)http_conditions(req, "\"a\"", 1774173600000, &range);
    (void)http_ranges(range, 1000, ranges);
    switch (req->target[1]) {
    case 'c':
        http_body_collect(req, 100, on_collected, NULL);
        break;
    case 'e':
        http_reply_begin(req, 200, "text/plain", -1);
        http_body_read(req, 1000, on_chunk, arena_alloc(&req->arena, sizeof(struct piece)));
        break;
    case 'a':
        http_reply_abort(req);
        break;
    case 'h':
        break; /* never answers: ends with the connection */
    default:
        http_set_header(req, "X-Query", req->query);
        http_reply(req, 200, "text/plain", req->target, strlen(req->target));
    }
}

static void on_refused(struct http_request *req, enum err e, const char *text)
{
    begun++;
    http_on_end(req, on_end, NULL);
    http_reply(req, err_status(e), "text/plain", text, strlen(text));
}

static const struct http_listener_options options = { .on_request = on_request,
                                                      .on_refused = on_refused };

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    log_set_level(LOG_ERROR);
    loop_init(&loop, "fuzz", 0);
    server = http_server_new(&loop, NULL);
    return 0;
}

static void turn(int fd)
{
    char answer[65536];
    for (int i = 0; i < 4; i++) {
        uv_run(&loop.uv, UV_RUN_NOWAIT);
        while (recv(fd, answer, sizeof answer, MSG_DONTWAIT) > 0)
            ;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int fds[2];
    if (size < 2 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) != 0)
        return 0;
    size_t step = data[0] ? data[0] * (size_t)(data[1] + 1) : size;
    begun = ended = 0;
    http_conn_adopt(server, &options, fds[0]);
    for (size_t at = 2; at < size;) {
        size_t n = size - at < step ? size - at : step;
        ssize_t sent = send(fds[1], data + at, n, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN)
            break;
        at += sent > 0 ? (size_t)sent : 0;
        turn(fds[1]);
    }
    shutdown(fds[1], SHUT_WR);
    turn(fds[1]);
    close(fds[1]);
    for (int i = 0; http_server_connections(server) && i < 1000; i++)
        uv_run(&loop.uv, UV_RUN_NOWAIT);
    check(http_server_connections(server) == 0);
    uv_run(&loop.uv, UV_RUN_NOWAIT);
    check(begun == ended);
    return 0;
}
