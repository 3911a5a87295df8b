# SPDX-License-Identifier: Apache-2.0
"""npm-proxy and npm-group: a tree of more than 50 packages from verdaccio, through a proxy and through a
group of three nodes; who owns a name; cooldown as npm sees it."""
import concurrent.futures
import json
import os
import time

import pytest

from npm_clients import INSTALL, Home, Verdaccio, machine_registry
from pantera import FULL, Client, only_if
from spread import Spread
from test_format_npm import api_token, document, packument, publish, put_npm, tgz
from upstream import Upstream

OLD = "2020-01-01T00:00:00.000Z"


def now():
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())


@pytest.fixture
def closing():
    made = []
    yield lambda thing: made.append(thing) or thing
    for thing in made:
        thing.close()


def put_proxy(admin, name, url, **more):
    admin.must("PUT", f"/repositories/{name}",
               {"repo": {"type": "npm-proxy", "storage": "default", "remotes": [{"url": url}], **more}})


def put_group(admin, name, *members):
    admin.must("PUT", f"/repositories/{name}", {"repo": {"type": "npm-group", "members": list(members)}})


class Foreign(Client):
    """Speaks to verdaccio as to a repository."""

    def __init__(self, verdaccio):
        super().__init__(type("Node", (), {"port": verdaccio.port, "id": "verdaccio"})())

    def publish(self, name, version, **manifest):
        data = tgz(name, version, **manifest)
        doc = document(name, version, data)
        doc["versions"][version].update(manifest)
        doc["versions"][version]["dist"]["tarball"] = \
            f"http://127.0.0.1:{self.node.port}/{name}/-/{name.split('/')[-1]}-{version}.tgz"
        r = self.repo("PUT", "/" + name.replace("/", "%2f"), json.dumps(doc).encode(),
                      {"Content-Type": "application/json"})
        assert r.status in (200, 201), r


def upstream_requests(admin, repo):
    text = admin.request(admin.node.metrics_port, "GET", "/metrics").body.decode()
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines()
               if line.startswith("pantera_proxy_upstream_requests_total{repo=\"%s\"" % repo))


def test_a_tree_through_proxy_and_group(cluster, tmp_path, closing):
    verdaccio = closing(Verdaccio(str(tmp_path / "verdaccio")))
    foreign = Foreign(verdaccio)
    count = 55

    def name(i):
        return f"@tree/n{i}" if i % 3 == 0 else f"n{i}"

    for i in range(count):  # a binary tree, every third of them in a scope
        needs = {name(c): "^1.0.0" for c in (2 * i + 1, 2 * i + 2) if c < count}
        foreign.publish(name(i), "1.0.0", dependencies=needs)
    foreign.publish("internal", "9.9.9")
    admin = cluster.node(1).admin()
    put_proxy(admin, "mirror", verdaccio.url)
    put_npm(admin, "ours")
    put_group(admin, "all", "mirror", "ours")
    assert publish(admin, "internal", "1.0.0", "ours").status == 201
    front = closing(Spread(cluster.nodes))
    token = api_token(admin)
    proxied = Home(str(tmp_path / "proxied"), f"http://127.0.0.1:{front.port}/mirror", token)
    project = proxied.project(dependencies={"@tree/n0": "1"})
    proxied.npm("install", cwd=project)
    assert proxied.has(project, name(count - 1)) == "1.0.0"
    asked = sum(upstream_requests(admin.at(n), "mirror") for n in cluster.nodes)
    assert asked == 2 * count, asked  # a document and a tarball each, whoever asked where

    grouped = Home(str(tmp_path / "grouped"), f"http://127.0.0.1:{front.port}/all", token)
    project = grouped.project(dependencies={"@tree/n0": "1", "internal": "*"})
    grouped.npm("install", cwd=project)
    assert grouped.has(project, name(count - 1)) == "1.0.0"
    # Ours, although upstream has a newer one by that name; and upstream was not even asked.
    assert grouped.has(project, "internal") == "1.0.0"
    assert list(packument(admin, "internal", "all")["versions"]) == ["1.0.0"]
    admin.get("/all/internal/-/internal-9.9.9.tgz", 404)
    assert sum(upstream_requests(admin.at(n), "mirror") for n in cluster.nodes) == asked
    # What is published now is in the group at once, on every node.
    for i, node in enumerate(cluster.nodes):
        assert publish(admin.at(node), "internal", f"1.0.{i + 1}", "ours").status == 201
        for other in cluster.nodes:
            assert f"1.0.{i + 1}" in packument(admin.at(other), "internal", "all")["versions"]
    # Nobody publishes to either.
    for repo in ("mirror", "all"):
        said = Home(str(tmp_path / repo), f"http://127.0.0.1:{front.port}/{repo}", token)
        failed = said.npm("publish", cwd=said.package("x", "1.0.0"), ok=False).said
        assert "publish to a hosted repository" in failed, failed


def old_and_new(up, name, versions):
    """An upstream's package: {version: when}."""
    doc = {"name": name, "dist-tags": {"latest": list(versions)[-1]}, "versions": {}, "time": dict(versions)}
    for version in versions:
        data = tgz(name, version)
        path = f"{name}/-/{name}-{version}.tgz"
        up.files[path] = data
        dist = document(name, version, data)["versions"][version]["dist"]
        doc["versions"][version] = {"name": name, "version": version,
                                    "dist": {**dist, "tarball": f"{up.url}/{path}"}}
    up.files[name] = json.dumps(doc).encode()


def test_cooldown(cluster, tmp_path, closing):
    up = closing(Upstream())
    old_and_new(up, "lib", {"1.0.0": OLD, "1.1.0": OLD, "2.0.0-rc.1": OLD, "2.0.0": now()})
    old_and_new(up, "new", {"1.0.0": now()})
    admin = cluster.node(1).admin()
    put_proxy(admin, "mirror", up.url)
    put_group(admin, "all", "mirror")
    admin.must("PUT", "/cooldown/config", {"enabled": True, "minimum_allowed_age": "7d"})
    token = api_token(admin)
    for repo in ("mirror", "all"):
        for node in cluster.nodes:
            doc = packument(admin.at(node), "lib", repo)
            assert list(doc["versions"]) == ["1.0.0", "1.1.0", "2.0.0-rc.1"]
            assert doc["dist-tags"] == {"latest": "1.1.0"} and "2.0.0" not in doc["time"]
    home = Home(str(tmp_path / "home"), f"http://127.0.0.1:{cluster.node(2).port}/all", token)
    project = home.project(dependencies={"lib": "*"})
    home.npm("install", cwd=project)
    assert home.has(project, "lib") == "1.1.0"
    # A lockfile that names the new one: the reason is shown.
    locked = home.project(name="locked", version="1.0.0", dependencies={"lib": "2.0.0"})
    lock = {"name": "locked", "version": "1.0.0", "lockfileVersion": 3, "packages": {
        "": {"name": "locked", "version": "1.0.0", "dependencies": {"lib": "2.0.0"}},
        "node_modules/lib": {"version": "2.0.0", "resolved": home.registry + "lib/-/lib-2.0.0.tgz"}}}
    with open(os.path.join(locked, "package-lock.json"), "w", encoding="utf-8") as f:
        json.dump(lock, f)
    said = home.npm("ci", cwd=locked, ok=False).said
    assert "E403" in said and "lib" in said and "TOO_YOUNG" in said.upper().replace(" ", "_"), said
    assert not up.count("lib/-/lib-2.0.0.tgz")
    r = admin.repo("GET", "/mirror/new")
    assert r.status == 403 and "every version" in r.json()["error"], r
    # Released by hand at one node, installed through another at once.
    admin.at(cluster.node(3)).must("POST", "/repositories/mirror/cooldown/unblock",
                                   {"artifact": "lib", "version": "2.0.0"})
    home.npm("ci", cwd=locked)
    assert home.has(locked, "lib") == "2.0.0"
    assert packument(admin.at(cluster.node(2)), "lib", "all")["dist-tags"]["latest"] == "2.0.0"


def test_passed_on(make_node, tmp_path, closing):
    """What only upstream knows: advisories, search, keys, attestations."""
    up = closing(Upstream())
    old_and_new(up, "lib", {"1.0.0": OLD})
    up.files["-/npm/v1/keys"] = b'{"keys": []}'
    up.files["-/npm/v1/attestations/lib@1.0.0"] = b'{"attestations": []}'
    up.files["-/v1/search?text=lib&size=20"] = b'{"objects": [], "total": 7}'
    advisories = {"lib": [{"id": 1, "url": "https://advisory.example/1", "title": "it is bad",
                           "severity": "high", "vulnerable_versions": "<2.0.0"}]}
    up.files["-/npm/v1/security/advisories/bulk"] = json.dumps(advisories).encode()
    node = make_node()
    admin = node.admin()
    put_proxy(admin, "mirror", up.url)
    put_group(admin, "all", "mirror")
    for repo in ("mirror", "all"):
        assert admin.get(f"/{repo}/-/npm/v1/keys").json() == {"keys": []}
        assert admin.get(f"/{repo}/-/npm/v1/attestations/lib@1.0.0").json() == {"attestations": []}
    assert admin.get("/mirror/-/v1/search?text=lib&size=20").json()["total"] == 7
    home = Home(str(tmp_path / "home"), f"http://127.0.0.1:{node.port}/all", api_token(admin))
    project = home.project(dependencies={"lib": "1.0.0"})
    home.npm("install", cwd=project)
    said = home.npm("audit", cwd=project, ok=False).said
    assert "it is bad" in said, said


def test_a_client_that_waits(make_node, tmp_path, closing):
    """pnpm's own minimum age finds the times it needs, also where no cooldown is."""
    up = closing(Upstream())
    old_and_new(up, "lib", {"1.0.0": OLD, "1.1.0": OLD, "2.0.0": now()})
    node = make_node()
    admin = node.admin()
    put_proxy(admin, "mirror", up.url)
    home = Home(str(tmp_path / "home"), f"http://127.0.0.1:{node.port}/mirror", api_token(admin))
    for age, version in ((0, "2.0.0"), (10000, "1.1.0")):
        project = home.project(dependencies={"lib": "*"})
        with open(os.path.join(project, "pnpm-workspace.yaml"), "w", encoding="ascii") as f:
            f.write(f"minimumReleaseAge: {age}\n")
        home.run("pnpm", *INSTALL["pnpm"], cwd=project)
        assert home.has(project, "lib") == version


def test_upstream_lies(make_node, closing):
    """Bytes that aren't what the document says are kept by nobody; a README with half a character is."""
    up = closing(Upstream())
    old_and_new(up, "lib", {"1.0.0": OLD})
    up.files["lib/-/lib-1.0.0.tgz"] = tgz("lib", "6.6.6")
    odd = json.dumps({"name": "odd", "dist-tags": {}, "versions": {}, "readme": "X"}).replace("X", "\\ud83d")
    up.files["odd"] = odd.encode()
    node = make_node()
    admin = node.admin()
    put_proxy(admin, "mirror", up.url)
    assert list(packument(admin, "lib", "mirror")["versions"]) == ["1.0.0"]
    for _ in range(2):
        try:
            r = admin.repo("GET", "/mirror/lib/-/lib-1.0.0.tgz")
            assert r.status >= 500, r
        except Exception:  # pylint: disable=broad-except
            admin.close()  # broken off in the middle
    assert admin.repo("GET", "/mirror/odd").status == 404
    assert admin.repo("GET", "/mirror/nothing").status == 404
    up.files["text"] = b"hello"
    assert admin.repo("GET", "/mirror/text").status == 502
    # Fixed upstream, it is served.
    up.files["lib/-/lib-1.0.0.tgz"] = tgz("lib", "1.0.0")
    old_and_new(up, "lib", {"1.0.0": OLD})
    admin.must("DELETE", "/repositories/mirror/cache?path=.npm/lib/packument.json")
    assert admin.repo("GET", "/mirror/lib/-/lib-1.0.0.tgz").status == 200


def figure(admin, name):
    text = admin.request(admin.node.metrics_port, "GET", "/metrics").body.decode()
    return int(next(line for line in text.splitlines() if line.startswith(name + " ")).split()[1])


def test_a_large_document_is_made_once(make_node, closing):
    """However many ask at once, on whatever worker: it is read and parsed once, and kept for the next."""
    up = closing(Upstream())
    old_and_new(up, "big", {f"1.0.{i}": OLD for i in range(100)})
    doc = json.loads(up.files["big"])
    for version in doc["versions"].values():
        version["readme"] = "x" * 20000
    up.files["big"] = json.dumps(doc).encode()
    node = make_node()
    admin = node.admin()
    put_proxy(admin, "mirror", up.url)
    before = figure(admin, "pantera_documents_made_total")
    for accept, made in (("application/json", 1), ("application/vnd.npm.install-v1+json", 2)):
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda _, a=accept: admin.at(node).repo(
                "GET", "/mirror/big", headers={"Accept": a}), range(32)))
        assert {r.status for r in answers} == {200} and len({r.body for r in answers}) == 1
        assert figure(admin, "pantera_documents_made_total") - before == made
    assert up.count("big") == 1


@only_if(FULL)
def test_the_machines_own_registry(make_node, tmp_path):
    node = make_node({"http_client": {"allow_upstreams": ["0.0.0.0/0", "::/0"]}})
    admin = node.admin()
    put_proxy(admin, "mirror", machine_registry())
    home = Home(str(tmp_path / "home"), f"http://127.0.0.1:{node.port}/mirror", api_token(admin))
    project = home.project(dependencies={"express": "4.19.2"})
    home.npm("install", cwd=project)
    assert home.has(project, "express") == "4.19.2"
    with open(os.path.join(project, "package-lock.json"), encoding="utf-8") as f:
        assert len(json.load(f)["packages"]) > 50
