# SPDX-License-Identifier: Apache-2.0
"""Two proxies, of files and of an index that grows with its files, in front of an upstream that is dead,
slow, gives half an answer, wrong bytes or 500, while nodes die, stop and lose each other.

Invariants: a whole answer holds the right bytes, and of an index nothing that was not published; nothing is
"not there" that is; when the faults are over everything is to be had from every node, and then upstream is
not asked for a file again, nor more than once for an index that is read."""
import hashlib
import http.client
import http.server
import json
import os
import random
import socket
import threading
import time

from pantera import Client, figure, wait_until
from test_registers import disturb, restart_the_ended, seconds_of
from upstream import Server

JSON = "application/vnd.pypi.simple.v1+json"
PACKAGES, FILES, RELEASE_EVERY = 3, 60, 0.7
SETTLED = 15  # seconds: an answer that upstream gave before a release may be on its way for some of them
MOODS = ["well", "well", "well", "dead", "slow", "half", "wrong", "failing", "mixed"]


def content(name):
    """Bytes of a name: the same whoever computes them."""
    rng = random.Random(name)
    return rng.randbytes(rng.choice([0, 1, 500, 40_000, 300_000]))


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        up, path = self.server.upstream, self.path.lstrip("/")
        with up.lock:
            up.asked[path] = up.asked.get(path, 0) + 1
            mood = up.mood if up.mood != "mixed" else up.rng.choice(MOODS[:-1])
            data, headers = up.answer(path)
        if mood == "dead":
            self.close_connection = True
        elif mood == "failing":
            self.give(503, b"not now", {})
        else:
            if mood == "wrong" and data and path.startswith("files/"):
                data = data[:-1] + bytes([data[-1] ^ 1])
            self.give(200 if data is not None else 404, data or b"", headers, mood)

    def give(self, status, data, headers, mood="well"):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        half = len(data) // 2
        self.wfile.write(data[:half])
        if mood == "half" and data:
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        if mood == "slow":
            self.wfile.flush()
            time.sleep(0.3)
        self.wfile.write(data[half:])


class Upstream:
    def __init__(self, seed):
        self.lock, self.rng, self.mood = threading.Lock(), random.Random(seed), "well"
        self.asked, self.versions = {}, {f"p{n}": 1 for n in range(PACKAGES)}
        self.released = {}  # when: of wheels
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.upstream = self
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def answer(self, path):
        """With the lock held."""
        parts = path.strip("/").split("/")
        if parts[0] == "simple" and parts[1] in self.versions:
            return self.index(parts[1]), {"Content-Type": JSON}
        if parts[0] == "files":
            data = content(parts[1])
            return data, {"X-Checksum-Sha256": hashlib.sha256(data).hexdigest()}
        return None, {}

    def index(self, package):
        names = [wheel(package, v) for v in range(self.versions[package])]
        return json.dumps({"meta": {"api-version": "1.1"}, "name": package, "files": [
            {"filename": n, "url": f"{self.url}/files/{n}",
             "hashes": {"sha256": hashlib.sha256(content(n)).hexdigest()}} for n in names]}).encode()

    def release(self, package):
        with self.lock:
            self.released[wheel(package, self.versions[package])] = time.monotonic()
            self.versions[package] += 1

    def published(self, package):
        with self.lock:
            return {wheel(package, v) for v in range(self.versions[package])}

    def is_new(self, name):
        with self.lock:
            return time.monotonic() - self.released.get(name, 0) < SETTLED

    def count(self, begin):
        with self.lock:
            return sum(n for path, n in self.asked.items() if path.startswith(begin))

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def wheel(package, version):
    return f"{package}-{version}-py3-none-any.whl"


def path_of(name):
    """Of a wheel in the index's proxy, of any other file in the files'."""
    if not name.endswith(".whl"):
        return f"/mirror/files/{name}"
    package, version = name.split("-")[:2]
    return f"/py/{package}/{version}/{name}"


class Load:
    """Readers on every node; each whole answer is judged."""

    def __init__(self, cluster, token, up, seed):
        self.cluster, self.token, self.up, self.stop = cluster, token, up, threading.Event()
        self.violations, self.known, self.whole, self.refused = [], set(), 0, 0
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.read, args=(node, seed + node.id * 10 + n), daemon=True)
                        for node in cluster.nodes for n in range(2)]

    def bad(self, *what):
        with self.lock:
            self.violations.append(what)

    def ask(self, client, path):
        """(status, body), or (None, None): broken off, or no answer."""
        try:
            r = client.repo("GET", path, headers={"Accept": JSON} if path.endswith("/") else None)
            return r.status, r.body
        except (OSError, http.client.HTTPException):
            return None, None

    def file(self, client, name):
        status, body = self.ask(client, path_of(name))
        if status == 200 and body != content(name):
            self.bad("wrong bytes", client.node.id, name, len(body))
        elif status not in (None, 200, 502, 503, 504) and not (status == 404 and self.up.is_new(name)):
            self.bad("a file", client.node.id, name, status, body[:100])
        return status

    def index(self, client, package):
        """The names in it; None: it could not be had."""
        status, body = self.ask(client, f"/py/simple/{package}/")
        if status == 200:
            names = {f["filename"] for f in json.loads(body)["files"]}
            if not names or names - self.up.published(package):
                self.bad("an index", client.node.id, package, sorted(names))
            return names
        if status not in (None, 502, 503, 504):
            self.bad("an index", client.node.id, package, status, body[:100])
        return None

    def read(self, node, seed):
        rng, client = random.Random(seed), Client(node, token=self.token, timeout=8)
        while not self.stop.is_set():
            package = rng.choice(list(self.up.versions))
            if rng.random() < 0.3:
                good = self.index(client, package)
            else:
                name = f"f{rng.randrange(FILES)}" if rng.random() < 0.6 else wheel(
                    package, rng.randrange(self.up.versions[package]))
                good = self.file(client, name) == 200
                if good:
                    with self.lock:
                        self.known.add(name)
            with self.lock:
                self.whole += bool(good)
                self.refused += not good
            if not good:
                time.sleep(0.01)


def upstream_moods(up, rng, end, log):
    """Another mood every now and then, and a new version of something."""
    while time.monotonic() < end:
        mood = rng.choice(MOODS)
        up.mood = mood
        log.append(mood)
        until = time.monotonic() + rng.choice([0.3, 1.0, 2.0])
        while time.monotonic() < min(until, end):
            up.release(rng.choice(list(up.versions)))
            time.sleep(RELEASE_EVERY)


def everything_is_there(load, up, clients):
    """On every node, after the faults; the breakers let upstream be asked again when their time is over."""
    names = sorted({wheel(p, v) for p, n in up.versions.items() for v in range(n)} |
                   {f"f{n}" for n in range(FILES)})
    for c in clients:
        for package in up.versions:
            wait_until(f"all of {package} on node {c.node.id}",
                       lambda c=c, p=package: load.index(c, p) == up.published(p), 90)
        for name in names:
            wait_until(f"{name} on node {c.node.id}", lambda c=c, n=name: load.file(c, n) == 200, 90)
    files, indexes = up.count("files/"), up.count("simple/")
    for c in clients:
        for name in names:
            wait_until(f"{name} again", lambda c=c, n=name: load.file(c, n) == 200, 30)
    assert up.count("files/") == files, "what is cached was asked for again"
    reads = 0
    for c in clients:
        for package in up.versions:
            assert wait_until(f"{package} again", lambda c=c, p=package: load.index(c, p), 30)
            reads += 1
    assert up.count("simple/") - indexes <= 2 * reads, "an index was asked for more often than it was read"
    return len(names)


def test_proxies_give_the_right_bytes_or_none(make_cluster):
    seed, seconds = seconds_of(0.35)
    rng, log, moods = random.Random(seed), [], []
    up = Upstream(seed)
    cluster = make_cluster("fs", {"gc": {"grace": "5s", "interval": "1s"}})
    admin = cluster.nodes[0].admin()
    admin.must("PUT", "/settings/http_client", {"proxy_timeout": "1s", "idle_timeout": "2s"})
    for name, kind, url in (("mirror", "file-proxy", up.url), ("py", "pypi-proxy", up.url + "/simple")):
        admin.must("PUT", f"/repositories/{name}", {"repo": {
            "type": kind, "storage": "default", "remotes": [{"url": url}],
            "cache": {"metadata": {"ttl": "0s"}, "negative": {"enabled": False}}}})
    load = Load(cluster, admin.authorization[7:], up, seed)
    end = time.monotonic() + seconds
    mood = threading.Thread(target=upstream_moods, args=(up, random.Random(seed + 1), end, moods))
    for t in [mood, *load.threads]:
        t.start()
    while time.monotonic() < end and not load.violations:
        disturb(cluster, rng, log)
        restart_the_ended(cluster)
    mood.join()
    up.mood = "well"
    cluster.heal()
    restart_the_ended(cluster)
    for node in cluster.nodes:
        node.wait_ready(60)
    load.stop.set()
    for t in load.threads:
        t.join()
    names = everything_is_there(load, up, [Client(n, token=load.token) for n in cluster.nodes])
    up.close()
    assert not load.violations, (load.violations[:5], log, moods)
    figure(f"chaos of proxies, seed {seed}: {len(log)} faults of nodes, {len(moods)} moods of upstream, "
           f"{load.whole} whole answers, {load.refused} refused or broken off, {names} files in the end, "
           f"upstream asked {up.count('')} times")
    assert load.whole > 20
