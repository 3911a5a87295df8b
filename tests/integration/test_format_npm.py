# SPDX-License-Identifier: Apache-2.0
"""npm: real clients publish, install, tag, deprecate and unpublish, against one node and against three with
each request on another; what two nodes change at once stays; what is wrong is refused, in words that a client
shows."""
import base64
import hashlib
import io
import json
import os
import pty
import select
import socket
import tarfile
import threading
import time

import pytest

from npm_clients import Home
from pantera import PASSWORD, USER
from spread import Spread


@pytest.fixture
def spread():
    made = []

    def make(nodes):
        made.append(Spread(nodes))
        return made[-1]

    yield make
    for s in made:
        s.close()


def put_npm(admin, name="npm", **more):
    admin.must("PUT", f"/repositories/{name}", {"repo": {"type": "npm", "storage": "default", **more}})


def api_token(admin, label="test"):
    return admin.must("POST", "/auth/token/generate", {"label": label})["token"]


def tgz(name, version, files=None, **manifest):
    """A package as bytes, as npm packs it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as t:
        everything = {"package.json": json.dumps({"name": name, "version": version, **manifest}),
                      "index.js": "module.exports = 1\n", **(files or {})}
        for path, text in everything.items():
            info = tarfile.TarInfo("package/" + path)
            info.size = len(text.encode())
            t.addfile(info, io.BytesIO(text.encode()))
    return out.getvalue()


def document(name, version, data, tag="latest", over=None):
    """What npm publish sends."""
    dist = {"integrity": "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode(),
            "shasum": hashlib.sha1(data).hexdigest(), "tarball": "http://example/elsewhere.tgz"}
    doc = {"_id": name, "name": name, "dist-tags": {tag: version},
           "versions": {version: {"name": name, "version": version, "dist": dist}},
           "_attachments": {f"{name}-{version}.tgz": {"content_type": "application/octet-stream",
                                                      "data": base64.b64encode(data).decode(),
                                                      "length": len(data)}}}
    doc.update(over or {})
    return doc


def publish(client, name, version, repo="npm", data=None, tag="latest"):
    data = data or tgz(name, version)
    return client.repo("PUT", f"/{repo}/{name.replace('/', '%2f')}",
                       json.dumps(document(name, version, data, tag)).encode(),
                       {"Content-Type": "application/json"})


def packument(client, name, repo="npm"):
    return client.get(f"/{repo}/{name}").json()


def life(home, name, name2):
    """A package is published, needed by another, installed."""
    folder = home.package(name, "1.0.0", description="first")
    home.npm("publish", cwd=folder)
    home.npm("publish", cwd=home.package(name, "1.1.0"))
    home.npm("publish", "--tag", "next", cwd=home.package(name, "2.0.0-rc.1"))
    home.npm("publish", cwd=home.package(name2, "1.0.0", dependencies={name: "^1.0.0"}))
    project = home.project(dependencies={name2: "*"})
    home.npm("install", cwd=project)
    assert home.has(project, name) == "1.1.0"
    with open(os.path.join(project, "package-lock.json"), encoding="utf-8") as f:
        locked = json.load(f)["packages"]["node_modules/" + name]
    assert locked["resolved"].startswith(home.registry) and locked["integrity"].startswith("sha512-")


def age(home, name):
    """What becomes of it later."""
    home.npm("dist-tag", "add", f"{name}@1.0.0", "old")
    tags = home.npm("dist-tag", "ls", name).stdout.split("\n")
    assert sorted(t for t in tags if t) == ["latest: 1.1.0", "next: 2.0.0-rc.1", "old: 1.0.0"]
    home.npm("dist-tag", "rm", name, "old")
    home.npm("deprecate", f"{name}@1.0.0", "use 1.1.0")
    assert home.npm("view", f"{name}@1.0.0", "deprecated").stdout.strip() == "use 1.1.0"
    home.npm("deprecate", f"{name}@1.0.0", "")
    again = home.npm("publish", cwd=home.package(name, "1.1.0"), ok=False)
    assert "previously published versions" in again.said, again.said
    home.npm("unpublish", f"{name}@1.1.0", "--force")
    seen = json.loads(home.npm("view", name, "--json").stdout)
    assert seen["versions"] == ["1.0.0", "2.0.0-rc.1"] and seen["dist-tags"]["latest"] == "1.0.0"
    assert "deprecated" not in seen
    home.npm("unpublish", name, "--force")
    assert "E404" in home.npm("view", name, ok=False).said


def test_npm_one_node(make_node):
    node = make_node()
    admin = node.admin()
    put_npm(admin)
    home = Home(node.dir + "/home", f"http://127.0.0.1:{node.port}/npm", api_token(admin))
    life(home, "plain", "@acme/needs-plain")
    age(home, "plain")
    assert home.npm("whoami").stdout.strip() == USER
    home.npm("ping")
    # Nothing is left of what was unpublished, and nobody sees what we keep for ourselves.
    tree = admin.must("GET", "/repositories/npm/tree")
    assert [i["name"] for i in tree["items"]] == ["@acme"], tree


def test_npm_three_nodes(cluster, spread):
    admin = cluster.node(1).admin()
    put_npm(admin)
    front = spread(cluster.nodes)
    home = Home(cluster.dir + "/home", f"http://127.0.0.1:{front.port}/npm", api_token(admin))
    life(home, "@acme/scoped", "needs-scoped")
    home.npm("unpublish", "@acme/scoped@1.1.0", "--force")
    for node in cluster.nodes:
        assert packument(admin.at(node), "@acme/scoped")["dist-tags"]["latest"] == "1.0.0"
    assert all(n >= 5 for n in front.counts.values()), front.counts


# --- without a client: what goes over the wire ---

def test_documents(make_node):
    """Whole, short, one version, tags; conditions; both ways to write a scope."""
    node = make_node()
    admin = node.admin()
    put_npm(admin)
    for name in ("a", "@s/n"):
        assert publish(admin, name, "1.0.0").status == 201
        assert publish(admin, name, "1.1.0-rc.1", tag="next").status == 201
        bare, base = name.split("/")[-1], f"http://127.0.0.1:{node.port}/npm"
        whole = packument(admin, name)
        assert whole["dist-tags"] == {"latest": "1.0.0", "next": "1.1.0-rc.1"}
        dist = whole["versions"]["1.0.0"]["dist"]
        assert dist["tarball"] == f"{base}/{name}/-/{bare}-1.0.0.tgz"
        assert whole["_rev"].startswith("2-")
        assert set(whole["time"]) == {"created", "modified", "1.0.0", "1.1.0-rc.1"}
        data = admin.get(dist["tarball"].removeprefix(f"http://127.0.0.1:{node.port}")).body
        assert dist["integrity"] == "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode()
        assert dist["fileCount"] == 2 and dist["unpackedSize"] > 20
        accept = {"Accept": "application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8, */*"}
        short = admin.repo("GET", f"/npm/{name.replace('/', '%2f')}", headers=accept)
        assert short.headers["Content-Type"] == "application/vnd.npm.install-v1+json"
        assert short.json()["time"] == whole["time"] and "_id" not in short.json()["versions"]["1.0.0"]
        again = admin.repo("GET", f"/npm/{name}", headers={**accept, "If-None-Match": short.headers["ETag"]})
        assert again.status == 304 and not again.body
        assert admin.get(f"/npm/{name}/next").json()["version"] == "1.1.0-rc.1"
        assert admin.get(f"/npm/{name}/1.0.0").json()["dist"] == dist
        assert admin.get(f"/npm/{name}/9.9.9", 404).json() == {"error": "version not found: 9.9.9"}
        assert admin.get(f"/npm/-/package/{name}/dist-tags").json() == whole["dist-tags"]
        assert admin.repo("HEAD", f"/npm/{name}").status == 200
    # Through another name of the same place the links lead there.
    other = admin.repo("GET", "/api/npm/npm/a", headers={"Host": "other:81"}).json()
    assert other["versions"]["1.0.0"]["dist"]["tarball"] == "http://other:81/api/npm/npm/a/-/a-1.0.0.tgz"
    assert publish(admin, "npm", "1.0.0").status == 201 # called like its repository
    assert packument(admin, "npm")["versions"]["1.0.0"]["dist"]["tarball"] == f"{base}/npm/-/npm-1.0.0.tgz"
    # What is ours alone can't be asked for, nor written.
    assert admin.repo("GET", "/npm/.npm/a/packument.json").status == 404
    assert admin.repo("PUT", "/npm/.npm/a/packument.json", b"{}").status == 404
    found = admin.must("GET", "/search?q=repo:npm")["items"]
    known = {(i["artifact_name"], i["version"]) for i in found}
    assert known >= {("a", "1.0.0"), ("@s/n", "1.1.0-rc.1")}, found
    assert not [i for i in found if ".npm" in i["artifact_path"]]


def test_search(make_node):
    node = make_node()
    admin = node.admin()
    put_npm(admin)
    put_npm(admin, "other")
    for name in ("apple-pie", "apple-juice", "@fruit/apple", "pear"):
        for version in ("1.0.0", "1.1.0"):
            publish(admin, name, version)
    publish(admin, "apple-secret", "1.0.0", "other")
    home = Home(node.dir + "/home", f"http://127.0.0.1:{node.port}/npm", api_token(admin))
    seen = json.loads(home.npm("search", "apple", "--json").stdout)
    assert [(p["name"], p["version"]) for p in seen] == [
        ("@fruit/apple", "1.1.0"), ("apple-juice", "1.1.0"), ("apple-pie", "1.1.0")], seen
    answer = admin.get("/npm/-/v1/search?text=&size=2&from=1").json()
    assert answer["total"] == 4
    assert [o["package"]["name"] for o in answer["objects"]] == ["apple-juice", "apple-pie"]
    answer = admin.get("/npm/-/v1/search?text=scope:fruit%20apple").json()
    assert [o["package"]["name"] for o in answer["objects"]] == ["@fruit/apple"]
    admin.must("PUT", "/repositories/all", {"repo": {"type": "npm-group", "members": ["npm", "other"]}})
    assert admin.get("/all/-/v1/search?text=apple").json()["total"] == 4


def test_provenance(make_node):
    """A bundle that comes with a publish is given to who asks, and named in the document."""
    node = make_node()
    admin = node.admin()
    put_npm(admin)
    data = tgz("a", "1.0.0")
    statement = {"predicateType": "https://slsa.dev/provenance/v1"}
    bundle = {"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json", "dsseEnvelope": {
        "payload": base64.b64encode(json.dumps(statement).encode()).decode(), "payloadType": "x"}}
    doc = document("a", "1.0.0", data)
    text = json.dumps(bundle)
    doc["_attachments"]["a-1.0.0.sigstore"] = {"content_type": bundle["mediaType"], "data": text,
                                               "length": len(text)}
    assert admin.repo("PUT", "/npm/a", json.dumps(doc).encode(),
                      {"Content-Type": "application/json"}).status == 201
    said = packument(admin, "a")["versions"]["1.0.0"]["dist"]["attestations"]
    assert said == {"url": f"http://127.0.0.1:{node.port}/npm/-/npm/v1/attestations/a@1.0.0",
                    "provenance": {"predicateType": statement["predicateType"]}}
    got = admin.get("/npm/-/npm/v1/attestations/a@1.0.0").json()
    assert got == {"attestations": [{"predicateType": statement["predicateType"], "bundle": bundle}]}
    doc["_attachments"]["a-1.0.0.sigstore"]["data"] = "{}"
    assert admin.repo("PUT", "/npm/a", json.dumps(doc).encode()).status == 400


def test_publish_is_judged(make_node):
    """A document that isn't about its bytes is refused, says why in npm's shape, and leaves nothing."""
    node = make_node()
    admin = node.admin()
    put_npm(admin)
    good = tgz("a", "1.0.0")

    def refused(doc, status, word):
        body = doc if isinstance(doc, bytes) else json.dumps(doc).encode()
        r = admin.repo("PUT", "/npm/a", body, {"Content-Type": "application/json"})
        assert r.status == status and word in r.json()["error"], r

    bad = document("a", "1.0.0", good)
    bad["versions"]["1.0.0"]["dist"]["shasum"] = "0" * 40
    refused(bad, 422, "dist.shasum")
    bad = document("a", "1.0.0", good)
    bad["versions"]["1.0.0"]["dist"]["integrity"] = "sha512-" + "A" * 86 + "=="
    refused(bad, 422, "dist.integrity")
    bad = document("a", "1.0.0", good)
    bad["_attachments"]["a-1.0.0.tgz"]["length"] += 1
    refused(bad, 400, "as announced")
    refused(document("a", "1.0.0", tgz("b", "1.0.0")), 400, "holds the package 'b'")
    refused(document("a", "1.0.0", tgz("a", "1.0.1")), 400, "holds the version '1.0.1'")
    refused(document("a", "1.0.0", b"no tarball"), 400, "archive")
    refused(document("a", "1.x", tgz("a", "1.x")), 400, "not a version")
    refused(document("a", "1.0.0", good, over={"name": "b"}), 400, "about 'b'")
    refused(document("a", "1.0.0", good, tag="1.0"), 400, "can't be a tag")
    refused(json.dumps(document("a", "1.0.0", good)).encode()[:-20], 400, "JSON")
    refused(b"[]", 400, "not a JSON object")
    bad = json.dumps(document("a", "1.0.0", good)).replace('"data": "', '"data": "!')
    refused(bad.encode(), 400, "base64")
    big = document("a", "1.0.0", good)
    big["readme"] = "x" * (17 << 20)
    refused(big, 413, "larger than")
    admin.close()  # the rest of that body is nobody's
    r = admin.repo("PUT", "/npm/UPPER", b"{}", {"Content-Type": "application/json"})
    assert r.status == 400 and "not a name" in r.json()["error"]
    assert admin.get("/npm/a", 404).json() == {"error": "package 'a' not found"}
    put_npm(admin, "small", **{"content-length-max": 100})
    data = tgz("a", "1.0.0", {"x": str(time.time()) * 99})
    assert publish(admin, "a", "1.0.0", "small", data=data).status == 413
    admin.close()
    r = admin.api("PUT", "/repositories/x", {"repo": {"type": "npm", "storage": "default", "colour": "red"}})
    assert r.status == 400 and "colour" in r.body.decode()
    # The same, right; with its facts.
    data = tgz("a", "1.0.0", {"binding.gyp": "{}", "npm-shrinkwrap.json": "{}"})
    assert publish(admin, "a", "1.0.0", data=data).status == 201
    v = packument(admin, "a")["versions"]["1.0.0"]
    assert v["hasInstallScript"] is True and v["_hasShrinkwrap"] is True
    again = publish(admin, "a", "1.0.0")
    assert again.status == 409 and "previously published versions: 1.0.0" in again.json()["error"]


def test_bare_tarball(make_node):
    node = make_node()
    admin = node.admin()
    put_npm(admin)
    assert admin.repo("PUT", "/npm/whatever.tgz", tgz("@s/n", "1.0.0")).status == 201
    assert admin.repo("PUT", "/npm/@s/n/-/n-1.1.0.tgz?tag=next", tgz("@s/n", "1.1.0")).status == 201
    assert packument(admin, "@s/n")["dist-tags"] == {"latest": "1.0.0", "next": "1.1.0"}
    r = admin.repo("PUT", "/npm/@s/n/-/n-1.2.0.tgz", tgz("@s/n", "1.3.0"))
    assert r.status == 400 and "holds the version" in r.json()["error"]
    assert admin.repo("PUT", "/npm/x.tgz", b"nothing").status == 400


def test_large_tarball_streams(make_node):
    """40 MiB in a JSON body: memory stays far below."""
    node = make_node()
    admin = node.admin()
    put_npm(admin)
    data = tgz("big", "1.0.0")
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", compresslevel=0) as t:
        for name, content in (("package.json", b'{"name": "big", "version": "1.0.0"}'),
                              ("noise", os.urandom(40 << 20))):
            info = tarfile.TarInfo("package/" + name)
            info.size = len(content)
            t.addfile(info, io.BytesIO(content))
    data = out.getvalue()
    publish(admin, "small", "1.0.0")
    before = node.memory()
    node.reset_peak()
    assert publish(admin, "big", "1.0.0", data=data).status == 201
    assert node.memory("VmHWM") - before < 24 << 20
    got = admin.get("/npm/big/-/big-1.0.0.tgz").body
    assert hashlib.sha256(got).digest() == hashlib.sha256(data).digest()


def test_a_publisher_who_goes(make_node):
    """Wherever a client hangs up, nothing is published and nothing breaks."""
    node = make_node()
    admin = node.admin()
    put_npm(admin)
    body = json.dumps(document("a", "1.0.0", tgz("a", "1.0.0", {"noise": os.urandom(300000).hex()}))).encode()
    head = (f"PUT /npm/a HTTP/1.1\r\nHost: x\r\nAuthorization: {admin.authorization}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n").encode()
    for sent in (0, 10, 400, 70000, len(body) // 2, len(body) - 1):
        with socket.create_connection(("127.0.0.1", node.port)) as s:
            s.sendall(head + body[:sent])
    with socket.create_connection(("127.0.0.1", node.port)) as s:
        s.sendall(head + body[:len(body) // 2] + b"!" * (len(body) - len(body) // 2))
        assert b" 400 " in s.recv(100)
    assert admin.get("/npm/a", 404).json() == {"error": "package 'a' not found"}
    assert publish(admin, "a", "1.0.0").status == 201 and node.alive()


def test_two_nodes_at_once(cluster):
    """Whatever two nodes publish, tag and delete of one package at the same time: all of it has happened, and
    every node says so in the next request."""
    admins = [n.admin() for n in cluster.nodes]
    put_npm(admins[0])
    assert publish(admins[0], "a", "0.0.1").status == 201
    results, rounds = [], 4

    def work(i):
        for r in range(rounds):
            for attempt in range(20):
                answer = publish(admins[i], "a", f"1.{r}.{i}")
                if answer.status != 503:
                    break
                time.sleep(0.1)
            results.append((answer.status, f"1.{r}.{i}"))
            body = json.dumps(f"1.{r}.{i}").encode()
            admins[i].repo("PUT", f"/npm/-/package/a/dist-tags/t{i}", body)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert {s for s, _ in results} == {201}, results
    expected = {"0.0.1"} | {v for _, v in results}
    for admin in admins:
        doc = packument(admin, "a")
        assert set(doc["versions"]) == set(doc["time"]) - {"created", "modified"} == expected
        for i in range(3):
            assert doc["dist-tags"][f"t{i}"] == f"1.{rounds - 1}.{i}"
    # Who puts back what he read before others changed it is told, and takes nothing away.
    doc = packument(admins[0], "a")
    assert publish(admins[1], "a", "9.0.0").status == 201
    del doc["versions"]["0.0.1"]
    stale = admins[2].repo("PUT", f"/npm/a/-rev/{doc['_rev']}", json.dumps(doc).encode(),
                           {"Content-Type": "application/json"})
    assert stale.status == 409 and "changed meanwhile" in stale.json()["error"]
    assert {"0.0.1", "9.0.0"} < set(packument(admins[0], "a")["versions"])


def test_management_deletes(make_node):
    """What the management API deletes is in no document afterwards."""
    node = make_node()
    admin = node.admin()
    put_npm(admin)
    for name in ("a", "@s/n", "@s/m"):
        for version in ("1.0.0", "1.1.0"):
            assert publish(admin, name, version).status == 201
    admin.must("DELETE", "/repositories/npm/artifacts", {"path": "a/-/a-1.1.0.tgz"})
    doc = packument(admin, "a")
    assert list(doc["versions"]) == ["1.0.0"] and doc["dist-tags"] == {"latest": "1.0.0"}
    admin.get("/npm/a/-/a-1.1.0.tgz", 404)
    assert admin.api("DELETE", "/repositories/npm/artifacts", {"path": "a/-/a-1.1.0.tgz"}).status == 404
    admin.must("DELETE", "/repositories/npm/packages", {"path": "a"})
    admin.get("/npm/a", 404)
    admin.must("DELETE", "/repositories/npm/packages", {"path": "@s"})
    admin.get("/npm/@s/n", 404)
    admin.get("/npm/@s/m", 404)
    assert publish(admin, "a", "1.0.0").status == 201


# --- who may, and signing in ---

def typed(home, *args, answers):
    """Runs npm on a terminal and types what it asks for: [(what it asks, answer)]."""
    pid, fd = pty.fork()
    if pid == 0:
        os.chdir(home.dir)
        os.execvpe("npm", ["npm", *args], {**home.env, "CI": ""})
    said, left, end = b"", list(answers), time.monotonic() + 60
    while time.monotonic() < end:
        if not select.select([fd], [], [], 0.2)[0]:
            continue
        try:
            piece = os.read(fd, 4096)
        except OSError:
            piece = b""
        if not piece:
            break
        said += piece
        if left and left[0][0].encode() in said.rsplit(b"\n", 1)[-1]:
            os.write(fd, left.pop(0)[1].encode() + b"\r")
            said += b"\n"
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return status, said.decode("utf-8", "replace")


def test_login_and_out(make_node):
    node = make_node()
    admin = node.admin()
    put_npm(admin)
    home = Home(node.dir + "/home", f"http://127.0.0.1:{node.port}/npm")
    status, said = typed(home, "login", "--auth-type=legacy",
                         answers=[("Username:", USER), ("Password:", "wrong")])
    assert status != 0 and "Invalid credentials" in said, said
    # The way of npm's default, which asks for a login in the browser first.
    status, said = typed(home, "login", answers=[("Username:", USER), ("Password:", PASSWORD)])
    assert status == 0, said
    assert home.npm("whoami").stdout.strip() == USER
    assert [t["label"] for t in admin.must("GET", "/auth/tokens")["tokens"]] == ["npm login"]
    home.npm("logout")
    assert admin.must("GET", "/auth/tokens")["tokens"] == []
    assert "ENEEDAUTH" in home.npm("publish", cwd=home.package("a", "1.0.0"), ok=False).said
    with open(node.log_path, encoding="utf-8") as f:
        assert "/-/user/token/self" in f.read()


def test_who_may(make_node):
    """A wrong token, and permissions of each kind, in words that npm shows."""
    node = make_node()
    admin = node.admin()
    put_npm(admin)
    url = f"http://127.0.0.1:{node.port}/npm"
    publish(admin, "a", "1.0.0")
    wrong = Home(node.dir + "/wrong", url, "nonsense")
    said = wrong.npm("publish", cwd=wrong.package("b", "1.0.0"), ok=False).said
    assert "E401" in said and "npm login" in said, said
    admin.put_role("readers", {"adapter_basic_permissions": {"npm": ["read"]}})
    admin.put_user("joe", roles=["readers"])
    joe = Home(node.dir + "/joe", url, api_token(admin.login("joe")))
    project = joe.project(dependencies={"a": "1"})
    joe.npm("install", cwd=project)
    said = joe.npm("publish", cwd=joe.package("b", "1.0.0"), ok=False).said
    assert "no permission to write to repository 'npm'" in said, said
    client = admin.login("joe")
    assert client.repo("DELETE", "/npm/a/-rev/1-x").status == 403
    assert client.repo("PUT", "/npm/-/package/a/dist-tags/x", b'"1.0.0"').status == 403
    admin.put_role("readers", {"adapter_basic_permissions": {"npm": ["read", "write"]}})
    doc = packument(client, "a")
    doc["versions"] = {}
    r = client.repo("PUT", f"/npm/a/-rev/{doc['_rev']}", json.dumps(doc).encode())
    assert r.status == 403 and "delete versions" in r.json()["error"], r
    nobody = type(client)(node)
    assert nobody.repo("GET", "/npm/a").status == 401
    assert nobody.repo("PUT", "/npm/-/user/org.couchdb.user:joe", b"{}").status == 400
    assert nobody.repo("PUT", "/npm/-/user/org.couchdb.user:joe/what/else", b"{}").status == 401
    assert nobody.repo("PUT", "/nope/-/user/org.couchdb.user:joe", b"{}").status == 401
    assert admin.repo("POST", "/npm/-/npm/v1/security/advisories/bulk", b"{}").json() == {}
