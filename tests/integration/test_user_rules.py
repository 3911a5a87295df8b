# SPDX-License-Identifier: Apache-2.0
"""Rules about users that no way around may break: the password policy, the change of a first password, the
last administrator, and that nobody climbs by himself."""
import concurrent.futures
import os

from pantera import GRANT_ALL, PASSWORD, Client

NEXT = "Another-Password-2!"
WEAK = ("a", "Short-1!", "no-upper-case-1!", "NO-LOWER-CASE-1!", "No-Digits-Here!!", "NoSpecialChar12")


def test_rules_of_users(cluster):
    a, b, c = (node.admin() for node in cluster.nodes)
    passwords_follow_the_policy(a, b)
    the_first_change_comes_first(a, cluster.nodes)
    nobody_climbs(a, b, c)
    an_administrator_remains(a, b, c)


def passwords_follow_the_policy(a, b):
    a.put_user("joe")
    joe = b.login("joe")
    for weak in WEAK + ("Joe", "joe" * 5):
        for key in ("pass", "password"):
            assert a.api("PUT", "/users/new", {key: weak}).status == 400, weak
            assert a.api("PUT", "/users/joe", {key: weak}).status == 400, weak
        assert joe.api("POST", "/users/joe/password", {"old_pass": PASSWORD, "new_pass": weak}).status == 400
        assert a.api("POST", "/users/joe/password", {"new_pass": weak}).status == 400
    assert b.api("GET", "/users/new").status == 404
    assert joe.api("POST", "/users/joe/password", {"old_pass": "wrong", "new_pass": NEXT}).status == 401
    assert joe.api("POST", "/users/joe/password", {"new_pass": NEXT}).status == 401
    b.login("joe")  # the old one still holds


def test_first_password_follows_the_policy(make_node):
    node = make_node(env={"PANTERA_USER_PASS": "weak"}, start=False)
    node.start(wait=False)
    assert node.process.wait(10) == 2
    assert "PANTERA_USER_PASS" in node.tail() and not os.path.exists(os.path.join(node.data, "replica.db"))


def the_first_change_comes_first(a, nodes):
    """The server says so, not a console; on every node, for every kind of proof, in the next request."""
    a.put_role("all", GRANT_ALL)
    a.put_user("eve", roles=["all"])
    eve = nodes[1].client().login("eve")
    session = Client(nodes[1]).must("POST", "/auth/token", {"name": "eve", "pass": PASSWORD})
    api = eve.must("POST", "/auth/token/generate", {"label": "x"})["token"]
    a.must("PUT", "/users/eve", {"must_change_password": True})
    for node in nodes:
        for client in (eve.at(node), Client(node, "eve", PASSWORD), Client(node, token=api)):
            for method, path in (("GET", "/users"), ("PUT", "/users/eve"), ("GET", "/settings"),
                                 ("POST", "/auth/token/generate"), ("GET", "/auth/tokens"),
                                 ("GET", "/dashboard/stats"), ("POST", "/users/admin/password"),
                                 ("DELETE", "/users/eve"), ("PUT", "/admin/auth-settings")):
                r = client.api(method, path, {} if method != "GET" else None)
                assert r.status == 403 and "password" in r.json()["message"], (node.id, method, path, r)
            assert client.repo("GET", "/any/thing").status == 403
            assert client.must("GET", "/auth/me")["must_change_password"] is True
    again = Client(nodes[2]).must("POST", "/auth/refresh", {"refresh_token": session["refresh_token"]})
    assert Client(nodes[0], token=again["token"]).api("GET", "/users").status == 403
    change = {"old_pass": PASSWORD, "new_pass": PASSWORD}
    assert eve.api("POST", "/users/eve/password", change).status == 400  # not to the same
    eve.must("POST", "/users/eve/password", {**change, "new_pass": NEXT})
    for node in nodes:
        assert eve.at(node).api("GET", "/users").status == 200
        assert Client(node, "eve", PASSWORD).api("GET", "/auth/me").status == 401
    a.must("DELETE", "/users/eve")


def nobody_climbs(a, b, c):
    a.put_role("clerk", {"api_user_permissions": ["*"], "api_role_permissions": ["*"], "files": ["read"],
                         "api_cooldown_permissions": ["read"]})
    a.put_role("off", GRANT_ALL)
    a.must("POST", "/roles/off/disable")
    a.put_user("clerk", roles=["clerk"])
    a.put_user("small", roles=["clerk"])
    clerk = b.login("clerk")
    for method, path, body in (
            ("PUT", "/users/clerk", {"roles": ["clerk", "admin"]}),
            ("PUT", "/users/clerk", {"roles": ["clerk", "off"]}),
            ("PUT", "/users/puppet", {"pass": PASSWORD, "roles": ["all"]}),
            ("PUT", "/users/admin", {"pass": NEXT}), ("PUT", "/users/admin", {"roles": ["clerk"]}),
            ("PUT", "/users/admin", {"must_change_password": True}),
            ("POST", "/users/admin/password", {"new_pass": NEXT}),
            ("PUT", "/roles/clerk", {"permissions": GRANT_ALL}),
            ("PUT", "/roles/clerk", {"permissions": {"files": ["write"]}}),
            ("PUT", "/roles/clerk", {"permissions": {"*": ["read"]}}),
            ("PUT", "/roles/clerk", {"permissions": {"api_cooldown_permissions": ["write"]}}),
            ("PUT", "/roles/mine", {"permissions": {"api_admin_permissions": ["admin"]}}),
            ("PUT", "/roles/default/local", {"permissions": GRANT_ALL}),
            ("PUT", "/roles/admin", {"permissions": {"files": ["read"]}}),
            ("POST", "/roles/off/enable", None), ("DELETE", "/roles/off", None),
            ("DELETE", "/roles/admin", None), ("POST", "/roles/admin/disable", None),
            ("DELETE", "/users/admin", None), ("POST", "/users/admin/disable", None),
            ("POST", "/admin/revoke-user/admin", None),
            ("DELETE", "/users/admin/mfa", None)):
        r = clerk.at(c.node).api(method, path, body)
        assert r.status == 403 and r.json()["error"] == "FORBIDDEN", (method, path, body, r)
    assert clerk.api("POST", "/users/clerk/password", {"old_pass": "no", "new_pass": NEXT}).status == 401
    # What he has he may hand out, and those who have no more he may look after.
    clerk.must("PUT", "/users/puppet", {"pass": PASSWORD, "roles": ["clerk"]})
    clerk.must("POST", "/users/small/password", {"new_pass": NEXT})
    clerk.must("PUT", "/roles/less", {"permissions": {"files": ["read"]}})
    clerk.must("POST", "/roles/less/disable"), clerk.must("DELETE", "/roles/less")
    clerk.must("POST", "/users/puppet/disable"), clerk.must("DELETE", "/users/puppet")
    assert a.must("GET", "/users/admin")["roles"] == ["admin"]


def an_administrator_remains(a, b, c):
    a.must("DELETE", "/roles/all"), a.must("DELETE", "/roles/off")
    ways = (("DELETE", "/users/admin", None), ("POST", "/users/admin/disable", None),
            ("PUT", "/users/admin", {"roles": []}), ("PUT", "/users/admin", {"roles": ["clerk"]}),
            ("PUT", "/roles/admin", {"permissions": {"files": ["read"]}}),
            ("DELETE", "/roles/admin", None), ("POST", "/roles/admin/disable", None))
    for method, path, body in ways:
        for client in (a, b, c):
            r = client.api(method, path, body)
            assert r.status == 409 and r.json()["error"] == "CONFLICT", (method, path, r)
    # A second one, who can't act, does not count.
    a.put_user("second", roles=["admin"])
    a.must("POST", "/users/second/disable")
    assert b.api("DELETE", "/users/admin").status == 409
    a.must("POST", "/users/second/enable")
    # Two remove each other at the same time, on different nodes: one of them remains.
    second = b.login("second")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        said = list(pool.map(lambda x: x[0].api("POST", f"/users/{x[1]}/disable").status,
                             ((a, "second"), (second, "admin"))))
    assert sorted(said)[0] == 200 and sorted(said)[1] in (401, 403, 409), said
    survivor = a if said[0] == 200 else second
    assert survivor.at(c.node).api("GET", "/users").status == 200
