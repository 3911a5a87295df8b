# SPDX-License-Identifier: Apache-2.0
"""Search: what matches, who sees it, pages, locate, figures, building anew while people write and ask; and
that what one node has acknowledged the next request on another finds."""
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlencode

import pytest

from pantera import GRANT_ALL, PASSWORD, Client, wait_until

PATHS = ["com/google/guava/32.1/guava-32.1.jar", "com/google/guava/33.0/guava-33.0.jar",
         "org/spring/spring-boot/3.2.1/spring-boot-3.2.1.jar", "tools/readme.txt"]


def search(client, q, **more):
    return client.must("GET", "/search?" + urlencode({"q": q, **more}))


def found(client, q, **more):
    return sorted(i["artifact_path"] for i in search(client, q, **more)["items"])


def put_many(client, paths):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda p: client.put(p, p.encode()), paths))


@pytest.fixture
def admin(make_node):
    client = make_node().admin()
    client.put_repo("files")
    client.put_repo("other")
    for path in PATHS:
        client.put("/files/" + path, path.encode())
    client.put("/other/guava/secret-1.0.txt", b"x")
    return client


def test_queries(admin):
    guava, spring, readme = PATHS[:2], [PATHS[2]], [PATHS[3]]
    secret = ["guava/secret-1.0.txt"]
    for q, expected in (
            ("name:guava", guava), ("NAME:GuAvA", guava), ("guava", guava + secret),
            ("name:guava AND version:33", guava[1:]),
            ("name:guava AND (version:32.1 OR version:33.0)", guava),
            ("name:guava AND version:32.1 AND version:33.0", []),
            ("name:guava OR name:spring", guava + spring),  # OR of the same field, as it reads
            ("name:guava OR version:3.2", guava + spring),  # and of different ones
            ("guava NOT version:33", [guava[0]] + secret),
            ("guava NOT (version:33 OR repo:other)", guava[:1]),
            ("repo:other", secret), ("repo:othe", []), ("type:fil", PATHS + secret), ("type:maven", []),
            ("\"spring-boot-3.2.1.jar\"", spring), ("\"name:guava\"", []), ("read", readme),
            ("guava and", []), ("100%", []), ("g_ava", []), ("NOT guava", spring + readme),
            ("spring boot", spring), ("bo", spring), ("\"'; DROP TABLE artifact; --\"", [])):
        assert found(admin, q) == sorted(expected), q
    hit = search(admin, "version:33.0")["items"][0]
    assert hit == {"repo_type": "file", "repo_name": "files", "artifact_path": guava[1],
                   "artifact_name": "guava", "version": "33.0", "size": len(guava[1]),
                   "created_at": hit["created_at"], "owner": "admin"}
    page = search(admin, "guava")
    assert page["repo_counts"] == {"files": 2, "other": 1} and page["type_counts"] == {"file": 3}
    assert {k: page[k] for k in ("total", "total_exact", "hasMore", "page", "size")} == \
        {"total": 3, "total_exact": True, "hasMore": False, "page": 0, "size": 20}
    assert "repo_counts" not in search(admin, "guava", page=1) and \
        "repo_counts" not in search(admin, "guava", facets="false")
    assert found(admin, "guava", repo="other") == secret and found(admin, "guava OR readme", type="x") == []
    assert found(admin, "guava", repo="other", type="file") == secret


def test_refusals(admin):
    for query in ("", "q=", "q=%20", "q=(", "q=a)", "q=AND", "q=name:", "q=%22a", "q=" + "a+" * 40,
                  "q=guava&page=101&size=100", "q=guava&page=501", "q=-", "q=" + "x" * 1100):
        r = admin.api("GET", "/search?" + query)
        assert r.status == 400 and r.json()["code"] == 400 and r.json()["message"], query
    assert admin.api("GET", "/search").json() == {"code": 400, "message": "Missing 'q' parameter"}
    assert search(admin, "guava", page=500) == {"items": [], "page": 500, "size": 20, "total": 3,
                                                "hasMore": False, "total_exact": True}
    assert search(admin, "guava", page=-1, size=0, sort="x")["total"] == 3
    assert admin.api("GET", "/search/locate").status == 400


def test_pages_and_order(admin):
    put_many(admin, [f"/other/p/item-{n % 10}.{n // 10}/f{n:03}.bin" for n in range(60)])
    seen, page = [], 0
    while True:
        got = search(admin, "item", size=7, page=page)
        assert got["total"] == 60
        seen += [i["artifact_path"] for i in got["items"]]
        page += 1
        if not got["hasMore"]:
            break
    assert page == 9 and len(set(seen)) == 60
    for sort, key in (("name", "artifact_name"), ("version", "version"), ("created_at", "created_at")):
        up, down = ([i[key] for i in search(admin, "item OR guava", size=100, sort=sort,
                                            sort_dir=direction)["items"]] for direction in ("asc", "desc"))
        assert up == sorted(up, key=str.lower) and down == up[::-1] and len(up) == 63, sort
    assert search(admin, "guava", sort="created_at")["items"][0]["repo_name"] == "other"  # the newest first
    assert search(admin, "guava")["items"][0]["artifact_name"] == "guava"  # the exact name first


def test_permissions(admin):
    """Nothing of a repository that one may not read: not its artifacts, not how many they are."""
    admin.put_role("r", {"api_search_permissions": ["read"],
                         "adapter_basic_permissions": {"files": ["read"]}})
    admin.put_user("u", roles=["r"])
    user = Client(admin.node).login("u", PASSWORD)
    for q in ("guava", "repo:other OR guava", "NOT zzz", "NOT repo:files", "repo:other",
              "NOT (NOT repo:other)"):
        page = search(user, q)
        assert all(i["repo_name"] == "files" for i in page["items"]), q
        assert page["total"] == len(page["items"]) and set(page["repo_counts"]) <= {"files"}, q
    assert len(found(user, "guava")) == 2 and found(user, "NOT repo:files") == []
    assert user.must("GET", "/search/locate?path=guava/secret-1.0.txt") == {"repositories": [], "count": 0}
    assert user.api("POST", "/search/reindex").status == 403
    admin.put_role("r", {"api_search_permissions": ["read"]})
    assert search(user, "guava")["total"] == 0
    admin.put_role("r", {"adapter_basic_permissions": {"*": ["*"]}})
    for what in ("search?q=a", "search/locate?path=a", "search/stats"):
        assert user.api("GET", "/" + what).status == 403
        assert Client(admin.node).api("GET", "/" + what).status == 401


def test_follows_what_happens(admin):
    admin.put("/files/" + PATHS[0], b"other bytes")  # replaced
    assert search(admin, "guava version:32.1")["items"][0]["size"] == 11
    admin.must("DELETE", "/repositories/files/artifacts", {"path": PATHS[0]})
    assert found(admin, "name:guava") == PATHS[1:2]
    admin.must("DELETE", "/repositories/files/packages", {"path": "com"})
    assert found(admin, "name:guava") == []
    admin.must("PUT", "/repositories/other/move", {"new_name": "moved"})
    assert [i["repo_name"] for i in search(admin, "secret")["items"]] == ["moved"]
    assert found(admin, "repo:other") == [] and len(found(admin, "repo:moved")) == 1
    assert admin.must("GET", "/search/locate?path=/guava/secret-1.0.txt") == \
        {"repositories": ["moved"], "count": 1}
    # A repository that is deleted is gone at once, whenever its artifacts are swept.
    put_many(admin, [f"/moved/many/{n}.bin" for n in range(30)])
    admin.must("DELETE", "/repositories/moved")
    page = search(admin, "secret OR many OR readme")
    assert (page["total"], page["repo_counts"]) == (1, {"files": 1})
    assert admin.must("GET", "/search/locate?path=guava/secret-1.0.txt")["count"] == 0


def test_reindex(admin):
    """It is really built anew: while it runs, the old one answers and both see what is written."""
    put_many(admin, [f"/files/bulk/thing-{n}.bin" for n in range(300)])
    before = admin.must("GET", "/search/stats")
    assert before["total_documents"] == 305 and before["index_size_bytes"] > 0 and before["status"] == "ready"
    assert before["last_indexed"].endswith("Z")
    stop, errors = threading.Event(), []

    def ask():
        client = admin.at(admin.node)
        while not stop.is_set() and not errors:
            page = search(client, "name:thing", size=1)
            if page["total"] < 300:
                errors.append(page)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    for n in range(2):
        r = admin.api("POST", "/search/reindex")
        assert r.status == 202 and r.json()["status"] == "started"
        assert r.json()["message"] == "Full reindex initiated"
        stats = admin.must("GET", "/search/stats")
        assert stats["status"] == "ready" or 0 <= stats["progress"] <= 1
        for k in range(10):
            admin.put(f"/files/bulk/thing-new-{n}-{k}.bin", b"x")
            if k % 2:
                admin.repo("DELETE", f"/files/bulk/thing-new-{n}-{k - 1}.bin")
        wait_until("built", lambda: admin.must("GET", "/search/stats")["status"] == "ready")
        assert search(admin, "name:thing", size=1)["total"] == 300 + 5 * (n + 1)
    stop.set()
    asking.join()
    assert not errors
    after = admin.must("GET", "/search/stats")
    assert after["generation"] == before["generation"] + 2 and after["total_documents"] == 315


def test_any_node(make_cluster):
    """Put on one, searched for on another in the very next request; and reindex reaches every node."""
    nodes = make_cluster().nodes
    admins = [node.admin() for node in nodes]
    admins[0].put_repo("files")
    admins[1].put_role("r", GRANT_ALL)
    admins[2].put_user("u", roles=["r"])
    user = Client(nodes[0]).login("u", PASSWORD)
    users = [user, user.at(nodes[1]), user.at(nodes[2])]
    for n in range(12):
        a, b, c = ((n + k) % 3 for k in range(3))
        path = f"lib/word{n}x/1.{n}/word{n}x-1.{n}.jar"
        users[a].put("/files/" + path, b"x")
        assert found(users[b], f"name:word{n}x version:1.{n}") == [path]
        assert users[c].must("GET", f"/search/locate?path={path}")["repositories"] == ["files"]
        if n % 3 == 0:
            users[b].must("DELETE", "/repositories/files/packages", {"path": f"lib/word{n}x"})
            assert found(users[c], f"word{n}x") == [] and found(users[a], f"word{n}x") == []
    # Pages of different nodes fit together.
    orders = [[i["artifact_path"] for i in search(u, "word", size=100)["items"]] for u in users]
    assert orders[0] == orders[1] == orders[2] and len(orders[0]) == 8
    admins[1].must("POST", "/search/reindex", status=(202,))
    for admin in admins:
        wait_until("built", lambda a=admin: a.must("GET", "/search/stats")["generation"] == 1 and
                   a.must("GET", "/search/stats")["status"] == "ready")
        assert search(admin, "word")["total"] == 8
    admins[2].put_role("r", {"api_search_permissions": ["read"]})
    assert [search(u, "word")["total"] for u in users] == [0, 0, 0]


def test_many_at_once(admin):
    """More searches than a worker runs at a time wait for their turn; some of the askers leave."""
    began = time.monotonic()
    with ThreadPoolExecutor(24) as pool:
        clients = [admin.at(admin.node) for _ in range(24)]
        totals = list(pool.map(lambda n: search(clients[n % 24], "guava OR readme")["total"], range(240)))
        gone = [Client(admin.node, timeout=5) for _ in range(20)]
        for c in gone:
            c.authorization = admin.authorization
            connection = c.connection(admin.node.api_port)
            connection.request("GET", "/api/v1/search?q=guava", headers={"Authorization": c.authorization})
            c.close()
    assert totals == [4] * 240 and time.monotonic() - began < 30
    assert search(admin, "guava")["total"] == 3
