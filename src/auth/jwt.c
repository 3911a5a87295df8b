/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens as text (RFC 7519, RS256 of RFC 7518 §3.3). libjwt builds them and reads their claims; the
 * signature is checked here, with a key that was parsed once, and before libjwt sees the text: what
 * reaches its parser was signed by us. The algorithm is RS256, never what the token says it is. */
#include <errno.h>
#include <jwt.h>
#include <stdlib.h>
#include <string.h>

#include "pantera/limits.h"
#include "pantera/text.h"
#include "src/auth/internal.h"

const char *token_type_name(enum token_type t)
{
    switch (t) {
    case TOKEN_ACCESS: return "access";
    case TOKEN_REFRESH: return "refresh";
    case TOKEN_API: return "api";
    case TOKEN_NONE: break;
    }
    return "none";
}

static enum token_type token_type_parse(const char *text)
{
    for (enum token_type t = TOKEN_ACCESS; text && t <= TOKEN_API; t++)
        if (strcmp(text, token_type_name(t)) == 0)
            return t;
    return TOKEN_NONE;
}

bool token_shaped(const char *text, size_t length)
{
    unsigned dots = 0;
    if (length < 20 || memcmp(text, "eyJ", 3) != 0)
        return false;
    for (size_t i = 0; i < length; i++)
        dots += text[i] == '.';
    return dots == 2;
}

/* The header's kid, if its algorithm is ours. */
static enum err header_parse(struct arena *a, const char *text, size_t length, const char **ret_kid,
                             struct why *why)
{
    size_t size;
    const char *raw = base64_decode(a, text, length, &size);
    json_t *header = raw ? json_loadb(raw, size, JSON_REJECT_DUPLICATES, NULL) : NULL;
    const char *alg = json_string_value(json_object_get(header, "alg"));
    const char *kid = json_string_value(json_object_get(header, "kid"));
    enum err e = OK;
    if (!alg || strcmp(alg, "RS256") != 0)
        e = fail(why, ERR_UNAUTHORIZED, "Invalid or expired token");
    else
        *ret_kid = kid ? arena_strdup(a, kid) : NULL;
    if (!e && (!*ret_kid || json_object_get(header, "crit")))
        e = fail(why, ERR_UNAUTHORIZED, "Invalid or expired token");
    json_decref(header);
    return e;
}

static bool signature_good(EVP_PKEY *key, const char *text, size_t signed_length,
                           const unsigned char *signature, size_t size)
{
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    bool good = c && EVP_DigestVerifyInit(c, NULL, EVP_sha256(), NULL, key) == 1 &&
                EVP_DigestVerify(c, signature, size, (const unsigned char *)text,
                                 signed_length) == 1;
    EVP_MD_CTX_free(c);
    return good;
}

static int64_t claim_int(jwt_t *jwt, const char *name, int64_t otherwise)
{
    errno = 0;
    long v = jwt_get_grant_int(jwt, name);
    return errno ? otherwise : (int64_t)v;
}

static const char *claim_text(jwt_t *jwt, struct arena *a, const char *name)
{
    const char *v = jwt_get_grant(jwt, name);
    return v ? arena_strdup(a, v) : NULL;
}

static enum err claims_read(struct arena *a, const char *text, struct claims *ret, struct why *why)
{
    jwt_t *jwt = NULL;
    if (jwt_decode(&jwt, text, NULL, 0) != 0)
        return fail(why, ERR_UNAUTHORIZED, "Invalid or expired token");
    int64_t exp = claim_int(jwt, "exp", 0);
    ret->user = claim_text(jwt, a, "sub");
    ret->context = claim_text(jwt, a, "context");
    ret->id = claim_text(jwt, a, "jti");
    ret->scope = claim_text(jwt, a, "scope");
    ret->type = token_type_parse(jwt_get_grant(jwt, "type"));
    ret->epoch_ms = claim_int(jwt, "epoch", -1);
    ret->issued_ms = claim_int(jwt, "iat", 0) * 1000;
    ret->expires_ms = exp * 1000;
    jwt_free(jwt);
    /* All of them, always; only an API token may be without an end. */
    if (!ret->user || !ret->context || !ret->id || ret->type == TOKEN_NONE || ret->epoch_ms < 0 ||
        exp < 0 || exp > INT64_MAX / 1000 || (!exp && ret->type != TOKEN_API))
        return fail(why, ERR_UNAUTHORIZED, "Invalid or expired token");
    return OK;
}

enum err token_parse(const struct keyring *k, struct arena *a, const char *text, size_t length,
                     struct claims *ret, struct why *why)
{
    size_t size;
    if (length > LIMIT_TOKEN || !token_shaped(text, length))
        return fail(why, ERR_UNAUTHORIZED, "Invalid or expired token");
    const char *first = memchr(text, '.', length);
    const char *last = memrchr(text, '.', length);
    enum err e = header_parse(a, text, (size_t)(first - text), &ret->kid, why);
    if (e)
        return e;
    EVP_PKEY *key = keyring_find(k, ret->kid);
    const unsigned char *signature =
        base64_decode(a, last + 1, length - (size_t)(last + 1 - text), &size);
    if (!key || !signature || !signature_good(key, text, (size_t)(last - text), signature, size))
        return fail(why, ERR_UNAUTHORIZED, "Invalid or expired token");
    return claims_read(a, arena_strndup(a, text, length), ret, why);
}

enum err token_build(const struct claims *c, const char *private_pem, char **ret_text)
{
    jwt_t *jwt = NULL;
    char *text = NULL;
    int rc = jwt_new(&jwt);
    if (!rc)
        rc = jwt_set_alg(jwt, JWT_ALG_RS256, (const unsigned char *)private_pem,
                         (int)strlen(private_pem));
    rc = rc ? rc : jwt_add_header(jwt, "kid", c->kid);
    rc = rc ? rc : jwt_add_grant(jwt, "sub", c->user);
    rc = rc ? rc : jwt_add_grant(jwt, "context", c->context);
    rc = rc ? rc : jwt_add_grant(jwt, "type", token_type_name(c->type));
    rc = rc ? rc : jwt_add_grant(jwt, "jti", c->id);
    rc = rc ? rc : jwt_add_grant_int(jwt, "iat", (long)(c->issued_ms / 1000));
    rc = rc ? rc : jwt_add_grant_int(jwt, "epoch", (long)c->epoch_ms);
    if (!rc && c->scope)
        rc = jwt_add_grant(jwt, "scope", c->scope);
    if (!rc && c->expires_ms)
        rc = jwt_add_grant_int(jwt, "exp", (long)(c->expires_ms / 1000));
    if (!rc && !(text = jwt_encode_str(jwt)))
        rc = errno ? errno : EINVAL;
    if (jwt)
        jwt_free(jwt);
    if (rc)
        return ERR_INTERNAL;
    *ret_text = text; /* from malloc */
    return OK;
}

/* --- Authorization: RFC 9110 §11.6.2, RFC 7617, RFC 6750 §2.1 --- */

static const char *scheme(const char *value, const char *name)
{
    size_t n = strlen(name);
    if (strncasecmp(value, name, n) != 0 || value[n] != ' ')
        return NULL;
    value += n;
    while (*value == ' ')
        value++;
    return value;
}

enum err credentials_parse(struct arena *a, const char *value, struct credentials *ret,
                           struct why *why)
{
    const char *rest;
    size_t size;
    *ret = (struct credentials){ 0 };
    if (strlen(value) > 2 * LIMIT_TOKEN)
        return fail(why, ERR_UNAUTHORIZED, "the credentials are too long");
    if ((rest = scheme(value, "Bearer"))) {
        ret->token = rest;
        return OK;
    }
    if (!(rest = scheme(value, "Basic")))
        return fail(why, ERR_UNAUTHORIZED, "Basic or Bearer credentials required");
    char *pair = base64_decode(a, rest, strlen(rest), &size);
    char *colon = pair ? memchr(pair, ':', size) : NULL;
    if (!colon || memchr(pair, '\0', size) || !utf8_valid(pair, size))
        return fail(why, ERR_UNAUTHORIZED, "malformed Basic credentials");
    *colon = '\0';
    ret->user = pair;
    size_t length = size - (size_t)(colon + 1 - pair);
    if (token_shaped(colon + 1, length))
        ret->token = colon + 1;
    else
        ret->password = colon + 1;
    if (!*ret->user && ret->password && !*ret->password) /* some clients send nobody instead of nothing */
        return fail(why, ERR_UNAUTHORIZED, "Authentication required");
    if (!*ret->user || (ret->password && length > LIMIT_PASSWORD))
        return fail(why, ERR_UNAUTHORIZED, "Invalid credentials");
    return OK;
}
