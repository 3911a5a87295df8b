# SPDX-License-Identifier: Apache-2.0
"""The dashboard's figures are those of the whole cluster, kept as things happen and not counted by scans;
requests are counted in memory and cost the log next to nothing."""
import time

from pantera import figure, wait_until


def stats(client):
    return client.must("GET", "/dashboard/stats")


def test_figures_of_the_whole_cluster(make_cluster):
    cluster = make_cluster(config={"dashboard": {"interval": "500ms"}})
    what_repositories_hold(*(node.admin() for node in cluster.nodes))
    requests_of_all_nodes(cluster)


def what_repositories_hold(a, b, c):
    for repo in a.must("GET", "/repositories")["items"]:  # what the first start made
        a.must("DELETE", f"/repositories/{repo['name']}")
    a.put_repo("one"), a.put_repo("two")
    for n in range(3):
        a.put(f"/one/d/{n}", b"x" * 10)
    b.put("/two/f", b"y" * 7)
    assert stats(c) == {"repo_count": 2, "artifact_count": 4, "total_storage": 37, "blocked_count": 0,
                        "top_repos": [{"name": "one", "type": "file", "artifact_count": 3, "size": 30},
                                      {"name": "two", "type": "file", "artifact_count": 1, "size": 7}]}
    b.put("/one/d/0", b"zz")  # replaced, not added
    assert stats(a)["total_storage"] == 29 and stats(a)["artifact_count"] == 4
    c.repo("DELETE", "/one/d/1")
    assert stats(b)["artifact_count"] == 3 and stats(b)["total_storage"] == 19
    assert a.must("GET", "/dashboard/repos-by-type") == {"types": {"file": 2}}
    # Sums are everybody's, names only of what may be read.
    a.put_role("one", {"one": ["read"]})
    a.put_user("u", roles=["one"])
    own = stats(b.login("u"))
    assert own["artifact_count"] == 3 and [r["name"] for r in own["top_repos"]] == ["one"]
    c.must("DELETE", "/repositories/one")
    assert stats(b)["repo_count"] == 1 and stats(b)["artifact_count"] == 1
    assert c.api("GET", "/dashboard/stats").status == 200
    c.authorization = None
    for path in ("stats", "repos-by-type", "requests"):
        assert c.api("GET", f"/dashboard/{path}").status == 401


def last_index(node):
    c = node.client()
    text = c.request(node.metrics_port, "GET", "/metrics").body.decode()
    c.close()
    return int(text.split("\npantera_cluster_last_index ")[1].split()[0])


def totals(client, period="1h"):
    data = client.must("GET", f"/dashboard/requests?period={period}")["data"]
    return {k: sum(d[k] for d in data) for k in ("requests", "errors", "bytes_in", "bytes_out")}


def requests_of_all_nodes(cluster):
    clients = [node.admin() for node in cluster.nodes]
    clients[0].put_repo("r")
    clients[0].put("/r/f", b"f" * 1000)
    before, began = last_index(cluster.nodes[0]), time.monotonic()
    for client in clients:
        for _ in range(100):
            client.get("/r/f")
    own = 0

    def all_counted():
        nonlocal own
        own += 1
        return totals(clients[own % 3])["requests"] >= 300

    wait_until("300 requests counted", all_counted, 10)
    took = time.monotonic() - began
    entries = last_index(cluster.nodes[0]) - before
    # One operation a node and interval, whatever the number of requests.
    assert entries <= 3 * (2 * took + 2), (entries, took)
    seen = [totals(client, p) for client in clients for p in ("1h", "24h", "7d")]
    assert all(300 <= s["requests"] <= 300 + 90 + own for s in seen), seen
    assert all(s["bytes_out"] >= 300_000 and s["bytes_in"] >= 1000 and s["errors"] == 0 for s in seen)
    figure(f"{300 + own} requests on three nodes: {entries} log entries in {took:.1f} s")
    shapes(clients[1])
    nothing_is_written_at_rest(cluster)
    a_killed_node_keeps_its_share(cluster, clients)


def shapes(client):
    for period, interval, count in (("1h", 60, 60), ("24h", 900, 96), ("7d", 7200, 84)):
        r = client.must("GET", f"/dashboard/requests?period={period}")
        assert (r["period"], r["interval_seconds"], len(r["data"])) == (period, interval, count)
    assert client.must("GET", "/dashboard/requests")["period"] == "24h"
    for bad in ("8d", "5m", "x", "-1h", "99999999999999999999d"):
        assert client.api("GET", f"/dashboard/requests?period={bad}").status == 400, bad


def nothing_is_written_at_rest(cluster):
    node = cluster.nodes[0]

    def at_rest():
        before = last_index(node)  # metrics are not counted as requests
        time.sleep(1.2)  # more than two intervals
        return last_index(node) == before

    wait_until("a log that rests", at_rest, 15, 0)


def a_killed_node_keeps_its_share(cluster, clients):
    before = totals(clients[0])["requests"]
    victim = cluster.nodes[2]
    victim.kill()
    victim.start()
    clients[2] = victim.admin()
    for _ in range(50):
        clients[2].get("/r/f")
    wait_until("its share, and what is new",
               lambda: totals(clients[1])["requests"] >= before + 50, 15, 0.2)
    assert totals(clients[0])["requests"] < before + 200  # nothing counted twice
