# SPDX-License-Identifier: Apache-2.0
"""Passwords that providers check: POST /auth/token asks local, Okta and Keycloak in that order of priority.
Okta's authentication API is a small fake (the real one can't be had) in front of the real provider's token
endpoint."""
import pytest

import oidc
from pantera import PASSWORD, Client, Cluster


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    provider = oidc.Provider()
    cluster = Cluster(tmp_path_factory.mktemp("passwords"))
    try:
        yield World(cluster.start(), provider)
    finally:
        cluster.stop()
        provider.close()


@pytest.fixture(autouse=True)
def fresh(request, world):
    request.node.pantera_nodes = world.cluster.nodes
    world.provider.asked()


class World:
    def __init__(self, cluster, provider):
        self.cluster, self.provider = cluster, provider
        self.admin = cluster.node(1).admin()
        for role in ("dev", "realm"):
            self.admin.put_role(role, {"adapter_basic_permissions": {role: ["read"]}})
        self.okta_config = provider.config(**{"redirect-uri": oidc.CALLBACK, "group-roles":
                                              {"developers": "dev"}})
        self.okta = self.create("okta", 10, self.okta_config)
        self.keycloak = self.create("keycloak", 20, provider.keycloak(**{"default-role": "realm"}))

    def create(self, kind, priority, config):
        return self.admin.must("POST", "/auth-providers", {"type": kind, "priority": priority,
                                                           "config": config})["id"]

    def sign_in(self, node, name, password="right", code=None):
        body = {"name": name, "pass": password}
        return Client(self.cluster.node(node)).api("POST", "/auth/token",
                                                   {**body, "mfa_code": code} if code else body)

    def who(self, r, node=3):
        assert r.status == 200, r
        me = Client(self.cluster.node(node), token=r.json()["token"]).must("GET", "/auth/me")
        return me["name"], me["context"]


def test_okta(world):
    """Name and password at Okta, its session for a code, and from there as in a browser: nonce, PKCE,
    groups."""
    assert world.who(world.sign_in(2, "olga@developers")) == ("olga", "okta")
    assert world.provider.asked() == ["authn olga@developers", "authorize olga@developers"]
    assert world.admin.must("GET", "/users/olga")["roles"] == ["dev"]
    r = world.sign_in(1, "olga@developers", "wrong")
    assert (r.status, r.json()["message"]) == (401, "Invalid credentials")
    world.provider.forge(claims={"nonce": "another"})
    assert world.sign_in(1, "olga@developers").status == 401, "a forged token is no yes"


def test_okta_mfa_code(world):
    """`mfa_code` goes to the factors that take one, each in turn; what Okta wants and we can't give is
    said."""
    r = world.sign_in(1, "mfa-otto")
    assert (r.status, r.json()["message"]) == (401, "mfa_code required")
    assert world.sign_in(2, "mfa-otto", code="000000").status == 401
    world.provider.asked()
    assert world.who(world.sign_in(3, "mfa-otto", code="123456")) == ("mfa-otto", "okta")
    assert world.provider.asked() == ["authn mfa-otto", "verify first 123456", "verify second 123456",
                                      "authorize mfa-otto"]
    for name in ("push-otto", "locked-otto"):
        r = world.sign_in(1, name, code="123456")
        assert r.status == 401 and "in a browser" in r.json()["message"], r


def test_next_in_line(world):
    """Who Okta does not know may be known to Keycloak (the password grant, its one-time code as `totp`); whom
    neither knows is refused; whoever belongs to one is asked for there only."""
    assert world.who(world.sign_in(1, "realm-karl")) == ("realm-karl", "keycloak")
    assert world.provider.asked() == ["authn realm-karl", "grant realm-karl"]
    assert world.admin.must("GET", "/users/realm-karl")["roles"] == ["realm"]
    assert world.who(world.sign_in(2, "realm-karl")) == ("realm-karl", "keycloak")
    assert world.provider.asked() == ["grant realm-karl"]
    assert world.sign_in(2, "realm-mfa-kate").status == 401
    assert world.who(world.sign_in(2, "realm-mfa-kate", code="654321"))[1] == "keycloak"
    world.provider.asked()
    r = world.sign_in(3, "realm-karl", "wrong")
    assert (r.status, r.json()["message"]) == (401, "Invalid credentials")
    assert world.provider.asked() == ["grant realm-karl"]


def test_local_first(world):
    """A local user's password, right or wrong, is shown to no provider; that a provider knows the name
    changes nothing."""
    world.admin.put_user("lena")
    assert world.who(world.sign_in(2, "lena", PASSWORD)) == ("lena", "local")
    assert world.sign_in(2, "lena", "right").status == 401
    assert world.provider.asked() == []
    r = Client(world.cluster.node(1), "olga@developers", "right").api("GET", "/auth/me")
    assert r.status == 401 and world.provider.asked() == [], "Basic is for local passwords and for tokens"


def test_priority_and_switches(world):
    """Priority decides who is asked first; a provider that is off, or takes no passwords, or not such names,
    is not asked: at once on every node."""
    toggle, config = f"/auth-providers/{world.okta}/toggle", f"/auth-providers/{world.okta}/config"
    world.admin.must("PUT", toggle, {"enabled": False})
    for node in (1, 2, 3):
        assert world.sign_in(node, f"nobody-{node}").status == 401
    assert [a.split()[0] for a in world.provider.asked()] == ["grant"] * 3
    world.admin.must("PUT", toggle, {"enabled": True})
    for more in ({"password-login": False}, {"user-domains": ["example.org"]}):
        world.admin.must("PUT", config, {**world.okta_config, **more})
        for node in (1, 2, 3):
            assert world.sign_in(node, f"nobody-{node}").status == 401
        assert [a.split()[0] for a in world.provider.asked()] == ["grant"] * 3, more
    world.admin.must("PUT", config, world.okta_config)
    assert world.who(world.sign_in(2, "olga@developers")) == ("olga", "okta")
    world.admin.must("DELETE", f"/auth-providers/{world.keycloak}")
    world.keycloak = world.create("keycloak", 5, world.provider.keycloak())
    world.provider.asked()
    assert world.sign_in(3, "nobody-4").status == 401
    assert [a.split()[0] for a in world.provider.asked()] == ["grant", "authn"]


def test_throttled(world):
    """Guessing is as dear as it is with local users, and providers are spared it."""
    answers = [world.sign_in(1, "target", "wrong") for _ in range(13)]
    assert [r.status for r in answers[:9]] == [401] * 9 and answers[-1].status == 429
    assert int(answers[-1].headers["Retry-After"]) > 0
    assert len(world.provider.asked()) <= 24
    assert world.sign_in(1, "target").status == 429


def test_disabled_user(world):
    """The provider's yes is not the last word."""
    assert world.who(world.sign_in(2, "oscar@developers")) == ("oscar", "okta")
    world.admin.must("POST", "/users/oscar/disable")
    for node in (1, 2, 3):
        assert world.sign_in(node, "oscar@developers").status == 401


def test_unreachable(make_node):
    """A provider that can't be asked is a 503 and not a wrong password; local users don't notice."""
    provider = oidc.Provider()
    node = make_node()
    node.admin().must("POST", "/auth-providers", {"type": "keycloak", "config": provider.keycloak()})
    provider.close()
    r = Client(node).api("POST", "/auth/token", {"name": "karl", "pass": "right"})
    assert r.status == 503, r
    node.admin()
