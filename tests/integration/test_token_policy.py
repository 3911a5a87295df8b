# SPDX-License-Identifier: Apache-2.0
"""The token policy: each key is put on one node and obeyed by every way to a token in the very next request
on another. Single sign-on's part is in test_sso.py."""
import base64
import concurrent.futures
import itertools
import json

from pantera import PASSWORD, Client
from test_mfa import PASSWORD as FACTOR_PASSWORD, Person

DAY = 24 * 3600
POLICY = "/admin/auth-settings"


def claims(token):
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def life(token):
    c = claims(token)
    return c["exp"] - c["iat"]


class Ways:
    """To a session; each step on the next node."""

    def __init__(self, nodes):
        self.turn = itertools.cycle(nodes)
        self.admin = nodes[0].admin()
        self.mia = Person(self.admin, nodes, "mia")
        self.last = self.password()

    def post(self, path, body, headers=None):
        c = Client(next(self.turn))
        c.authorization = headers
        r = c.api("POST", path, body)
        assert r.status == 200, (path, r)
        return r.json()

    def password(self):
        return self.post("/auth/token", {"name": "admin", "pass": PASSWORD})

    def second_factor(self):
        return self.post("/auth/token", {"name": "mia", "pass": FACTOR_PASSWORD, "mfa_code": self.mia.code()})

    def refresh_by_body(self):
        return self.post("/auth/refresh", {"refresh_token": self.last["refresh_token"]})

    def refresh_by_header(self):
        return self.post("/auth/refresh", None, "Bearer " + self.last["refresh_token"])

    def sessions(self):
        for way in (self.password, self.refresh_by_body, self.refresh_by_header, self.second_factor):
            tokens = way()
            if way != self.second_factor:  # noqa: E721 - methods compare by what they are bound to
                self.last = tokens
            yield way.__name__, tokens

    def put(self, patch):
        node = next(self.turn)
        assert self.admin.at(node).must("PUT", POLICY, patch) == {"status": "saved"}


def test_token_policy(cluster):
    ways = Ways(cluster.nodes)
    a, b, c = (ways.admin.at(n) for n in cluster.nodes)
    defaults = {"access_token_expiry_seconds": 3600, "refresh_token_expiry_seconds": 604800,
                "api_token_max_expiry_days": 90, "allow_permanent_tokens": False}
    assert a.must("GET", POLICY) == defaults
    sessions(ways)
    api_tokens(ways, a, b, c)
    both_names(a, b)
    what_is_wrong_is_refused(a, b)
    two_at_once(a, b, c)


def sessions(ways):
    before = ways.last["token"]
    for access, refresh in ((77, 301), (3 * DAY, 9 * DAY)):
        ways.put({"access_token_expiry_seconds": access, "refresh_token_expiry_seconds": refresh})
        for way, tokens in ways.sessions():
            seen = (tokens["expires_in"], life(tokens["token"]), life(tokens["refresh_token"]))
            assert seen == (access, access, refresh), way
            ways.put({"access_token_expiry_seconds": access})  # on the next node; nothing of the rest is lost
    me = Client(next(ways.turn), token=before).api("GET", "/auth/me")
    assert me.status == 200  # tokens that exist keep their lives


def api_tokens(ways, a, b, c):
    def generate(client, days=None):
        body = {"label": "x"} if days is None else {"label": "x", "expiry_days": days}
        return client.api("POST", "/auth/token/generate", body)

    basic = Client(c.node, "admin", PASSWORD)
    ways.put({"api_token_max_expiry_days": 7})
    for client in (a, b, c, basic):
        assert life(generate(client, 7).json()["token"]) == 7 * DAY
        assert life(generate(client).json()["token"]) <= 7 * DAY  # the default is no way around
        for days in (8, 10**9, 2**63 - 1, -1, 0, "7", 1.5):
            assert generate(client, days).status == 400, days
    ways.put({"allow_permanent_tokens": True})
    for client in (a, b, c, basic):
        r = generate(client, 0).json()
        assert r["permanent"] and "exp" not in claims(r["token"]) and "expires_at" not in r
        assert generate(client, 8).status == 400
    ways.put({"allow_permanent_tokens": False})
    assert [generate(x, 0).status for x in (a, b, c, basic)] == [400] * 4
    api = Client(b.node, token=generate(a, 1).json()["token"])
    assert generate(api, 1).status == 403  # a token is no way to a longer one
    assert api.api("POST", "/auth/refresh", None).status == 401


def both_names(a, b):
    a.must("PUT", POLICY, {"access_token_ttl_seconds": "1800", "refresh_token_ttl_seconds": 86400,
                           "api_token_max_ttl_seconds": str(30 * DAY), "api_token_allow_permanent": "true"})
    assert b.must("GET", POLICY) == {"access_token_expiry_seconds": 1800, "allow_permanent_tokens": True,
                                     "refresh_token_expiry_seconds": 86400, "api_token_max_expiry_days": 30}


def what_is_wrong_is_refused(a, b):
    before = a.must("GET", POLICY)
    for key, value in (("access_token_expiry_seconds", 59), ("access_token_expiry_seconds", "60"),
                       ("access_token_expiry_seconds", 10**12), ("refresh_token_expiry_seconds", 0),
                       ("api_token_max_expiry_days", 0), ("api_token_max_expiry_days", True),
                       ("allow_permanent_tokens", "true"), ("api_token_max_ttl_seconds", DAY + 1),
                       ("access_token_ttl_seconds", "60x"), ("access_token_ttl_seconds", ""),
                       ("what", 1), ("allow_permanent_tokens", None)):
        r = a.api("PUT", POLICY, {"refresh_token_expiry_seconds": 4000, key: value})
        assert r.status == 400 and r.json()["error"] == "BAD_REQUEST" and key in r.json()["message"], (key, r)
    assert a.api("PUT", POLICY, {"access_token_ttl_seconds": 60,
                                 "access_token_expiry_seconds": 61}).status == 400
    assert b.must("GET", POLICY) == before


def two_at_once(a, b, c):
    """Two nodes change two keys at the same time: neither change is lost."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for n in range(10):
            list(pool.map(lambda x: x[0].must("PUT", POLICY, x[1]),
                          ((a, {"access_token_expiry_seconds": 100 + n}),
                           (b, {"refresh_token_expiry_seconds": 1000 + n}))))
            p = c.must("GET", POLICY)
            assert p["access_token_expiry_seconds"] == 100 + n
            assert p["refresh_token_expiry_seconds"] == 1000 + n
