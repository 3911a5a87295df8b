/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of the HTTP server: what its files share. Nobody outside this folder includes it, tests of
 * this folder aside.
 * server.c   listeners, accept, timer, drain, pools      conn.c      a connection's states and its input
 * output.c   segments → socket, TLS, sendfile            exchange.c  a request's beginning and end
 * parse.c    bytes → head, body pieces (llhttp)          head.c      is this head legal? → request
 * body.c     request bodies → handlers                   response.c  handlers → segments
 * Rule of lifetimes: handlers are called from conn_run only, which is never entered twice, and only
 * conn_run ends an exchange or closes a connection. Whatever the public functions are asked to do, they
 * note it and kick the connection; so no memory disappears under a handler that is still running. */
#ifndef PANTERA_HTTP_CONN_H
#define PANTERA_HTTP_CONN_H

#include <llhttp.h>
#include <uv.h>

#include "pantera/http.h"
#include "pantera/limits.h"
#include "pantera/tls.h"

enum {
    RECV_BYTES = 64 << 10,     /* one read; also the most that waits unread in memory */
    SEND_BYTES = 64 << 10,
    HEAD_BYTES = 40 << 10,     /* a reply's head: EXTRA_BYTES and what we add */
    EXTRA_BYTES = 16 << 10,    /* headers set by handlers */
    PREPARED_BYTES = 16 << 10, /* head given to http_reply_prepared */
    SMALL_FILE = 32 << 10,     /* read and sent with the head in one call, instead of sendfile */
    DISCARD_BYTES = 256 << 10, /* of a body that nobody read, for keep-alive */
    LINGER_BYTES = 4 << 20,    /* swallowed after our last word, so that the client can read it */
    LINGER_MS = 5000,
    RUN_BUDGET = 32,           /* steps before others get their turn */
    ACCEPT_BATCH = 64,
    ACCEPT_RETRY_MS = 100      /* out of descriptors */
};

/* --- intrusive list --- */
struct link {
    struct link *prev, *next; /* both NULL: in no list */
};
static inline void list_init(struct link *list)
{
    list->prev = list->next = list;
}
static inline bool list_empty(const struct link *list)
{
    return list->next == list;
}
static inline bool link_used(const struct link *l)
{
    return l->next != NULL;
}
static inline void list_append(struct link *list, struct link *l)
{
    l->prev = list->prev;
    l->next = list;
    list->prev->next = l;
    list->prev = l;
}
static inline void list_remove(struct link *l)
{
    if (!l->next)
        return;
    l->prev->next = l->next;
    l->next->prev = l->prev;
    l->prev = l->next = NULL;
}

/* --- server --- */
/* Each kind has one fixed duration, so its list is ordered by deadline and one timer does for all. */
enum deadline { DEADLINE_IDLE, DEADLINE_HEAD, DEADLINE_BODY, DEADLINE_LINGER, DEADLINES,
                DEADLINE_NONE = DEADLINES };

struct listener {
    struct listener *next;
    struct http_server *server;
    const struct http_listener_options *options;
    uv_poll_t poll;
    int fd;
    bool waiting; /* not accepting: too many connections or descriptors */
};

struct http_server {
    struct loop *loop;
    struct http_limits limits;
    struct listener *listeners;
    uv_timer_t timer;
    uv_idle_t idle;            /* active only while something is kicked */
    uint64_t timer_due;        /* 0: not armed */
    uint64_t accept_retry;     /* when to listen again; 0: not waiting */
    struct link deadlines[DEADLINES];
    struct link connections, kicked;
    unsigned connection_count;
    unsigned handles;          /* libuv handles that still use this memory */
    bool draining, freed, drained_told;
    uint64_t drain_deadline;
    void (*on_drained)(void *arg);
    void *drained_arg;
    struct exchange *spare;
    unsigned spare_count;
    int64_t date_second;
    char date[48];             /* "Date: ...\r\n" */
    char id_prefix[17];
    uint64_t id_next;
    char recv[RECV_BYTES], send[SEND_BYTES], head[HEAD_BYTES];
};

void server_kick(struct http_server *s, struct http_conn *c);
void server_deadline(struct http_server *s, struct http_conn *c, enum deadline kind);
const char *server_date(struct http_server *s);
struct exchange *server_take_exchange(struct http_server *s);
void server_give_exchange(struct http_server *s, struct exchange *ex);
void server_on_conn_closing(struct http_server *s);
void server_unref(struct http_server *s); /* a handle is closed */

/* --- parsing --- */
enum parse_event { PARSE_MORE, PARSE_HEAD, PARSE_BODY, PARSE_END, PARSE_BAD };

struct parser {
    llhttp_t http;
    enum parse_event event;
    const char *body;
    size_t body_size;
    const char *input_end;     /* of what llhttp was given last */
    uint32_t head_bytes;       /* of the head so far, leading empty lines included */
    uint32_t trailer_bytes;    /* chunk extensions and trailers: ignored, but capped */
    bool in_body;
};

struct exchange;
void parser_start(struct parser *p);
/* Parses from *at until something is known. PARSE_BAD: *ret_err, *ret_text. */
enum parse_event parser_feed(struct parser *p, struct exchange *ex, const char **at, const char *end,
                             enum err *ret_err, const char **ret_text);
/* Judges a complete head and fills the request. */
enum err head_accept(struct exchange *ex, const struct parser *p, const char **ret_text);

/* --- an exchange: one request and its reply --- */
struct span {
    const char *at;
    size_t left;
};
enum segment { SEG_INTERIM, SEG_HEAD, SEG_FRAME, SEG_DATA, SEG_TAIL, SEGMENTS };
struct output {
    struct span segments[SEGMENTS]; /* the file comes before SEG_TAIL */
    int file;
    int64_t file_offset, file_left;
    char frame[24];
};

enum framing { FRAMING_LENGTH, FRAMING_CHUNKED, FRAMING_CLOSE, FRAMING_NONE };

struct extra {                 /* a header set by the handler */
    struct extra *next;
    size_t length;
    char line[];
};
struct hook {
    struct hook *older;
    void (*fn)(void *arg);
    void *arg;
};

struct exchange {
    struct http_request req;   /* first: a request is its exchange */
    struct exchange *next_spare;
    struct http_conn *conn;
    struct hook *hooks;
    /* request */
    bool http10, client_keeps, expects_continue, refused;
    /* body */
    bool body_done, body_told, limit_hit;
    enum err body_err;
    unsigned paused;
    int64_t body_limit;
    http_chunk_cb *reader;
    void *reader_arg;
    /* reply */
    bool begun, ended, final_chunk, writing, sent_due, replied, closes, gave_up;
    enum framing framing;
    int64_t length, given;
    uint64_t head_size;
    void (*on_sent)(struct http_request *req, void *arg);
    void *on_sent_arg;
    struct extra *extras, **extras_tail;
    size_t extras_size;
    struct output out;
    /* head: names, values and target as NUL-terminated pieces of text; see parse.c */
    bool in_value, value_open;
    uint32_t text_size, target_size, field_count;
    /* from here on nothing is cleared for a new request */
    struct http_header headers[LIMIT_HEADER_COUNT + 1];
    char text[LIMIT_HEADERS + 64];
};

static inline struct exchange *exchange_of(const struct http_request *req)
{
    return (struct exchange *)(uintptr_t)req;
}
struct exchange *exchange_new(struct http_conn *c);
void exchange_dispatch(struct exchange *ex);
void exchange_refuse(struct exchange *ex, enum err e, const char *text);
void exchange_finish(struct exchange *ex); /* tells, runs hooks, frees */

/* --- connection --- */
enum conn_state {
    CONN_HANDSHAKE,
    CONN_HEAD,     /* between requests (ex NULL), or within a head */
    CONN_EXCHANGE, /* the handler's */
    CONN_DISCARD,  /* the reply is out, the body is not all in */
    CONN_LINGER,   /* our side is shut; swallows what comes, for a while */
    CONN_CLOSED    /* memory lives until libuv lets go */
};

struct http_conn {
    struct http_server *server;
    const struct http_listener_options *listener;
    struct exchange *ex;
    struct tls *tls;
    uv_poll_t poll;
    struct link all, kick, due_link;
    uint64_t due;
    int fd;
    enum conn_state state;
    enum deadline deadline;
    int armed;                 /* uv_poll's events */
    bool running;
    bool readable;             /* the socket may have bytes */
    bool blocked;              /* it took no more */
    bool want_write;           /* TLS reads only after writing */
    bool eof, broken, reset, input_dead, progress;
    uint32_t swallowed;        /* in DISCARD and LINGER */
    char *pending;             /* unread bytes that outlive a run; NULL if none */
    const char *in, *in_end;
    struct parser parser;
    char peer[46];
};

/* Takes the connected, non-blocking descriptor. For accept, and for socket pairs in tests. */
struct http_conn *http_conn_adopt(struct http_server *s, const struct http_listener_options *options,
                                  int fd);
void conn_run(struct http_conn *c);
void conn_kick(struct http_conn *c); /* run soon, unless running */
void conn_on_timeout(struct http_conn *c);
void conn_break(struct http_conn *c); /* the peer is gone, or to be cut off */
bool conn_is_idle(const struct http_conn *c);

/* --- output.c --- */
bool output_pending(const struct exchange *ex);
void output_flush(struct exchange *ex);

/* --- body.c --- */
bool body_wanted(const struct exchange *ex);
bool body_tell(struct exchange *ex); /* end or error, if it is due: true if it called */
void body_give(struct exchange *ex, const char *data, size_t size);

/* --- response.c: a step of the reply after output made progress --- */
void reply_advance(struct exchange *ex);

/* --- names.c --- */
const char *status_reason(int status);
bool is_token_char(unsigned char c);
bool is_token(const char *s);
bool is_field_value(const char *s); /* nothing that could end the line */


#endif
