# SPDX-License-Identifier: Apache-2.0
"""Nodes and clusters of real processes for the tests, and a client that speaks to them.

A Node is one panterad with its folder, ports and log. A Cluster is three of them, with mTLS, each reached by
its peers through a relay that can be cut (relay.py). Nothing is retried behind a test's back: what a node
answers is what the test sees. Only the standard library.
"""
import base64
import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

from relay import Relay

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FULL = os.environ.get("PANTERA_TEST_FULL") == "1"


def only_if(condition):
    """A test of the long runs (README.md): not collected in others. What is collected must not be skipped."""
    return (lambda test: test) if condition else (lambda test: None)


USER, PASSWORD = "admin", "Integration-Test-1!"
GRANT_ALL = {"all_permission": {}}


def scale(full, ci):
    """A size: the issue's with PANTERA_TEST_FULL=1, else one that fits into CI."""
    return full if FULL else ci


def binary():
    return os.environ.get("PANTERA_TEST_BINARY") or os.path.join(ROOT, "build/release/panterad")


def figure(text):
    """A measured number, for the log and scripts/test's summary."""
    print(f"\nFIGURE {text}", flush=True)


_given = set()


def free_port():
    """A port that nobody listens on, outside the range that outgoing connections draw from."""
    while True:
        port = random.randint(15000, 31999)
        if port in _given:
            continue
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.add(port)
        return port


def wait_until(what, condition, seconds=30, pause=0.02):
    """Polls; the last exception or value is shown when time is up."""
    end = time.monotonic() + seconds
    last = None
    while time.monotonic() < end:
        try:
            last = condition()
            if last:
                return last
        except (OSError, http.client.HTTPException) as e:
            last = e
        time.sleep(pause)
    raise AssertionError(f"not within {seconds} s: {what} (last: {last!r})")


class Response:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.body[:200]!r}>"


class Client:
    """Speaks to one node as one user; a keep-alive connection for each thread and port."""

    def __init__(self, node, user=None, password=None, token=None, timeout=30):
        self.node, self.timeout = node, timeout
        self.local = threading.local()
        self.authorization = None
        if token:
            self.authorization = "Bearer " + token
        elif user:
            self.authorization = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    def connection(self, port):
        pool = self.local.__dict__.setdefault("pool", {})
        if port not in pool:
            pool[port] = http.client.HTTPConnection("127.0.0.1", port, timeout=self.timeout)
            pool[port].connect()
            pool[port].sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return pool[port]

    def close(self, port=None):
        pool = self.local.__dict__.setdefault("pool", {})
        for p in [port] if port else list(pool):
            if p in pool:
                pool.pop(p).close()

    def open(self, port, method, path, body=None, headers=None):
        """The response, its body not read yet; on failure the connection is closed."""
        h = {"Authorization": self.authorization} if self.authorization else {}
        h.update(headers or {})
        try:
            c = self.connection(port)
            c.request(method, path, body=body, headers=h)
            return c.getresponse()
        except BaseException:
            self.close(port)
            raise

    def request(self, port, method, path, body=None, headers=None):
        r = self.open(port, method, path, body, headers)
        try:
            data = r.read()
        except BaseException:
            self.close(port)
            raise
        if r.will_close:
            self.close(port)
        return Response(r.status, r.headers, data)

    # --- management API ---
    def api(self, method, path, value=None):
        body = None if value is None else json.dumps(value).encode()
        headers = {"Content-Type": "application/json"} if body else {}
        return self.request(self.node.api_port, method, "/api/v1" + path, body, headers)

    def must(self, method, path, value=None, status=(200, 201, 204)):
        r = self.api(method, path, value)
        assert r.status in status, f"{method} {path} on node {self.node.id}: {r}"
        return r.json() if r.body else None

    def login(self, user=USER, password=PASSWORD):
        """A client of the same node with an access token."""
        t = type(self)(self.node).must("POST", "/auth/token", {"name": user, "pass": password})
        return type(self)(self.node, token=t["token"], timeout=self.timeout)

    def at(self, node):
        """The same identity on another node."""
        other = type(self)(node, timeout=self.timeout)
        other.authorization = self.authorization
        return other

    def put_user(self, name, password=PASSWORD, roles=()):
        self.must("PUT", f"/users/{name}", {"pass": password, "roles": list(roles)})

    def put_role(self, name, permissions):
        self.must("PUT", f"/roles/{name}", {"permissions": permissions})

    def put_repo(self, name, storage="default"):
        self.must("PUT", f"/repositories/{name}", {"repo": {"type": "file", "storage": storage}})

    # --- repositories ---
    def repo(self, method, path, body=None, headers=None):
        return self.request(self.node.port, method, path, body, headers)

    def put(self, path, data):
        r = self.repo("PUT", path, data)
        assert r.status in (200, 201), f"PUT {path} on node {self.node.id}: {r}"
        return r

    def get(self, path, status=200):
        r = self.repo("GET", path)
        assert r.status == status, f"GET {path} on node {self.node.id}: {r}"
        return r


class Patient(Client):
    """A client that asks again while a node says 503, as real ones do: for tests whose subject is not
    whether a node is current at each moment. An outcome that is not known is the test's to judge."""

    def request(self, port, method, path, body=None, headers=None):
        end = time.monotonic() + 30
        while True:
            r = super().request(port, method, path, body, headers)
            if r.status != 503 or b"unknown" in r.body or time.monotonic() > end:
                return r
            time.sleep(0.05)


class Node:
    def __init__(self, directory, number=1, config=None, env=None):
        self.dir, self.id = directory, number
        self.port, self.api_port, self.metrics_port = free_port(), free_port(), free_port()
        self.peer_port = free_port()
        self.data = os.path.join(directory, "data")
        self.log_path = os.path.join(directory, "log")
        self.process = None
        self.log_at = 0
        self.env = env or {}
        os.makedirs(directory, exist_ok=True)
        self.config = {"home": self.data, "host": "127.0.0.1", "port": self.port,
                       "api_port": self.api_port, "metrics": {"port": self.metrics_port}}
        self.config.update(config or {})

    def start(self, wait=True):
        assert not self.alive()
        path = os.path.join(self.dir, "pantera.yml")
        with open(path, "w", encoding="utf-8") as f:
            json.dump({"meta": self.config}, f, indent=1)  # JSON is YAML
        env = {k: v for k, v in os.environ.items() if not k.startswith("PANTERA_")}
        env.update({"PANTERA_USER_NAME": USER, "PANTERA_USER_PASS": PASSWORD}, **self.env)
        self.log_at = os.path.getsize(self.log_path) if os.path.exists(self.log_path) else 0
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([binary(), "-f", path], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, env=env, cwd=self.dir)
        if wait:
            self.wait_ready()
        return self

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def announced(self):
        """It has said that it is ready, since this start: the first administrator is there."""
        with open(self.log_path, "rb") as f:
            f.seek(self.log_at)
            return b"panterad is ready" in f.read()

    def is_ready(self):
        if not self.alive():
            raise AssertionError(f"node {self.id} ended: {self.tail()}")
        if not self.announced():
            return False
        c = Client(self, timeout=2)
        try:
            return c.repo("GET", "/.ready").status == 200
        finally:
            c.close()

    def wait_ready(self, seconds=30):
        wait_until(f"node {self.id} ready", self.is_ready, seconds)

    def errors(self):
        """The lines of level error that it has logged, or worse."""
        with open(self.log_path, "rb") as f:
            return re.findall(rb'.*"log.level":"(?:error|fatal)".*', f.read())

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        """kill -9, also of a stopped process; nothing is flushed."""
        if self.alive():
            self.process.kill()
        if self.process:
            self.process.wait()

    def stop(self, seconds=30):
        """SIGTERM, and what the process ends with."""
        if self.alive():
            self.process.terminate()
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"node {self.id} did not stop in {seconds} s") from None
        return self.process.returncode

    def pause(self):
        self.signal(signal.SIGSTOP)

    def resume(self):
        self.signal(signal.SIGCONT)

    def wipe(self):
        assert not self.alive()
        shutil.rmtree(self.data)

    def memory(self, field="VmRSS"):
        """Of /proc/PID/status, in bytes. VmHWM is the peak; reset_peak starts it anew."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as f:
            return int(re.search(rf"^{field}:\s+(\d+) kB", f.read(), re.M).group(1)) << 10

    def reset_peak(self):
        with open(f"/proc/{self.process.pid}/clear_refs", "w", encoding="ascii") as f:
            f.write("5")

    def tail(self, lines=15):
        with open(self.log_path, "rb") as f:
            return b"\n".join(f.read()[-65536:].splitlines()[-lines:]).decode("utf-8", "replace")

    def client(self, **kw):
        return Client(self, USER, PASSWORD, **kw)

    def admin(self, **kw):
        """Signed in with a token, which a request needs no password hashing for."""
        return Client(self, **kw).login()


class Cluster:
    """Three nodes. `storage`: "fs" (one shared folder) or an S3 description (s3.py)."""

    def __init__(self, directory, storage="fs", config=None, count=3):
        self.dir, self.nodes = str(directory), []
        self.relays = {}
        certs = os.path.join(self.dir, "certs")
        subprocess.run([os.path.join(ROOT, "scripts/certs"), certs, str(count)], check=True)
        self.blobs = os.path.join(self.dir, "blobs")
        if storage == "fs":
            storage = {"type": "fs", "path": self.blobs, "shared": True}
        for n in range(1, count + 1):
            c = {"storage": storage, **(config or {})}
            self.nodes.append(Node(os.path.join(self.dir, f"node-{n}"), n, c))
        for node in self.nodes:
            self.relays[node.id] = Relay(node.id, node.peer_port, self.owner_of)
        peers = [{"id": n.id, "address": f"127.0.0.1:{self.relays[n.id].port}"} for n in self.nodes]
        for node in self.nodes:
            cluster = {"id": node.id, "listen": f"127.0.0.1:{node.peer_port}", "peers": peers,
                       "cert": f"{certs}/node-{node.id}.pem", "key": f"{certs}/node-{node.id}.key",
                       "ca": f"{certs}/ca.pem"}
            cluster.update(node.config.get("cluster", {}))
            node.config["cluster"] = cluster

    def owner_of(self, port):
        """Number of the node whose socket has this local port: who dialled a relay."""
        inode = None
        with open("/proc/net/tcp", encoding="ascii") as f:
            for line in f.readlines()[1:]:
                parts = line.split()
                if int(parts[1].split(":")[1], 16) == port and parts[9] != "0":
                    inode = parts[9]
                    break
        for node in self.nodes:
            if inode is None or not node.alive():
                continue
            fds = f"/proc/{node.process.pid}/fd"
            for fd in os.listdir(fds):
                try:
                    if os.readlink(f"{fds}/{fd}") == f"socket:[{inode}]":
                        return node.id
                except OSError:
                    pass
        return 0

    def start(self):
        for node in self.nodes:
            node.start(wait=False)
        for node in self.nodes:
            node.wait_ready(60)
        return self

    def stop(self):
        self.heal()
        for node in self.nodes:
            if node.alive():
                node.resume()
                node.process.terminate()
        for node in self.nodes:
            try:
                if node.process:
                    node.process.wait(15)
            except subprocess.TimeoutExpired:
                node.kill()
        for relay in self.relays.values():
            relay.close()

    def node(self, number):
        return self.nodes[number - 1]

    def others(self, node):
        return [n for n in self.nodes if n is not node]

    def cut(self, *nodes):
        """These nodes and the rest no longer hear each other; among themselves they do. Silently: nothing is
        reset, bytes under way wait."""
        numbers = {n.id for n in nodes}
        for relay in self.relays.values():
            relay.set_cut(numbers)

    def heal(self):
        self.cut()

    def status(self, node=None):
        for n in [node] if node else self.nodes:
            if not n.alive():
                continue
            try:
                c = Client(n, USER, PASSWORD, timeout=3)
                r = c.api("GET", "/cluster")
                c.close()
            except (OSError, http.client.HTTPException):
                continue
            if r.status == 200:
                return r.json()
        return None

    def leader(self, seconds=20):
        """The node that leads, by the word of any node that is current."""
        def ask():
            s = self.status()
            number = s and s.get("leader")
            return number and self.node(number).alive() and self.node(number)
        return wait_until("a leader", ask, seconds)
