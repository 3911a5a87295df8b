# SPDX-License-Identifier: Apache-2.0
"""The format docker: skopeo and umoci as people use them, and the distribution specification where they do
not go. With PANTERA_OCI_CONFORMANCE=PROGRAM (the specification's own suite, built) that runs too.
"""
import concurrent.futures
import hashlib
import http.client
import http.server
import json
import os
import random
import re
import socket
import subprocess
import threading
import time
import types

import pytest

from pantera import PASSWORD, USER, Client, free_port, only_if, wait_until

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
EMPTY = b"{}"


def sha(data, algorithm="sha256"):
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


def make_repo(client, name, **config):
    client.must("PUT", f"/repositories/{name}", {"repo": {"type": "docker", "storage": "default", **config}})


def call(client, method, path, body=None, headers=None, seconds=20):
    """As clients do: a node that can't prove that it is current is asked again."""
    end = time.monotonic() + seconds
    while True:
        r = client.repo(method, path, body, headers)
        if r.status != 503 or time.monotonic() > end:
            return r
        time.sleep(0.1)


def expect(client, method, path, status, body=None, headers=None):
    r = call(client, method, path, body, headers)
    assert r.status == status, f"{method} {path} on node {client.node.id}: {r}"
    return r


def code_of(response):
    return response.json()["errors"][0]["code"]


def push_blob(client, name, data):
    r = call(client, "POST", f"/v2/{name}/blobs/uploads/?digest={sha(data)}", data)
    if r.status == 202:  # another registry, that takes it in two steps
        url = "/v2/" + r.headers["Location"].split("/v2/", 1)[1]
        r = call(client, "PUT", f"{url}&digest={sha(data)}", data)
    assert r.status == 201, r
    return {"mediaType": "application/octet-stream", "digest": sha(data), "size": len(data)}


def manifest(config, layers, **more):
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers,
                       **more}).encode()


def push_manifest(client, name, data, reference=None, kind=OCI_MANIFEST):
    return expect(client, "PUT", f"/v2/{name}/manifests/{reference or sha(data)}", 201, data,
                  {"Content-Type": kind})


def push_image(client, name, tag, layer=b"layer"):
    config = dict(push_blob(client, name, EMPTY), mediaType="application/vnd.oci.image.config.v1+json")
    data = manifest(config, [push_blob(client, name, layer)])
    push_manifest(client, name, data, tag)
    return data


def tags(client, name, query=""):
    return expect(client, "GET", f"/v2/{name}/tags/list{query}", 200).json()["tags"]


def referrers(client, name, digest, query=""):
    r = expect(client, "GET", f"/v2/{name}/referrers/{digest}{query}", 200)
    assert r.headers["Content-Type"] == OCI_INDEX
    return r


class Skopeo:
    """skopeo with a home of its own."""

    def __init__(self, home):
        self.home = str(home)
        os.makedirs(self.home, exist_ok=True)

    def run(self, *args, fails=None):
        p = subprocess.run(["skopeo", "--insecure-policy", *args], cwd=self.home, capture_output=True,
                           text=True, timeout=120, check=False,
                           env=dict(os.environ, HOME=self.home, REGISTRY_AUTH_FILE=self.home + "/auth.json"))
        if fails:
            assert p.returncode and fails in p.stderr, p.stderr
        else:
            assert p.returncode == 0, p.stderr
        return p.stdout

    def make_image(self, name, tag, size=200_000):
        def umoci(*args):
            subprocess.run(["umoci", *args], cwd=self.home, check=True, capture_output=True, timeout=60)
        if not os.path.exists(f"{self.home}/{name}"):
            umoci("init", "--layout", name)
        umoci("new", "--image", f"{name}:{tag}")
        with open(self.home + "/file", "wb") as f:
            f.write(random.Random(tag).randbytes(size))
        umoci("insert", "--rootless", "--image", f"{name}:{tag}", "file", "/file")


DEST = ["--dest-tls-verify=false", "--dest-creds", f"{USER}:{PASSWORD}"]
SRC = ["--src-tls-verify=false", "--src-creds", f"{USER}:{PASSWORD}"]
ONE = ["--tls-verify=false", "--creds", f"{USER}:{PASSWORD}"]


def test_skopeo_pushes_pulls_lists_and_deletes(make_node, tmp_path):
    node = make_node()
    admin = node.admin()
    make_repo(admin, "images")
    make_repo(admin, "other")
    at = f"docker://127.0.0.1:{node.port}"
    s = Skopeo(tmp_path / "skopeo")
    s.make_image("img", "v1")
    s.run("copy", *DEST, "oci:img:v1", f"{at}/images/team/app:v1")
    s.run("copy", *DEST, "--format", "v2s2", "oci:img:v1", f"{at}/images/team/app:v2")
    assert json.loads(s.run("list-tags", *ONE, f"{at}/images/team/app"))["Tags"] == ["v1", "v2"]
    raw = s.run("inspect", "--raw", *ONE, f"{at}/images/team/app:v2")
    assert json.loads(raw)["mediaType"].startswith("application/vnd.docker.distribution.manifest.v2")
    s.run("copy", *SRC, *DEST, f"{at}/images/team/app:v1", f"{at}/other/app:v1")
    s.run("copy", *SRC, f"{at}/other/app:v1", "oci:back:v1")
    for root, _, names in os.walk(s.home + "/back/blobs"):
        for name in names:
            with open(f"{root}/{name}", "rb") as f:
                assert hashlib.sha256(f.read()).hexdigest() == name
    s.run("sync", "--src", "docker", "--dest", "dir", *SRC, f"127.0.0.1:{node.port}/images/team/app",
          "synced")
    assert sorted(os.listdir(s.home + "/synced")) == ["app:v1", "app:v2"]
    s.run("delete", *ONE, f"{at}/images/team/app:v1")
    assert json.loads(s.run("list-tags", *ONE, f"{at}/images/team/app"))["Tags"] == ["v2"]
    s.run("inspect", *ONE, f"{at}/images/team/app:v1", fails="manifest unknown")
    s.run("inspect", "--tls-verify=false", "--creds", "admin:Wrong-Password-1!", f"{at}/images/team/app:v2",
          fails="unauthorized: Invalid credentials")
    s.run("login", "--tls-verify=false", "-u", USER, "-p", PASSWORD, f"127.0.0.1:{node.port}")
    s.run("inspect", "--tls-verify=false", f"{at}/other/app:v1")


def upload_in_chunks(clients, name, chunks, digest, last=b""):
    """Every step at the next node. The statuses of the closing PUT."""
    at = iter(range(1 << 30))
    turn = lambda: clients[next(at) % len(clients)]  # noqa: E731
    url = expect(turn(), "POST", f"/v2/{name}/blobs/uploads/", 202).headers["Location"]
    offset = 0
    for chunk in chunks:
        r = expect(turn(), "PATCH", url, 202, chunk, {"Content-Range": f"{offset}-{offset + len(chunk) - 1}",
                                                      "Content-Type": "application/octet-stream"})
        offset += len(chunk)
        assert r.headers["Range"] == f"0-{offset - 1}"
        url = r.headers["Location"]
        assert expect(turn(), "GET", url, 204).headers["Range"] == f"0-{offset - 1}"
    headers = {"Content-Range": f"{offset}-{offset + len(last) - 1}"} if last else {}
    return call(turn(), "PUT", f"{url}?digest={digest}", last, {"Content-Length": str(len(last)), **headers})


def test_chunks_may_go_to_different_nodes(cluster, request):
    clients = [n.admin() for n in cluster.nodes]
    make_repo(clients[0], "images")
    parts = [random.Random(i).randbytes(150_000 + i) for i in range(4)]
    whole = b"".join(parts)
    for algorithm in ("sha256", "sha512"):
        name = f"images/{algorithm}"
        for chunks, last in ((parts, b""), (parts[:3], parts[3]), ([whole], b""), ([], whole)):
            digest = sha(whole, algorithm)
            r = upload_in_chunks(clients, name, chunks, digest, last)
            assert r.status == 201, r
            assert r.headers["Docker-Content-Digest"] == digest
            for c in clients:
                got = expect(c, "GET", f"/v2/{name}/blobs/{digest}", 200)
                assert got.body == whole
            expect(clients[1], "DELETE", f"/v2/{name}/blobs/{digest}", 202)
            for c in clients:
                assert code_of(expect(c, "GET", f"/v2/{name}/blobs/{digest}", 404)) == "BLOB_UNKNOWN"
    # The node that took a chunk starts anew: what it took is still there.
    a, b = clients[0], clients[2]
    url = expect(a, "POST", "/v2/images/x/blobs/uploads/", 202).headers["Location"]
    expect(a, "PATCH", url, 202, parts[0])
    a.node.kill()
    a.node.start()
    a.close()
    expect(b, "PATCH", url, 202, parts[1])
    r = expect(b, "PUT", f"{url}?digest={sha(parts[0] + parts[1])}", 201, b"", {"Content-Length": "0"})
    again = expect(a.node.admin(), "PUT", f"{url}?digest={sha(parts[0] + parts[1])}", 201, b"",
                   {"Content-Length": "0"})
    assert again.headers["Location"] == r.headers["Location"]
    assert expect(b, "GET", r.headers["Location"], 200).body == parts[0] + parts[1]


def test_chunks_are_joined_in_a_bucket(make_node, s3, s3_prefix):
    c = make_node({"storage": s3.storage(s3_prefix)}).admin()
    make_repo(c, "images")
    parts = [random.Random(i).randbytes(700_000 + i) for i in range(3)]
    whole = b"".join(parts)
    assert upload_in_chunks([c], "images/a", parts, sha(whole)).status == 201
    assert expect(c, "GET", f"/v2/images/a/blobs/{sha(whole)}", 200).body == whole


def test_uploads_refuse_what_is_wrong(make_node):
    c = make_node().admin()
    make_repo(c, "images", **{"content-length-max": 100_000})
    url = expect(c, "POST", "/v2/images/a/blobs/uploads/", 202).headers["Location"]
    expect(c, "PATCH", url, 202, b"x" * 10, {"Content-Range": "0-9"})
    for start in (0, 20):
        r = expect(c, "PATCH", url, 416, b"y" * 10, {"Content-Range": f"{start}-{start + 9}"})
        assert r.headers["Range"] == "0-9" and r.headers["Location"] == url
    expect(c, "PATCH", url, 400, b"y" * 10, {"Content-Range": "10-11"})
    expect(c, "PATCH", url, 400, b"y" * 10, {"Content-Range": "nonsense"})
    expect(c, "GET", url.replace("/a/", "/b/"), 404)
    assert code_of(expect(c, "PATCH", url, 413, b"z" * 99_999)) == "SIZE_INVALID"
    assert code_of(expect(c, "PUT", url + "?digest=sha256:no", 400)) == "DIGEST_INVALID"
    assert code_of(expect(c, "PUT", f"{url}?digest={sha(b'other')}", 400, b"")) == "DIGEST_INVALID"
    assert code_of(expect(c, "GET", url, 404)) == "BLOB_UPLOAD_UNKNOWN"
    url = expect(c, "POST", "/v2/images/a/blobs/uploads/", 202).headers["Location"]
    expect(c, "DELETE", url, 204)
    expect(c, "DELETE", url, 404)
    assert code_of(expect(c, "POST", f"/v2/images/a/blobs/uploads/?digest={sha(b'a')}", 400, b"b")) \
        == "DIGEST_INVALID"
    assert code_of(expect(c, "POST", f"/v2/images/a/blobs/uploads/?digest={sha(b'a')}", 413,
                          b"b" * 100_001)) \
        == "SIZE_INVALID"
    expect(c, "POST", "/v2/images/UPPER/blobs/uploads/", 400)
    assert code_of(expect(c, "POST", "/v2/nowhere/a/blobs/uploads/", 404)) == "NAME_UNKNOWN"
    assert code_of(expect(c, "POST", "/v2/images/a/manifests/latest", 405)) == "UNSUPPORTED"


def test_manifests_are_checked_and_mounts_made(make_node):
    c = make_node().admin()
    make_repo(c, "images")
    make_repo(c, "other")
    data = push_image(c, "images/a", "v1", b"one")
    digest = sha(data)
    for reference in ("v1", digest):
        r = expect(c, "GET", f"/v2/images/a/manifests/{reference}", 200)
        assert (r.body, r.headers["Docker-Content-Digest"], r.headers["Content-Type"]) == \
            (data, digest, OCI_MANIFEST)
    expect(c, "GET", "/v2/images/a/manifests/v1", 200, headers={"Accept": "text/html, */*;q=0.1"})
    expect(c, "GET", "/v2/images/a/manifests/v1", 404, headers={"Accept": OCI_INDEX})
    put = {"Content-Type": OCI_MANIFEST}
    where = "/v2/images/a/manifests/bad"
    assert code_of(expect(c, "PUT", where, 400, b"{", put)) == "MANIFEST_INVALID"
    assert code_of(expect(c, "PUT", where, 400, b"[]", put)) == "MANIFEST_INVALID"
    assert code_of(expect(c, "PUT", where, 413, b" " * (4 << 20) + b"{}", put)) == "SIZE_INVALID"
    missing = {"mediaType": "a/b", "digest": sha(b"missing"), "size": 7}
    assert code_of(expect(c, "PUT", where, 404, manifest(missing, []), put)) == "MANIFEST_BLOB_UNKNOWN"
    assert code_of(expect(c, "PUT", f"/v2/images/a/manifests/{sha(b'no')}", 400, data,
                          put)) == "DIGEST_INVALID"
    elsewhere = dict(missing, mediaType="application/vnd.oci.image.layer.nondistributable.v1.tar")
    config = push_blob(c, "images/a", EMPTY)
    push_manifest(c, "images/a", manifest(config, [elsewhere]), "foreign")
    # An index, an index of it, and something that only its makers know.
    index = json.dumps({"schemaVersion": 2, "manifests": [
        {"mediaType": OCI_MANIFEST, "digest": digest, "size": len(data)}]}).encode()
    push_manifest(c, "images/a", index, "index", OCI_INDEX)
    nested = json.dumps({"schemaVersion": 2, "manifests": [
        {"mediaType": OCI_INDEX, "digest": sha(index), "size": len(index)}]}).encode()
    push_manifest(c, "images/a", nested, "nested", OCI_INDEX)
    push_manifest(c, "images/a", b'{"any": "thing"}', "custom", "application/vnd.example.custom+json")
    r = expect(c, "GET", "/v2/images/a/manifests/custom", 200)
    assert r.headers["Content-Type"] == "application/vnd.example.custom+json"
    assert code_of(expect(c, "PUT", "/v2/images/b/manifests/x", 404, index, {"Content-Type": OCI_INDEX})) \
        == "MANIFEST_BLOB_UNKNOWN"
    make_repo(c, "sparse", **{"sparse-manifests": True})
    push_manifest(c, "sparse/a", index, "index", OCI_INDEX)
    # Mounts: from another image and another repository; what is not there becomes an upload.
    layer = sha(b"one")
    for name in ("images/b", "other/c"):
        r = expect(c, "POST", f"/v2/{name}/blobs/uploads/?mount={layer}&from=images/a", 201)
        assert expect(c, "GET", r.headers["Location"], 200).body == b"one"
    expect(c, "POST", f"/v2/other/d/blobs/uploads/?mount={layer}", 201)
    expect(c, "POST", f"/v2/other/c/blobs/uploads/?mount={sha(b'none')}", 202)
    expect(c, "POST", f"/v2/other/c/blobs/uploads/?mount={sha(b'none')}&from=images/a", 202)
    expect(c, "POST", f"/v2/other/c/blobs/uploads/?mount={layer}&from=nowhere/a", 202)
    r = expect(c, "GET", f"/v2/images/a/blobs/{layer}", 206, headers={"Range": "bytes=1-2"})
    assert r.body == b"ne"
    # A manifest goes with its tags; the other tags stay.
    push_manifest(c, "images/a", data, "v2")
    before = tags(c, "images/a")
    expect(c, "DELETE", f"/v2/images/a/manifests/{digest}", 202)
    assert tags(c, "images/a") == [t for t in before if t not in ("v1", "v2")]
    for reference in ("v1", "v2", digest):
        assert code_of(expect(c, "GET", f"/v2/images/a/manifests/{reference}", 404)) == "MANIFEST_UNKNOWN"
    assert code_of(expect(c, "DELETE", f"/v2/images/a/manifests/{digest}", 404)) == "MANIFEST_UNKNOWN"


def test_lists_come_in_pages(make_node):
    c = make_node().admin()
    make_repo(c, "images")
    make_repo(c, "more")
    data = push_image(c, "images/a", "t0")
    every = sorted(f"t{i}" for i in range(25))
    for t in every:
        push_manifest(c, "images/a", data, t)
    assert tags(c, "images/a") == every
    seen, url = [], "/v2/images/a/tags/list?n=7"
    while url:
        r = expect(c, "GET", url, 200)
        assert len(r.json()["tags"]) <= 7
        seen += r.json()["tags"]
        link = r.headers["Link"]
        url = link[1:link.index(">")] if link else None
    assert seen == every
    assert tags(c, "images/a", "?n=0") == [] and tags(c, "images/a",
                                                      "?last=t23") == every[every.index("t24"):]
    assert code_of(expect(c, "GET", "/v2/images/none/tags/list", 404)) == "NAME_UNKNOWN"
    for name in ("images/a/b", "images/a-b", "images/z", "more/c"):
        push_image(c, name, "x")
    push_blob(c, "images/only-a-blob", b"1")
    seen, url = [], "/v2/_catalog?n=2"
    while url:
        r = expect(c, "GET", url, 200)
        seen += r.json()["repositories"]
        link = r.headers["Link"]
        url = link[1:link.index(">")] if link else None
    assert seen == ["images/a-b", "images/a", "images/a/b", "images/z", "more/c"]
    assert expect(c, "GET", "/v2/_catalog", 200).json()["repositories"] == seen


def test_referrers_pushed_at_once_are_all_listed(cluster):
    clients = [n.admin() for n in cluster.nodes]
    make_repo(clients[0], "images")
    subject = push_image(clients[0], "images/a", "v1")
    digest = sha(subject)
    config = dict(push_blob(clients[0], "images/a", EMPTY), mediaType="application/vnd.example.sbom")
    of = {"mediaType": OCI_MANIFEST, "digest": digest, "size": len(subject)}
    made = [manifest(config, [], subject=of, annotations={"number": str(i)},
                     **({"artifactType": "application/vnd.example.signature"} if i % 3 == 0 else {}))
            for i in range(24)]
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        for r in pool.map(lambda i: push_manifest(clients[i % 3], "images/a", made[i]), range(24)):
            assert r.headers["OCI-Subject"] == digest
    for c in clients:
        got = {d["digest"]: d for d in referrers(c, "images/a", digest).json()["manifests"]}
        assert set(got) == {sha(m) for m in made}
        one = got[sha(made[1])]
        assert (one["artifactType"], one["annotations"], one["size"]) == \
            ("application/vnd.example.sbom", {"number": "1"}, len(made[1]))
        r = referrers(c, "images/a", digest, "?artifactType=application/vnd.example.signature")
        assert r.headers["OCI-Filters-Applied"] == "artifactType"
        assert len(r.json()["manifests"]) == 8
        assert referrers(c, "images/a", sha(b"nobody")).json()["manifests"] == []
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda i: expect(clients[i % 3], "DELETE", f"/v2/images/a/manifests/{sha(made[i])}",
                                       202),
                      range(1, 24)))
    for c in clients:
        assert [d["digest"] for d in referrers(c, "images/a", digest).json()["manifests"]] == [sha(made[0])]
    # A manifest that goes while it gets tags: each tag is there with it, or not at all.
    one = push_image(clients[0], "images/b", "t0")

    def race(i):
        if i % 5 == 4:
            call(clients[i % 3], "DELETE", f"/v2/images/b/manifests/{sha(one)}")
        else:
            push_manifest(clients[i % 3], "images/b", one, f"t{i}")
    with concurrent.futures.ThreadPoolExecutor(5) as pool:
        list(pool.map(race, range(30)))
    there = call(clients[1], "GET", f"/v2/images/b/manifests/{sha(one)}").status
    for tag in tags(clients[2], "images/b"):
        expect(clients[0], "GET", f"/v2/images/b/manifests/{tag}", there)
        assert there == 200
    # A moved tag is moved everywhere in the very next request.
    for i in range(6):
        push_manifest(clients[i % 3], "images/a", made[i], "moving")
        for c in clients:
            r = expect(c, "HEAD", "/v2/images/a/manifests/moving", 200)
            assert r.headers["Docker-Content-Digest"] == sha(made[i])


def test_the_management_api_shows_and_deletes_images(make_node):
    c = make_node().admin()
    make_repo(c, "images")
    data = push_image(c, "images/team/app", "v1")
    push_manifest(c, "images/team/app", data, "v2")
    config = push_blob(c, "images/team/app", EMPTY)
    of = {"mediaType": OCI_MANIFEST, "digest": sha(data), "size": len(data)}
    signature = manifest(config, [], subject=of)
    push_manifest(c, "images/team/app", signature)
    where = "team/app/_manifests/sha256/"
    pull = c.must("GET", "/repositories/images/artifact/pull?path=team/app/_tags/v1")
    assert f"docker pull 127.0.0.1:{c.node.port}/images/team/app:v1" in json.dumps(pull)
    c.must("DELETE", "/repositories/images/artifacts", {"path": where + sha(signature)[7:]})
    assert referrers(c, "images/team/app", sha(data)).json()["manifests"] == []
    c.must("DELETE", "/repositories/images/artifacts", {"path": "team/app/_tags/v2"})
    assert tags(c, "images/team/app") == ["v1"]
    expect(c, "GET", f"/v2/images/team/app/manifests/{sha(data)}", 200)
    c.must("DELETE", "/repositories/images/artifacts", {"path": where + sha(data)[7:]})
    expect(c, "GET", "/v2/images/team/app/manifests/v1", 404)
    push_image(c, "images/team/app", "v1")
    c.must("DELETE", "/repositories/images/packages", {"path": "team/app"})
    assert code_of(expect(c, "GET", "/v2/images/team/app/tags/list", 404)) == "NAME_UNKNOWN"
    assert expect(c, "GET", "/v2/_catalog", 200).json()["repositories"] == []


def test_who_may_and_how_they_sign_in(make_node):
    node = make_node()
    admin = node.admin()
    make_repo(admin, "images")
    push_image(admin, "images/open", "v1")
    push_image(admin, "images/shut", "v1")
    admin.put_role("puller", {"docker_repository_permissions": {"images": {"open": ["pull"]}}})
    admin.put_role("pusher", {"docker_repository_permissions": {"images": {"mine": ["pull", "push"]}}})
    admin.put_user("anna", roles=["puller"])
    admin.put_user("bert", roles=["pusher"])
    anna, bert = Client(node, "anna", PASSWORD), Client(node, "bert", PASSWORD)
    expect(anna, "GET", "/v2/images/open/manifests/v1", 200)
    for method, path in (("GET", "/v2/images/shut/manifests/v1"), ("PUT", "/v2/images/open/manifests/v1"),
                         ("DELETE", "/v2/images/open/manifests/v1"), ("POST",
                                                                      "/v2/images/open/blobs/uploads/")):
        assert code_of(expect(anna, method, path, 403)) == "DENIED"
    assert expect(anna, "GET", "/v2/_catalog", 200).json()["repositories"] == ["images/open"]
    # Nothing that one may not pull can be mounted; a tag that exists is not overwritten without permission.
    expect(bert, "POST", f"/v2/images/mine/blobs/uploads/?mount={sha(b'layer')}&from=images/shut", 202)
    expect(bert, "POST", f"/v2/images/mine/blobs/uploads/?mount={sha(b'layer')}", 202)
    first = push_image(bert, "images/mine", "v1", b"1")
    push_manifest(bert, "images/mine", first, "v1")
    config = push_blob(bert, "images/mine", EMPTY)
    second = manifest(config, [])
    assert code_of(expect(bert, "PUT", "/v2/images/mine/manifests/v1", 403, second,
                          {"Content-Type": OCI_MANIFEST})) == "DENIED"
    push_manifest(bert, "images/mine", second, "v2")
    # Nobody: the challenge leads to a token.
    nobody = Client(node)
    r = expect(nobody, "GET", "/v2/", 401)
    assert code_of(r) == "UNAUTHORIZED"
    basic, bearer = r.headers.get_all("WWW-Authenticate")
    assert basic == 'Basic realm="pantera"'
    realm = bearer.split('realm="')[1].split('"')[0]
    assert realm == f"http://127.0.0.1:{node.port}/v2/token"
    expect(nobody, "GET", "/v2/token?service=pantera", 401)
    token = expect(anna, "GET", "/v2/token?service=pantera&scope=repository:images/open:pull", 200).json()
    assert token["token"] == token["access_token"] and token["expires_in"] == 300
    signed = Client(node, token=token["token"])
    expect(signed, "GET", "/v2/images/open/manifests/v1", 200)
    expect(signed, "GET", "/v2/images/shut/manifests/v1", 403)
    # A token for a password gives itself back, and no longer one.
    again = expect(Client(node, "anna", token["token"]), "GET", "/v2/token", 200).json()
    assert again["token"] == token["token"]
    admin.must("PUT", "/users/anna", {"pass": PASSWORD, "roles": []})
    expect(signed, "GET", "/v2/images/open/manifests/v1", 403)


# --- proxies and groups ---

class Registry:
    """Debian's docker-registry as somebody else's upstream; its log is what it was asked."""

    def __init__(self, directory):
        self.port, self.log = free_port(), os.path.join(directory, "registry.log")
        config = os.path.join(directory, "registry.yml")
        with open(config, "w", encoding="utf-8") as f:
            json.dump({"version": 0.1, "log": {"accesslog": {"disabled": False}, "formatter": "json"},
                       "storage": {"filesystem": {"rootdirectory": directory + "/registry"},
                                   "delete": {"enabled": True}},
                       "http": {"addr": f"127.0.0.1:{self.port}"}}, f)
        self.config = config
        self.start()

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(["docker-registry", "serve", self.config], stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL)
        wait_until("docker-registry", lambda: socket.create_connection(("127.0.0.1", self.port)))

    def stop(self):
        self.process.terminate()
        self.process.wait(10)

    def asked(self, what=""):
        """How many requests of ours for paths with `what` in them it has answered."""
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return sum(1 for line in f if re.search(r'"[A-Z]+ /v2/[^ ]*' + what + '.*"pantera/', line))


@pytest.fixture
def upstream(tmp_path):
    os.makedirs(tmp_path / "upstream")
    registry = Registry(str(tmp_path / "upstream"))
    yield registry
    registry.stop()


def make_proxy(client, name, url, **config):
    config.setdefault("cache", {"metadata": {"ttl": "1h"}})
    client.must("PUT", f"/repositories/{name}", {"repo": {
        "type": "docker-proxy", "storage": "default", "remotes": [{"url": url, **config.pop("remote", {})}],
        **config}})


def make_group(client, name, members, **config):
    client.must("PUT", f"/repositories/{name}", {"repo": {"type": "docker-group", "members": members,
                                                          **config}})




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
    assert upstream.asked("(manifests/(v1|sha256:)|blobs)") == warm + 1  # by digest, which nobody had asked for before
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
        # A page that fails: what is known stays, and a part is not taken for the whole. A new last page comes.
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


@only_if(os.environ.get("PANTERA_OCI_CONFORMANCE"))
def test_the_conformance_suite_passes(make_node, tmp_path):
    node = make_node()
    admin = node.admin()
    make_repo(admin, "one", **{"sparse-manifests": True})
    make_repo(admin, "two")
    settings = {"DATA_SPARSE": "true","REGISTRY": f"127.0.0.1:{node.port}", "TLS": "disabled",
                "REPO1": "one/conformance/first",
                "REPO2": "two/conformance/second", "USERNAME": USER, "PASSWORD": PASSWORD, "VERSION":
                "1.1+dev", "RESULTS_DIR": str(tmp_path)}
    p = subprocess.run([os.environ["PANTERA_OCI_CONFORMANCE"]], cwd=tmp_path, capture_output=True, text=True,
                       timeout=300, check=False, env=dict(os.environ, **{"OCI_" + k: v for k,
                                                                         v in settings.items()}))
    assert p.returncode == 0, p.stdout[-4000:]
