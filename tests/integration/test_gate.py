# SPDX-License-Identifier: Apache-2.0
"""What a node can't answer at the moment waits until it can, for a while: clients don't see an election. A
node that stays cut off refuses, as ever, and its probes say so at once (ADR 0007)."""
import re
import socket
import threading

from pantera import Client, wait_until


def metric(node, name):
    text = Client(node).request(node.metrics_port, "GET", "/metrics").body.decode()
    return int(re.search(rf"^{re.escape(name)} (\d+)$", text, re.M).group(1))


def waited(node, outcome):
    return metric(node, f'pantera_cluster_requests_waited_total{{outcome="{outcome}"}}')


def test_an_election_is_not_seen(cluster):
    """The leader stops dead; whoever asks the others waits for its successor."""
    leader = cluster.leader()
    rest, stop, answers = cluster.others(leader), threading.Event(), []
    admin = rest[0].admin()
    admin.put_repo("r")
    assert admin.repo("PUT", "/r/f", b"bytes").status == 201

    def ask(node, method, path, body=None):
        c = admin.at(node)
        while not stop.is_set():
            answers.append((method, c.repo(method, path, body).status))

    threads = [threading.Thread(target=ask, args=(node, *what)) for node in rest
               for what in (("GET", "/r/f"), ("PUT", f"/r/of-{node.id}", b"x"))]
    for t in threads:
        t.start()
    try:
        leader.pause()
        wait_until("requests have waited", lambda: all(waited(n, "current") for n in rest), 30)
        wait_until("there is a successor", lambda: cluster.leader().id != leader.id, 30)
    finally:
        leader.resume()
        stop.set()
        for t in threads:
            t.join()
    # What was being answered in the moment when the lease ended is refused: no more than one a client.
    refused = [a for a in answers if a[1] not in (200, 201)]
    assert len(refused) <= len(threads) and {s for _, s in refused} <= {503}, refused[:10]


def test_what_it_waited_for(make_cluster):
    """A request that waited is served by what holds then, not by what held when it came."""
    cluster = make_cluster(config={"cluster": {"wait_ms": 30000}})
    leader = cluster.leader()
    victim = cluster.others(leader)[0]
    admin, answers = leader.admin(), []
    admin.put_repo("r")
    assert admin.repo("PUT", "/r/f", b"bytes").status == 201
    c = admin.at(victim)
    assert c.repo("GET", "/team/r/f").status == 404
    cluster.cut(victim)
    wait_until("cut off", lambda: Client(victim).repo("GET", "/.ready").status == 503)
    before = metric(victim, "pantera_http_active_requests")
    asking = threading.Thread(target=lambda: answers.append(c.repo("GET", "/team/r/f")))
    asking.start()
    wait_until("it waits", lambda: metric(victim, "pantera_http_active_requests") > before)
    admin.must("PUT", "/settings/prefixes", {"prefixes": ["team"]})
    cluster.heal()
    asking.join()
    assert answers[0].status == 200 and answers[0].body == b"bytes"
    assert waited(victim, "current") == 1


def test_no_end_of_it(make_cluster):
    """Cut off for longer than that: 503. Probes don't wait; nor does it matter who has gone meanwhile."""
    cluster = make_cluster(config={"cluster": {"wait_ms": 700}})
    leader = cluster.leader()
    victim = cluster.others(leader)[0]
    admin = leader.admin().at(victim)
    cluster.cut(victim)
    wait_until("cut off", lambda: Client(victim).repo("GET", "/.ready").status == 503)
    for path in ("/r/f", "/v2/"):
        assert admin.repo("GET", path).status == 503
    assert Client(victim).api("POST", "/auth/token", {"name": "x", "pass": "y"}).status == 503
    assert admin.api("GET", "/users").status == 503
    assert Client(victim).repo("GET", "/.health").status == 200
    assert Client(victim).api("GET", "/health").status == 200
    assert Client(victim).repo("GET", "/.ready").status == 503
    assert waited(victim, "refused") == 4, "no probe among them"
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", victim.port)) as s:
            s.sendall(b"GET /r/f HTTP/1.1\r\nHost: x\r\n\r\n")
    cluster.heal()
    wait_until("it serves again", lambda: admin.api("GET", "/users").status == 200)


def test_not_at_all(make_cluster):
    cluster = make_cluster(config={"cluster": {"wait_ms": 0}})
    victim = cluster.others(cluster.leader())[0]
    admin = victim.admin()
    cluster.cut(victim)
    wait_until("it refuses", lambda: admin.api("GET", "/users").status == 503)
    assert waited(victim, "refused") == waited(victim, "current") == 0
