# SPDX-License-Identifier: Apache-2.0
"""Settings: what is stored has its effect in the very next request on every node; what would have none is
refused. Each write goes to one node, the look at it to another."""
import socket
import time

from pantera import Client, wait_until


def error(r, status=400, code="BAD_REQUEST"):
    """The seed's shape of an error; its message."""
    body = r.json()
    assert r.status == status and body["error"] == code and body["status"] == status, r
    return body["message"]


def test_every_section_has_its_effect_everywhere(cluster):
    a, b, c = (node.admin() for node in cluster.nodes)
    prefixes_route_at_once(a, b, c)
    what_has_no_effect_is_refused(a)
    lives_of_tokens(a, b)
    metrics_follow(a, b)
    silence_is_cut_off(a, b, c)
    the_log_follows(a, c)
    answers_have_the_seeds_shape(b)
    only_who_may(a, b)
    upstreams_have_their_time(a, b)
    each_change_is_recorded(a, c)


def prefixes_route_at_once(a, b, c):
    a.put_repo("files")
    a.put("/files/x", b"1")
    b.get("/team/files/x", 404)
    assert a.must("PUT", "/settings/prefixes", {"prefixes": ["team", "v2"]}) is None
    for client in (b, c, a):
        assert client.get("/team/files/x").body == b"1"
        assert client.get("/v2/api/files/x").body == b"1"
        assert client.must("GET", "/settings")["prefixes"] == ["team", "v2"]
    b.must("PUT", "/settings/prefixes", {"prefixes": []})
    c.get("/team/files/x", 404)
    assert "files" in error(a.api("PUT", "/settings/prefixes", {"prefixes": ["files"]}), 409, "CONFLICT")
    for bad in (None, ["a", "a"], ["api"], [".x"], ["a/b"], [7], "x", [f"p{n}" for n in range(33)]):
        error(a.api("PUT", "/settings/prefixes", {"prefixes": bad}))
    b.must("PUT", "/settings/prefixes", {"prefixes": ["team"]})
    repo = {"repo": {"type": "file", "storage": "default"}}
    error(c.api("PUT", "/repositories/team", repo), 409, "CONFLICT")  # it would be hidden
    b.must("PUT", "/settings/prefixes", {"prefixes": []})


def what_has_no_effect_is_refused(a):
    before = a.must("GET", "/settings")
    for section, body, named in (
            ("nonsense", {"x": 1}, "nonsense"), ("port", {"port": 1}, "meta.port"),
            ("credentials", {}, "auth-providers"), ("caches", {"valkey": True}, "caches"),
            ("http_client", {"max_connections_per_destination": 0}, "max_connections_per_destination"),
            ("http_client", {"max_requests_queued_per_destination": "PT5S"}, "max_requests_queued"),
            ("http_client", {"allow_upstreams": ["0.0.0.0/0"]}, "meta.http_client.allow_upstreams"),
            ("http_client", {"proxy_timeout": -1}, "proxy_timeout"),
            ("http_client", {"proxy_timeout": 5000, "what": 1}, "what"),
            ("http_server", {"request_timeout": "soon"}, "request_timeout"),
            ("jwt", {"algorithm": "HS256"}, "RS256"), ("jwt", {"secret": "x"}, "secret"),
            ("metrics", {"jvm": True}, "JVM"), ("metrics", {"endpoint": "x"}, "endpoint"),
            ("metrics", {"enabled": "yes"}, "enabled"), ("logging", {"level": "loud"}, "level"),
            ("cooldown", {"enabled": 1}, "enabled"), ("cooldown", {"repo_types": {"maven": {}}}, "maven")):
        message = error(a.api("PUT", f"/settings/{section}", body))
        assert named in message, message
    assert a.must("GET", "/settings") == before  # nothing of a body that was refused
    for section in ("jwt", "http_client", "http_server", "metrics", "logging", "cooldown"):
        assert a.must("PUT", f"/settings/{section}", before[section]) == {"status": "saved"}
    assert a.must("GET", "/settings") == before  # what was shown may be put back


def lives_of_tokens(a, b):
    a.must("PUT", "/settings/jwt", {"access_token_expiry_seconds": 120})
    assert Client(b.node).must("POST", "/auth/token", {"name": "admin", "pass": "Integration-Test-1!"})[
        "expires_in"] == 120
    assert b.must("GET", "/admin/auth-settings")["access_token_expiry_seconds"] == 120
    b.must("PUT", "/settings/jwt", {"access_token_expiry_seconds": None})
    assert a.must("GET", "/settings")["jwt"]["access_token_expiry_seconds"] == 3600


def metrics_follow(a, b):
    def get(path):
        return b.request(b.node.metrics_port, "GET", path).status

    a.must("PUT", "/settings/metrics", {"endpoint": "/other"})
    assert (get("/other"), get("/metrics"), get("/metrics/vertx")) == (200, 200, 404)
    a.must("PUT", "/settings/metrics", {"enabled": False, "endpoint": None})
    assert (get("/metrics"), get("/metrics/vertx")) == (404, 404)
    a.must("PUT", "/settings/metrics", {"enabled": True})
    assert (get("/metrics"), get("/metrics/vertx")) == (200, 200)


def silence_is_cut_off(a, b, c):
    """A connection that waited already is measured by the new timeout, too."""
    with socket.create_connection(("127.0.0.1", c.node.port), timeout=10) as s:
        s.sendall(b"GET /.health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200" in s.recv(4096)
        a.must("PUT", "/settings/http_server", {"idle_timeout": "1s", "request_timeout": "PT30S"})
        began = time.monotonic()
        assert s.recv(4096) == b"" and time.monotonic() - began < 5
    for client in (a, b, c):  # the server has closed what they kept open
        client.close()
    assert c.must("GET", "/settings")["http_server"] == {"request_timeout": "PT30S", "idle_timeout": "PT1S"}
    c.must("PUT", "/settings/http_server", {"idle_timeout": None, "request_timeout": None})


def the_log_follows(a, c):
    def lines(path):
        with open(c.node.log_path, "rb") as f:
            return f.read().count(path.encode())

    c.api("GET", "/roles/seen-1")
    wait_until("a line", lambda: lines("seen-1") == 1)
    a.must("PUT", "/settings/logging", {"access": False})
    c.api("GET", "/roles/unseen-2")
    a.must("PUT", "/settings/logging", {"access": True, "level": "info"})
    c.api("GET", "/roles/seen-3")
    wait_until("a line", lambda: lines("seen-3") == 1)
    assert lines("unseen-2") == 0


def answers_have_the_seeds_shape(b):
    s = b.must("GET", "/settings")
    assert s["port"] == b.node.port and s["version"] and s["jwt"]["algorithm"] == "RS256"
    assert s["database"] == {"configured": True} and s["caches"] == {"valkey_configured": False}
    assert s["metrics"]["port"] == b.node.metrics_port and isinstance(s["credentials"], list)
    assert s["http_client"] == {
        "proxy_timeout": 10000, "connection_timeout": 5000, "idle_timeout": 30000, "follow_redirects": True,
        "connection_acquire_timeout": 30000, "max_connections_per_destination": 64,
        "max_requests_queued_per_destination": 128, "allow_upstreams": ["127.0.0.0/8", "::1/128"]}
    assert s["cooldown"] == {"enabled": False, "minimum_allowed_age": "7d", "repo_types": {},
                             "unknown": "first_seen", "frozen_at": None, "release_contact": None}


def only_who_may(a, b):
    a.put_role("watcher", {"api_role_permissions": ["read"]})
    a.put_user("watcher", roles=["watcher"])
    a.put_user("nobody")
    watcher, nobody = b.login("watcher"), b.login("nobody")
    watcher.must("GET", "/settings")
    for method, path in (("PUT", "/settings/logging"), ("PUT", "/settings/prefixes")):
        error(watcher.api(method, path, {}), 403, "FORBIDDEN")
    error(nobody.api("GET", "/settings"), 403, "FORBIDDEN")
    error(Client(b.node).api("GET", "/settings"), 401, "UNAUTHORIZED")


def upstreams_have_their_time(a, b):
    """A provider that accepts and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}"
        a.must("POST", "/auth-providers", {"type": "okta", "config": {
            "issuer": url, "client-id": "x", "client-secret": "a-secret-of-it",
            "callback-urls": [url + "/cb"]}})
        a.must("PUT", "/settings/http_client", {"proxy_timeout": "300ms"})
        began = time.monotonic()
        r = b.api("GET", f"/auth/providers/okta/redirect?callback_url={url}/cb")
        took = time.monotonic() - began
    assert r.status >= 500 and 0.25 < took < 5, (r, took)
    (credential,) = [p for p in b.must("GET", "/settings")["credentials"] if p["type"] == "okta"]
    assert "a-secret-of-it" not in str(credential) and "***" in str(credential)


def each_change_is_recorded(a, c):
    row = c.must("GET", "/audit?action=setting.merge&size=1")["items"][0]
    assert (row["actor"], row["resource_type"], row["resource"]) == ("admin", "setting", "http_client")
    assert (row["before"]["proxy_timeout"], row["after"]["proxy_timeout"]) == (10000, 300)
    assert [r["resource"] for r in a.must("GET", "/audit?action=prefixes.put")["items"]][:1] == ["prefixes"]
