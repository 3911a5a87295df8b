# SPDX-License-Identifier: Apache-2.0
"""Requests to remotes: no way into networks that are not listed, by name, redirect or token service;
credentials for the remote alone; the settings of http_client, in force on every node at once; the breaker."""
import gzip
import hashlib
import http.client
import random
import socket
import threading
import time
import zlib

import pytest

from pantera import wait_until
from test_proxy import figure_of, put_proxy, settled
from upstream import Upstream


@pytest.fixture(name="up")
def _up():
    upstream = Upstream()
    yield upstream
    upstream.close()


class Forbidden:
    """A service of the operator's network, that listens; `touched` says whether anybody connected."""

    def __init__(self, address="127.0.0.2"):
        self.socket = socket.create_server((address, 0))
        self.socket.setblocking(False)
        self.url = f"http://{address}:{self.socket.getsockname()[1]}"

    def touched(self):
        try:
            self.socket.accept()[0].close()
            return True
        except BlockingIOError:
            return False


def test_forbidden_networks(make_node, up):
    node = make_node(config={"http_client": {"allow_upstreams": ["127.0.0.1"]}})
    admin, inside = node.admin(), Forbidden()
    assert admin.must("GET", "/settings")["http_client"]["allow_upstreams"] == ["127.0.0.1"]
    up.files["x"] = b"outside"
    port = inside.url.rsplit(":", 1)[1]
    for n, url in enumerate((inside.url, f"http://[::ffff:127.0.0.2]:{port}", f"http://127.2:{port}",
                             f"http://0x7f000002:{port}")):
        put_proxy(admin, f"in{n}", url)
        r = admin.repo("GET", f"/in{n}/x")
        assert r.status == 502 and b"allow_upstreams" in r.body, (url, r)
    put_proxy(admin, "mirror", up.url)
    up.faults["away"] = up.redirect(inside.url + "/secret")
    r = admin.repo("GET", "/mirror/away")
    assert r.status == 502 and b"allow_upstreams" in r.body and b"127.0.0.2" not in r.body, r
    up.faults["token"] = up.status(401, {"WWW-Authenticate": f'Bearer realm="{inside.url}/token"'})
    assert admin.repo("GET", "/mirror/token").status == 502
    up.faults["file"] = up.redirect("file:///etc/passwd")
    assert admin.repo("GET", "/mirror/file").status == 502
    assert not inside.touched()
    assert admin.get("/mirror/x").body == b"outside"
    blocked = 'pantera_upstream_requests_total{remote="%s",result="blocked"}' % inside.url
    assert figure_of(admin, blocked) == 3  # spelled in three ways
    # a name is judged by the address that it has
    node = make_node(config={"http_client": {"allow_upstreams": []}})
    admin = node.admin()
    put_proxy(admin, "name", f"http://localhost:{up.port}")
    asked = up.count()
    assert b"allow_upstreams" in admin.repo("GET", "/name/x").body
    assert up.count() == asked
    for bad in ("ftp://127.0.0.1/", "file:///etc/", "http://u:p@127.0.0.1/", "//127.0.0.1", 7):
        repo = {"type": "file-proxy", "storage": "default", "remotes": [{"url": bad}]}
        assert admin.api("PUT", "/repositories/bad", {"repo": repo}).status == 400, bad


def test_credentials_stay(make_node, up):
    admin, other = make_node().admin(), Upstream()
    try:
        other.files["x"] = b"there"
        repo = {"type": "file-proxy", "storage": "default",
                "remotes": [{"url": up.url, "username": "robot", "password": "secret"}]}
        admin.must("PUT", "/repositories/mirror", {"repo": repo})
        up.faults["x"] = up.redirect(other.url + "/x")
        assert admin.get("/mirror/x").body == b"there"
        assert up.log[-1][2]["Authorization"].startswith("Basic ")
        assert "Authorization" not in other.log[-1][2]
        # a registry's token flow: the remote's own realm gets them, and the token is kept
        other.files["token?service=s&scope=a%3Apull&account=robot"] = b'{"token": "t1", "expires_in": 300}'
        challenge = f'Bearer realm="{other.url}/token",service="s",scope="a:pull"'
        answer = up.status(401, {"WWW-Authenticate": challenge})

        def registry(h):
            if h.headers.get("Authorization") == "Bearer t1":
                h.answer(200, b"layer")
            else:
                answer(h)
        for name in ("v/a/blobs/1", "v/a/blobs/2"):
            up.faults[name] = registry
            assert admin.get(f"/mirror/{name}").body == b"layer"
        assert other.log[-1][2]["Authorization"].startswith("Basic ")
        assert up.count("v/a/blobs/1") == 2 and up.count("v/a/blobs/2") == 1
        assert sum(1 for _, path, _ in other.log if path.startswith("token")) == 1
    finally:
        other.close()


def timed(client, path):
    began = time.monotonic()
    r = client.repo("GET", path)
    return r, time.monotonic() - began


def test_settings_hold_at_once_on_every_node(cluster, up):
    a, b, c = (node.admin() for node in cluster.nodes)
    put_proxy(a, "mirror", up.url, cache={"negative": {"enabled": False}})
    up.files["x"] = b"x"
    up.faults["moved"] = up.redirect("/x")
    a.must("PUT", "/settings/http_client", {"follow_redirects": False})
    r = settled(b, "/mirror/moved", 5)
    assert r.status == 502 and b"redirect" in r.body
    c.must("PUT", "/settings/http_client", {"follow_redirects": None})
    assert settled(b, "/mirror/moved").body == b"x"
    # until an answer begins
    up.faults["slow"] = lambda h: (time.sleep(2), h.answer(200, b"late"))
    b.must("PUT", "/settings/http_client", {"proxy_timeout": "300ms"})
    r, took = timed(c, "/mirror/slow")
    assert r.status == 504 and took < 1.9, (r, took)
    b.must("PUT", "/settings/http_client", {"proxy_timeout": None})
    assert settled(c, "/mirror/slow").body == b"late"
    # places and their queue
    for name in ("1", "2", "3"):
        up.files[name] = name.encode()
    c.must("PUT", "/settings/http_client", {"max_connections_per_destination": 1,
                                            "max_requests_queued_per_destination": 0})
    up.gate = threading.Event()
    got = []
    first = threading.Thread(target=lambda: got.append(a.at(cluster.nodes[0]).repo("GET", "/mirror/1")))
    first.start()
    wait_until("the first is there", lambda: up.count("1") == 1)
    r, took = timed(a, "/mirror/2")
    assert r.status == 503 and b"wait" in r.body and took < 5, r
    b.must("PUT", "/settings/http_client", {"max_requests_queued_per_destination": 5,
                                            "connection_acquire_timeout": "300ms"})
    r, took = timed(a, "/mirror/2")
    assert r.status == 503 and 0.25 < took < 5, (r, took)
    b.must("PUT", "/settings/http_client", {"max_connections_per_destination": 2})
    second = threading.Thread(target=lambda: got.append(a.at(cluster.nodes[0]).repo("GET", "/mirror/3")))
    second.start()
    wait_until("there is room for it", lambda: up.count("3") == 1)
    assert up.count("2") == 0
    up.gate.set()
    first.join(20)
    second.join(20)
    assert sorted(r.body for r in got) == [b"1", b"3"]


def test_breaker(make_node, up):
    """A remote that fails is left alone, told by name; one that asks for time gets it; both come back."""
    admin = make_node().admin()
    put_proxy(admin, "mirror", up.url)
    up.files["x"] = b"x"
    for n in range(5):
        up.faults[f"bad{n}"] = up.status(500)
        assert admin.repo("GET", f"/mirror/bad{n}").status == 502
    asked, state = up.count(), 'pantera_upstream_breaker_state{remote="%s"}' % up.url
    r = admin.repo("GET", "/mirror/x")
    assert r.status == 503 and b"500" in r.body and up.count() == asked, r
    assert figure_of(admin, state) == 2
    assert settled(admin, "/mirror/x").body == b"x" and figure_of(admin, state) == 0
    up.faults["much"] = up.status(429, {"Retry-After": "2"})
    assert admin.repo("GET", "/mirror/much").status == 503
    asked = up.count()
    began = time.monotonic()
    up.files["y"] = b"y"
    r = admin.repo("GET", "/mirror/y")
    assert r.status == 503 and up.count() == asked, r
    assert settled(admin, "/mirror/y").body == b"y" and time.monotonic() - began > 1.5
    assert figure_of(admin, 'pantera_upstream_requests_total{remote="%s",result="not_asked"}' % up.url) > 0


def packed(how):
    """Answers with a Content-Encoding; `how` makes (its name, the bytes)."""
    def run(h):
        name, data, headers = how()
        h.send_response(200)
        h.send_header("Content-Encoding", name)
        h.send_header("Transfer-Encoding", "chunked")
        for key, value in headers.items():
            h.send_header(key, value)
        h.end_headers()
        h.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data) if data else b"0\r\n\r\n")
    return run


def test_packed_answers(make_node, up):
    """An upstream that packs although it was asked not to: unpacked, or refused; never stored as it came."""
    admin = make_node().admin()
    put_proxy(admin, "mirror", up.url)
    data = random.Random(1).randbytes(200_000) + b"x" * 3_000_000
    gz, text = gzip.compress(data), {"X-Checksum-Sha256": hashlib.sha256(data).hexdigest()}
    good = {"gzip": gz, "x-gzip": gz, "deflate": zlib.compress(data), "identity": data}
    for name, body in good.items():
        up.faults[name] = packed(lambda name=name, body=body: (name, body, text))
        for _ in range(2):
            r = admin.get(f"/mirror/{name}")
            assert r.body == data and "Content-Encoding" not in r.headers
        assert up.log[-1][2]["Accept-Encoding"] == "identity" and up.count(name) == 1
    for name, (encoding, body) in {
            "br": ("br", b"?" * 100), "twice": ("gzip, gzip", gz), "half": ("gzip", gz[:1000]),
            "cut": ("gzip", gz[:-1]), "none": ("gzip", data[:1000]), "empty": ("gzip", b"")}.items():
        up.faults[name] = packed(lambda encoding=encoding, body=body: (encoding, body, {}))
        try:
            r = admin.repo("GET", f"/mirror/{name}")
            assert r.status == 502 and (b"encoding" in r.body or b"packed" in r.body), (name, r)
        except http.client.HTTPException:
            assert name in ("half", "cut"), name  # some of it was on its way
        del up.faults[name]
        up.files[name] = b"now"
        assert settled(admin, f"/mirror/{name}").body == b"now"
    # an archive is no packed archive
    for name, kind in (("lib-1.0.tar.gz", "application/octet-stream"), ("blob", "application/x-gzip")):
        up.faults[name] = packed(lambda kind=kind: ("gzip", gz, {"Content-Type": kind}))
        assert admin.get(f"/mirror/{name}").body == gz
        up.files["as-it-is"] = gz
        up.headers["as-it-is"] = {"Content-Type": "application/gzip"}
        assert admin.get("/mirror/as-it-is").body == gz
    # an index
    repo = {"type": "pypi-proxy", "storage": "default", "remotes": [{"url": up.url + "/simple"}]}
    admin.must("PUT", "/repositories/py", {"repo": repo})
    page = b'<html><body><a href="../../f/lib-1.0.tar.gz">lib-1.0.tar.gz</a></body></html>'
    up.faults["simple/lib/"] = packed(lambda: ("gzip", gzip.compress(page), {"Content-Type": "text/html"}))
    assert b"lib-1.0.tar.gz" in admin.get("/py/simple/lib/").body
