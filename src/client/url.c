/* SPDX-License-Identifier: Apache-2.0 */
/* URLs by curl's own parser: what is compared and judged is what will be connected to. */
#include <string.h>

#include "private.h"

static const char *part(CURLU *u, CURLUPart what, unsigned flags, struct arena *a)
{
    char *text = NULL;
    if (curl_url_get(u, what, &text, flags) != CURLUE_OK)
        return NULL;
    const char *copy = arena_strdup(a, text);
    curl_free(text);
    return copy;
}

static enum err take(CURLU *u, struct arena *a, struct client_url *ret, struct why *why)
{
    const char *scheme = part(u, CURLUPART_SCHEME, 0, a), *host = part(u, CURLUPART_HOST, 0, a);
    const char *port = part(u, CURLUPART_PORT, CURLU_DEFAULT_PORT, a);
    if (!scheme || (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0))
        return fail(why, ERR_BAD_REQUEST, "a URL must begin with http:// or https://");
    if (!host || !*host || !port)
        return fail(why, ERR_BAD_REQUEST, "the URL has no host");
    if (part(u, CURLUPART_USER, 0, a) || part(u, CURLUPART_PASSWORD, 0, a))
        return fail(why, ERR_BAD_REQUEST, "a URL must not hold a user or a password");
    char *low = arena_strdup(a, host);
    for (char *c = low; *c; c++)
        *c = *c >= 'A' && *c <= 'Z' ? (char)(*c + 32) : *c;
    curl_url_set(u, CURLUPART_HOST, low, 0);
    curl_url_set(u, CURLUPART_FRAGMENT, NULL, 0);
    ret->secure = scheme[4] == 's';
    ret->origin = arena_printf(a, "%s://%s:%s", scheme, low, port);
    ret->host = low;
    size_t n = strlen(low);
    if (*low == '[' && low[n - 1] == ']')
        ret->host = arena_strndup(a, low + 1, n - 2);
    ret->text = part(u, CURLUPART_URL, 0, a);
    if (!ret->text)
        return fail(why, ERR_BAD_REQUEST, "not a URL");
    for (const char *c = ret->text; *c; c++) /* what is left of these is the host's */
        if ((unsigned char)*c <= ' ' || (unsigned char)*c >= 0x7f)
            return fail(why, ERR_BAD_REQUEST, "a URL's host must be in its ASCII form (xn--...)");
    return OK;
}

enum err client_url(struct arena *a, const char *base, const char *reference, struct client_url *ret,
                    struct why *why)
{
    enum err e;
    if (strlen(reference) > CLIENT_URL_BYTES)
        return fail(why, ERR_BAD_REQUEST, "the URL is too long");
    CURLU *u = curl_url();
    if (!u)
        return fail(why, ERR_UNAVAILABLE, "out of memory for a URL");
    /* What a server writes into a Location is often not encoded; ours are. */
    if ((base && curl_url_set(u, CURLUPART_URL, base, 0) != CURLUE_OK) ||
        curl_url_set(u, CURLUPART_URL, reference, CURLU_URLENCODE) != CURLUE_OK)
        e = fail(why, ERR_BAD_REQUEST, "not a URL that could be asked");
    else
        e = take(u, a, ret, why);
    curl_url_cleanup(u);
    return e;
}
