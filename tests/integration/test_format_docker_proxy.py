# SPDX-License-Identifier: Apache-2.0
"""Proxies and groups of the format docker: before docker-registry, before servers that do what they are told,
and before another pantera."""
import concurrent.futures
import http.client
import http.server
import json
import os
import random
import threading
import time
import types

import pytest

from oci import (EMPTY, OCI_INDEX, OCI_MANIFEST, SRC, Registry, Skopeo, call, code_of, expect, make_group,
                 make_proxy, make_repo, manifest, push_blob, push_image, push_manifest, referrers, sha, tags)
from pantera import PASSWORD, USER, Client, wait_until


@pytest.fixture
def upstream(tmp_path):
    os.makedirs(tmp_path / "upstream")
    registry = Registry(str(tmp_path / "upstream"))
    yield registry
    registry.stop()


def test_a_proxy_asks_once_and_then_never(cluster, upstream, tmp_path):
    clients = [n.admin() for n in cluster.nodes]
    make_proxy(clients[0], "mirror", f"http://127.0.0.1:{upstream.port}")
    s = Skopeo(tmp_path / "skopeo")
    s.make_image("img", "v1", 3_000_000)
    theirs = f"docker://127.0.0.1:{upstream.port}/team/app"
    s.run("copy", "--dest-tls-verify=false", "oci:img:v1", f"{theirs}:v1")
    at = [f"docker://127.0.0.1:{n.port}/mirror/team/app" for n in cluster.nodes]
    raw = s.run("inspect", "--raw", "--tls-verify=false", f"{theirs}:v1").encode()
    m = json.loads(raw)
    parts = ["manifests/v1"] + ["blobs/" + d["digest"] for d in (m["config"], *m["layers"])]
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda i: s.run("copy", *SRC, f"{at[i]}:v1", f"oci:back{i}:v1"), range(3)))
    for p in parts:
        assert upstream.asked(p) == 1, p
    warm = upstream.asked("(manifests/(v1|sha256:)|blobs)")
    for i in range(3):
        s.run("copy", *SRC, f"{at[i]}:v1", f"oci:warm{i}:v1")
        r = expect(clients[i], "GET", "/v2/mirror/team/app/manifests/v1", 200, headers={"Accept": "*/*"})
        assert r.body == raw and r.headers["Docker-Content-Digest"] == sha(raw)
        assert r.headers["Content-Type"] == OCI_MANIFEST
        expect(clients[i], "HEAD", f"/v2/mirror/team/app/manifests/{sha(raw)}", 200)
        assert tags(clients[i], "mirror/team/app") == ["v1"]
        assert referrers(clients[i], "mirror/team/app", sha(raw)).json()["manifests"] == []
    # By digest, which nobody had asked for before.
    assert upstream.asked("(manifests/(v1|sha256:)|blobs)") == warm + 1
    # What is not there, and what may not be done.
    assert code_of(expect(clients[0], "GET", "/v2/mirror/team/app/manifests/none", 404)) == "MANIFEST_UNKNOWN"
    assert code_of(expect(clients[0], "GET", f"/v2/mirror/team/app/blobs/{sha(b'none')}",
                          404)) == "BLOB_UNKNOWN"
    assert code_of(expect(clients[0], "POST", "/v2/mirror/team/app/blobs/uploads/", 405)) == "UNSUPPORTED"
    # Upstream is gone: what is cached is there, what is not is no 404.
    upstream.stop()
    s.run("copy", *SRC, f"{at[1]}:v1", "oci:gone:v1")
    expect(clients[1], "GET", "/v2/mirror/team/app/manifests/other", 502)
    upstream.start()


def test_a_group_is_the_union_and_asks_nobody_about_its_own(make_node, upstream, tmp_path):
    node = make_node()
    c = node.admin()
    s = Skopeo(tmp_path / "skopeo")
    s.make_image("img", "v1")
    theirs = f"docker://127.0.0.1:{upstream.port}"
    for name in ("team/app:v1", "team/app:v2", "team/own:evil"):
        s.run("copy", "--dest-tls-verify=false", "oci:img:v1", f"{theirs}/{name}")
    make_repo(c, "images")
    make_proxy(c, "mirror", f"http://127.0.0.1:{upstream.port}", cache={"metadata": {"ttl": "1s"}})
    make_group(c, "all", ["mirror", "images"])
    ours = push_image(c, "images/team/own", "v1")
    s.run("copy", *SRC, f"docker://127.0.0.1:{node.port}/all/team/app:v1", "oci:back:v1")
    s.run("copy", *SRC, f"docker://127.0.0.1:{node.port}/all/team/own:v1", "oci:back:own")
    assert tags(c, "all/team/app") == ["v1", "v2"] and tags(c, "all/team/own") == ["v1"]
    expect(c, "GET", "/v2/all/team/own/manifests/evil", 404)
    assert upstream.asked("team/own") == 0
    # A push to a member is in the group's next answer; the union of both, where that is allowed.
    make_group(c, "open", ["images", "mirror"], allow_upstream=["team/*"])
    assert tags(c, "open/team/own") == ["evil", "v1"]
    push_manifest(c, "images/team/own", ours, "v0")
    assert tags(c, "open/team/own") == ["evil", "v0", "v1"] and tags(c, "all/team/own") == ["v0", "v1"]
    assert tags(c, "open/team/own", "?n=1&last=evil") == ["v0"]
    expect(c, "PUT", "/v2/all/team/own/manifests/v2", 405, ours, {"Content-Type": OCI_MANIFEST})
    # A tag that moves upstream moves here, after its time.
    s.make_image("img", "v9")
    s.run("copy", "--dest-tls-verify=false", "oci:img:v9", f"{theirs}/team/app:v1")
    moved = s.run("inspect", "--raw", "--tls-verify=false", f"{theirs}/team/app:v1").encode()
    wait_until("the tag moves", lambda: call(c, "GET", "/v2/all/team/app/manifests/v1").body == moved)


def test_another_pantera_is_an_upstream_with_tokens_and_cooldown(make_node):
    far, near = make_node(), make_node()
    f, n = far.admin(), near.admin()
    make_repo(f, "images")
    fresh = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    config = push_blob(f, "images/a", EMPTY)
    made = {}
    for tag, created in (("old", "2020-01-01T00:00:00.5+02:00"), ("new", fresh)):
        made[tag] = manifest(config, [push_blob(f, "images/a", tag.encode())],
                             annotations={"org.opencontainers.image.created": created})
        push_manifest(f, "images/a", made[tag], tag)
    url = f"http://127.0.0.1:{far.port}"
    make_proxy(n, "shut", url)
    r = expect(n, "GET", "/v2/shut/images/a/manifests/old", 502)
    make_proxy(n, "far", url, remote={"username": USER, "password": PASSWORD})
    for tag in made:
        r = expect(n, "GET", f"/v2/far/images/a/manifests/{tag}", 200)
        assert r.body == made[tag]
    subject = {"mediaType": OCI_MANIFEST, "digest": sha(made["old"]), "size": len(made["old"])}
    signature = manifest(config, [], subject=subject)
    push_manifest(f, "images/a", signature)
    assert [d["digest"] for d in referrers(n, "far/images/a", sha(made["old"])).json()["manifests"]] \
        == [sha(signature)]
    # Too young: not by tag, not by digest; the older one is there.
    n.must("PUT", "/cooldown/config", {"enabled": True, "minimum_allowed_age": "7d"})
    make_proxy(n, "cool", url, remote={"username": USER, "password": PASSWORD})
    expect(n, "GET", "/v2/cool/images/a/manifests/old", 200)
    for reference in ("new", sha(made["new"])):
        r = expect(n, "GET", f"/v2/cool/images/a/manifests/{reference}", 403)
        assert code_of(r) == "DENIED" and "TOO_YOUNG" in r.json()["errors"][0]["message"]


def image_config(created):
    return json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []},
                       **({"created": created} if created else {})}).encode()


def push_dated(client, name, tag, created, annotations=None):
    """An image whose configuration says when it was made."""
    config = dict(push_blob(client, name, image_config(created)),
                  mediaType="application/vnd.oci.image.config.v1+json")
    data = manifest(config, [push_blob(client, name, tag.encode())], **({"annotations": annotations}
                                                                       if annotations else {}))
    push_manifest(client, name, data, tag)
    return data


def push_index(client, name, tag, members, annotations=None):
    """`members`: (architecture, manifest)."""
    data = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [
        {"mediaType": OCI_MANIFEST, "digest": sha(m), "size": len(m),
         "platform": {"architecture": machine, "os": "linux"}} for machine, m in members],
        **({"annotations": annotations} if annotations else {})}).encode()
    push_manifest(client, name, data, tag, OCI_INDEX)
    return data


def held(client, name, reference, reason):
    r = expect(client, "GET", f"/v2/{name}/manifests/{reference}", 403)
    assert code_of(r) == "DENIED" and reason in r.json()["errors"][0]["message"], r
    return r


def test_cooldown_holds_for_tags_and_digests(cluster, upstream, tmp_path):
    """skopeo through a proxy of docker-registry; each change is made on one node and seen on another."""
    a, b, c = (n.admin() for n in cluster.nodes)
    up = Client(types.SimpleNamespace(port=upstream.port, id="upstream"))
    fresh = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 86400))
    old = "2020-01-01T00:00:00.5+02:00"
    young, aged = push_dated(up, "app", "young", fresh), push_dated(up, "app", "aged", old)
    epoch = push_dated(up, "app", "epoch", "1970-01-01T00:00:00Z")
    arm, plain = push_dated(up, "app", "arm", fresh), push_dated(up, "app", "plain", None)
    index = push_index(up, "app", "index", [("unknown", plain), ("arm64", aged), ("amd64", young)])
    push_index(up, "app", "noted", [("amd64", epoch), ("arm64", arm)],
               {"org.opencontainers.image.created": old})
    a.must("PUT", "/cooldown/config", {"enabled": True, "minimum_allowed_age": "7d",
                                       "release_contact": "#images"})
    make_proxy(a, "cool", f"http://127.0.0.1:{upstream.port}")
    make_group(a, "all", ["cool"])
    s = Skopeo(tmp_path / "skopeo")
    pull = lambda client, ref, **kw: s.run(  # noqa: E731
        "copy", *SRC, f"docker://127.0.0.1:{client.node.port}/{ref}", "dir:" + s.home + "/out", **kw)
    # By what the configuration says: by tag, by digest, through a group, and what an index holds.
    pull(a, "cool/app:aged")
    pull(b, "all/app:aged")
    pull(b, "cool/app:young", fails="app young is blocked (TOO_YOUNG, released 1d")
    pull(c, "all/app:young", fails="to release it ask #images")
    r = held(a, "cool/app", sha(young), "TOO_YOUNG")
    assert 5 * 86400 < int(r.headers["Retry-After"]) < 6 * 86400 + 60
    held(b, "all/app", sha(young), "TOO_YOUNG")
    held(c, "cool/app", "index", "TOO_YOUNG")  # as old as its image for amd64
    rows = wait_until("its row", lambda: [
        row for row in b.must("GET", "/cooldown/blocked?search=young")["items"]])
    assert [(row["package_name"], row["version"], row["reason"]) for row in rows] == [
        ("app", "young", "TOO_YOUNG")]
    others = ["aged", "arm", "epoch", "noted", "plain"]
    wait_until("the list without it", lambda: tags(c, "cool/app") == others)
    # Nobody says how old these are: neither by tag nor by digest, but as a part of what may be had.
    for n in (a, b):
        assert "Retry-After" in held(n, "cool/app", "plain", "UNKNOWN_AGE").headers
        held(n, "cool/app", sha(epoch), "UNKNOWN_AGE")
    expect(c, "GET", "/v2/cool/app/manifests/noted", 200)
    expect(a, "GET", f"/v2/cool/app/manifests/{sha(epoch)}", 200)
    expect(b, "HEAD", f"/v2/all/app/manifests/{sha(epoch)}", 200)
    held(b, "cool/app", sha(plain), "UNKNOWN_AGE")
    held(a, "cool/app", sha(arm), "TOO_YOUNG")  # it says itself that it is fresh
    # Released by somebody, on one node: on another at once, with what it holds.
    b.must("POST", "/repositories/cool/cooldown/unblock", {"artifact": "app", "version": "index"})
    pull(a, "cool/app:index")
    expect(c, "GET", f"/v2/cool/app/manifests/{sha(index)}", 200)
    for m in (young, plain, aged):
        expect(c, "GET", f"/v2/cool/app/manifests/{sha(m)}", 200)
    held(c, "cool/app", sha(arm), "TOO_YOUNG")
    # A moved tag is judged by what it stands for now.
    b.must("PUT", "/repositories/quick", {"repo": {
        "type": "docker-proxy", "storage": "default", "cache": {"metadata": {"ttl": "1s"}},
        "remotes": [{"url": f"http://127.0.0.1:{upstream.port}"}]}})
    expect(a, "GET", "/v2/quick/app/manifests/aged", 200)
    push_manifest(up, "app", arm, "aged")
    wait_until("the tag moves", lambda: call(a, "GET", "/v2/quick/app/manifests/aged").status == 403)
    # The setting decides of what has no date.
    c.must("PUT", "/cooldown/config", {"unknown": "allow"})
    pull(b, "quick/app:plain")
    pull(b, "quick/app:arm", fails="TOO_YOUNG")


class Paged(http.server.BaseHTTPRequestHandler):
    """A registry that gives seven tags at a time, whatever it is asked for, and an opaque `last`; it lists no
    referrers, but has the tag that clients push instead."""
    protocol_version = "HTTP/1.1"
    names, failing, index, asked = [], -1, b"", 0

    def do_GET(self):
        path, _, query = self.path.partition("?")
        body, headers, status = b"", {}, 404
        if path.endswith("/tags/list"):
            type(self).asked += 1
            at = int(query.split("opaque=")[1]) if "opaque=" in query else 0
            body, status = json.dumps({"name": "a", "tags": self.names[at:at + 7]}).encode(), 200
            if at + 7 < len(self.names):
                headers = {"Link": f'</v2/x/y>; rel="prev", <{path}?opaque={at + 7}>; rel="next"'}
            if at == self.failing:
                body, status = b"", 500
        elif "/manifests/sha256-" in path:
            body, headers, status = self.index, {"Content-Type": OCI_INDEX}, 200
        self.send_response(status)
        for name, value in {"ETag": '"same"', **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def test_an_upstreams_pages_are_followed(make_node):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Paged)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        c = make_node().admin()
        Paged.names = [f"v{i}" for i in range(40)]
        make_repo(c, "images")
        make_proxy(c, "mirror", f"http://127.0.0.1:{server.server_port}", cache={"metadata": {"ttl": "1s"}})
        make_group(c, "all", ["images", "mirror"], allow_upstream=["*"])
        push_image(c, "images/a", "ours")
        assert tags(c, "mirror/a") == sorted(Paged.names)
        assert tags(c, "all/a") == sorted([*Paged.names, "ours"])
        seen, url = [], "/v2/all/a/tags/list?n=9"
        while url:
            r = expect(c, "GET", url, 200)
            assert len(r.json()["tags"]) <= 9
            seen += r.json()["tags"]
            link = r.headers["Link"]
            url = link[1:link.index(">")] if link else None
        assert seen == sorted([*Paged.names, "ours"])
        # A page that fails: what is known stays, a part is not taken for the whole. A new last page comes.
        Paged.failing, before = 14, Paged.asked
        wait_until("another look", lambda: tags(c, "mirror/a") and Paged.asked > before)
        assert tags(c, "mirror/a") == sorted(Paged.names)
        Paged.failing, Paged.names = -1, [*Paged.names, "v99"]
        wait_until("the new tag", lambda: "v99" in tags(c, "mirror/a"), 40)
        # Who lists no referrers may have the tag instead.
        subject = sha(b"subject")
        Paged.index = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [
            {"mediaType": OCI_MANIFEST, "digest": sha(b"signature"), "size": 1,
             "artifactType": "a/b"}]}).encode()
        for query in ("", "?artifactType=a/b"):
            got = referrers(c, "mirror/a", subject, query).json()["manifests"]
            assert [d["digest"] for d in got] == [sha(b"signature")]
        assert referrers(c, "mirror/a", subject, "?artifactType=c/d").json()["manifests"] == []
    finally:
        server.shutdown()
        server.server_close()


class Faulty(http.server.BaseHTTPRequestHandler):
    """A registry of one image that answers as it is told: class attribute `answers`, path → (status, headers,
    body, how much of it is sent)."""
    protocol_version = "HTTP/1.1"
    answers = {}

    def do_GET(self):
        status, headers, body, sent = self.answers.get(self.path.split("?")[0], (404, {}, b"", 0))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:sent])
        self.close_connection = sent < len(body)

    def log_message(self, *_):
        pass


def test_upstreams_faults_are_not_kept(make_node):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Faulty)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        c = make_node().admin()
        make_proxy(c, "mirror", f"http://127.0.0.1:{server.server_port}")
        layer, config = random.Random(1).randbytes(100_000), EMPTY
        data = manifest({"mediaType": "a/b", "digest": sha(config), "size": 2},
                        [{"mediaType": "a/b", "digest": sha(layer), "size": len(layer)}])
        places = {f"/v2/a/manifests/{sha(data)}": data, f"/v2/a/blobs/{sha(layer)}": layer}
        wrong = [lambda body: (200, {"Content-Type": OCI_MANIFEST}, body[:-1] + b"!", len(body)),
                 lambda body: (200, {"Content-Type": OCI_MANIFEST}, body, len(body) // 2),
                 lambda body: (500, {}, b"broken", 6), lambda body: (401, {}, b"", 0),
                 lambda body: (302, {"Location": "/v2/round"}, b"", 0),
                 lambda body: (429, {"Retry-After": "1"}, b"", 0)]
        Faulty.answers["/v2/round"] = (302, {"Location": "/v2/round"}, b"", 0)
        for fault in wrong:
            for path, body in places.items():
                Faulty.answers[path] = fault(body)
                try:
                    r = c.repo("GET", path.replace("/v2/", "/v2/mirror/"))
                    assert r.status in (502, 503) and "errors" in r.json(), r
                except (http.client.HTTPException, OSError):
                    pass  # it had begun, and broke
        for path, body in places.items():
            Faulty.answers[path] = (200, {"Content-Type": OCI_MANIFEST}, body, len(body))
            got = wait_until("what is right", lambda p=path: ((r := c.repo("GET", p.replace("/v2/",
                                                                                            "/v2/mirror/")))
                                                              .status == 200 and r))
            assert got.body == body
    finally:
        server.shutdown()
        server.server_close()
