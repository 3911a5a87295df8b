# SPDX-License-Identifier: Apache-2.0
"""Seed 000: authentication, tokens, users, roles, administration, health."""
import re

from pantera import PASSWORD, USER
from suite import TIME, Opt, case, page

JWT = re.compile(r"^eyJ[\w-]+\.[\w-]+\.[\w-]+$")
UUID = re.compile(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
SESSION = {"token": JWT, "refresh_token": JWT, "expires_in": int}
OTHER = "Another-Pass-2!"


# --- sessions ---

@case("POST /auth/token", "200")
def _(s):
    r = s.expect(200, "POST", "/auth/token", {"name": USER, "pass": PASSWORD}, SESSION, as_=None)
    assert r.headers["Cache-Control"] == "no-store"
    s.expect(200, "GET", "/auth/me", as_=r.json()["token"])


@case("POST /auth/token", "401 and 400")
def _(s):
    name = s.user()[0]
    r = s.expect(401, "POST", "/auth/token", {"name": name, "pass": "wrong"}, as_=None)
    assert r.json()["error"] == "UNAUTHORIZED" and r.json()["message"] == "Invalid credentials"
    r = s.expect(401, "POST", "/auth/token", {"name": s.name("nobody"), "pass": "wrong"}, as_=None)
    assert r.json()["message"] == "Invalid credentials"
    for body in ({}, {"name": name}, {"pass": "x"}, {"name": 1, "pass": "x"}, {"name": name, "pass": None},
                 {"name": name, "pass": "x", "mfa_code": 123456}):
        r = s.expect(400, "POST", "/auth/token", body, as_=None)
        assert r.json()["error"] == "BAD_REQUEST"


@case("POST /auth/refresh", "200 by body, and what pays is spent")
def _(s):
    first = s.expect(200, "POST", "/auth/token", {"name": USER, "pass": PASSWORD}, as_=None).json()
    r = s.expect(200, "POST", "/auth/refresh", {"refresh_token": first["refresh_token"]},
                 {"token": JWT, "expires_in": int}, as_=None)
    s.expect(200, "GET", "/auth/me", as_=r.json()["token"])
    r = s.expect(401, "POST", "/auth/refresh", {"refresh_token": first["refresh_token"]}, as_=None)
    assert r.json()["message"] == "Refresh token expired or revoked"


@case("POST /auth/refresh", "200 by header, as the original reads it")
def _(s):
    first = s.expect(200, "POST", "/auth/token", {"name": USER, "pass": PASSWORD}, as_=None).json()
    s.expect(200, "POST", "/auth/refresh", None, {"token": JWT, "expires_in": int},
             as_=first["refresh_token"])


@case("POST /auth/refresh", "401 and 400")
def _(s):
    s.expect(401, "POST", "/auth/refresh", {"refresh_token": "eyJ.a.b"}, as_=None)
    s.expect(401, "POST", "/auth/refresh", {"refresh_token": s.admin}, as_=None)
    s.expect(400, "POST", "/auth/refresh", {}, as_=None)
    s.expect(400, "POST", "/auth/refresh", {"refresh_token": 5}, as_=None)


@case("GET /auth/providers", "200")
def _(s):
    r = s.expect(200, "GET", "/auth/providers", shape={"providers": [{"type": str, "enabled": bool}]},
                 as_=None)
    assert any(p["type"] == "local" and p["enabled"] for p in r.json()["providers"])


@case("GET /auth/providers/:name/redirect", "400, 404")
def _(s):
    url = "/auth/providers/none/redirect?callback_url=http%3A%2F%2Flocalhost%3A3000%2Fcallback"
    s.expect(404, "GET", url, as_=None)
    s.expect((400, 404), "GET", "/auth/providers/okta/redirect", as_=None)


@case("POST /auth/callback", "401 and 400")
def _(s):
    s.expect((401, 404), "POST", "/auth/callback", {"code": "x", "provider": "okta", "state": "none",
                                             "callback_url": "http://localhost:3000/callback"}, as_=None)
    s.expect(400, "POST", "/auth/callback", {"code": "x"}, as_=None)
    s.expect(400, "POST", "/auth/callback", {"code": 1, "provider": "okta", "callback_url": "x"}, as_=None)


DOMAINS = {"api_repository_permissions": [str], "api_user_permissions": [str], "api_role_permissions": [str],
           "api_alias_permissions": [str], "api_cooldown_permissions": [str], "api_search_permissions": [str],
           "can_delete_artifacts": bool}


@case("GET /auth/me", "200")
def _(s):
    shape = {"name": USER, "context": str, "email": Opt(str), "groups": [str], "permissions": DOMAINS}
    me = s.expect(200, "GET", "/auth/me", shape=shape).json()["permissions"]
    assert set(me["api_repository_permissions"]) >= {"read", "create", "update", "delete", "move"}
    assert me["can_delete_artifacts"] is True
    me = s.expect(200, "GET", "/auth/me", as_=s.who("user reader", {"api_user_permissions": ["read"]}))
    me = me.json()["permissions"]
    assert me["api_user_permissions"] == ["read"] and me["can_delete_artifacts"] is False
    assert me.get("api_role_permissions", []) == []


# --- API tokens ---

NEW = {"token": JWT, "id": UUID, "label": str, "expires_at": TIME, "permanent": False}


@case("POST /auth/token/generate", "200")
def _(s):
    r = s.expect(200, "POST", "/auth/token/generate", {"label": "CI", "expiry_days": 9}, NEW).json()
    assert r["label"] == "CI"
    s.expect(200, "GET", "/auth/me", as_=r["token"])
    assert s.expect(200, "POST", "/auth/token/generate", {}, NEW).json()["label"] == "API Token"


@case("POST /auth/token/generate", "400 beyond policy, 403 by a token")
def _(s):
    policy = s.expect(200, "GET", "/admin/auth-settings").json()
    days = policy["api_token_max_expiry_days"]
    for body in ({"expiry_days": days + 1}, {"expiry_days": -1}, {"expiry_days": "9"}, {"label": 5},
                 {"expiry_days": 1.5}, {"label": "x" * 300}):
        s.expect(400, "POST", "/auth/token/generate", body)
    if not policy["allow_permanent_tokens"]:
        s.expect(400, "POST", "/auth/token/generate", {"expiry_days": 0})
    token = s.expect(200, "POST", "/auth/token/generate", {"expiry_days": 1}).json()["token"]
    s.expect(403, "POST", "/auth/token/generate", {}, as_=token)


@case("GET /auth/tokens", "200, no secrets")
def _(s):
    name, me = s.user()
    made = s.expect(200, "POST", "/auth/token/generate", {"label": "one", "expiry_days": 9}, as_=me).json()
    item = {"id": UUID, "label": str, "created_at": TIME, "expires_at": Opt(TIME), "expired": Opt(bool),
            "permanent": Opt(bool)}
    r = s.expect(200, "GET", "/auth/tokens", shape={"tokens": [item]}, as_=me)
    assert [t["id"] for t in r.json()["tokens"]] == [made["id"]]
    assert r.json()["tokens"][0]["expired"] is False
    assert made["token"].encode() not in r.body and b'"token"' not in r.body


@case("DELETE /auth/tokens/:tokenId", "204, 404, owner only")
def _(s):
    mine = s.user()[1]
    made = s.expect(200, "POST", "/auth/token/generate", {"expiry_days": 9}, as_=mine).json()
    s.expect(200, "GET", "/auth/me", as_=made["token"])
    s.expect(404, "DELETE", f"/auth/tokens/{made['id']}")  # the administrator's it is not
    s.expect(204, "DELETE", f"/auth/tokens/{made['id']}", shape="", as_=mine)
    s.expect(401, "GET", "/auth/me", as_=made["token"])
    r = s.expect(404, "DELETE", f"/auth/tokens/{made['id']}", as_=mine)
    assert r.json()["message"] == "Token not found"
    s.expect((400, 404), "DELETE", "/auth/tokens/not-a-uuid")


# --- users ---

def page_rules(s, path, key="name"):
    """Seed 000, Pagination: 0-based, 20 by default, 100 at most, beyond the end empty."""
    r = s.expect(200, "GET", path).json()
    assert r["page"] == 0 and r["size"] == 20 and r["hasMore"] == (r["total"] > 20)
    join = "&" if "?" in path else "?"
    r = s.expect(200, "GET", f"{path}{join}size=1000").json()
    assert r["size"] == 100
    for nonsense in ("page=-1", "page=x", "size=0", "size=-5", "size=x", "page=", "size="):
        r = s.expect(200, "GET", f"{path}{join}{nonsense}").json()
        assert r["page"] == 0 and r["size"] == 20, (nonsense, r)
    far = s.expect(200, "GET", f"{path}{join}page=4000000000").json()
    assert far["items"] == [] and far["hasMore"] is False
    total, seen = r["total"], []
    for number in range((total + 1) // 2):
        r = s.expect(200, "GET", f"{path}{join}size=2&page={number}").json()
        assert r["page"] == number and r["size"] == 2 and len(r["items"]) <= 2
        assert r["hasMore"] == ((number + 1) * 2 < r["total"])
        seen += [i[key] for i in r["items"]]
    assert len(set(seen)) == len(seen) == total, (seen, total)


@case("GET /users", "200 page, q, sort")
def _(s):
    tag = s.name("l")
    for n in "abc":
        s.expect(201, "PUT", f"/users/{tag}{n}", {"pass": PASSWORD, "email": f"{tag}-{n}@example.com"})
    shape = page({"name": str, "type": str, "email": Opt(str)})
    r = s.expect(200, "GET", f"/users?q={tag.upper()}", shape=shape).json()
    assert [i["name"] for i in r["items"]] == [tag + n for n in "abc"] and r["total"] == 3
    r = s.expect(200, "GET", f"/users?q={tag}&sort=email&sort_dir=desc&size=2").json()
    assert [i["name"] for i in r["items"]] == [tag + "c", tag + "b"] and r["hasMore"] is True
    for sort in ("username", "enabled", "auth_provider", "nonsense"):
        assert s.expect(200, "GET", f"/users?q={tag}&sort={sort}").json()["total"] == 3
    page_rules(s, f"/users?q={tag}")


@case("GET /users/:name", "200, 404")
def _(s):
    role, name = s.role({}), s.name("user")
    s.expect(201, "PUT", f"/users/{name}", {"type": "plain", "pass": PASSWORD, "email": "a@example.com",
                                            "roles": [role]}, "")
    shape = {"type": "plain", "email": "a@example.com", "roles": [str], "enabled": True}
    r = s.expect(200, "GET", f"/users/{name}", shape=shape)
    assert r.json()["roles"] == [role] and b"argon" not in r.body and b"pass\"" not in r.body
    r = s.expect(404, "GET", "/users/nonexistent")
    assert r.json() == {"error": "NOT_FOUND", "message": "User 'nonexistent' not found", "status": 404}


@case("PUT /users/:name", "201, `password` is an alias, update keeps what is left out")
def _(s):
    name = s.name("user")
    s.expect(201, "PUT", f"/users/{name}", {"password": PASSWORD, "email": "a@example.com"}, "")
    s.expect(200, "POST", "/auth/token", {"name": name, "pass": PASSWORD}, as_=None)
    s.expect(201, "PUT", f"/users/{name}", {"email": "b@example.com"}, "")
    assert s.expect(200, "GET", f"/users/{name}").json()["email"] == "b@example.com"
    s.expect(200, "POST", "/auth/token", {"name": name, "pass": PASSWORD}, as_=None)


@case("PUT /users/:name", "400")
def _(s):
    name = s.name("user")
    for body in ({}, {"pass": "short"}, {"pass": 5}, {"pass": PASSWORD, "roles": "admin"},
                 {"pass": PASSWORD, "roles": [5]}, {"pass": PASSWORD, "roles": ["no-such-role"]},
                 {"pass": PASSWORD, "email": 5}, {"pass": PASSWORD, "type": 5}, {"password": "password123"}):
        s.expect(400, "PUT", f"/users/{name}", body)
    s.expect(404, "GET", f"/users/{name}")
    s.expect(400, "PUT", "/users/a%3Ab", {"pass": PASSWORD})


@case("PUT /users/:name", "403: create and update are two rights")
def _(s):
    creator = s.who("user creator", {"api_user_permissions": ["create"]})
    updater = s.who("user updater", {"api_user_permissions": ["update"]})
    name = s.name("user")
    s.expect(403, "PUT", f"/users/{name}", {"pass": PASSWORD}, as_=updater)
    s.expect(201, "PUT", f"/users/{name}", {"pass": PASSWORD}, as_=creator)
    s.expect(403, "PUT", f"/users/{name}", {"email": "x@example.com"}, as_=creator)
    s.expect(201, "PUT", f"/users/{name}", {"email": "x@example.com"}, as_=updater)


@case("PUT /users/:name", "409: the last administrator stays one")
def _(s):
    s.expect(409, "PUT", f"/users/{USER}", {"roles": []})
    s.expect(200, "GET", "/users")


@case("DELETE /users/:name", "409: the last administrator")
def _(s):
    s.expect(409, "DELETE", f"/users/{USER}")


@case("POST /users/:name/disable", "409: the last administrator")
def _(s):
    s.expect(409, "POST", f"/users/{USER}/disable")
    s.expect(200, "GET", "/auth/me")


@case("DELETE /users/:name", "200, 404; the tokens end")
def _(s):
    name, token = s.user()
    s.expect(200, "DELETE", f"/users/{name}", shape="")
    s.expect(401, "GET", "/auth/me", as_=token)
    r = s.expect(404, "DELETE", f"/users/{name}")
    assert r.json()["message"] == f"User '{name}' not found"


@case("POST /users/:name/password", "200, 401, 400, 404")
def _(s):
    name, token = s.user()
    path = f"/users/{name}/password"
    r = s.expect(401, "POST", path, {"old_pass": "Wrong-Pass-1!", "new_pass": OTHER}, as_=token)
    assert r.json()["message"] == "Invalid old password"
    s.expect(401, "POST", path, {"new_pass": OTHER}, as_=token)
    for body in ({"old_pass": PASSWORD}, {"old_pass": PASSWORD, "new_pass": "weak"}, {"new_pass": 5},
                 {"old_pass": 5, "new_pass": OTHER}):
        s.expect(400, "POST", path, body, as_=token)
    s.expect(200, "POST", path, {"old_pass": PASSWORD, "new_pass": OTHER}, "", as_=token)
    s.expect(401, "POST", "/auth/token", {"name": name, "pass": PASSWORD}, as_=None)
    s.expect(200, "POST", "/auth/token", {"name": name, "pass": OTHER}, as_=None)
    s.expect(404, "POST", "/users/nonexistent/password", {"old_pass": PASSWORD, "new_pass": OTHER})
    s.expect(403, "POST", f"/users/{USER}/password", {"old_pass": PASSWORD, "new_pass": OTHER},
             as_=s.nobody())


@case("POST /users/:name/disable", "200, 404, effect at once")
def _(s):
    name, token = s.user()
    s.expect(200, "POST", f"/users/{name}/disable", shape="")
    assert s.expect(200, "GET", f"/users/{name}").json()["enabled"] is False
    s.expect(401, "GET", "/auth/me", as_=token)
    s.expect(401, "POST", "/auth/token", {"name": name, "pass": PASSWORD}, as_=None)
    s.expect(404, "POST", "/users/nonexistent/disable")


@case("POST /users/:name/enable", "200, 404")
def _(s):
    name = s.user()[0]
    s.expect(200, "POST", f"/users/{name}/disable", shape="")
    s.expect(200, "POST", f"/users/{name}/enable", shape="")
    s.expect(200, "POST", "/auth/token", {"name": name, "pass": PASSWORD}, as_=None)
    r = s.expect(404, "POST", "/users/nonexistent/enable")
    assert r.json()["message"] == "User 'nonexistent' not found"


# --- roles ---

@case("GET /roles", "200 page, q, sort")
def _(s):
    tag = s.name("l")
    for n in "abc":
        s.expect(201, "PUT", f"/roles/{tag}{n}", {"permissions": {"*": ["read"]}})
    r = s.expect(200, "GET", f"/roles?q={tag.upper()}&sort=name&sort_dir=desc",
                 shape=page({"name": str, "permissions": dict})).json()
    assert [i["name"] for i in r["items"]] == [tag + n for n in "cba"]
    s.expect(200, "GET", f"/roles?q={tag}&sort=enabled")
    page_rules(s, f"/roles?q={tag}")


@case("GET /roles/:name", "200, 404")
def _(s):
    name = s.role({"maven-central": ["read", "download"], "npm-local": ["read", "upload"]})
    r = s.expect(200, "GET", f"/roles/{name}", shape={"permissions": dict, "enabled": True}).json()
    assert set(r["permissions"]) == {"maven-central", "npm-local"}
    r = s.expect(404, "GET", "/roles/nonexistent")
    assert r.json() == {"error": "NOT_FOUND", "message": "Role 'nonexistent' not found", "status": 404}


@case("PUT /roles/:name", "201, 400, and create and update are two rights")
def _(s):
    name = s.name("role")
    s.expect(201, "PUT", f"/roles/{name}", {"permissions": {"*": ["*"]}}, "")
    for body in ({"permissions": "x"}, {"permissions": {"r": "read"}}, {"permissions": {"r": ["dance"]}},
                 {"permissions": {"api_user_permissions": ["dance"]}}, {"permissions": {"r": [1]}}):
        s.expect(400, "PUT", f"/roles/{name}", body)
    creator = s.who("role creator", {"api_role_permissions": ["create"]})
    fresh = s.name("role")
    s.expect(201, "PUT", f"/roles/{fresh}", {"permissions": {}}, as_=creator)
    s.expect(403, "PUT", f"/roles/{fresh}", {"permissions": {}}, as_=creator)


@case("PUT /roles/:name", "409: an administrator remains")
def _(s):
    s.expect(409, "PUT", "/roles/admin", {"permissions": {"r": ["read"]}})


@case("DELETE /roles/:name", "409: an administrator remains")
def _(s):
    s.expect(409, "DELETE", "/roles/admin")


@case("POST /roles/:name/disable", "409: an administrator remains")
def _(s):
    s.expect(409, "POST", "/roles/admin/disable")


@case("DELETE /roles/:name", "200, 404")
def _(s):
    name = s.role({})
    s.expect(200, "DELETE", f"/roles/{name}", shape="")
    s.expect(404, "DELETE", f"/roles/{name}")


@case("POST /roles/:name/disable", "200, effect at once")
def _(s):
    role, name = s.role({"api_user_permissions": ["read"]}), s.name("user")
    s.expect(201, "PUT", f"/users/{name}", {"pass": PASSWORD, "roles": [role]})
    token = s.expect(200, "POST", "/auth/token", {"name": name, "pass": PASSWORD}, as_=None).json()["token"]
    s.expect(200, "GET", "/users", as_=token)
    s.expect(200, "POST", f"/roles/{role}/disable", shape="")
    s.expect(403, "GET", "/users", as_=token)
    assert s.expect(200, "GET", f"/roles/{role}").json()["enabled"] is False
    s.expect(404, "POST", "/roles/nonexistent/disable")


@case("POST /roles/:name/enable", "200, 404")
def _(s):
    name = s.role({})
    s.expect(200, "POST", f"/roles/{name}/disable", shape="")
    s.expect(200, "POST", f"/roles/{name}/enable", shape="")
    assert s.expect(200, "GET", f"/roles/{name}").json()["enabled"] is True
    s.expect(404, "POST", "/roles/nonexistent/enable")


# --- administration ---

POLICY = {"access_token_expiry_seconds": int, "refresh_token_expiry_seconds": int,
          "api_token_max_expiry_days": int, "allow_permanent_tokens": bool}


@case("GET /admin/auth-settings", "200")
def _(s):
    s.expect(200, "GET", "/admin/auth-settings", shape=POLICY)


@case("PUT /admin/auth-settings", "200, in effect at once; 400")
def _(s):
    before = s.expect(200, "GET", "/admin/auth-settings").json()
    s.expect(200, "PUT", "/admin/auth-settings", {"access_token_expiry_seconds": 1234}, {"status": "saved"})
    now = s.expect(200, "GET", "/admin/auth-settings").json()
    assert now == {**before, "access_token_expiry_seconds": 1234}
    r = s.expect(200, "POST", "/auth/token", {"name": USER, "pass": PASSWORD}, as_=None).json()
    assert r["expires_in"] == 1234
    for body in ({"access_token_expiry_seconds": "x"}, {"access_token_expiry_seconds": 0},
                 {"allow_permanent_tokens": 1}, {"no_such_setting": 1}):
        s.expect(400, "PUT", "/admin/auth-settings", body)
    s.expect(200, "PUT", "/admin/auth-settings", {k: before[k] for k in POLICY}, {"status": "saved"})


@case("POST /admin/revoke-user/:username", "200, 404, effect at once")
def _(s):
    name, token = s.user()
    api = s.expect(200, "POST", "/auth/token/generate", {"expiry_days": 1}, as_=token).json()["token"]
    r = s.expect(200, "POST", f"/admin/revoke-user/{name}",
                 shape={"status": "revoked", "username": name, "tokens_revoked": int}).json()
    assert r["tokens_revoked"] >= 2  # the refresh token and the API token
    s.expect(401, "GET", "/auth/me", as_=token)
    s.expect(401, "GET", "/auth/me", as_=api)
    r = s.expect(404, "POST", "/admin/revoke-user/nonexistent")
    assert r.json()["message"] == "User 'nonexistent' not found"


@case("GET /health", "200 without credentials")
def _(s):
    s.expect(200, "GET", "/health", shape={"status": "ok"}, as_=None)


@case("GET /.health", "200 without credentials")
def _(s):
    r = s.raw("repo", "GET", "/.health")
    assert r.status == 200 and r.json() == {"status": "ok"}


@case("GET /.version", "200 without credentials")
def _(s):
    r = s.raw("repo", "GET", "/.version")
    assert r.status == 200 and isinstance(r.json()[0]["version"], str) and len(r.json()) == 1
    assert s.raw("repo", "POST", "/.version").status in (404, 405)
