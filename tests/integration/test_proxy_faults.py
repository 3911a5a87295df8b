# SPDX-License-Identifier: Apache-2.0
"""A proxy in front of a remote that hangs or fails, under load: answers are bounded, stale where there is a
copy, the remote is left alone, and all is well when it is well again. That something is missing is no
failure."""
import contextlib
import itertools
import sqlite3
import threading
import time

import pytest

from pantera import Patient, figure, wait_until
from test_proxy import crowd, figure_of, put_proxy
from upstream import Upstream

CLIENTS, SECONDS = 50, 2.0
INDEX = "simple/lib/"
PAGE = b'<html><body><a href="../../f/lib-1.0.tar.gz">lib-1.0.tar.gz</a></body></html>'


@pytest.fixture(name="up")
def _up():
    upstream = Upstream()
    yield upstream
    upstream.close()


def state(admin, up):
    """Of the file proxy's breaker."""
    return figure_of(admin, 'pantera_upstream_breaker_state{remote="%s"}' % up.url)


def storm(admin, paths):
    """CLIENTS of them ask for what they like for a while: [(path, status, body, seconds)]."""
    end, number = time.monotonic() + SECONDS, itertools.count()

    def one(_):
        out, client = [], admin.at(admin.node)
        while time.monotonic() < end:
            path, began = paths(next(number)), time.monotonic()
            r = client.repo("GET", path)
            out.append((path, r.status, r.body, time.monotonic() - began))
            if r.status == 503:
                time.sleep(0.02)  # the least that a client does
        return out
    return [answer for answers in crowd(CLIENTS, one) for answer in answers]


def mixed(name):
    return lambda n: ("/mirror/warm", f"/py/{INDEX}", f"/mirror/{name}-{n}")[n % 3]


def check(up, answers, asked, name):
    """What is cached is given, what is not is refused in time, and the remote is not asked for each."""
    for path, status, body, _ in answers:
        if path == "/mirror/warm":
            assert (status, body) == (200, b"warm"), (path, status)
        elif path.startswith("/py/"):
            assert status == 200 and b"lib-1.0.tar.gz" in body, (path, status, body)
        else:
            assert status in (502, 503, 504), (path, status, body)
    cold = sum(path.startswith(f"/mirror/{name}") for path, *_ in answers)
    longest = max(seconds for *_, seconds in answers)
    asked = up.count() - asked
    figure(f"remote that does '{name}', {CLIENTS} clients: {len(answers)} answers, the slowest after "
           f"{longest:.2f} s; {cold} cold ones cost it {asked} requests")
    assert longest < 20
    assert asked <= 64 + 3 * 20, asked  # max_connections_per_destination, and who tried it out since


def test_a_remote_that_hangs_or_fails_under_load(make_node, up):
    node = make_node()
    admin = Patient(node).login()
    admin.must("PUT", "/settings/http_client", {"proxy_timeout": "700ms"})
    put_proxy(admin, "mirror", up.url)
    admin.must("PUT", "/repositories/py", {"repo": {
        "type": "pypi-proxy", "storage": "default", "remotes": [{"url": up.url + "/simple"}],
        "cache": {"metadata": {"ttl": "0s"}}}})
    up.files.update({"warm": b"warm", INDEX: PAGE})
    up.headers[INDEX] = {"Content-Type": "text/html"}
    assert admin.get("/mirror/warm").body == b"warm" and b"lib-1.0" in admin.get(f"/py/{INDEX}").body
    impatient = node.admin()
    for name in ("hang", "fail"):
        asked = up.count()
        if name == "hang":
            up.gate = threading.Event()
        else:
            up.every = up.status(500)
        answers = storm(impatient, mixed(name))
        assert state(admin, up) > 0
        up.every, gate, up.gate = None, up.gate, None
        if gate:
            gate.set()
        check(up, answers, asked, name)
        up.files[f"after-{name}"] = name.encode()
        r = wait_until("it is asked again", lambda name=name: (
            r := impatient.repo("GET", f"/mirror/after-{name}")).status == 200 and r, 60)
        assert r.body == name.encode() and state(admin, up) == 0
        assert admin.get("/mirror/warm").body == b"warm"


def claims_of(node):
    """How many fetches this node's replica knows to be under way."""
    with contextlib.closing(sqlite3.connect(f"file:{node.data}/replica.db?mode=ro", uri=True)) as db:
        return db.execute("SELECT count(*) FROM fetch_claim").fetchone()[0]


def test_a_storm_of_missing_paths(cluster, up):
    """On three nodes, where each path costs an agreement: writes go on, and nothing of it stays."""
    admin = Patient(cluster.node(1)).login()
    admin.put_repo("files")
    put_proxy(admin, "mirror", up.url)
    over, answers, longest = threading.Event(), [], 0.0

    def one(i):
        client, n = admin.at(cluster.nodes[i % 3]), 0
        while not over.is_set():
            answers.append(client.repo("GET", f"/mirror/none/{i}-{n}").status)
            n += 1
    threads = [threading.Thread(target=one, args=(i,)) for i in range(12)]
    for t in threads:
        t.start()
    for n in range(40):
        began = time.monotonic()
        client = admin.at(cluster.nodes[n % 3])
        wait_until("it is written",
                   lambda c=client, n=n: c.repo("PUT", f"/files/{n}", b"x").status in (200, 201))
        longest = max(longest, time.monotonic() - began)
    over.set()
    for t in threads:
        t.join(60)
    figure(f"{len(answers)} missing paths beside 40 writes, the slowest after {longest * 1000:.0f} ms")
    assert 404 in answers and set(answers) <= {404, 503} and longest < 20
    for node in cluster.nodes:
        wait_until("no claim is left", lambda node=node: claims_of(node) == 0)


def test_what_is_missing_opens_no_breaker(make_node, up):
    admin = make_node().admin()
    put_proxy(admin, "mirror", up.url)
    answers = storm(admin, lambda n: f"/mirror/none-{n}")
    assert {status for _, status, *_ in answers} == {404} and len(answers) >= CLIENTS
    assert state(admin, up) == 0
    up.files["x"] = b"x"
    assert admin.get("/mirror/x").body == b"x"
