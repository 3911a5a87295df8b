/* SPDX-License-Identifier: Apache-2.0 */
/* What a provider's configuration may say and what it means: callbacks, groups, roles. No network. */
#include <string.h>
#include <strings.h>

#include "pantera/meta_secret.h"
#include "src/auth/oidc.h"

enum { CONFIG_LIST = 500, CONFIG_TEXT = 2000 };

/* --- what may be put --- */

enum shape { TEXT, TEXTS, FLAG, GROUPS };
enum { OKTA = 1, KEYCLOAK = 2, OIDC = 4, ALL = 7 };

static const struct member {
    const char *name;
    enum shape shape;
    unsigned types, required;
} members[] = {
    { "issuer", TEXT, OKTA | OIDC, OKTA | OIDC },
    { "url", TEXT, KEYCLOAK, KEYCLOAK },
    { "realm", TEXT, KEYCLOAK, KEYCLOAK },
    { "client-id", TEXT, ALL, ALL },
    { "client-secret", TEXT, ALL, 0 },
    { "client-password", TEXT, KEYCLOAK, 0 },
    { "redirect-uri", TEXT, ALL, 0 },
    { "callback-urls", TEXTS, ALL, 0 },
    { "scope", TEXT, ALL, 0 },
    { "username-claim", TEXT, ALL, 0 },
    { "groups-claim", TEXT, ALL, 0 },
    { "allowed-groups", TEXTS, ALL, 0 },
    { "group-roles", GROUPS, ALL, 0 },
    { "default-role", TEXT, ALL, 0 },
    { "user-domains", TEXTS, ALL, 0 },
    { "password-login", FLAG, ALL, 0 },
    { "authn-url", TEXT, OKTA, 0 },
    { "allow-http", FLAG, ALL, 0 },
    { "ca-file", TEXT, ALL, 0 },
};

static unsigned type_bit(const char *type)
{
    if (strcmp(type, "okta") == 0)
        return OKTA;
    if (strcmp(type, "keycloak") == 0)
        return KEYCLOAK;
    return strcmp(type, "oidc") == 0 ? OIDC : 0;
}

bool provider_type_known(const char *type)
{
    return type_bit(type) != 0;
}

static bool text_good(const json_t *v)
{
    return json_is_string(v) && json_string_length(v) > 0 && json_string_length(v) <= CONFIG_TEXT &&
           strlen(json_string_value(v)) == json_string_length(v);
}

static bool texts_good(const json_t *v)
{
    size_t i;
    const json_t *item;
    if (!json_is_array(v) || json_array_size(v) > CONFIG_LIST)
        return false;
    json_array_foreach(v, i, item)
        if (!text_good(item))
            return false;
    return true;
}

/* {"group": "role"}, {"group": ["role", …]}, or an array of such objects. */
static bool groups_good(const json_t *v)
{
    const char *name;
    json_t *role;
    size_t i;
    const json_t *item;
    if (json_is_array(v)) {
        json_array_foreach(v, i, item)
            if (!json_is_object(item) || !groups_good(item))
                return false;
        return json_array_size(v) <= CONFIG_LIST;
    }
    if (!json_is_object(v) || json_object_size(v) > CONFIG_LIST)
        return false;
    json_object_foreach((json_t *)(uintptr_t)v, name, role)
        if (!text_good(role) && !texts_good(role))
            return false;
    return true;
}

static bool shape_good(enum shape shape, const json_t *v)
{
    switch (shape) {
    case TEXT: return text_good(v);
    case TEXTS: return texts_good(v);
    case FLAG: return json_is_boolean(v);
    case GROUPS: break;
    }
    return groups_good(v);
}

static const char *shape_text(enum shape shape)
{
    switch (shape) {
    case TEXT: return "a text";
    case TEXTS: return "an array of texts";
    case FLAG: return "true or false";
    case GROUPS: break;
    }
    return "an object of groups and their roles";
}

static enum err member_check(const char *name, const json_t *value, unsigned type, struct why *why)
{
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        if (strcmp(members[i].name, name) != 0 || !(members[i].types & type))
            continue;
        return shape_good(members[i].shape, value)
                   ? OK
                   : fail(why, ERR_BAD_REQUEST, "'%s' must be %s", name, shape_text(members[i].shape));
    }
    return fail(why, ERR_BAD_REQUEST, "'%.100s' is not a setting of this provider", name);
}

/* Over plain HTTP anybody on the way can be anyone: only on this machine, or when it was said. */
static bool address_good(const char *url, bool plain)
{
    static const char *const loopback[] = { "http://127.0.0.1", "http://[::1]", "http://localhost" };
    if (strncmp(url, "https://", 8) == 0)
        return url[8] && url[8] != '/';
    for (size_t i = 0; i < sizeof loopback / sizeof *loopback; i++) {
        size_t n = strlen(loopback[i]);
        if (strncmp(url, loopback[i], n) == 0 && strchr(":/", url[n]))
            return true;
    }
    return plain && strncmp(url, "http://", 7) == 0 && url[7] && url[7] != '/';
}

enum err provider_config_check(const char *type, const json_t *config, struct why *why)
{
    unsigned bit = type_bit(type);
    const char *name;
    json_t *value;
    enum err e = OK;
    if (!bit)
        return fail(why, ERR_BAD_REQUEST, "type must be okta, keycloak or oidc");
    if (!json_is_object(config))
        return fail(why, ERR_BAD_REQUEST, "config must be an object");
    json_object_foreach((json_t *)(uintptr_t)config, name, value)
        if ((e = member_check(name, value, bit, why)))
            return e;
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        if ((members[i].required & bit) && !json_object_get(config, members[i].name))
            return fail(why, ERR_BAD_REQUEST, "'%s' is missing", members[i].name);
    const char *base = json_string_value(json_object_get(config, bit == KEYCLOAK ? "url" : "issuer"));
    const char *authn = json_string_value(json_object_get(config, "authn-url"));
    bool plain = json_is_true(json_object_get(config, "allow-http"));
    if (!address_good(base, plain) || strpbrk(base, "?# ") ||
        (authn && (!address_good(authn, plain) || strpbrk(authn, "?# "))))
        return fail(why, ERR_BAD_REQUEST, "the provider's address must begin with https:// (or "
                    "\"allow-http\" be true) and have no query");
    return OK;
}

/* --- groups and roles --- */

static void roles_append(json_t *list, const json_t *role)
{
    size_t i;
    const json_t *item;
    if (json_is_string(role))
        json_array_append(list, (json_t *)(uintptr_t)role);
    json_array_foreach(role, i, item)
        json_array_append(list, (json_t *)(uintptr_t)item);
}

/* The roles of `group` (NULL: of all groups), added to `list`. */
static void group_roles(const json_t *map, const char *group, json_t *list)
{
    const char *name;
    json_t *role;
    size_t i;
    const json_t *item;
    json_array_foreach(map, i, item)
        group_roles(item, group, list);
    if (!json_is_object(map))
        return;
    json_object_foreach((json_t *)(uintptr_t)map, name, role)
        if (!group || strcmp(group, name) == 0)
            roles_append(list, role);
}

json_t *provider_config_roles(const json_t *config)
{
    json_t *list = json_array();
    group_roles(json_object_get(config, "group-roles"), NULL, list);
    roles_append(list, json_object_get(config, "default-role"));
    return list;
}

static bool contains(const json_t *list, const char *text)
{
    size_t i;
    const json_t *item;
    json_array_foreach(list, i, item)
        if (strcmp(json_string_value(item), text) == 0)
            return true;
    return false;
}

bool provider_takes_name(const struct provider *p, const char *name)
{
    const json_t *domains = json_object_get(p->config, "user-domains"), *item;
    const char *at = strrchr(name, '@');
    size_t i;
    if (!json_array_size(domains))
        return true;
    json_array_foreach(domains, i, item) {
        const char *domain = json_string_value(item);
        domain += *domain == '@';
        if (at ? strcasecmp(at + 1, domain) == 0 : strcmp(domain, "local") == 0)
            return true;
    }
    return false;
}

enum err sso_admit(const struct provider *p, const struct sso_identity *who, json_t **ret_roles,
                   struct why *why)
{
    const json_t *allowed = json_object_get(p->config, "allowed-groups"), *group;
    bool member = !json_array_size(allowed);
    size_t i;
    *ret_roles = NULL;
    if (!provider_takes_name(p, who->name))
        return fail(why, ERR_FORBIDDEN, "'%.100s' is of none of user-domains", who->name);
    json_array_foreach(who->groups, i, group)
        member = member || contains(allowed, json_string_value(group));
    if (!member)
        return fail(why, ERR_FORBIDDEN, "'%.100s' is in none of allowed-groups", who->name);
    /* A token without the claim says nothing of roles; but whoever is new gets the default one. */
    if (!who->groups && !p->default_role)
        return OK;
    json_t *roles = json_array();
    json_array_foreach(who->groups, i, group)
        group_roles(json_object_get(p->config, "group-roles"), json_string_value(group), roles);
    if (!json_array_size(roles) && p->default_role)
        json_array_append_new(roles, json_string(p->default_role));
    *ret_roles = roles;
    return OK;
}

/* --- reading --- */

static void config_release(void *arg)
{
    json_decref(arg);
}

/* At the organisation, whichever of its authorization servers is the issuer. */
static const char *authn_url(struct arena *a, const json_t *config, const char *issuer)
{
    const char *given = json_string_value(json_object_get(config, "authn-url"));
    if (given || !issuer)
        return given;
    const char *host = strstr(issuer, "://");
    size_t n = host ? (size_t)(host - issuer) + 3 + strcspn(host + 3, "/") : strlen(issuer);
    return arena_printf(a, "%.*s/api/v1/authn", (int)n, issuer);
}

/* Okta's and Keycloak's are asked, as seed 000 has it; Okta's can't do without a redirect-uri. */
static bool password_login(const char *type, const json_t *config)
{
    const json_t *said = json_object_get(config, "password-login");
    bool okta = strcmp(type, "okta") == 0, keycloak = strcmp(type, "keycloak") == 0;
    return (said ? json_is_true(said) : okta || keycloak) &&
           (!okta || json_object_get(config, "redirect-uri"));
}

enum err provider_open(struct arena *a, const struct seal_key *key, const struct provider_row *row,
                       struct provider *ret, struct why *why)
{
    json_t *config = json_loads(row->config, 0, NULL);
    if (!config)
        return fail(why, ERR_INTERNAL, "provider '%s': its configuration is not JSON", row->type);
    arena_on_release(a, config_release, config);
    enum err e = secrets_unseal(a, key, provider_aad(a, row->id), config, why);
    if (e)
        return e;
    const char *secret = json_string_value(json_object_get(config, "client-secret"));
    const char *groups = json_string_value(json_object_get(config, "groups-claim"));
    const char *name = json_string_value(json_object_get(config, "username-claim"));
    const char *scope = json_string_value(json_object_get(config, "scope"));
    *ret = (struct provider){
        .type = row->type, .id = row->id, .enabled = row->enabled, .config = config,
        .issuer = provider_issuer(a, row->type, config),
        .client_id = json_string_value(json_object_get(config, "client-id")),
        .client_secret = secret ? secret
                                : json_string_value(json_object_get(config, "client-password")),
        .scope = scope ? scope : "openid profile email",
        .groups_claim = groups ? groups : "groups",
        .username_claim = name ? name : "preferred_username",
        .default_role = json_string_value(json_object_get(config, "default-role")),
        .ca_file = json_string_value(json_object_get(config, "ca-file")),
        .redirect_uri = json_string_value(json_object_get(config, "redirect-uri")),
        .password_login = password_login(row->type, config),
        .plain_http = json_is_true(json_object_get(config, "allow-http")),
    };
    ret->authn_url = authn_url(a, config, ret->issuer);
    if (!ret->issuer || !ret->client_id)
        return fail(why, ERR_UNAVAILABLE, "provider '%s' is not configured", row->type);
    return OK;
}

bool provider_address_good(const struct provider *p, const char *url)
{
    return url && address_good(url, p->plain_http);
}

bool provider_allows_callback(const struct provider *p, const char *url)
{
    const char *one = json_string_value(json_object_get(p->config, "redirect-uri"));
    return (one && strcmp(one, url) == 0) || contains(json_object_get(p->config, "callback-urls"), url);
}
