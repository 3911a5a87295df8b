# SPDX-License-Identifier: Apache-2.0
"""The format docker: skopeo and umoci as people use them, and the distribution specification where they do
not go. With PANTERA_OCI_CONFORMANCE=PROGRAM (the specification's own suite, built) that runs too.
"""
import concurrent.futures
import hashlib
import json
import os
import random
import subprocess

from oci import (DEST, EMPTY, OCI_INDEX, OCI_MANIFEST, ONE, SRC, Skopeo, call, code_of, expect, make_repo,
                 manifest, push_blob, push_image, push_manifest, referrers, sha, tags)
from pantera import PASSWORD, USER, Client, only_if


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
    longer = sha(b"longer", "sha512")
    expect(c, "POST", f"/v2/images/a/blobs/uploads/?digest={longer}", 201, b"longer")
    r = expect(c, "POST", f"/v2/other/d/blobs/uploads/?mount={longer}", 201)
    assert expect(c, "GET", r.headers["Location"], 200).body == b"longer"
    expect(c, "POST", f"/v2/other/d/blobs/uploads/?mount={sha(b'none', 'sha512')}", 202)
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
    realm = f'Bearer realm="http://127.0.0.1:{node.port}/v2/token",service="pantera"'
    assert bearer == realm
    for method, path, scope in (("GET", "images/a/b/manifests/v1", "repository:images/a/b:pull"),
                                ("POST", "images/a/blobs/uploads/", "repository:images/a:pull,push"),
                                ("DELETE", "images/a/manifests/v1", "repository:images/a:delete"),
                                ("GET", "nowhere/a/tags/list", "repository:nowhere/a:pull"),
                                ("GET", "_catalog?n=1", "registry:catalog:*"),
                                ("GET", 'x"/y/tags/list', None)):
        r = expect(nobody, method, "/v2/" + path, 401)
        assert r.headers.get_all("WWW-Authenticate")[1] == realm + (f',scope="{scope}"' if scope else "")
    expect(nobody, "GET", "/v2/token?service=pantera", 401)


def token(client, *scopes, query=""):
    r = expect(client, "GET", "/v2/token?service=pantera&account=x" + query + "".join(
        "&scope=" + s for s in scopes), 200).json()
    assert r["token"] == r["access_token"] and 0 < r["expires_in"] <= 300
    return Client(client.node, token=r["token"]), r["scope"]


def test_a_token_may_what_was_asked_for_and_no_more(cluster):
    a, b, c = (n.admin() for n in cluster.nodes)
    make_repo(a, "images")
    make_repo(a, "other")
    data = push_image(a, "images/a", "v1")
    push_image(a, "images/b", "v1")
    push_image(a, "other/a", "v1")
    a.put_role("half", {"images": ["read"], "docker_repository_permissions": {
        "images": {"a": ["push"]}, "other": {"a": ["pull"]}}})
    a.put_user("anna", roles=["half"])
    anna = Client(b.node, "anna", PASSWORD)
    # Granted: asked for, and allowed.
    for asked, granted in (
            (["repository:images/a:pull"], "repository:images/a:pull"),
            (["repository:images/a:pull,push"], "repository:images/a:pull,push"),
            (["repository:images/a:*"], "repository:images/a:pull,push"),
            (["repository:images/a:delete", "repository:images/b:push"], ""),
            (["repository:images/a:pull%20repository:other/a:push,pull"],
             "repository:images/a:pull repository:other/a:pull"),
            (["repository:images/b:push,pull", "registry:catalog:*"],
             "repository:images/b:pull registry:catalog:*"),
            (["repository(plugin):images/a:pull", "repository:nowhere/x:pull", "nonsense", "a:b:c", ""],
             "repository:images/a:pull"),
            ([], "")):
        assert token(anna, *asked)[1] == granted, asked
    # A token to pull one image: nothing else, on any node, though its user may; and how to get what may.
    narrow, _ = token(anna, "repository:images/a:pull")
    for node in cluster.nodes:
        narrow.node = node
        assert expect(narrow, "GET", "/v2/images/a/manifests/v1", 200).body == data
        assert tags(narrow, "images/a") == ["v1"]
        expect(narrow, "GET", "/v2/", 200)
        for method, path, scope in (("POST", "images/a/blobs/uploads/", "repository:images/a:pull,push"),
                                    ("GET", "images/b/manifests/v1", "repository:images/b:pull"),
                                    ("GET", "other/a/tags/list", "repository:other/a:pull"),
                                    ("GET", "_catalog", "registry:catalog:*")):
            r = expect(narrow, method, "/v2/" + path, 401)
            assert code_of(r) == "UNAUTHORIZED"
            assert f'scope="{scope}",error="insufficient_scope"' in r.headers["WWW-Authenticate"]
        assert code_of(expect(narrow, "DELETE", "/v2/images/a/manifests/v1", 403)) == "DENIED"
        # Nor is it good for anything else, nor for a wider one.
        assert narrow.api("GET", "/auth/me").status in (401, 403)
        assert narrow.api("POST", "/auth/token/generate", {"label": "x"}).status in (401, 403)
        expect(narrow, "GET", "/images/file", 401)
        expect(narrow, "PUT", "/.import/images/file", 401, b"x")
        assert token(narrow, "repository:images/a:pull,push", "repository:images/b:pull")[1] \
            == "repository:images/a:pull"
    wide, _ = token(anna, "repository:images/a:pull,push", "registry:catalog:*")
    push_blob(wide, "images/a", b"new")
    names = expect(wide, "GET", "/v2/_catalog", 200).json()["repositories"]
    assert names == ["images/a", "images/b", "other/a"]
    nothing, _ = token(anna)
    expect(nothing, "GET", "/v2/", 200)
    expect(nothing, "GET", "/v2/images/a/manifests/v1", 401)
    # It says no more than its user may now, and ends with the token that it was got for.
    api = a.must("POST", "/auth/token/generate", {"label": "ci"})
    by_api, _ = token(Client(c.node, "admin", api["token"]), "repository:images/a:pull")
    expect(by_api, "GET", "/v2/images/a/manifests/v1", 200)
    b.must("DELETE", f"/auth/tokens/{api['id']}")
    expect(by_api, "GET", "/v2/images/a/manifests/v1", 401)
    c.must("PUT", "/users/anna", {"pass": PASSWORD, "roles": []})
    assert code_of(expect(narrow, "GET", "/v2/images/a/manifests/v1", 404)) == "NAME_UNKNOWN"
    assert code_of(expect(narrow, "GET", "/v2/", 403)) == "DENIED"


def test_whom_a_repository_is_no_business_of(make_node):
    node = make_node()
    admin = node.admin()
    make_repo(admin, "images")
    make_repo(admin, "secret")
    push_image(admin, "images/a", "v1")
    push_image(admin, "secret/a", "v1")
    for name, permissions in (("reader", {"adapter_basic_permissions": {"images": ["read"]}}),
                              ("puller", {"docker_repository_permissions": {"images": {"b": ["pull"]}}}),
                              ("lister", {"docker_registry_permissions": {"secret": ["catalog"]}}),
                              ("pinger", {"docker_registry_permissions": {"*": ["base"]}}),
                              ("clerk", {"api_user_permissions": ["read"]})):
        admin.put_role(name, permissions)
        admin.put_user(name, roles=[name])
    ask = {name: Client(node, name, PASSWORD) for name in ("reader", "puller", "lister", "pinger", "clerk")}
    # No right at all: as if it did not exist. Some right: that this is not among them.
    for name, missing, denied in (("reader", "secret", None), ("puller", "secret", "images"),
                                  ("lister", "images", "secret"), ("clerk", "images", None),
                                  ("pinger", "nowhere", "images")):
        for method, path in (("GET", "a/manifests/v1"), ("GET", "none/tags/list"), ("GET", "no"),
                             ("POST", "a/blobs/uploads/"), ("PUT", "UPPER/manifests/x"),
                             ("DELETE", "a/manifests/v1")):
            r, other = (expect(ask[name], method, f"/v2/{repo}/{path}", 404) for repo in (missing, "zzz"))
            assert r.body.replace(missing.encode(), b"zzz") == other.body and code_of(r) == "NAME_UNKNOWN"
        r, other = (expect(ask[name], "GET", f"/{repo}/v2/", 404) for repo in (missing, "zzz"))
        assert r.body.replace(missing.encode(), b"zzz") == other.body
        if denied:
            for image in ("a", "none"):
                r = expect(ask[name], "GET", f"/v2/{denied}/{image}/manifests/v1", 403)
                assert code_of(r) == "DENIED"
    # docker_registry_permissions: base for /v2/, catalog for names; what else one holds gives the first.
    for name, names in (("reader", ["images/a"]), ("puller", []), ("lister", ["secret/a"]),
                        ("pinger", [])):
        expect(ask[name], "GET", "/v2/", 200)
        assert expect(ask[name], "GET", "/v2/_catalog", 200).json()["repositories"] == names
    for path in ("/v2/", "/v2/_catalog"):
        assert code_of(expect(ask["clerk"], "GET", path, 403)) == "DENIED"


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
