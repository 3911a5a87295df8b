# SPDX-License-Identifier: Apache-2.0
"""file-proxy: one upstream request however many ask and wherever; what upstream does wrong is never kept."""
import hashlib
import http.client
import os
import socket
import threading

import pytest

from pantera import scale, wait_until
from upstream import Upstream


@pytest.fixture
def up():
    upstream = Upstream()
    yield upstream
    upstream.close()


def put_proxy(client, name, *remotes, **more):
    repo = {"type": "file-proxy", "storage": "default", "remotes": [{"url": u} for u in remotes], **more}
    client.must("PUT", f"/repositories/{name}", {"repo": repo})


def settled(client, path, seconds=20):
    """As a real client does: 503 is asked again."""
    def ask():
        r = client.repo("GET", path)
        return r if r.status != 503 else None
    return wait_until(path, ask, seconds)


def figure_of(client, metric):
    text = client.request(client.node.metrics_port, "GET", "/metrics").body.decode()
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(metric))


def test_cold_once_then_warm(make_node, up):
    node = make_node()
    admin = node.admin()
    put_proxy(admin, "mirror", up.url)
    for size in (0, 1, 1000, 200_000, 5_000_000):
        path, data = f"some folder/{size}+x.bin", os.urandom(size)
        asked = f"some%20folder/{size}%2Bx.bin"
        up.files[asked] = data
        for n in range(3):
            r = admin.get(f"/mirror/{asked}")
            assert r.body == data
            if n:
                assert r.headers["ETag"] == '"%s"' % hashlib.sha256(data).hexdigest()
        assert admin.repo("HEAD", f"/mirror/{asked}").headers["Content-Length"] == str(size)
        part = admin.repo("GET", f"/mirror/{asked}", headers={"Range": "bytes=0-9"})
        assert (part.status, part.body) == (206, data[:10]) if size else part.status == 416
        assert up.count(asked) == 1, path
    assert admin.repo("GET", f"/mirror/{asked}", headers={"If-None-Match": r.headers["ETag"]}).status == 304
    # cold, and not a plain GET
    up.files["cold"] = os.urandom(300_000)
    r = admin.repo("GET", "/mirror/cold", headers={"Range": "bytes=100-199"})
    assert (r.status, r.body) == (206, up.files["cold"][100:200])
    up.files["head"] = os.urandom(3000)
    assert admin.repo("HEAD", "/mirror/head").headers["Content-Length"] == "3000"
    assert admin.get("/mirror/head").body == up.files["head"]
    assert up.count("cold") == up.count("head") == 1
    assert admin.repo("PUT", "/mirror/x", b"x").status == 405
    assert figure_of(admin, 'pantera_proxy_upstream_requests_total{repo="mirror",result="ok"}') == 7
    assert figure_of(admin, 'pantera_proxy_cache_total{repo="mirror",result="miss"}') == 7
    # dropped by hand: fetched anew
    assert admin.repo("DELETE", "/mirror/head").status == 204
    assert admin.get("/mirror/head").body == up.files["head"]
    assert up.count("head") == 2


def crowd(count, work):
    out, errors = [], []

    def run(i):
        try:
            out.append(work(i))
        except Exception as e:  # pylint: disable=broad-except
            errors.append(e)
    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    assert not errors, errors[:3]
    return out


def test_many_clients_on_three_nodes_ask_upstream_once(cluster, up):
    admin = cluster.node(1).admin()
    put_proxy(admin, "mirror", up.url)
    data = os.urandom(scale(20_000_000, 3_000_000))
    up.files["big.bin"] = data
    up.files["small.txt"] = b"small"
    for path in ("small.txt", "big.bin"):
        up.gate = threading.Event()
        started = threading.Timer(0.3, up.gate.set) # all of them are there before the first byte
        started.start()
        bodies = crowd(50, lambda i, path=path: settled(admin.at(cluster.nodes[i % 3]), f"/mirror/{path}",
                                                        60).body)
        started.join()
        assert all(b == up.files[path] for b in bodies) and len(bodies) == 50
        assert up.count(path) == 1
    up.close() # warm: it is not needed any more
    for node in cluster.nodes:
        assert settled(admin.at(node), "/mirror/big.bin").body == data
        assert settled(admin.at(node), "/mirror/nothing").status == 502


def test_a_node_that_dies_while_it_fetches_is_replaced(cluster, up):
    admin = cluster.node(1).admin()
    put_proxy(admin, "mirror", up.url)
    victim = next(n for n in cluster.nodes if n is not cluster.leader())
    other = next(n for n in cluster.nodes if n is not victim)
    up.files["x"] = os.urandom(100_000)
    up.gate = threading.Event()
    first = threading.Thread(
        target=lambda: pytest.raises(Exception, admin.at(victim).repo, "GET", "/mirror/x"))
    first.start()
    wait_until("the first request", lambda: up.count("x") == 1)
    got = []
    second = threading.Thread(target=lambda: got.append(settled(admin.at(other), "/mirror/x", 60)))
    second.start()
    victim.kill()
    first.join()
    up.gate.set()
    second.join(60)
    assert got and got[0].body == up.files["x"]
    assert up.count("x") == 2


def test_a_node_does_not_wait_for_ever(cluster, up):
    """Another node fetches, and takes its time: this one asks for itself, and its client gets what comes."""
    admin = cluster.node(1).admin()
    put_proxy(admin, "mirror", up.url)
    admin.must("PUT", "/settings/http_client", {"proxy_timeout": "60s"})  # the first one stays stuck
    data, got = os.urandom(400_000), {}
    stuck, first = threading.Event(), threading.Event()

    def answer(h):
        if not first.is_set():
            first.set()
            stuck.wait(60)  # the claim is prolonged all the while
        h.answer(200, data)
    up.faults["x"] = answer

    def ask(node):
        got[node.id] = settled(admin.at(node), "/mirror/x", 60)
    threads = [threading.Thread(target=ask, args=(n,)) for n in cluster.nodes[:2]]
    threads[0].start()
    wait_until("the first asks", first.is_set)
    threads[1].start()
    threads[1].join(40)
    assert got[2].body == data and 1 not in got
    stuck.set()
    threads[0].join(40)
    assert got[1].body == data and up.count("x") == 2
    up.close()
    for node in cluster.nodes:
        assert settled(admin.at(node), "/mirror/x").body == data


def test_a_client_that_goes_does_not_end_the_fetch(make_node, up):
    node = make_node()
    admin = node.admin()
    put_proxy(admin, "mirror", up.url)
    data = os.urandom(2_000_000)
    up.faults["x"] = up.slow(data, 10, 0.1)
    ask = f"GET /mirror/x HTTP/1.1\r\nHost: x\r\nAuthorization: {admin.authorization}\r\n\r\n".encode()
    raw = socket.create_connection(("127.0.0.1", node.port))
    raw.sendall(ask)
    assert raw.recv(1000).startswith(b"HTTP/1.1 200") # while it is being fetched
    # one that reads nothing does not hold up another
    lazy = socket.create_connection(("127.0.0.1", node.port))
    lazy.sendall(ask)
    raw.close()
    assert admin.get("/mirror/x").body == data
    assert up.count("x") == 1
    lazy.close()
    up.faults.clear()
    assert admin.get("/mirror/x").body == data
    assert up.count("x") == 1


def test_what_upstream_does_wrong_is_not_kept(make_node, up):
    node = make_node()
    admin = node.admin()
    put_proxy(admin, "mirror", up.url)
    data = os.urandom(400_000)
    good = hashlib.sha256(data).hexdigest()
    # half an answer: before anything was sent, and after
    for size, after in ((1000, 500), (len(data), 300_000)):
        up.faults["half"] = up.cut(data[:size], after, 0 if size == 1000 else 0.6)
        try:
            assert admin.repo("GET", "/mirror/half").status in (502, 504)
            assert size == 1000
        except http.client.HTTPException:
            assert size == len(data) # broken off, and it shows
    up.faults.clear()
    up.files["half"] = data
    assert admin.get("/mirror/half").body == data
    # bytes that are not what upstream itself says
    for name, body in (("short", data[:1000]), ("long", data)):
        up.files[name] = body
        up.headers[name] = {"X-Checksum-Sha256": "0" * 64}
        try:
            assert admin.repo("GET", f"/mirror/{name}").status == 502
            assert name == "short"
        except http.client.HTTPException:
            assert name == "long"
        up.headers[name] = {"X-Checksum-Sha256": hashlib.sha256(body).hexdigest()}
        assert admin.get(f"/mirror/{name}").body == body
    # statuses: never a 404 that is remembered
    for code in (401, 403, 429, 500, 503):
        path = f"status-{code}"
        up.files[path] = data
        up.faults[path] = up.status(code)
        assert admin.repo("GET", f"/mirror/{path}").status in (502, 503), code
    up.faults["loop"] = up.redirect("/loop")
    assert admin.repo("GET", "/mirror/loop").status == 502
    up.faults.clear()
    assert admin.get("/mirror/status-403").body == data
    checksum = wait_until("its row", lambda: admin.get("/mirror/status-403").headers["X-Checksum-Sha256"])
    assert checksum == good
    up.faults["moved"] = up.redirect("/half")
    assert admin.get("/mirror/moved").body == data


def test_missing_is_remembered_until_it_is_purged(cluster, up):
    admin = cluster.node(1).admin()
    put_proxy(admin, "mirror", up.url)
    other = admin.at(cluster.node(2))
    for _ in range(3):
        assert settled(admin, "/mirror/a/late").status == 404
    assert up.count("a/late") == 1
    assert settled(other, "/mirror/a/late").status == 404
    up.files["a/late"] = b"now"
    assert settled(admin, "/mirror/a/late").status == 404
    admin.must("DELETE", "/repositories/mirror/cache?path=a&tree=true")
    for client in (other, admin):
        r = settled(client, "/mirror/a/late")
        assert (r.status, r.body) == (200, b"now")
    # cached bytes go as well
    up.files["a/late"] = b"later"
    assert settled(other, "/mirror/a/late").body == b"now"
    admin.must("DELETE", "/repositories/mirror/cache?path=a/late")
    assert settled(other, "/mirror/a/late").body == b"later"
    # without a memory
    put_proxy(admin, "forgetful", up.url, cache={"negative": {"enabled": False}})
    for n in range(3):
        assert settled(admin, "/forgetful/none").status == 404
        assert up.count("none") == n + 1


def test_remotes_in_order(make_node, up):
    node = make_node()
    admin = node.admin()
    second = Upstream()
    try:
        put_proxy(admin, "both", up.url, second.url)
        second.files["only-second"] = b"2"
        up.files["both"] = b"1"
        second.files["both"] = b"2"
        assert admin.get("/both/only-second").body == b"2"
        assert admin.get("/both/both").body == b"1"
        assert second.count("both") == 0
        up.faults["down"] = up.status(500)
        assert admin.repo("GET", "/both/down").status == 502 # the second's 404 is not the whole truth
        second.files["down"] = b"2"
        assert admin.get("/both/down").body == b"2"
        assert admin.repo("GET", "/both/none").status == 404
    finally:
        second.close()


def test_configuration(make_node, up):
    admin = make_node().admin()
    good = {"type": "file-proxy", "storage": "default", "remotes": [{"url": up.url}]}
    for more in ({"cache": {"metadata": {"ttl": "1h"}, "negative": {"ttl": "PT5M", "enabled": True}}},
                 {"cooldown": {"duration": "P30D"}}):
        admin.must("PUT", "/repositories/p", {"repo": {**good, **more}})
    for bad in ({"remotes": []}, {"surprise": 1}, {"cache": {"metadata": {"ttl": "soon"}}}, {"cache": 5},
                {"cache": {"other": {}}}, {"cooldown": {"duration": "x"}}, {"members": ["p"]}):
        assert admin.api("PUT", "/repositories/p", {"repo": {**good, **bad}}).status == 400, bad
    secret = {**good, "remotes": [{"url": up.url, "username": "u", "password": "very-secret"}]}
    admin.must("PUT", "/repositories/s", {"repo": secret})
    assert "very-secret" not in admin.api("GET", "/repositories/s").body.decode()
    up.files["x"] = b"x"
    admin.get("/s/x")
    assert up.log[-1][2]["Authorization"].startswith("Basic ")
    assert admin.api("DELETE", "/repositories/none/cache").status == 404
    assert admin.api("DELETE", "/repositories/files/cache").status == 400


def test_an_index_is_asked_for_once_and_then_conditionally(cluster, up):
    admin = cluster.node(1).admin()
    repo = {"type": "pypi-proxy", "storage": "default", "remotes": [{"url": up.url + "/simple"}],
            "cache": {"metadata": {"ttl": "1h"}}}
    admin.must("PUT", "/repositories/py", {"repo": repo})
    path = "simple/lib/"
    up.files[path] = b'<html><body><a href="../../f/lib-1.0.tar.gz">lib-1.0.tar.gz</a></body></html>'
    up.headers[path] = {"Content-Type": "text/html"}
    up.gate = threading.Event()
    started = threading.Timer(0.3, up.gate.set)
    started.start()
    answers = crowd(30, lambda i: settled(admin.at(cluster.nodes[i % 3]), f"/py/{path}", 60))
    started.join()
    assert all(b"lib-1.0.tar.gz" in r.body for r in answers)
    assert up.count(path) == 1
    # its time is over: each node asks whether it has changed, and none fetches it again
    repo["cache"] = {"metadata": {"ttl": "0s"}}
    admin.must("PUT", "/repositories/py", {"repo": repo})
    for node in cluster.nodes:
        assert settled(admin.at(node), f"/py/{path}").body == answers[0].body
    with up.lock:
        assert all("If-None-Match" in h for _, p, h in up.log[1:] if p == path)
    up.files[path] = up.files[path].replace(b"1.0", b"1.1")
    for node in cluster.nodes:
        assert b"lib-1.1.tar.gz" in settled(admin.at(node), f"/py/{path}").body
    up.close() # stale is better than nothing
    for node in cluster.nodes:
        assert b"lib-1.1.tar.gz" in settled(admin.at(node), f"/py/{path}").body
        assert admin.at(node).repo("GET", "/py/simple/other/").status in (502, 503)
        # what the old copy does not know may be there by now: that is no 404
        r = admin.at(node).repo("GET", "/py/lib/1.2/lib-1.2.tar.gz")
        assert r.status in (502, 503), r


def test_a_node_stops_while_it_fetches(make_node, up):
    node = make_node()
    admin = node.admin()
    put_proxy(admin, "mirror", up.url)
    up.faults["x"] = up.slow(os.urandom(3_000_000), 300, 0.1)
    ask = f"GET /mirror/x HTTP/1.1\r\nHost: x\r\nAuthorization: {admin.authorization}\r\n\r\n".encode()
    raw = socket.create_connection(("127.0.0.1", node.port))
    raw.sendall(ask)
    assert raw.recv(1000).startswith(b"HTTP/1.1 200")
    raw.close()
    assert node.stop() == 0
