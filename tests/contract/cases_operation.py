# SPDX-License-Identifier: Apache-2.0
"""What the seed leaves to us: providers' roles, second factors, identities, the audit log, the cluster, this
API's own description."""
import base64
import hashlib
import hmac
import json
import struct
import time

from pantera import PASSWORD, USER
from suite import TIME, case, page

# --- the roles of those whom a provider vouched for: "default/<provider>" ---

ROLE = {"permissions": {"some-repo": ["read"]}}


@case("PUT /roles/default/:provider", "201, 400")
def _(s):
    name = s.name("provider")
    s.expect(201, "PUT", f"/roles/default/{name}", ROLE, "")
    s.expect(400, "PUT", f"/roles/default/{name}", {"permissions": "x"})
    creator = s.who("role creator", {"api_role_permissions": ["create"]})
    s.expect(403, "PUT", f"/roles/default/{name}", ROLE, as_=creator)


@case("GET /roles/default/:provider", "200, 404")
def _(s):
    name = s.name("provider")
    s.expect(404, "GET", f"/roles/default/{name}")
    s.expect(201, "PUT", f"/roles/default/{name}", ROLE)
    r = s.expect(200, "GET", f"/roles/default/{name}", shape={"permissions": dict, "enabled": True})
    assert r.json()["permissions"] == ROLE["permissions"]


@case("POST /roles/default/:provider/disable", "200, 404")
def _(s):
    name = s.name("provider")
    s.expect(404, "POST", f"/roles/default/{name}/disable")
    s.expect(201, "PUT", f"/roles/default/{name}", ROLE)
    s.expect(200, "POST", f"/roles/default/{name}/disable", shape="")
    assert s.expect(200, "GET", f"/roles/default/{name}").json()["enabled"] is False


@case("POST /roles/default/:provider/enable", "200, 404")
def _(s):
    name = s.name("provider")
    s.expect(404, "POST", f"/roles/default/{name}/enable")
    s.expect(201, "PUT", f"/roles/default/{name}", ROLE)
    s.expect(200, "POST", f"/roles/default/{name}/disable")
    s.expect(200, "POST", f"/roles/default/{name}/enable", shape="")
    assert s.expect(200, "GET", f"/roles/default/{name}").json()["enabled"] is True


@case("DELETE /roles/default/:provider", "200, 404")
def _(s):
    name = s.name("provider")
    s.expect(201, "PUT", f"/roles/default/{name}", ROLE)
    s.expect(200, "DELETE", f"/roles/default/{name}", shape="")
    s.expect(404, "DELETE", f"/roles/default/{name}")


# --- providers. One of each type: what a case makes it takes away. ---

KEYCLOAK = {"url": "http://127.0.0.1:9", "realm": "r", "client-id": "pantera",
            "client-password": "very-secret-1", "callback-urls": ["http://localhost:3000/callback"]}
PROVIDER = {"id": int, "type": str, "priority": int, "enabled": bool, "config": dict}
CALLBACK = "callback_url=http%3A%2F%2Flocalhost%3A3000%2Fcallback"


def without(s, kind):
    """Takes the provider of this type away, if there is one."""
    for p in s.expect(200, "GET", "/auth-providers").json()["providers"]:
        if p["type"] == kind:
            s.expect((204, 404), "DELETE", f"/auth-providers/{p['id']}")


def provider(s, **keys):
    without(s, "keycloak")
    body = {"type": "keycloak", "priority": 30, "config": KEYCLOAK, **keys}
    return s.expect(201, "POST", "/auth-providers", body).json()["id"]


@case("POST /auth-providers", "201, 400, 409")
def _(s):
    without(s, "keycloak")
    body = {"type": "keycloak", "priority": 30, "config": KEYCLOAK}
    s.expect(201, "POST", "/auth-providers", body, {"id": int})
    s.expect(409, "POST", "/auth-providers", body)
    for bad in ({}, {"type": "keycloak"}, {"type": "no-such-type", "config": {}}, {"type": 5, "config": {}},
                {"type": "okta", "config": {}}, {**body, "priority": "x"}, {**body, "enabled": 5},
                {"type": "okta", "config": {"no-such-key": 1}}):
        s.expect(400, "POST", "/auth-providers", bad)
    without(s, "keycloak")


@case("GET /auth-providers", "200, secrets masked")
def _(s):
    number = provider(s)
    r = s.expect(200, "GET", "/auth-providers", shape={"providers": [PROVIDER]})
    assert b"very-secret-1" not in r.body and number in [p["id"] for p in r.json()["providers"]]
    without(s, "keycloak")


@case("PUT /auth-providers/:id/toggle", "200, in effect at once")
def _(s):
    number = provider(s)
    s.expect(200, "PUT", f"/auth-providers/{number}/toggle", {"enabled": False}, {"status": "saved"})
    listed = s.expect(200, "GET", "/auth/providers", as_=None).json()["providers"]
    assert {"type": "keycloak", "enabled": False} in listed
    s.expect(404, "GET", f"/auth/providers/keycloak/redirect?{CALLBACK}", as_=None)
    s.expect(400, "PUT", f"/auth-providers/{number}/toggle", {"enabled": "x"})
    without(s, "keycloak")


@case("PUT /auth-providers/:id/config", "200, 400")
def _(s):
    number = provider(s)
    s.expect(200, "PUT", f"/auth-providers/{number}/config", {**KEYCLOAK, "realm": "other"},
             {"status": "saved"})
    row = [p for p in s.expect(200, "GET", "/auth-providers").json()["providers"] if p["id"] == number][0]
    assert row["config"]["realm"] == "other"
    s.expect(400, "PUT", f"/auth-providers/{number}/config", {**KEYCLOAK, "realm": 5})
    s.expect(400, "PUT", f"/auth-providers/{number}/config", {"no-such-key": 1})
    without(s, "keycloak")


@case("DELETE /auth-providers/:id", "204, 404; the local one stays")
def _(s):
    number = provider(s)
    s.expect(204, "DELETE", f"/auth-providers/{number}", shape="")
    s.expect(404, "DELETE", f"/auth-providers/{number}")
    s.expect(404, "DELETE", "/auth-providers/x")
    rows = s.expect(200, "GET", "/auth-providers").json()["providers"]
    local = [p["id"] for p in rows if p["type"] == "local"]
    s.expect((400, 403, 409), "DELETE", f"/auth-providers/{local[0]}")


@case("GET /auth/providers/:name/redirect", "400 for another callback")
def _(s):
    provider(s)
    other = "callback_url=https%3A%2F%2Fevil.example%2F"
    s.expect(400, "GET", f"/auth/providers/keycloak/redirect?{other}", as_=None)
    s.expect(400, "GET", "/auth/providers/keycloak/redirect", as_=None)
    without(s, "keycloak")


@case("POST /auth/callback", "401 with a state that is nobody's")
def _(s):
    provider(s)
    s.expect(401, "POST", "/auth/callback", {"code": "x", "provider": "keycloak", "state": "none",
                                             "callback_url": "http://localhost:3000/callback"}, as_=None)
    without(s, "keycloak")


@case("PUT /users/:name/identities/:provider", "204, 400, 404")
def _(s):
    provider(s)
    name = s.user()[0]
    s.expect(204, "PUT", f"/users/{name}/identities/keycloak", {"subject": s.name("subject")}, "")
    for body in ({}, {"subject": 5}, {"subject": ""}, {"subject": "x" * 300}):
        s.expect(400, "PUT", f"/users/{name}/identities/keycloak", body)
    s.expect(404, "PUT", f"/users/{name}/identities/none", {"subject": "x"})
    subject = s.name("subject")
    s.expect(204, "PUT", f"/users/{name}/identities/keycloak", {"subject": subject})
    s.expect(409, "PUT", f"/users/{s.user()[0]}/identities/keycloak", {"subject": subject})
    s.expect(404, "PUT", "/users/nonexistent/identities/keycloak", {"subject": s.name("subject")})
    without(s, "keycloak")


@case("DELETE /users/:name/identities/:provider", "204, 404")
def _(s):
    provider(s)
    name = s.user()[0]
    s.expect(204, "PUT", f"/users/{name}/identities/keycloak", {"subject": s.name("subject")})
    s.expect(204, "DELETE", f"/users/{name}/identities/keycloak", shape="")
    s.expect(404, "DELETE", f"/users/{name}/identities/keycloak")
    s.expect(404, "DELETE", "/users/nonexistent/identities/keycloak")
    without(s, "keycloak")


# --- second factors (RFC 6238: SHA-1, 30 s, six digits) ---

def totp(secret, step):
    mac = hmac.new(base64.b32decode(secret + "=" * (-len(secret) % 8)), struct.pack(">Q", step), hashlib.sha1)
    offset = mac.digest()[-1] & 15
    return f"{(struct.unpack_from('>I', mac.digest(), offset)[0] & 0x7fffffff) % 1000000:06d}"


def enrolled(s):
    """(name, token, secret, step, backup codes) of a new user with a second factor."""
    name, token = s.user()
    secret = s.expect(200, "POST", "/auth/mfa/enrol", {"password": PASSWORD},
                      {"secret": str, "otpauth_url": str}, as_=token).json()["secret"]
    step = int(time.time()) // 30
    r = s.expect(200, "POST", "/auth/mfa/confirm", {"mfa_code": totp(secret, step)}, {"backup_codes": [str]},
                 as_=token)
    assert r.headers["Cache-Control"] == "no-store"
    return name, token, secret, step, r.json()["backup_codes"]


STATUS = {"enabled": bool, "pending": bool, "backup_codes_remaining": int}


@case("GET /auth/mfa", "200")
def _(s):
    r = s.expect(200, "GET", "/auth/mfa", shape=STATUS, as_=s.nobody())
    assert r.json() == {"enabled": False, "pending": False, "backup_codes_remaining": 0}


@case("POST /auth/mfa/enrol", "200, 400, 401, 409")
def _(s):
    token = enrolled(s)[1]
    s.expect(409, "POST", "/auth/mfa/enrol", {"password": PASSWORD}, as_=token)
    other = s.user()[1]
    s.expect(401, "POST", "/auth/mfa/enrol", {"password": "Wrong-Pass-1!"}, as_=other)
    s.expect(400, "POST", "/auth/mfa/enrol", {}, as_=other)


@case("POST /auth/mfa/confirm", "200, then a code is asked for; 400, 404, 409")
def _(s):
    name, token, secret, step, _ = enrolled(s)
    me = {"name": name, "pass": PASSWORD}
    r = s.expect(401, "POST", "/auth/token", me, as_=None)
    assert "mfa_code" in r.json()["message"]
    s.expect(401, "POST", "/auth/token", {**me, "mfa_code": totp(secret, step)}, as_=None)  # it is spent
    s.expect(200, "POST", "/auth/token", {**me, "mfa_code": totp(secret, step + 1)}, as_=None)
    s.expect(401, "POST", "/auth/token", {**me, "mfa_code": totp(secret, step + 1)}, as_=None)
    s.expect(409, "POST", "/auth/mfa/confirm", {"mfa_code": "123456"}, as_=token)
    other = s.user()[1]
    s.expect(404, "POST", "/auth/mfa/confirm", {"mfa_code": "123456"}, as_=other)
    s.expect(400, "POST", "/auth/mfa/confirm", {}, as_=other)
    s.expect(200, "POST", "/auth/mfa/enrol", {"password": PASSWORD}, as_=other)
    s.expect(400, "POST", "/auth/mfa/confirm", {"mfa_code": "x"}, as_=other)


@case("POST /auth/mfa/backup-codes", "200, each code good once; 401")
def _(s):
    name, token, secret, step, old = enrolled(s)
    s.expect(401, "POST", "/auth/mfa/backup-codes", {"password": PASSWORD}, as_=token)
    s.expect(400, "POST", "/auth/mfa/backup-codes", {"password": 5}, as_=token)
    s.expect(404, "POST", "/auth/mfa/backup-codes", {"password": PASSWORD}, as_=s.user()[1])
    r = s.expect(200, "POST", "/auth/mfa/backup-codes",
                 {"password": PASSWORD, "mfa_code": totp(secret, step + 1)}, {"backup_codes": [str]},
                 as_=token)
    me = {"name": name, "pass": PASSWORD}
    s.expect(401, "POST", "/auth/token", {**me, "mfa_code": old[0]}, as_=None)
    code = r.json()["backup_codes"][0]
    s.expect(200, "POST", "/auth/token", {**me, "mfa_code": code}, as_=None)
    s.expect(401, "POST", "/auth/token", {**me, "mfa_code": code}, as_=None)


@case("POST /auth/mfa/disable", "204, 401")
def _(s):
    name, token, secret, step, codes = enrolled(s)
    s.expect(401, "POST", "/auth/mfa/disable", {"password": PASSWORD}, as_=token)
    s.expect(400, "POST", "/auth/mfa/disable", {"password": 5}, as_=token)
    s.expect(404, "POST", "/auth/mfa/disable", {"password": PASSWORD}, as_=s.user()[1])
    s.expect(204, "POST", "/auth/mfa/disable", {"password": PASSWORD, "mfa_code": codes[0]}, "", as_=token)
    s.expect(200, "POST", "/auth/token", {"name": name, "pass": PASSWORD}, as_=None)


@case("DELETE /users/:name/mfa", "204, 404; not one's own")
def _(s):
    name = enrolled(s)[0]
    s.expect(204, "DELETE", f"/users/{name}/mfa", shape="")
    s.expect(200, "POST", "/auth/token", {"name": name, "pass": PASSWORD}, as_=None)
    s.expect(404, "DELETE", f"/users/{name}/mfa")
    s.expect(403, "DELETE", f"/users/{USER}/mfa")


# --- the audit log ---

ENTRY = {"seq": int, "time": TIME, "time_ms": int, "actor": str, "address": str, "action": str,
         "resource_type": str, "resource": str, "hash": str}


@case("GET /audit", "200 page with filters, newest first, no secrets; 400")
def _(s):
    name = s.user()[0]
    r = s.expect(200, "GET", f"/audit?resource={name}&size=100", shape=page(ENTRY))
    items = r.json()["items"]
    assert items and all(i["resource"] == name for i in items) and items[0]["actor"] in (USER, name)
    assert [i["seq"] for i in items] == sorted((i["seq"] for i in items), reverse=True)
    assert PASSWORD.encode() not in r.body and b"argon2" not in r.body
    assert s.expect(200, "GET", f"/audit?actor={s.name('nobody')}").json()["items"] == []
    assert s.expect(200, "GET", f"/audit?resource={name}&to=2020-01-01T00:00:00Z").json()["total"] == 0
    for wrong in ("from=yesterday", "to=x"):
        s.expect(400, "GET", f"/audit?{wrong}")
    assert s.expect(200, "GET", "/audit?page=400000&size=100").json()["items"] == []


@case("GET /audit/verify", "200")
def _(s):
    r = s.expect((200, 429), "GET", "/audit/verify")
    if r.status == 200:
        assert r.json()["ok"] is True and r.json()["count"] > 0, r


# --- the cluster: what would change its members is tried where it is refused ---

MEMBER = {"id": int, "address": str, "role": str, "leader": bool}


@case("GET /cluster", "200")
def _(s):
    s.expect(200, "GET", "/cluster", shape={"cluster_id": str, "leader": int, "members": [MEMBER]})


@case("POST /cluster/members", "400")
def _(s):
    for body in ({}, {"id": 0, "address": "127.0.0.1:1"}, {"id": "x", "address": "127.0.0.1:1"}, {"id": 9},
                 {"id": 9, "address": 5}, {"id": 9, "address": "nowhere"}):
        s.expect(400, "POST", "/cluster/members", body)


@case("DELETE /cluster/members/:id", "400, 404")
def _(s):
    s.expect(400, "DELETE", "/cluster/members/x")
    s.expect(404, "DELETE", "/cluster/members/999")


@case("POST /cluster/transfer", "400, 409")
def _(s):
    s.expect(400, "POST", "/cluster/transfer", {"id": "x"})
    r = s.expect(409, "POST", "/cluster/transfer", {"id": 999})
    assert "not a member" in r.json()["message"] or "only member" in r.json()["message"], r


# --- this API's description ---

@case("GET /openapi.json", "200, OpenAPI 3.1, every row described")
def _(s):
    shape = {"openapi": "3.1.0", "info": {"title": str, "version": str}, "paths": dict,
             "components": {"schemas": dict}}
    d = s.expect(200, "GET", "/openapi.json", shape=shape, as_=None).json()
    names = []
    for path, item in d["paths"].items():
        assert path.startswith("/api/v1/"), path
        for method, operation in item.items():
            names.append(operation["operationId"])
            assert "x-undescribed" not in operation, f"{method} {path} has no entry in api/schemas"
    assert len(set(names)) == len(names)
    text = json.dumps(d)
    schemas = d["components"]["schemas"]
    for ref in {r.split('"')[0] for r in text.split('"$ref": "#/components/schemas/')[1:]}:
        assert ref.split("/")[0] in schemas, ref
