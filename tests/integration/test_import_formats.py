# SPDX-License-Identifier: Apache-2.0
"""What is imported into npm, PyPI, Helm, Go and Maven repositories is what their clients find: whole folders
into a cluster of three, requests spread; what can't be imported is refused; several nodes at once."""
import concurrent.futures
import gzip
import hashlib
import io
import json
import os
import signal
import socket
import subprocess
import tarfile
import time

import pytest

from npm_clients import Home
from pantera import PASSWORD, USER, binary, wait_until
from pydist import Tools, index, sdist, wheel
from spread import Spread
from test_format_go import module_zip
from test_format_helm import chart, prov, sdk, url  # noqa: F401

COUNT = 50


@pytest.fixture(name="tools", scope="module")
def _tools(tmp_path_factory):
    return Tools(tmp_path_factory.mktemp("python"))


def put_repo(client, kind, **keys):
    client.must("PUT", f"/repositories/{kind}", {"repo": {"type": kind, "storage": "default", **keys}})


def tgz(name, version, **manifest):
    """What npm pack makes, the same bytes each time."""
    b = io.BytesIO()
    with tarfile.open(fileobj=b, mode="w") as t:
        for path, text in (("package.json", json.dumps({"name": name, "version": version, **manifest})),
                           ("index.js", f"module.exports = '{version}'\n")):
            info = tarfile.TarInfo("package/" + path)
            info.size = len(text)
            t.addfile(info, io.BytesIO(text.encode()))
    return gzip.compress(b.getvalue(), mtime=0)


def write(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data)


def command(node, port, folder, repo, *words):
    env = {"PATH": os.environ["PATH"], "HOME": node.dir, "PANTERA_URL": f"http://127.0.0.1:{node.api_port}",
           "PANTERA_USER_NAME": USER, "PANTERA_USER_PASS": PASSWORD,
           "PANTERA_REPO_URL": f"http://127.0.0.1:{port}", "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "")}
    return {"args": ["pantera", "import", str(folder), repo, *words], "executable": binary(), "env": env}


def run(node, port, folder, repo, ok=True):
    r = subprocess.run(**command(node, port, folder, repo, "--json"), capture_output=True, text=True,
                       timeout=120, check=False)
    assert (r.returncode == 0) == ok, r
    return json.loads(r.stdout), r.stderr


def send(client, repo, path, data, key=None, kind=None, **headers):
    """The answer of an import; a 503 is asked again."""
    h = {"X-Pantera-Repo-Type": kind or repo, "X-Pantera-Idempotency-Key": key or f"{repo}/{path}",
         **{"X-Pantera-" + k.replace("_", "-"): v for k, v in headers.items()}}
    for _ in range(100):
        r = client.repo("PUT", f"/.import/{repo}/{path}", data, h)
        if r.status != 503:
            return r.status, r.json()
        time.sleep(0.1)
    raise AssertionError(r)


def python_folder(folder):
    """app0 needs app1 needs … ; flat, and in folders."""
    os.makedirs(folder / "deep" / "er")
    for n in range(COUNT):
        requires = [f"imp-app{n + 1}"] if n + 1 < COUNT else []
        wheel(str(folder / "deep" / "er" if n % 2 else folder), f"imp_app{n}", "1.0", requires)
    return wheel(str(folder), "imp_app0", "0.9", ["imp-app1"]), sdist(str(folder), "imp_app0", "1.1rc1")


def npm_folder(folder):
    for n in range(COUNT):
        name = f"@imp/pkg{n}" if n % 3 == 0 else f"imp-pkg{n}"
        needs = f"@imp/pkg{n + 1}" if (n + 1) % 3 == 0 else f"imp-pkg{n + 1}"
        manifest = {"dependencies": {needs: "^1.0.0"}} if n + 1 < COUNT else {}
        bare = name.split("/")[-1]
        path = [f"{name}/-/{bare}-1.0.0.tgz", f"{name}/-/{name}-1.0.0.tgz", f"{bare}-1.0.0.tgz"][n % 3]
        write(str(folder / path), tgz(name, "1.0.0", **manifest))
    for version in ("0.9.0", "1.10.0", "2.0.0-rc.1"):
        write(str(folder / f"@imp/pkg0/-/pkg0-{version}.tgz"), tgz("@imp/pkg0", version,
                                                                 dependencies={"imp-pkg1": "^1.0.0"}))


def helm_folder(folder):
    for n in range(COUNT):
        data = chart(f"lib{n // 5}", f"1.{n % 5}.0")
        write(str(folder / f"charts/lib{n // 5}-1.{n % 5}.0.tgz"), data)
        if n % 10 == 0:
            write(str(folder / f"charts/lib{n // 5}-1.0.0.tgz.prov"), prov(f"lib{n // 5}", "1.0.0", data))


def test_folders(make_cluster, tools, sdk, tmp_path):  # noqa: F811
    """Killed in the middle and run again; then pip, npm and Helm find all of it, on another node, at once."""
    cluster = make_cluster()
    nodes, admin = cluster.nodes, cluster.nodes[0].admin()
    for kind, make in (("pypi", python_folder), ("npm", npm_folder), ("helm", helm_folder)):
        put_repo(admin, kind)
        os.makedirs(tmp_path / kind)
        make(tmp_path / kind)
    spread = Spread(nodes)
    with subprocess.Popen(**command(nodes[0], spread.port, tmp_path / "pypi", "pypi", "--jobs", "2"),
                          stdout=subprocess.PIPE) as p:
        for _ in range(10):
            p.stdout.readline()
        p.send_signal(signal.SIGKILL)
    said, _ = run(nodes[0], spread.port, tmp_path / "pypi", "pypi")
    assert said["present"] >= 10 and said["created"] + said["present"] == COUNT + 2, said
    tools.pip("pip", index(nodes[1], "pypi"), "imp-app0")
    assert tools.installed("pip") == {f"imp_app{n}": "1.0" for n in range(COUNT)}
    said, _ = run(nodes[0], spread.port, tmp_path / "pypi", "pypi")
    assert (said["created"], said["present"]) == (0, COUNT + 2), said
    r = admin.at(nodes[2]).get("/pypi/imp-app0/1.0/imp_app0-1.0-py3-none-any.whl.metadata")
    assert b"Requires-Dist: imp-app1" in r.body

    said, _ = run(nodes[1], spread.port, tmp_path / "npm", "npm")
    assert said["created"] == COUNT + 3, said
    home = Home(tmp_path / "home", f"http://127.0.0.1:{nodes[2].port}/npm",
                admin.authorization.split(" ")[1])
    project = home.project(dependencies={"@imp/pkg0": "latest"})
    home.npm("install", "--no-package-lock", cwd=project)
    assert home.has(project, "@imp/pkg0") == "1.10.0" and home.has(project, f"imp-pkg{COUNT - 1}") == "1.0.0"
    said, _ = run(nodes[1], spread.port, tmp_path / "npm", "npm")
    assert (said["created"], said["present"]) == (0, COUNT + 3), said

    said, _ = run(nodes[2], spread.port, tmp_path / "helm", "helm")
    assert said["created"] == COUNT + 5, said
    auth = {"username": USER, "password": PASSWORD}
    found = sdk("out = registry.repo_index(args[0], **args[1])", url(nodes[0], "helm"), auth)["entries"]
    assert {k: [e["version"] for e in v] for k, v in found.items()} == \
        {f"lib{n}": [f"1.{v}.0" for v in (4, 3, 2, 1, 0)] for n in range(COUNT // 5)}
    sdk("out = registry.pull('lib3', repo_url=args[0], destination=args[1], **args[2])",
        url(nodes[1], "helm"), str(tmp_path), auth)
    assert (tmp_path / "lib3-1.4.0.tgz").read_bytes() == chart("lib3", "1.4.0")
    admin = admin.at(nodes[2])  # its connections may have been idle for too long
    assert admin.get("/helm/charts/lib2-1.0.0.tgz.prov").body.startswith(b"-----BEGIN PGP SIGNED")
    found = admin.must("GET", "/search?q=lib3&size=50")["items"]
    assert "charts/lib3-1.4.0.tgz" in {f["artifact_path"] for f in found}
    spread.close()


def test_at_once(make_cluster, tmp_path):
    """Versions of one package through three nodes at the same moment: all in the index, each once; the same
    one by several: written once."""
    nodes = make_cluster().nodes
    admins = [nodes[0].admin()]
    admins += [admins[0].at(n) for n in nodes[1:]]
    for kind in ("pypi", "npm", "helm"):
        put_repo(admins[0], kind)
    jobs = []
    for n in range(9):
        with open(wheel(str(tmp_path), "lib", f"1.{n}"), "rb") as f:
            jobs.append(("pypi", f"lib-1.{n}-py3-none-any.whl", f.read()))
        jobs.append(("npm", f"lib/-/lib-1.{n}.0.tgz", tgz("lib", f"1.{n}.0")))
        jobs.append(("helm", f"charts/lib-1.{n}.0.tgz", chart("lib", f"1.{n}.0")))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: send(admins[n % 3], *jobs[n // 3]), range(3 * len(jobs))))
    for n in range(len(jobs)):
        codes = sorted(code for code, _ in found[3 * n:3 * n + 3])
        assert codes == [200, 200, 201], found[3 * n:3 * n + 3]
    for client in admins:
        page = client.repo("GET", "/pypi/simple/lib/", headers={
            "Accept": "application/vnd.pypi.simple.v1+json"}).json()
        assert sorted(f["filename"] for f in page["files"]) == [f"lib-1.{n}-py3-none-any.whl"
                                                                for n in range(9)]
        package = client.get("/npm/lib").json()
        assert sorted(package["versions"]) == [f"1.{n}.0" for n in range(9)]
        assert package["dist-tags"] == {"latest": "1.8.0"}
        charts = client.get("/helm/api/charts/lib").json()
        assert [e["version"] for e in charts] == [f"1.{n}.0" for n in reversed(range(9))]


def test_what_is_said_elsewhere(make_node):
    """The other registry's document of an npm package, before and after its tarballs; times; owners; a
    package that goes takes it along."""
    admin = make_node().admin()
    put_repo(admin, "npm")
    meta = {"name": "lib", "dist-tags": {"latest": "1.0.0", "next": "2.0.0", "gone": "7.0.0"},
            "time": {"1.0.0": "2020-01-02T03:04:05.000Z", "2.0.0": "2021-01-02T03:04:05.000Z"},
            "versions": {"1.0.0": {"deprecated": "old"}, "2.0.0": {}, "3.0.0": {}}}
    assert send(admin, "npm", "lib/meta.json", json.dumps(meta).encode())[0] == 201
    admin.get("/npm/lib", 404)
    for version in ("2.0.0", "1.0.0", "4.0.0-rc.1", "0.1.0"):
        code, said = send(admin, "npm", f"lib/-/lib-{version}.tgz", tgz("lib", version),
                          Artifact_Created="1500000000000", Artifact_Owner="builder")
        assert code == 201, said
    package = admin.get("/npm/lib").json()
    assert package["dist-tags"] == {"latest": "1.0.0", "next": "2.0.0"} and "_moved" not in package
    assert package["versions"]["1.0.0"]["deprecated"] == "old"
    assert package["time"]["1.0.0"] == meta["time"]["1.0.0"]
    assert package["time"]["0.1.0"].startswith("2017-07-14T02:40:00")
    assert package["versions"]["0.1.0"]["_npmUser"] == {"name": "builder"}
    assert send(admin, "npm", "lib/-/lib-3.0.0.tgz", tgz("lib", "3.0.0"))[0] == 201
    assert admin.get("/npm/lib").json()["dist-tags"]["latest"] == "1.0.0"  # the other registry knew of it
    assert send(admin, "npm", "lib/-/lib-5.0.0.tgz", tgz("lib", "5.0.0"))[0] == 201
    assert admin.get("/npm/lib").json()["dist-tags"]["latest"] == "5.0.0"
    meta["dist-tags"] = {"latest": "2.0.0"}  # late: of what is there
    assert send(admin, "npm", "lib/package.json", json.dumps(meta).encode(), "late")[0] == 201
    assert admin.get("/npm/lib").json()["dist-tags"]["latest"] == "2.0.0"
    admin.must("DELETE", "/repositories/npm/packages", {"path": "lib"})
    admin.get("/npm/lib", 404)
    assert send(admin, "npm", "lib/-/lib-1.0.0.tgz", tgz("lib", "1.0.0"), "again")[0] == 201
    assert "deprecated" not in admin.get("/npm/lib").json()["versions"]["1.0.0"]


def refused(answer, code, words):
    assert answer[0] == code and words in answer[1]["message"], answer
    assert set(answer[1]) == {"status", "message", "size", "digests"}


def test_refused(make_node, tmp_path):
    """What a format can't take: in words, and nothing is there."""
    admin = make_node().admin()
    for kind in ("pypi", "npm", "helm", "go", "docker"):
        put_repo(admin, kind)
    with open(sdist(str(tmp_path), "lib", "1.0"), "rb") as f:
        source = f.read()
    for repo, path, data, words in [
            ("pypi", "lib/1.0/lib-1.0.tar.gz", b"not an archive", ""),
            ("pypi", "lib/1.0/lib-1.1.tar.gz", source, "Version in filename"),
            ("pypi", "lib/1.0/lab-1.0.tar.gz", source, "should be of project"),
            ("pypi", "lib/1.0/lib-1.0-py3-none-any.whl", source, ""),
            ("pypi", "simple/lib/index.html", b"x", "neither a wheel nor"),
            ("pypi", ".pypi/lib.json", b"{}", "neither a wheel nor"),
            ("npm", "lib/-/lib-1.0.0.tgz", b"not an archive", ""),
            ("npm", "lib/-/lib-1.0.0.tgz", tgz("lab", "1.0.0"), "holds the package 'lab'"),
            ("npm", "lib/-/lib-1.0.0.tgz", tgz("lib", "1.0.1"), "holds the version '1.0.1'"),
            ("npm", "x.tgz", tgz("lib", "one"), "not a version"),
            ("npm", "x.tgz", tgz("../lib", "1.0.0"), "package"),
            ("npm", "lib/readme.txt", b"x", "neither a package"),
            ("npm", "lib/package.json", b'{"name": "lib"}', "no versions"),
            ("npm", "lib/package.json", b"[]", "not a package's document"),
            ("helm", "lib-1.0.0.tgz", b"not an archive", ""),
            ("helm", "lib-1.0.0.tgz", chart("lib", "one"), "semantic version"),
            ("helm", "index.yaml", b"entries: {}", "made here"),
            ("helm", "lib-1.0.0.tgz.prov", b"nothing", "names no file"),
            ("go", "example.com/m/@v/v1.0.0.zip", b"not an archive", ""),
            ("go", "example.com/m/@v/v1.0.0.mod", b"module example.com/other\n", "go.mod says"),
            ("go", "example.com/m/@v/v1.0.0.info", b"{}", "Version v1.0.0"),
            ("go", "example.com/m/@v/list", b"v1.0.0\n", "made here"),
            ("go", "something.txt", b"x", "is not MODULE"),
            ("docker", "blobs/sha256/aa/data", b"x", "skopeo")]:
        refused(send(admin, repo, path, data, "k"), 400, words)  # the key stays free
    assert send(admin, "docker", "x", b"", Metadata_Only="true")[0] == 400
    for repo in ("pypi", "npm", "helm", "go"):
        assert admin.must("GET", f"/repositories/{repo}/tree")["items"] == []
    # What is there with other bytes stays what it is; with the same, it is there.
    for repo, path, data, other in [
            ("pypi", "lib/1.0/lib-1.0.tar.gz", source, gzip.compress(gzip.decompress(source), 1, mtime=7)),
            ("npm", "lib/-/lib-1.0.0.tgz", tgz("lib", "1.0.0"), tgz("lib", "1.0.0", license="MIT")),
            ("helm", "charts/lib-1.0.0.tgz", chart("lib", "1.0.0"), chart("lib", "1.0.0", "icon: x\n")),
            ("go", "example.com/m/@v/v1.0.0.zip", module_zip("example.com/m", "v1.0.0"),
             module_zip("example.com/m", "v1.0.0", {"a.go": "package m\n"}))]:
        code, said = send(admin, repo, path, data, "one" + repo)
        assert (code, said["digests"]["sha256"]) == (201, hashlib.sha256(data).hexdigest()), said
        assert send(admin, repo, path, data, "two" + repo)[0] == 200
        refused(send(admin, repo, path, other, "three" + repo), 409, "")
        assert admin.get(f"/{repo}/{path}").body == data
        assert send(admin, repo, path, data, "one" + repo)[0] == 200
        refused(send(admin, repo, path, other, "one" + repo), 409, "other bytes")
        assert send(admin, repo, path, data, "four" + repo, Checksum_Sha256="0" * 64)[0] == 409


def test_rules(make_node, tmp_path):
    """A project's status, a chart that may be replaced, conditions that mean nothing; what went and comes
    again."""
    admin = make_node().admin()
    for kind, keys in (("pypi", {}), ("npm", {}), ("helm", {"redeploy": "allow"})):
        put_repo(admin, kind, **keys)
    path = wheel(str(tmp_path), "lib", "1.0")
    with open(path, "rb") as f:
        data = f.read()
    assert send(admin, "pypi", "flat-lib-1.0-py3-none-any.whl", data)[0] == 400  # the name must fit
    assert send(admin, "pypi", "lib-1.0-py3-none-any.whl", data)[0] == 201
    admin.must("PUT", "/pypi/pypi/lib/status", {"status": "archived"})
    with open(wheel(str(tmp_path), "lib", "1.1"), "rb") as f:
        refused(send(admin, "pypi", "lib-1.1-py3-none-any.whl", f.read()), 409, "archived")
    admin.must("PUT", "/pypi/pypi/lib/status", {"status": "active"})
    assert admin.repo("DELETE", "/pypi/lib/1.0").status == 204
    assert send(admin, "pypi", "lib-1.0-py3-none-any.whl", data)[0] == 201
    admin.get("/pypi/lib/1.0/lib-1.0-py3-none-any.whl")
    for extra, code in (("", 201), ("description: newer\n", 201), ("description: newer\n", 200)):
        assert send(admin, "helm", "lib.tgz", chart("lib", "1.0.0", extra), f"k{len(extra)}")[0] == code
    assert admin.get("/helm/api/charts/lib/1.0.0").json()["description"] == "newer"
    r = admin.repo("PUT", "/.import/npm/lib.tgz", tgz("lib", "1.0.0"), {
        "X-Pantera-Repo-Type": "npm", "X-Pantera-Idempotency-Key": "k", "If-None-Match": "*"})
    assert r.status == 400 and "If-None-Match" in r.json()["message"], r


def test_clients_that_go(make_node, tmp_path):
    """In the middle of their bytes, or before they are answered: what is there is whole, and they may come
    again."""
    node = make_node()
    admin = node.admin()
    with open(wheel(str(tmp_path), "lib", "1.0"), "rb") as f:
        whl = f.read()
    data = chart("lib", "1.0.0")
    jobs = [("pypi", "lib-1.0-py3-none-any.whl", whl), ("npm", "lib/-/lib-1.0.0.tgz", tgz("lib", "1.0.0")),
            ("npm", "lib/meta.json", b'{"name": "lib", "versions": {"1.0.0": {}}}'),
            ("helm", "charts/lib-1.0.0.tgz", data), ("helm", "charts/lib-1.0.0.tgz.prov", prov(
                "lib", "1.0.0", data)), ("maven", "org/x/1/x-1.jar", data),
            ("go", "example.com/m/@v/v1.0.0.zip", module_zip("example.com/m", "v1.0.0"))]
    for kind in {job[0] for job in jobs}:
        put_repo(admin, kind)
    for n in range(6):
        for repo, path, data in jobs:
            with socket.create_connection(("127.0.0.1", node.port)) as s:
                s.sendall((f"PUT /.import/{repo}/{path} HTTP/1.1\r\nHost: x\r\n"
                           f"X-Pantera-Repo-Type: {repo}\r\n"
                           f"Authorization: {admin.authorization}\r\nContent-Length: {len(data)}\r\n"
                           f"X-Pantera-Idempotency-Key: {n} {path}\r\n\r\n").encode())
                s.sendall(data[:len(data) // (1 + n % 2)])
    for repo, path, data in jobs:
        assert send(admin, repo, path, data)[0] in (200, 201)
    assert json.loads(admin.get("/npm/lib").body)["dist-tags"] == {"latest": "1.0.0"}
    assert [e["version"] for e in admin.get("/helm/api/charts/lib").json()] == ["1.0.0"]
    assert admin.get("/go/example.com/m/@v/list").body == b"v1.0.0\n"
    assert node.stop() == 0 and node.errors() == []


def test_go_and_maven(make_node, tmp_path):
    """Modules with and without what they say of themselves; artifacts with checksums beside them."""
    node = make_node()
    admin = node.admin()
    put_repo(admin, "go")
    put_repo(admin, "maven", **{"snapshots": False})
    for n in range(3):
        stem = str(tmp_path / f"go/example.com/!lib/@v/v1.{n}.0")
        write(stem + ".zip", module_zip("example.com/Lib", f"v1.{n}.0"))
        if n:
            write(stem + ".info", f'{{"Version": "v1.{n}.0", "Time": "2020-01-02T03:04:05Z"}}'.encode())
            write(stem + ".mod", b"module example.com/Lib\n")
    said, _ = run(node, node.port, tmp_path / "go", "go")
    assert said["created"] + said["present"] == 7, said
    assert admin.get("/go/example.com/!lib/@v/list").body == b"v1.0.0\nv1.1.0\nv1.2.0\n"
    assert admin.get("/go/example.com/!lib/@latest").json()["Time"] == "2020-01-02T03:04:05Z"
    assert admin.get("/go/example.com/!lib/@v/v1.0.0.mod").body == b"module example.com/Lib\n"
    folder = "org/example/lib"
    for n in range(3):
        data = os.urandom(100)
        path = str(tmp_path / f"maven/{folder}/1.{n}/lib-1.{n}.jar")
        write(path, data)
        write(path + ".sha1", hashlib.sha1(data).hexdigest().encode())
    write(str(tmp_path / f"maven/{folder}/maven-metadata.xml"), b"<metadata><versioning/></metadata>")
    write(str(tmp_path / "maven/org/example/maven-metadata.xml"), b"<metadata><plugins><plugin><name>L</name>"
          b"<prefix>lib</prefix><artifactId>lib</artifactId></plugin></plugins></metadata>")
    said, _ = run(node, node.port, tmp_path / "maven", "maven")
    assert said["failed"] == 0, said
    metadata = admin.get(f"/maven/{folder}/maven-metadata.xml").body
    assert all(f"<version>1.{n}</version>".encode() in metadata for n in range(3)), metadata
    assert admin.get(f"/maven/{folder}/1.2/lib-1.2.jar.sha512").status == 200
    assert b"<prefix>lib</prefix>" in admin.get("/maven/org/example/maven-metadata.xml").body
    names = {i["name"] for i in admin.must("GET", f"/repositories/maven/tree?path={folder}/1.2")["items"]}
    assert names == {"lib-1.2.jar"}
    refused(send(admin, "maven", f"{folder}/1.2/lib-1.2.jar.sha1", b"0" * 40, "w"), 409, "sha1")
    refused(send(admin, "maven", f"{folder}/1.3-SNAPSHOT/lib-1.3-SNAPSHOT.jar", b"x"), 400, "no snapshots")
    refused(send(admin, "maven", f"{folder}/1.2/lib-1.2.jar", b"x", "o"), 409, "")
    assert send(admin, "maven", f"{folder}/1.2/lib-1.2.jar", data, "p")[0] == 200
