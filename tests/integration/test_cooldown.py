# SPDX-License-Identifier: Apache-2.0
"""Cooldown configuration and decisions: hot on every node, durable through fail-over and restart. Blocks are
made by proxies; here they are put into the replicas of a cluster that is down, the same row in each."""
import os
import sqlite3
import time

from pantera import Patient, wait_until

DAY = 24 * 3600 * 1000
BLOCKS = [  # repository, package, version, days since its release; None: a list's block, for ten days
    ("central", "com.example:lib", "1.0.0", 1), ("central", "com.example:lib", "1.1.0", 2),
    ("central", "com.example:other_x", "9", 0.99), ("npmjs", "left-pad", "1.3.0", 1),
    ("npmjs", "evil", "6.6.6", None)]


def signed_in(node):
    """Not about leases: on a machine under load a node may be without one for a moment, and a cluster
    whose leader died may choose twice; then 503 is the right answer, and is asked again."""
    return Patient(node).login()


def seed(cluster):
    """Two proxies and their blocks."""
    admin = signed_in(cluster.nodes[0])
    for name in ("central", "npmjs"):
        admin.put_repo(name)
    for node in cluster.nodes:
        assert node.stop() == 0
    now = int(time.time() * 1000)
    for node in cluster.nodes:
        db = sqlite3.connect(os.path.join(node.data, "replica.db"))
        for name, kind in (("central", "maven-proxy"), ("npmjs", "npm-proxy")):
            db.execute("UPDATE repository SET type = ?1, config = json_set(config, '$.repo.type', ?1)"
                       " WHERE name = ?2", (kind, name))
        for repo, package, version, days in BLOCKS:
            released = 0 if days is None else now - int(days * DAY)
            db.execute("INSERT INTO cooldown_block SELECT id, ?, ?, ?, ?, ?, ?, ? FROM repository"
                       " WHERE name = ?", (package.replace(":", "."), version, package,
                        "MALWARE" if days is None else "TOO_YOUNG", released, now - int((days or 3) * DAY),
                        now + 10 * DAY if days is None else released + 7 * DAY, repo))
        db.commit()
        db.close()
    cluster.start()


def blocked(client, query=""):
    page = client.must("GET", "/cooldown/blocked?" + query)
    return sorted((i["package_name"], i["version"]) for i in page["items"])


def test_cooldown(cluster):
    seed(cluster)
    a, b, c = (signed_in(node) for node in cluster.nodes)
    configuration(a, b, c)
    own_words(a, b, c)
    lists(b)
    what_each_may_see(a, c)
    errors(a)
    exemptions(a, b, c)
    disabling_releases(a, b, c)
    an_unblock_stays(cluster)


def configuration(a, b, c):
    usual = {"unknown": "first_seen", "frozen_at": None, "release_contact": None}
    assert a.must("GET", "/cooldown/config") == {"enabled": False, "minimum_allowed_age": "7d",
                                                 "repo_types": {}} | usual
    assert a.must("GET", "/cooldown/overview") == {"repos": []}
    config = {"enabled": True, "minimum_allowed_age": "P7D",
              "repo_types": {"maven-proxy": {"enabled": True, "minimum_allowed_age": "3d"}}}
    assert a.must("PUT", "/cooldown/config", config) == {"status": "saved"}
    config |= {"minimum_allowed_age": "7d"} | usual
    for client in (b, c):
        assert client.must("GET", "/cooldown/config") == config
        assert client.must("GET", "/settings")["cooldown"] == config
        assert client.must("GET", "/cooldown/overview") == {"repos": [
            {"name": "central", "type": "maven-proxy", "cooldown": "3d", "active_blocks": 3},
            {"name": "npmjs", "type": "npm-proxy", "cooldown": "7d", "active_blocks": 2}]}
    assert b.must("GET", "/dashboard/stats")["blocked_count"] == 5
    # A shorter age ends what is old enough by it, at once; part of a body leaves the rest as it is.
    b.must("PUT", "/cooldown/config", {"repo_types": {"maven-proxy": {"minimum_allowed_age": "36h"}}})
    assert c.must("GET", "/cooldown/config")["enabled"] is True
    assert blocked(c, "search=com.example") == [("com.example:lib", "1.0.0"), ("com.example:other_x", "9")]
    c.must("PUT", "/settings/cooldown", config)  # the same by the other door
    assert len(blocked(a)) == 5


def own_words(a, b, c):
    """A repository's own cooldown, at once and for what is blocked already."""
    repo = {"type": "npm-proxy", "storage": "default", "remotes": [{"url": "https://npm.example"}]}
    for own, left in (({"duration": "12h"}, []), ({"duration": "3d"}, ["left-pad"]), (None, ["left-pad"]),
                      ({"frozen_at": "2026-01-01"}, ["left-pad"])):
        a.must("PUT", "/repositories/npmjs", {"repo": repo | ({"cooldown": own} if own else {})})
        for client in (b, c):
            items = client.must("GET", "/cooldown/blocked?search=npmjs&sort_by=package_name")["items"]
            assert [i["package_name"] for i in items] == ["evil", *left], (own, items)
        if left:
            reason, hours = items[1]["reason"], items[1]["remaining_hours"]
            assert reason == ("FROZEN" if own and "frozen_at" in own else "TOO_YOUNG"), items
            assert (47 <= hours <= 48) == (own == {"duration": "3d"}), (own, hours)
    b.must("PUT", "/repositories/npmjs", {"repo": repo})


def lists(b):
    page = b.must("GET", "/cooldown/blocked?sort_by=package_name&size=2&page=1")
    assert (page["page"], page["size"], page["total"], page["hasMore"]) == (1, 2, 5, True)
    assert [i["package_name"] for i in page["items"]] == ["com.example:other_x", "evil"]
    first = b.must("GET", "/cooldown/blocked?search=left")["items"]
    assert len(first) == 1 and 143 <= first[0].pop("remaining_hours") <= 144  # six days are left
    assert first[0].pop("blocked_date") < first[0].pop("blocked_until")
    assert first[0] == {"package_name": "left-pad", "version": "1.3.0", "repo": "npmjs",
                        "repo_type": "npm-proxy", "reason": "TOO_YOUNG"}
    assert b.must("GET", "/cooldown/blocked")["size"] == 50
    assert blocked(b, "search=_x") == [("com.example:other_x", "9")]  # no wildcard
    assert blocked(b, "search=central&page=0") == [(p, v) for r, p, v, _ in BLOCKS if r == "central"]
    assert b.must("GET", "/cooldown/blocked?page=400")["items"] == []


def what_each_may_see(a, c):
    a.put_role("npm-only", {"npmjs": ["read"], "api_cooldown_permissions": ["read", "write"]})
    a.put_role("reads", {"*": ["read"], "api_cooldown_permissions": ["read"]})
    a.put_user("some", roles=["npm-only"])
    a.put_user("reader", roles=["reads"])
    a.put_user("nobody")
    some, reader, nobody = c.login("some"), c.login("reader"), c.login("nobody")
    assert blocked(some) == [("evil", "6.6.6"), ("left-pad", "1.3.0")]
    assert some.must("GET", "/cooldown/blocked?size=1")["total"] == 2
    assert [r["name"] for r in some.must("GET", "/cooldown/overview")["repos"]] == ["npmjs"]
    one = {"artifact": "com.example:lib", "version": "1.0.0"}
    assert some.api("POST", "/repositories/central/cooldown/unblock", one).status == 403
    assert some.api("POST", "/repositories/central/cooldown/unblock-all").status == 403
    assert len(blocked(reader)) == 5
    assert reader.api("POST", "/repositories/npmjs/cooldown/unblock-all").status == 403
    assert reader.api("PUT", "/cooldown/config", {}).status == 403
    for path in ("config", "overview", "blocked"):
        assert nobody.api("GET", f"/cooldown/{path}").status == 403


def errors(a):
    for path, body, status in (
            ("/repositories/none/cooldown/unblock", {"artifact": "x", "version": "1"}, 404),
            ("/repositories/none/cooldown/unblock-all", None, 404),
            ("/repositories/central/cooldown/unblock", {"artifact": "x"}, 400),
            ("/repositories/central/cooldown/unblock", {"artifact": "", "version": "1"}, 400),
            ("/repositories/central/cooldown/unblock", {"artifact": 7, "version": "1"}, 400)):
        r = a.api("POST", path, body)
        assert r.status == status and r.json()["status"] == status, (path, r)
    for bad in ({"enabled": "yes"}, {"minimum_allowed_age": "soon"}, {"minimum_allowed_age": "30s"},
                {"repo_types": {"rpm-proxy": {}}}, {"what": 1}):  # the original took garbage for 72 hours
        assert a.api("PUT", "/cooldown/config", bad).status == 400, bad
    assert len(blocked(a)) == 5


def exemptions(a, b, c):
    """On every node at once; whoever may not read the repository neither sees nor makes nor ends them."""
    made = a.must("POST", "/cooldown/exemptions", {"package": "@ours/*", "reason": "made here"})["id"]
    own = b.must("POST", "/cooldown/exemptions", {
        "repo": "central", "package": "org.ours:*", "version": "2.*", "reason": "asked for",
        "expires": "1d"})["id"]
    items = c.must("GET", "/cooldown/exemptions")["items"]
    assert [(e["id"], e["repo"], e["package"], e["version"]) for e in items] == [
        (made, None, "@ours/*", "*"), (own, "central", "org.ours:*", "2.*")]
    assert items[1]["created_by"] == "admin" and items[1]["expires"] > items[1]["created_date"]
    some = c.login("some")  # reads npmjs only
    assert [e["id"] for e in some.must("GET", "/cooldown/exemptions")["items"]] == [made]
    for body, status in (({"package": "x", "reason": "y"}, 403),
                         ({"repo": "central", "package": "x", "reason": "y"}, 403)):
        assert some.api("POST", "/cooldown/exemptions", body).status == status
    assert some.api("DELETE", f"/cooldown/exemptions/{own}").status == 404
    assert some.api("DELETE", f"/cooldown/exemptions/{made}").status == 403
    mine = some.must("POST", "/cooldown/exemptions", {"repo": "npmjs", "package": "x", "reason": "y"})["id"]
    b.must("DELETE", f"/cooldown/exemptions/{mine}")
    some.must("DELETE", f"/cooldown/exemptions/{mine}", status=(404,))
    row = a.must("GET", "/audit?action=cooldown.exempt&size=3")["items"]
    assert [(r["actor"], r["resource"]) for r in row][1:] == [("admin", "central/org.ours:*@2.*"),
                                                             ("admin", "@ours/*@*")]
    row = a.must("GET", "/audit?action=cooldown.unexempt&size=1")["items"][0]
    assert row["before"]["package"] == "x" and row["after"] is None


def disabling_releases(a, b, c):
    """Of that type, by age; a list's block is nobody's age."""
    a.must("PUT", "/cooldown/config", {"repo_types": {"npm-proxy": {"enabled": False}}})
    assert blocked(b, "search=npmjs") == [("evil", "6.6.6")]
    assert [r["name"] for r in c.must("GET", "/cooldown/overview")["repos"]] == ["central"]


def an_unblock_stays(cluster):
    """Through the death of the leader that took it, and a restart of all: on every node."""
    leader = cluster.leader()
    left = [("com.example:lib", "1.1.0"), ("com.example:other_x", "9"), ("evil", "6.6.6")]
    one = {"artifact": "com.example:lib", "version": "1.0.0"}
    clients = {n: signed_in(n) for n in cluster.nodes}
    r = clients[leader].api("POST", "/repositories/central/cooldown/unblock", one)
    leader.kill()
    assert r.status == 204 and r.body == b""
    others = cluster.others(leader)
    for node in others:
        wait_until("a new leader", lambda n=node: clients[n].repo("GET", "/.ready").status == 200)
        assert blocked(clients[node]) == left
    leader.start()
    assert blocked(signed_in(leader)) == left
    assert clients[others[0]].api("POST", "/repositories/central/cooldown/unblock-all").status == 204
    assert blocked(clients[others[1]]) == left[2:] == blocked(signed_in(leader))
    for node in cluster.nodes:
        node.stop()
    for node in cluster.nodes:  # the decisions are in each replica, not only the blocks out of it
        db = sqlite3.connect(os.path.join(node.data, "replica.db"))
        rows = db.execute("SELECT key, version, decision, decided_by FROM cooldown_decision"
                          " ORDER BY 1, 2").fetchall()
        db.close()
        assert rows == [("com.example.lib", "1.0.0", "allow", "admin"),
                        ("com.example.lib", "1.1.0", "allow", "admin"),
                        ("com.example.other_x", "9", "allow", "admin")]
    cluster.start()
    for node in cluster.nodes:
        assert blocked(signed_in(node)) == left[2:]
