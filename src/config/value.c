/* SPDX-License-Identifier: Apache-2.0 */
/* config/value.c: a text becomes a value of its row's kind, or a sentence that says what was expected.
 * Not here: where the text came from. */
#include "src/config/keys.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pantera/address.h"
#include "pantera/buf.h"
#include "pantera/text.h"

enum { VALUE_MAX_BYTES = 8192 };
#define NAME_BYTES "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"

static bool number_parse(const char *text, long long *ret)
{
    char *end;
    const char *digits = text + (*text == '-');
    if (*digits < '0' || *digits > '9') /* strtoll would take blanks and '+' */
        return false;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (*end || errno)
        return false;
    *ret = v;
    return true;
}

struct unit {
    const char *name;
    long long factor;
};

/* "10", "10unit", "1.5unit": at most three decimals, so that all stays exact. Moves *at past it. */
static bool quantity_parse(const char **at, const struct unit *units, long long *ret)
{
    long long whole = 0, thousandths = 0, scale = 1000, v;
    const char *s = *at;
    if (*s < '0' || *s > '9')
        return false;
    for (; *s >= '0' && *s <= '9'; s++)
        if (__builtin_mul_overflow(whole, 10, &whole) ||
            __builtin_add_overflow(whole, *s - '0', &whole))
            return false;
    if (*s == '.')
        for (s++; *s >= '0' && *s <= '9' && scale > 1; s++)
            thousandths += (*s - '0') * (scale /= 10);
    for (const struct unit *u = units; u->name; u++) {
        size_t n = strlen(u->name);
        if (strncmp(s, u->name, n) != 0 || (s[n] >= 'A' && s[n] <= 'z') ||
            (thousandths && u->factor == 1)) /* half a byte, half a millisecond */
            continue;
        if (__builtin_mul_overflow(whole, u->factor, &v) ||
            __builtin_add_overflow(v, thousandths * u->factor / 1000, &v))
            return false;
        *at = s + n;
        *ret = v;
        return true;
    }
    return false;
}

/* ISO 8601: P[nD][T[nH][nM][nS]], as the seed writes timeouts. */
static bool iso_duration_parse(const char *s, long long *ret)
{
    static const struct unit units[] = { { "D", 86400000 }, { "H", 3600000 }, { "M", 60000 },
                                         { "S", 1000 }, { NULL, 0 } };
    long long total = 0, part;
    int next = 0; /* first unit that may still come: each at most once, in order */
    bool time = false;
    if (*s++ != 'P' || !*s)
        return false;
    while (*s) {
        if (*s == 'T' && !time) {
            time = true;
            next = next < 1 ? 1 : next;
            s++;
            if (!*s)
                return false;
        }
        const char *digits = s + strspn(s, "0123456789.");
        int u = next;
        while (u < 4 && *digits != units[u].name[0])
            u++;
        if (u == 4 || (u > 0) != time)
            return false;
        struct unit one[2] = { units[u], { NULL, 0 } };
        char text[64];
        size_t n = (size_t)(digits - s) + 1;
        if (n >= sizeof text)
            return false;
        memcpy(text, s, n);
        text[n] = '\0';
        const char *at = text;
        if (!quantity_parse(&at, one, &part) || *at || __builtin_add_overflow(total, part, &total))
            return false;
        next = u + 1;
        s += n;
    }
    *ret = total;
    return true;
}

static bool duration_parse(const char *text, long long *ret)
{
    static const struct unit units[] = { { "ms", 1 }, { "s", 1000 }, { "m", 60000 },
                                         { "h", 3600000 }, { "d", 86400000 }, { "", 1 },
                                         { NULL, 0 } };
    if (*text == 'P')
        return iso_duration_parse(text, ret);
    return quantity_parse(&text, units, ret) && !*text;
}

static bool bytes_parse(const char *text, long long *ret)
{
    static const struct unit units[] = {
        { "KiB", 1LL << 10 }, { "MiB", 1LL << 20 }, { "GiB", 1LL << 30 }, { "TiB", 1LL << 40 },
        { "KB", 1000LL }, { "MB", 1000000LL }, { "GB", 1000000000LL }, { "TB", 1000000000000LL },
        { "B", 1 }, { "", 1 }, { NULL, 0 }
    };
    return quantity_parse(&text, units, ret) && !*text;
}

static bool address_valid(const char *text)
{
    const char *colon = strrchr(text, ':');
    long long port;
    if (!colon || colon == text || !number_parse(colon + 1, &port) || port < 1 || port > 65535)
        return false;
    size_t n = (size_t)(colon - text);
    if (text[0] == '[') /* [::1]:7070 */
        return n > 2 && text[n - 1] == ']' && strspn(text + 1, "0123456789abcdefABCDEF:.%") == n - 2;
    return strcspn(text, ":/@ []") == n;
}

static bool url_valid(const char *text)
{
    size_t n = strlen(text);
    const char *host = strncmp(text, "http://", 7) == 0    ? text + 7
                       : strncmp(text, "https://", 8) == 0 ? text + 8
                                                           : NULL;
    return host && *host && *host != '/' && text[n - 1] != '/' && !strpbrk(text, " ?#@\\");
}

static bool is_number(enum kind kind)
{
    return kind == KIND_PORT || kind == KIND_INT || kind == KIND_UINT || kind == KIND_DURATION ||
           kind == KIND_BYTES;
}

static bool is_text(enum kind kind)
{
    return kind == KIND_TEXT || kind == KIND_SECRET || kind == KIND_URL || kind == KIND_PATH ||
           kind == KIND_ADDRESS;
}

void value_expected(const struct key *k, char *ret, size_t size)
{
    static const char *const words[] = {
        [KIND_TEXT] = "a text", [KIND_SECRET] = "a text", [KIND_URL] =
            "a URL like https://host without a slash at the end", [KIND_PATH] =
            "a path like /metrics", [KIND_ADDRESS] = "host:port", [KIND_PORT] = "a port",
        [KIND_INT] = "a whole number", [KIND_UINT] = "a whole number",
        [KIND_BOOL] = "true or false", [KIND_DURATION] =
            "a duration like 60s, 1500 (ms) or PT1M", [KIND_BYTES] = "a size like 512MiB",
        [KIND_LEVEL] = "debug, info, warn or error", [KIND_NAMES] = "a list of names",
        [KIND_NETWORKS] = "a list of networks like 10.0.0.0/8 or fd00::/8",
        [KIND_PEERS] = "a list of {id, address}",
    };
    if (k->kind == KIND_DURATION)
        snprintf(ret, size, "%s, %lld to %lld ms", words[k->kind], k->min, k->max);
    else if (is_number(k->kind))
        snprintf(ret, size, "%s (%lld to %lld)", words[k->kind], k->min, k->max);
    else if (k->kind == KIND_TEXT || k->kind == KIND_SECRET)
        snprintf(ret, size, "a text of %lld to %lld bytes", k->min, k->max);
    else
        snprintf(ret, size, "%s", words[k->kind]);
}

/* "x: expected a port (0 to 65535), got 'http'". One line, whatever the value holds. */
static enum err refuse(const struct key *k, const char *text, const char *where, struct why *why)
{
    char expected[128], shown[48];
    size_t n = 0;
    value_expected(k, expected, sizeof expected);
    if (k->kind == KIND_SECRET)
        return fail(why, ERR_BAD_REQUEST, "%s: expected %s", where, expected);
    for (const char *s = text; *s && n < sizeof shown - 1; s++)
        shown[n++] = (unsigned char)*s < ' ' || *s == 127 ? '?' : *s;
    shown[n] = '\0';
    /* Kubernetes gives every pod variables of the services around it (PANTERA_PORT=tcp://...). */
    return fail(why, ERR_BAD_REQUEST, "%s: expected %s, got '%s'%s", where, expected, shown,
                strncmp(text, "tcp://", 6) == 0 ? "; is enableServiceLinks on?" : "");
}

static bool number_read(const struct key *k, const char *text, long long *ret)
{
    bool ok = k->kind == KIND_DURATION ? duration_parse(text, ret)
              : k->kind == KIND_BYTES  ? bytes_parse(text, ret)
                                       : number_parse(text, ret);
    return ok && *ret >= k->min && *ret <= k->max;
}

static bool text_fits(const struct key *k, const char *text)
{
    long long n = (long long)strlen(text);
    if (n < k->min || n > k->max || !utf8_valid(text, (size_t)n))
        return false;
    for (const char *s = text; *s; s++)
        if ((unsigned char)*s < ' ' || *s == 127)
            return false;
    return k->kind == KIND_URL       ? url_valid(text)
           : k->kind == KIND_PATH    ? text[0] == '/' && !strpbrk(text, " ?#")
           : k->kind == KIND_ADDRESS ? address_valid(text)
                                     : true;
}

/* STORE rows: `json` at the path below "meta.storage.". Takes it. */
static void store_json(struct build *b, const struct key *k, json_t *json)
{
    char path[PATH_MAX_BYTES], *save = NULL;
    snprintf(path, sizeof path, "%s", k->path + strlen("meta.storage."));
    if (!b->config.storage)
        b->config.storage = json_object();
    json_t *object = b->config.storage;
    char *name = strtok_r(path, ".", &save), *next;
    while ((next = strtok_r(NULL, ".", &save))) {
        if (!json_object_get(object, name))
            json_object_set_new(object, name, json_object());
        object = json_object_get(object, name);
        name = next;
    }
    json_object_set_new(object, name, json);
}

static void store_number(struct build *b, const struct key *k, long long v)
{
    void *field = (char *)&b->config + k->offset;
    if (k->place == PLACE_STORAGE)
        store_json(b, k, json_integer(v));
    else if (k->kind == KIND_UINT)
        *(unsigned *)field = (unsigned)v;
    else if (k->kind == KIND_DURATION || k->kind == KIND_BYTES)
        *(uint64_t *)field = (uint64_t)v;
    else
        *(int *)field = (int)v;
}

static enum err names_from_text(struct build *b, const struct key *k, char *text,
                                const char *where, struct why *why)
{
    const char *names[64];
    unsigned n = 0;
    char *save = NULL;
    for (char *s = strtok_r(text, ",", &save); s && n < 64; s = strtok_r(NULL, ",", &save))
        names[n++] = s;
    return value_set_names(b, k, names, n, where, why);
}

/* "1=host:port,2=host:port" */
static enum err peers_from_text(struct build *b, const struct key *k, char *text,
                                const char *where, struct why *why)
{
    struct config_peer peers[64];
    unsigned n = 0;
    char *save = NULL;
    for (char *s = strtok_r(text, ",", &save); s && n < 64; s = strtok_r(NULL, ",", &save)) {
        char *equals = strchr(s, '=');
        if (!equals)
            return fail(why, ERR_BAD_REQUEST, "%s: expected 1=host:port,2=host:port", where);
        *equals = '\0';
        enum err e = value_peer(s, equals + 1, &peers[n++], where, why);
        if (e)
            return e;
    }
    return value_set_peers(b, k, peers, n, where, why);
}

enum err value_set(struct build *b, const struct key *k, const char *text, const char *where,
                   struct why *why)
{
    void *field = (char *)&b->config + k->offset;
    long long number;
    if (is_number(k->kind)) {
        if (!number_read(k, text, &number))
            return refuse(k, text, where, why);
        store_number(b, k, number);
    } else if (is_text(k->kind)) {
        if (!text_fits(k, text))
            return refuse(k, text, where, why);
        if (k->place == PLACE_STORAGE)
            store_json(b, k, json_string(text));
        else
            *(const char **)field = arena_strdup(&b->arena, text);
    } else if (k->kind == KIND_BOOL) {
        bool on = strcmp(text, "true") == 0;
        if (!on && strcmp(text, "false") != 0)
            return refuse(k, text, where, why);
        if (k->place == PLACE_STORAGE)
            store_json(b, k, json_boolean(on));
        else
            *(bool *)field = on;
    } else if (k->kind == KIND_LEVEL) {
        if (!log_level_parse(text, field))
            return refuse(k, text, where, why);
    } else {
        char *copy = arena_strdup(&b->arena, text);
        enum err e = k->kind != KIND_PEERS ? names_from_text(b, k, copy, where, why)
                                            : peers_from_text(b, k, copy, where, why);
        if (e)
            return e;
    }
    b->where[k - keys] = arena_strdup(&b->arena, where);
    return OK;
}

enum err value_set_names(struct build *b, const struct key *k, const char **names, unsigned count,
                         const char *where, struct why *why)
{
    const char **list = arena_alloc(&b->arena, (count + 1) * sizeof *list);
    struct network network;
    if (count > k->max)
        return fail(why, ERR_BAD_REQUEST, "%s: expected at most %lld of them", where, k->max);
    for (unsigned i = 0; i < count; i++) {
        if (k->kind == KIND_NETWORKS && !network_parse(names[i], &network))
            return refuse(k, names[i], where, why);
        if (k->kind == KIND_NAMES && !name_valid(names[i]))
            return fail(why, ERR_BAD_REQUEST, "%s: expected names without / \\ %% ? # :", where);
        for (unsigned j = 0; j < i; j++)
            if (strcmp(names[i], names[j]) == 0)
                return fail(why, ERR_BAD_REQUEST, "%s: '%.60s' is there twice", where, names[i]);
        list[i] = arena_strdup(&b->arena, names[i]);
    }
    *(const char ***)((char *)&b->config + k->offset) = list;
    b->where[k - keys] = arena_strdup(&b->arena, where);
    return OK;
}

enum err value_peer(const char *id, const char *address, struct config_peer *ret,
                    const char *where, struct why *why)
{
    const struct key *id_key = key_find("meta.cluster.id");
    const struct key *address_key = key_find("meta.cluster.advertise");
    long long number;
    if (!number_read(id_key, id, &number))
        return refuse(id_key, id, where, why);
    if (!text_fits(address_key, address))
        return refuse(address_key, address, where, why);
    *ret = (struct config_peer){ .id = (int)number, .address = address };
    return OK;
}

enum err value_set_peers(struct build *b, const struct key *k, const struct config_peer *peers,
                         unsigned count, const char *where, struct why *why)
{
    struct config_peer *list = arena_alloc(&b->arena, (count + 1) * sizeof *list);
    if (count > k->max)
        return fail(why, ERR_BAD_REQUEST, "%s: expected at most %lld peers", where, k->max);
    for (unsigned i = 0; i < count; i++) {
        for (unsigned j = 0; j < i; j++) {
            if (peers[i].id == peers[j].id)
                return fail(why, ERR_BAD_REQUEST, "%s: id %d is there twice", where, peers[i].id);
            if (strcmp(peers[i].address, peers[j].address) == 0)
                return fail(why, ERR_BAD_REQUEST, "%s: address %.60s is there twice", where,
                            peers[i].address);
        }
        list[i] = (struct config_peer){ peers[i].id, arena_strdup(&b->arena, peers[i].address) };
    }
    b->config.peers = list;
    b->config.peer_count = count;
    b->where[k - keys] = arena_strdup(&b->arena, where);
    return OK;
}

enum err value_expand(struct arena *a, const char *text, const char *where, const char **ret,
                      struct why *why)
{
    struct buf out;
    enum err e = OK;
    buf_init(&out, VALUE_MAX_BYTES);
    for (const char *s = text; *s && !e;) {
        const char *end;
        if (strncmp(s, "$${", 3) == 0) {
            buf_puts(&out, "${");
            s += 3;
        } else if (strncmp(s, "${", 2) != 0) {
            buf_add(&out, s++, 1);
        } else if ((end = s + 2 + strspn(s + 2, NAME_BYTES)) == s + 2 || *end != '}') {
            e = fail(why, ERR_BAD_REQUEST, "%s: expected ${NAME}", where);
        } else {
            const char *name = arena_strndup(a, s + 2, (size_t)(end - s - 2));
            const char *value = getenv(name);
            if (value)
                buf_puts(&out, value);
            else
                e = fail(why, ERR_BAD_REQUEST, "%s: the variable '%.60s' is not set", where, name);
            s = end + 1;
        }
    }
    if (!e && buf_err(&out))
        e = fail(why, ERR_BAD_REQUEST, "%s: longer than %d bytes", where, VALUE_MAX_BYTES);
    if (!e)
        *ret = arena_strdup(a, out.length ? out.data : "");
    buf_free(&out);
    return e;
}
