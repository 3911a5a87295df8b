# SPDX-License-Identifier: Apache-2.0
"""What no client should send: the right status, the right body, and the server goes on."""
import json
import os
import random
import re
import socket
import time

import pytest

from pantera import Client, scale


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    from pantera import Node
    n = Node(str(tmp_path_factory.mktemp("malformed")), 1,
             {"http_server": {"request_timeout": "3s", "idle_timeout": "5s"}}).start()
    admin = n.admin()
    admin.put_repo("r")
    admin.put("/r/f", b"content")
    admin.put_role("reader", {"r": ["read"]})
    admin.put_user("reader", roles=["reader"])
    yield n
    assert n.alive(), n.tail(40)
    assert n.stop() == 0  # a sanitizer's complaint would show here
    with open(n.log_path, "rb") as f:
        log = f.read()
    for word in (b"AddressSanitizer", b"runtime error", b"LeakSanitizer", b"check failed"):
        assert word not in log


@pytest.fixture(autouse=True)
def alive(node):
    yield
    assert node.alive(), node.tail(40)
    assert Client(node).repo("GET", "/.health").status == 200


def raw(port, data, shut=False, timeout=10):
    """Sends bytes, gives all that comes back until the server closes (or 10 s)."""
    with socket.create_connection(("127.0.0.1", port), timeout) as s:
        try:
            s.sendall(data)
            if shut:
                s.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it closed already: the answer may still be there
        out = b""
        try:
            while True:
                more = s.recv(65536)
                if not more:
                    break
                out += more
        except OSError:
            pass
        return out


def statuses(answer):
    return [int(s) for s in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]


def one(port, data, **kw):
    """The status of the only answer; the connection was closed after it."""
    answer = raw(port, data, **kw)
    assert answer.startswith(b"HTTP/1.1 "), answer[:200]
    found = statuses(answer)
    assert len(found) == 1, answer[:500]
    return found[0]


GET = b"GET /.health HTTP/1.1\r\nHost: x\r\n"
BROKEN = [
    (b"GARBAGE\r\n\r\n", (400, 501)),
    (b"GET /.health\r\n\r\n", (400, 505)),  # as HTTP/0.9 would
    (b"GET /.health HTTP/1.1 x\r\nHost: x\r\n\r\n", (400, 505)),
    (b"GET /.health HTTP/9.9\r\nHost: x\r\n\r\n", (400, 505)),
    (b"GET /.health HTTP/1.1\r\n\r\n", 400),  # no Host: RFC 9112 3.2
    (GET + b"Host: y\r\n\r\n", 400),
    (GET + b"No colon\r\n\r\n", 400),
    (GET + b"Bad name: x\r\n\r\n", 400),
    (GET + b"A: b\x00c\r\n\r\n", 400),
    (GET + b" folded: x\r\n\r\n", 400),
    (GET + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", 400),
    (GET + b"Content-Length: -1\r\n\r\n", 400),
    (GET + b"Content-Length: 1x\r\n\r\nh", 400),
    (GET + b"Content-Length: 99999999999999999999999\r\n\r\n", 400),
    (GET + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (GET + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", (400, 501)),
    (b"BREW /pot HTTP/1.1\r\nHost: x\r\n\r\n", (400, 405, 501)),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (400, 505)),
]


@pytest.mark.parametrize("case", range(len(BROKEN)))
@pytest.mark.parametrize("listener", ["port", "api_port", "metrics_port"])
def test_broken_request_is_refused(node, case, listener):
    data, expected = BROKEN[case]
    status = one(getattr(node, listener), data, shut=True)
    assert status in (expected if isinstance(expected, tuple) else (expected,)), (data, status)


def test_tls_to_a_plain_port(node):
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(505)
    assert statuses(raw(node.port, hello)) in ([], [400])


def test_refusal_has_the_api_shape(node):
    answer = raw(node.api_port, b"GET / HTTP/1.1\r\nNo colon\r\n\r\n")
    body = json.loads(answer.split(b"\r\n\r\n", 1)[1])
    assert body["error"] == "BAD_REQUEST" and body["status"] == 400 and body["message"]


def test_oversized_heads(node):
    assert one(node.port, b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\nHost: x\r\n\r\n") == 414
    assert one(node.port, GET + b"X: " + b"a" * 60000 + b"\r\n\r\n") == 431
    many = b"".join(b"X-%d: y\r\n" % n for n in range(500))
    assert one(node.port, GET + many + b"\r\n") == 431
    assert one(node.port, GET + b"x" * 200000) == 431  # a name that never ends


def test_slow_client_is_timed_out(node):
    """Half a head, then nothing: 408 or a close, and no worker is held."""
    with socket.create_connection(("127.0.0.1", node.port), 30) as s:
        s.sendall(GET)
        began = time.monotonic()
        answer = s.recv(1000)
        assert answer == b"" or b" 408 " in answer.split(b"\r\n")[0]
        assert time.monotonic() - began < 25
    with socket.create_connection(("127.0.0.1", node.port), 30) as s:
        c = node.client()
        s.sendall(b"PUT /r/slow HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\nAuthorization: "
                  + c.authorization.encode() + b"\r\n\r\nhalf")
        answer = s.recv(1000)
        assert answer == b"" or b" 408 " in answer.split(b"\r\n")[0], answer
    c.get("/r/slow", 404)


PATHS = [
    b"/r/../r/f", b"/r/%2e%2e/%2e%2e/etc/passwd", b"/../../../../etc/passwd", b"/r/..%2f..%2fx", b"/r/a%2fb",
    b"/r/a%5cb", b"/r/a\\b", b"/r/%00", b"/r/f%00.txt", b"/r//f", b"/r/./f", b"/r/%2e/f", b"/r/%zz",
    b"/r/%2", b"/r/%", b"/r/%c0%ae%c0%ae/f", b"/r/%e0%80%af", b"/r/%ff%fe", b"/r/%ed%a0%80", b"/r/%0a",
    b"/r/%7f", b"/r/" + b"a" * 300, b"/r/" + b"a/" * 700 + b"f",
]


@pytest.mark.parametrize("case", range(len(PATHS)))
@pytest.mark.parametrize("method", [b"GET", b"PUT", b"DELETE"])
def test_path_tricks_are_refused(node, case, method):
    """400 (or 404, 414): never a file outside, never a 5xx, also with every right."""
    auth = node.client().authorization.encode()
    body = b"evil" if method == b"PUT" else b""
    answer = raw(node.port, method + b" " + PATHS[case] + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                 b"Authorization: " + auth + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    assert statuses(answer)[0] in (400, 404, 414), (PATHS[case], answer[:300])
    assert b"root:" not in answer
    assert node.client().get("/r/f").body == b"content"
    assert not os.path.exists(os.path.join(node.data, "etc"))


JSON = [b"", b"{", b"[]", b"null", b'"x"', b"{}", b"{\"name\": 1, \"pass\": 2}", b"\xff\xfe",
        b"{\"name\":\"\xc0\xaf\"}",
        b'{"name": "admin", "name": "admin", "pass": "x"}', b"[" * 100000, b'{"name":"a\\u0000b","pass":"x"}',
        b'{"a":' * 5000 + b"1" + b"}" * 5000]


@pytest.mark.parametrize("case", range(len(JSON)))
def test_bad_json_is_refused(node, case):
    c = Client(node)
    r = c.request(node.api_port, "POST", "/api/v1/auth/token", JSON[case])
    assert r.status in (400, 401, 413), r
    assert set(r.json()) >= {"error", "message", "status"}
    admin = node.client()
    for path in ("/users/x", "/roles/x", "/repositories/x", "/storages/x"):
        r = admin.request(node.api_port, "PUT", "/api/v1" + path, JSON[case])
        if path == "/roles/x" and JSON[case].startswith(b"{}"):
            continue  # an empty role may be put
        assert r.status in (400, 413), (path, r)
    admin.close()


def test_body_larger_than_its_limit(node):
    r = Client(node).request(node.api_port, "POST", "/api/v1/auth/token", b" " * 2000000)
    assert r.status == 413


def token_variants(token):
    head, body, signature = token.split(".")
    yield from ["", ".", "..", "...", "a.b.c", head, f"{head}.{body}", f"{head}.{body}.",
                f".{body}.{signature}", f"{head}.{body}.{signature}.x", token[:-3] + "AAA",
                token + "x", token[1:], "eyJ" * 3000,
                f"{body}.{head}.{signature}", f"{head}.{body}.{'A' * len(signature)}"]
    import base64

    def b64(d):
        return base64.urlsafe_b64encode(json.dumps(d).encode()).rstrip(b"=").decode()

    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    for alg in ("none", "None", "HS256", "ES256"):
        yield f"{b64({'alg': alg, 'typ': 'JWT'})}.{body}.{signature}"
        yield f"{b64({'alg': alg, 'typ': 'JWT'})}.{body}."
    for change in ({"sub": "root"}, {"type": "refresh"}, {"exp": 9999999999}, {"exp": "never"},
                   {"sub": None}):
        yield f"{head}.{b64({**claims, **change})}.{signature}"


def test_bad_tokens_are_refused(node):
    token = node.admin().authorization[7:]
    c = Client(node)
    for t in token_variants(token):
        r = c.request(node.api_port, "GET", "/api/v1/auth/me", headers={"Authorization": f"Bearer {t}"})
        assert r.status in (401, 431), (t[:60], r)
        if r.status == 401:
            assert r.json()["error"] == "UNAUTHORIZED"
        r = c.request(node.port, "GET", "/r/f", headers={"Authorization": f"Bearer {t}"})
        assert r.status in (401, 431), (t[:60], r)
        if r.status == 401:
            assert "Basic" in r.headers["WWW-Authenticate"]
    for value in ("Basic", "Basic ", "Basic !!!!", "Basic YQ==", "Basic " + "QQ" * 4000, "Digest x", "Bearer",
                  "Basic OmE=", "Basic YTo=", "Basic /////w=="):
        r = c.request(node.api_port, "GET", "/api/v1/auth/me", headers={"Authorization": value})
        assert r.status in (401, 429), (value[:60], r)


def test_refresh_token_is_no_access_token(node):
    t = Client(node).must("POST", "/auth/token", {"name": "admin", "pass": "Integration-Test-1!"})
    assert Client(node, token=t["refresh_token"]).api("GET", "/auth/me").status == 401
    assert Client(node).api("POST", "/auth/refresh", {"refresh_token": t["token"]}).status == 401


def test_too_little_permission(node):
    """A reader of one repository: 403, not 404 or 500, for whatever needs more."""
    c = Client(node).login("reader")
    assert c.get("/r/f").body == b"content"
    assert c.repo("PUT", "/r/f", b"x").status == 403
    assert c.repo("DELETE", "/r/f").status == 403
    for method, path in (("GET", "/users"), ("PUT", "/roles/reader"), ("DELETE", "/repositories/r"),
                         ("POST", "/admin/revoke-user/admin"), ("GET", "/storages")):
        assert c.api(method, path, {"permissions": {"*": ["*"]}} if method == "PUT" else None).status == 403


def test_pipelining_and_wrong_methods(node):
    answer = raw(node.port, (GET + b"\r\n") * 3
                 + b"TRACE /.version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert statuses(answer)[:3] == [200, 200, 200]
    assert statuses(answer)[3] in (404, 405, 501, 401)
    r = Client(node).request(node.api_port, "PATCH", "/api/v1/auth/token")
    assert r.status == 405 and "POST" in r.headers["Allow"]


def test_smuggling(node):
    """A body that looks like a request is a body."""
    inner = b"GET /r/f HTTP/1.1\r\nHost: x\r\n\r\n"
    auth = node.client().authorization.encode()
    answer = raw(node.port, b"PUT /r/inner HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: " + auth
                 + b"\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(inner), inner))
    assert statuses(answer) == [201]
    assert node.client().get("/r/inner").body == inner
    for chunk in (b"-1\r\n", b"zz\r\n", b"5\r\nhello!!\r\n", b"ffffffffffffffffff\r\n",
                  b"1;" + b"x" * 100000):
        answer = raw(node.port, b"PUT /r/bad HTTP/1.1\r\nHost: x\r\nAuthorization: " + auth
                     + b"\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk, shut=True)
        assert statuses(answer)[:1] in ([400], [431], []), (chunk[:20], answer[:200])
    node.client().get("/r/bad", 404)


def test_noise(node):
    """Mutated requests, seeded: any 4xx, any close, never a 5xx."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    auth = node.client().authorization.encode()
    base = [GET + b"\r\n",
            b"PUT /r/noise HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nAuthorization: " + auth
            + b"\r\n\r\nhello",
            b"GET /r/f HTTP/1.1\r\nHost: x\r\nRange: bytes=0-1,3-\r\nIf-None-Match: \"a\"\r\n\r\n",
            b"POST /api/v1/auth/token HTTP/1.1\r\nHost: x\r\nContent-Length: 27\r\n\r\n"
            b"{\"name\":\"admin\",\"pass\":\"x\"}"]
    for _ in range(scale(20000, 400)):
        data = bytearray(rng.choice(base))
        for _ in range(rng.randrange(1, 6)):
            at = rng.randrange(len(data))
            kind = rng.randrange(4)
            if kind == 0:
                data[at] = rng.randrange(256)
            elif kind == 1:
                del data[at:at + rng.randrange(1, 20)]
            elif kind == 2:
                data[at:at] = rng.randbytes(rng.randrange(1, 20))
            else:
                data[at:at] = data[at:at + 30] * rng.randrange(1, 5)
            if not data:
                data = bytearray(b"x")
        answer = raw(rng.choice([node.port, node.api_port]), bytes(data), shut=True, timeout=5)
        for status in statuses(answer):
            assert status < 500 or status in (501, 505), (bytes(data), answer[:300])
