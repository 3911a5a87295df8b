# SPDX-License-Identifier: Apache-2.0
"""Signing in with an OpenID provider, against a real one, on a cluster of three: each step of a sign-in goes
to another node, and what is changed on one node holds for the very next request on another."""
import base64
import itertools
import json
import os
import urllib.parse

import pytest

import oidc
from pantera import Client, Cluster

CALLBACK = oidc.CALLBACK


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A cluster, a provider, and both types of it configured on node 1."""
    page = oidc.Page()
    provider = oidc.Provider(page.url + "/callback")
    cluster = Cluster(tmp_path_factory.mktemp("sso"))
    try:
        yield World(cluster.start(), provider, page)
    finally:
        cluster.stop()
        provider.close()
        page.close()


@pytest.fixture(autouse=True)
def logs(request, world):
    request.node.pantera_nodes = world.cluster.nodes


class World:
    def __init__(self, cluster, provider, page):
        self.cluster, self.provider, self.page = cluster, provider, page
        self.sizes = {}
        self.turn = itertools.cycle(cluster.nodes)
        self.admin = cluster.node(1).admin()
        for role in ("dev", "ops", "guest"):
            self.admin.put_role(role, {"adapter_basic_permissions": {role: ["read"]}})
        roles = {"group-roles": {"developers": "dev", "operators": ["ops", "dev"]}}
        self.okta_config = provider.config(**roles, **{"default-role": "guest",
                                                       "redirect-uri": page.url + "/callback"})
        self.okta = self.create("okta", self.okta_config)
        self.keycloak = self.create("keycloak", provider.keycloak(**{
            "group-roles": [{"developers": "dev"}], "allowed-groups": ["developers"]}))
        self.oidc = self.create("oidc", provider.config(**{"client-id": "pantera-es", "client-secret":
                                                           "another-secret"}))

    def create(self, kind, config):
        return self.admin.must("POST", "/auth-providers", {"type": kind, "config": config})["id"]

    def next(self):
        """A client without a name on the next node."""
        return Client(next(self.turn))

    def begin(self, kind, callback=CALLBACK):
        query = urllib.parse.urlencode({"callback_url": callback})
        return self.next().api("GET", f"/auth/providers/{kind}/redirect?{query}")

    def come_back(self, kind, login, **changed):
        """Goes to the provider and gives what it answers to another node."""
        start = self.begin(kind)
        assert start.status == 200, start
        back = oidc.consent(start.json()["url"], login)
        assert back["state"] == start.json()["state"]
        body = {"code": back["code"], "provider": kind, "callback_url": CALLBACK, "state": back["state"]}
        body.update(changed)
        return self.next().api("POST", "/auth/callback", body), body

    def sign_in(self, kind, login):
        r, _ = self.come_back(kind, login)
        assert r.status == 200, r
        assert r.headers["Cache-Control"] == "no-store"
        return r.json()

    def user(self, name):
        return self.admin.at(next(self.turn)).must("GET", f"/users/{name}")

    def listen(self):
        self.sizes = {n.id: os.path.getsize(n.log_path) for n in self.cluster.nodes}

    def said(self):
        """What the nodes have logged since `listen`."""
        text = b""
        for n in self.cluster.nodes:
            with open(n.log_path, "rb") as f:
                f.seek(self.sizes[n.id])
                text += f.read()
        return text.decode()


def test_round_trip(world):
    """The URL carries PKCE, state and nonce; a new user is made of the token, with the roles of the groups;
    what is answered is a session of ours, on every node."""
    url = urllib.parse.urlsplit(world.begin("okta").json()["url"])
    query = dict(urllib.parse.parse_qsl(url.query))
    assert query["response_type"] == "code" and query["code_challenge_method"] == "S256"
    assert query["redirect_uri"] == CALLBACK and query["client_id"] == "pantera"
    assert len(query["state"]) >= 32 and len(query["nonce"]) >= 32 and len(query["code_challenge"]) == 43
    tokens = world.sign_in("okta", "Alice@developers")
    for node in world.cluster.nodes:
        me = Client(node, token=tokens["token"]).must("GET", "/auth/me")
        assert (me["name"], me["context"], me["email"]) == ("alice", "okta", "Alice@example.com")
    alice = world.user("alice")
    assert alice["roles"] == ["dev"] and alice["type"] == "okta"
    r = world.next().must("POST", "/auth/refresh", {"refresh_token": tokens["refresh_token"]})
    assert Client(world.cluster.node(3), token=r["token"]).must("GET", "/auth/me")["context"] == "okta"
    login, made = world.admin.must("GET", "/audit?resource=alice")["items"]
    assert (made["action"], made["before"], made["after"]["roles"]) == ("sso.sign_in", None, ["dev"])
    assert (login["action"], login["actor"], login["after"]["provider"]) == ("login", "alice", "okta")
    assert login["address"] == made["address"] == "127.0.0.1"


def test_token_policy(world):
    """A provider vouches for somebody, not for how long."""
    def life(token):
        part = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        return claims["exp"] - claims["iat"]

    before = world.admin.must("GET", "/admin/auth-settings")
    world.admin.must("PUT", "/admin/auth-settings", {"access_token_expiry_seconds": 61,
                                                     "refresh_token_expiry_seconds": 601})
    tokens = world.sign_in("okta", "Alice@developers")
    assert (tokens["expires_in"], life(tokens["token"]), life(tokens["refresh_token"])) == (61, 61, 601)
    world.admin.must("PUT", "/admin/auth-settings", before)
    tokens = world.next().must("POST", "/auth/refresh", {"refresh_token": tokens["refresh_token"]})
    assert life(tokens["token"]) == before["access_token_expiry_seconds"]


def test_groups_follow(world):
    """Each sign-in makes the roles those of the groups; without a group that means one, the default role;
    a token that is silent on groups leaves them; a role of a local user's own is no business of a
    provider's."""
    for login, roles in (("bob@developers", ["dev"]), ("bob@operators,other", ["dev", "ops"]),
                         ("bob@other", ["guest"]), ("bob@operators", ["dev", "ops"])):
        world.sign_in("okta", login)
        assert sorted(world.user("bob")["roles"]) == roles, login


def test_keycloak(world):
    """The same core at a realm's address; allowed-groups keeps others out, and no user is made of them."""
    tokens = world.sign_in("keycloak", "kim@developers")
    me = Client(world.cluster.node(2), token=tokens["token"]).must("GET", "/auth/me")
    assert (me["name"], me["context"]) == ("kim", "keycloak")
    r, _ = world.come_back("keycloak", "kurt@others")
    assert (r.status, r.json()["message"]) == (401, "Sign-in failed")
    assert world.admin.api("GET", "/users/kurt").status == 404


def test_es256(world):
    """Another algorithm, and a client that gives its secret in the body."""
    assert world.sign_in("oidc", "eve")["token"]


def test_state_is_spent(world):
    """What came back once comes back never again, on no node; nor does an invented state."""
    r, body = world.come_back("okta", "carol@developers")
    assert r.status == 200, r
    world.listen()
    for node in world.cluster.nodes:
        assert Client(node).api("POST", "/auth/callback", body).status == 401
    r, body = world.come_back("okta", "carol@developers", state="0" * 32)
    assert r.status == 401
    assert world.said().count("no sign-in with this state is under way") == 4, "we say it, not the provider"
    r, body = world.come_back("okta", "carol@developers", code="wrong")
    assert r.status == 401 and "invalid_grant" in world.said()


def test_only_what_was_begun(world):
    """The callback must be a listed one, and the one that it was begun with; the provider too."""
    for url in ("http://127.0.0.1:9/other", CALLBACK + "/", "http://evil.example/callback", ""):
        assert world.begin("okta", url).status == 400, url
    assert world.begin("nobody").status == 404
    assert world.next().api("GET", "/auth/providers/okta/redirect").status == 400
    r, _ = world.come_back("okta", "carol@developers", callback_url="http://127.0.0.1:9/other")
    assert r.status == 401
    r, _ = world.come_back("okta", "carol@developers", provider="keycloak")
    assert r.status == 401
    r, _ = world.come_back("okta", "carol@developers", provider="nobody")
    assert r.status == 404
    assert world.next().api("POST", "/auth/callback", {"provider": "okta"}).status == 400


FORGERIES = [
    ({"claims": {"aud": "somebody-else"}}, "made for somebody else"),
    ({"claims": {"aud": ["pantera", "other"]}}, "made for somebody else"),
    ({"claims": {"iss": "https://evil.example"}}, "the issuer is not the provider's"),
    ({"claims": {"nonce": "0" * 32}}, "the nonce is not this sign-in's"),
    ({"claims": {"exp": 1700000000}}, "expired"),
    ({"claims": {"iat": 9000000000}}, "not valid yet"),
    ({"alg": "none"}, "neither RS256 nor ES256"),
    ({"alg": "HS256"}, "neither RS256 nor ES256"),
    ({"alg": "ES256"}, "a key that the provider does not list"),
    ({"key": "other"}, "the signature is wrong"),
    ({"header": {"kid": "unheard-of"}}, "a key that the provider does not list"),
]


@pytest.mark.parametrize("how, said", FORGERIES, ids=lambda v: v if isinstance(v, str) else "")
def test_forged(world, how, said):
    """OIDC Core §3.1.3.7: each rule, with a token that breaks that one only. The client learns nothing of
    it."""
    world.listen()
    world.provider.forge(**how)
    r, _ = world.come_back("okta", "mallory@operators")
    assert (r.status, r.json()["message"]) == (401, "Sign-in failed")
    assert said in world.said()
    assert world.admin.api("GET", "/users/mallory").status == 404


def test_forging_works(world):
    """The same machinery with nothing wrong: so it is the wrong claim that was refused above."""
    world.provider.forge(claims={"harmless": 1})
    assert world.sign_in("okta", "alice@developers")


def test_keys_rotate(world):
    """A key that is not known yet is asked for, by every worker of every node; the old one is worth
    nothing."""
    world.sign_in("okta", "alice@developers")
    world.provider.control(rotate="second")
    for _ in range(12):
        world.sign_in("okta", "alice@developers")
    world.provider.forge(header={"kid": "first"})
    assert world.come_back("okta", "alice@developers")[0].status == 401


def test_disabled_user(world):
    """Neither an old session nor a new sign-in, and enabling brings both back; the last word is the
    replica's."""
    tokens = world.sign_in("okta", "dora@developers")
    world.admin.must("POST", "/users/dora/disable")
    for node in world.cluster.nodes:
        assert Client(node, token=tokens["token"]).api("GET", "/auth/me").status == 401
    assert world.come_back("okta", "dora@developers")[0].status == 401
    r = world.next().api("POST", "/auth/refresh", {"refresh_token": tokens["refresh_token"]})
    assert r.status == 401
    world.admin.must("POST", "/users/dora/enable")
    world.sign_in("okta", "dora@developers")


def test_no_takeover(world):
    """A local user's name in a token does not open that user's account (pantera-facts 2.11: the original's
    did), until an administrator links the identity; another subject with the name of a known one stays out
    too."""
    world.admin.put_user("nina", roles=["guest"])
    r, _ = world.come_back("okta", "nina@operators")
    assert r.status == 409, r
    assert world.user("nina")["roles"] == ["guest"]
    world.provider.forge(claims={"sub": "another", "preferred_username": "admin", "groups": ["operators"]})
    assert world.come_back("okta", "x")[0].status == 409
    world.admin.must("PUT", "/users/nina/identities/okta", {"subject": "id-of-nina"})
    tokens = world.sign_in("okta", "nina@operators")
    assert Client(world.cluster.node(2), token=tokens["token"]).must("GET", "/auth/me")["name"] == "nina"
    world.admin.must("DELETE", "/users/nina/identities/okta")
    assert world.come_back("okta", "nina@operators")[0].status == 409


def test_takes_effect_everywhere(world):
    """Enabled, disabled, configured on one node: so it is for the very next request on each of the others."""
    admins = itertools.cycle([world.admin.at(n) for n in world.cluster.nodes])
    for i in range(30):
        enabled = i % 2 == 1
        next(admins).must("PUT", f"/auth-providers/{world.okta}/toggle", {"enabled": enabled})
        for node in world.cluster.nodes:
            listed = Client(node).must("GET", "/auth/providers")["providers"]
            assert {"type": "okta", "enabled": enabled} in listed
            r = Client(node).api("GET", "/auth/providers/okta/redirect?callback_url=" + CALLBACK)
            assert r.status == (200 if enabled else 404)
    for i in range(10):
        url = f"http://127.0.0.1:9/{i}"
        config = {**world.okta_config, "callback-urls": [CALLBACK, url]}
        next(admins).must("PUT", f"/auth-providers/{world.okta}/config", config)
        for node in world.cluster.nodes:
            for asked, status in ((url, 200), (f"http://127.0.0.1:9/{i - 1}", 400)):
                r = Client(node).api("GET", "/auth/providers/okta/redirect?callback_url=" + asked)
                assert r.status == status, (i, asked, r)
    world.admin.must("PUT", f"/auth-providers/{world.okta}/config", world.okta_config)


def test_disabled_between(world):
    """A provider that is disabled while somebody is there lets nobody in, nor goes on refreshing."""
    tokens = world.sign_in("okta", "frank@developers")
    start = world.begin("okta").json()
    back = oidc.consent(start["url"], "frank@developers")
    toggle = f"/auth-providers/{world.okta}/toggle"
    world.admin.at(world.cluster.node(2)).must("PUT", toggle, {"enabled": False})
    body = {"code": back["code"], "provider": "okta", "callback_url": CALLBACK, "state": back["state"]}
    for node in world.cluster.nodes:
        assert Client(node).api("POST", "/auth/callback", body).status == 401
        r = Client(node).api("POST", "/auth/refresh", {"refresh_token": tokens["refresh_token"]})
        assert r.status == 401
    world.admin.must("PUT", toggle, {"enabled": True})
    r = world.next().api("POST", "/auth/callback", body)
    assert r.status == 200, "and the state was not spent by what was refused"


def test_secrets(world):
    """Masked in every answer and in the audit log; a mask that comes back keeps the secret; sealed in every
    file of every node."""
    secret = oidc.SECRET
    masked = secret[:2] + "***" + secret[-2:]
    for path in ("/auth-providers", "/settings", "/audit?size=100"):
        r = world.admin.at(next(world.turn)).api("GET", path)
        if path == "/settings" and r.status == 404:
            continue
        assert r.status == 200 and secret.encode() not in r.body and b"another-secret" not in r.body, path
    listed = {p["type"]: p for p in world.admin.must("GET", "/auth-providers")["providers"]}
    assert listed["okta"]["config"]["client-secret"] == masked
    assert listed["keycloak"]["config"]["client-password"] == masked
    world.admin.must("PUT", f"/auth-providers/{world.okta}/config", listed["okta"]["config"])
    world.sign_in("okta", "alice@developers")
    other = {**listed["okta"]["config"], "issuer": "https://other.example"}
    r = world.admin.api("PUT", f"/auth-providers/{world.okta}/config", other)
    assert r.status == 400, "a kept secret goes to no other server"
    found = seen = 0
    for node in world.cluster.nodes:
        for folder, _, names in os.walk(node.dir):
            for name in names:
                with open(os.path.join(folder, name), "rb") as f:
                    data = f.read()
                seen += b"client-secret" in data
                found += secret.encode() in data or secret.replace("/", "\\/").encode() in data
    assert seen >= 3 and found == 0, "the rows are there, the secret is not"


def test_administration(world):
    """The codes of seed 000 and of the original: only who may; one of a type; `local` stays."""
    nobody, admin = world.next(), world.admin
    for method, path in (("GET", ""), ("POST", ""), ("PUT", "/2/toggle"), ("PUT", "/2/config"),
                         ("DELETE", "/2")):
        assert nobody.api(method, "/auth-providers" + path, {} if method != "GET" else None).status == 401
    tokens = world.sign_in("okta", "alice@developers")
    alice = Client(world.cluster.node(2), token=tokens["token"])
    assert alice.api("PUT", f"/auth-providers/{world.okta}/toggle", {"enabled": False}).status == 403
    assert alice.api("DELETE", f"/auth-providers/{world.okta}").status == 403
    local = next(p for p in admin.must("GET", "/auth-providers")["providers"] if p["type"] == "local")["id"]
    for status, method, path, body in (
            (409, "POST", "", {"type": "okta", "config": world.okta_config}),
            (400, "POST", "", {"type": "github", "config": {}}),
            (400, "POST", "", {"type": "oidc", "config": {"issuer": "http://idp.example", "client-id": "x"}}),
            (400, "POST", "", {"type": "oidc", "config": {"issuer": "https://idp.example"}}),
            (400, "PUT", f"/{world.okta}/config", {**world.okta_config, "unheard-of": 1}),
            (400, "PUT", f"/{world.okta}/toggle", {"enabled": "yes"}),
            (404, "PUT", "/99/toggle", {"enabled": True}), (404, "PUT", "/x/toggle", {"enabled": True}),
            (404, "PUT", "/99/config", world.okta_config), (404, "DELETE", "/99", None),
            (400, "PUT", f"/{local}/toggle", {"enabled": False}), (400, "PUT", f"/{local}/config", {}),
            (400, "DELETE", f"/{local}", None)):
        r = admin.at(next(world.turn)).api(method, "/auth-providers" + path, body)
        assert r.status == status, (method, path, body, r)
    r = admin.must("PUT", f"/auth-providers/{world.oidc}/toggle", {"enabled": True})
    assert r == {"status": "saved"}


def test_deleted_and_made_again(world):
    """A deleted provider is gone everywhere; its users come back with it, by their subject."""
    world.sign_in("oidc", "gina")
    world.admin.must("DELETE", f"/auth-providers/{world.oidc}")
    for node in world.cluster.nodes:
        r = Client(node).api("GET", "/auth/providers/oidc/redirect?callback_url=" + CALLBACK)
        assert r.status == 404
    world.oidc = world.create("oidc", world.provider.config())
    tokens = world.sign_in("oidc", "gina")
    assert Client(world.cluster.node(3), token=tokens["token"]).must("GET", "/auth/me")["name"] == "gina"


def test_endless_answer(world):
    """A provider that never stops is cut off: what is kept of an answer has an end."""
    world.provider.control(endless=True)
    world.listen()
    assert world.come_back("okta", "alice@developers")[0].status == 401
    assert "too large an answer" in world.said()


def test_in_a_browser(world, tmp_path):
    """The whole way as a person goes it: a page asks node 1 where to go, the provider's own forms, the
    callback page gives node 3 the code and asks who it is. CORS included."""
    nodes = [f"http://127.0.0.1:{world.cluster.node(n).api_port}" for n in (1, 3)]
    query = urllib.parse.urlencode({"begin": nodes[0], "end": nodes[1]})
    shown = oidc.browse(f"{world.page.url}/?{query}", "Holly@operators", str(tmp_path / "profile"))
    assert shown.startswith("{"), shown
    me = json.loads(shown)
    assert (me["name"], me["context"]) == ("holly", "okta")
    assert world.user("holly")["roles"] == ["dev", "ops"]


def test_provider_gone(make_node):
    """A provider that does not answer is a 503 that says so, and costs nobody else anything."""
    provider = oidc.Provider()
    node = make_node()
    admin = node.admin()
    admin.must("POST", "/auth-providers", {"type": "okta", "config": provider.config()})
    provider.close()
    r = Client(node).api("GET", "/auth/providers/okta/redirect?callback_url=" + CALLBACK)
    assert r.status == 503, r
    assert admin.must("GET", "/auth/me")["name"] == "admin"
