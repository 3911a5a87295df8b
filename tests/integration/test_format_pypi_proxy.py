# SPDX-License-Identifier: Apache-2.0
"""pypi-proxy and pypi-group with pip and uv: before a second panterad, before the index that this machine's
pip is configured for, before an index of the test's own with versions that are too young."""
import datetime
import hashlib
import json
import os
import subprocess
import sys
import time

import pytest

from pantera import Node, figure
from pydist import Tools, index, metadata, sdist, sha256, wheel
from test_format_pypi import JSON, page, put_repo, url
from upstream import Upstream


@pytest.fixture(name="tools", scope="module")
def _tools(tmp_path_factory):
    return Tools(tmp_path_factory.mktemp("python"))


@pytest.fixture(name="admin", scope="module")
def _admin(tmp_path_factory):
    # A machine's own index may well be in a private network.
    config = {"http_client": {"allow_upstreams": ["0.0.0.0/0", "::/0"]}}
    node = Node(str(tmp_path_factory.mktemp("near")), config=config).start()
    yield node.admin()
    node.stop()


@pytest.fixture(name="up")
def _up():
    upstream = Upstream()
    yield upstream
    upstream.close()


def put_proxy(client, name, remote, **more):
    remotes = [{"url": remote} if isinstance(remote, str) else remote]
    put_repo(client, name, "pypi-proxy", remotes=remotes, **more)


def requests_of(client, repo):
    client.close(client.node.metrics_port)  # one that was kept may have been idle for too long
    text = client.request(client.node.metrics_port, "GET", "/metrics").body.decode()
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines()
               if line.startswith(f'pantera_proxy_upstream_requests_total{{repo="{repo}"'))


def test_second_server(admin, tools, tmp_path, make_node):
    """A hosted repository of another server, as a remote; and both in a group."""
    far = make_node()
    there = far.admin()
    put_repo(there, "py")
    tools.twine(url(there, "py"), wheel(tmp_path, "Lib.A", "1.0+x", ["lib-b"]),
                sdist(tmp_path, "lib-b", "2.1"), wheel(tmp_path, "lib-b", "2.0"),
                wheel(tmp_path, "lib-b", "2.1"))
    there.must("POST", "/pypi/py/lib-b/2.1/yank", {"reason": "bad luck"})
    put_proxy(admin, "mirror", {"url": url(there, "py") + "simple/", "username": "admin",
                                "password": there.authorization.split(" ")[1]})
    out = tools.pip("p1", index(admin.node, "mirror"), "-v", "lib-a")
    assert tools.installed("p1") == {"lib_a": "1.0+x", "lib_b": "2.0"} and ".whl.metadata" in out
    cold = requests_of(admin, "mirror")
    assert cold == 6  # two pages, two files, two metadata
    tools.uv("p2", index(admin.node, "mirror"), "lib-a", "lib-b==2.0")
    assert requests_of(admin, "mirror") == cold
    ours, theirs = page(admin, "mirror", "lib-b"), page(there, "py", "lib-b")
    assert ours["files"] == theirs["files"] and ours["meta"] == theirs["meta"]
    page(admin, "mirror", "nothing", 404)
    # together with what is hosted here: names that are ours are never asked of upstream
    put_repo(admin, "own")
    put_repo(admin, "all", "pypi-group", members=["mirror", "own"])
    tools.twine(url(admin, "own"), wheel(tmp_path, "app", "1.0", ["lib-a", "lib-b"]))
    tools.uv("g1", index(admin.node, "all"), "app")
    assert tools.installed("g1") == {"app": "1.0", "lib_a": "1.0+x", "lib_b": "2.0"}
    tools.twine(url(admin, "own"), wheel(tmp_path, "lib-b", "0.1"))
    tools.uv("g2", index(admin.node, "all"), "app")
    assert tools.installed("g2") == {"app": "1.0", "lib_a": "1.0+x", "lib_b": "0.1"}
    assert page(admin, "all", "lib-b")["versions"] == ["0.1"]
    root = admin.repo("GET", "/all/simple/", headers={"Accept": JSON}).json()
    assert sorted(p["name"] for p in root["projects"]) == ["app", "lib-a", "lib-b"]
    assert "upload to a hosted repository" in tools.twine(url(admin, "all"), wheel(tmp_path, "app", "2.0"),
                                                         status=1)
    info = admin.get("/all/pypi/app/json").json()
    assert info["info"]["summary"] == "a test"
    assert info["urls"][0]["url"] == url(admin, "all") + "app/1.0/app-1.0-py3-none-any.whl"
    admin.must("PUT", "/pypi/own/app/status", {"status": "quarantined"})
    assert page(admin, "all", "app")["files"] == []
    admin.get("/all/app/1.0/app-1.0-py3-none-any.whl", 403)
    far.stop()  # what is here is enough
    tools.uv("g3", index(admin.node, "mirror"), "lib-a")


def test_html_index(admin, tools, up, tmp_path):
    """An index that speaks PEP 503 only, with links of every kind; wrong bytes are not given on."""
    good, bad = wheel(tmp_path, "lib", "1.0"), wheel(tmp_path, "lib", "2.0")
    with open(good, "rb") as f:
        up.files["deep/er/lib-1.0-py3-none-any.whl"] = f.read()
    with open(bad, "rb") as f:
        up.files["simple/lib/lib-2.0-py3-none-any.whl"] = f.read() + b"x"
    up.files["simple/lib/"] = (f'<a href="../../deep/er/lib-1.0-py3-none-any.whl#sha256={sha256(good)}">'
                               'lib-1.0-py3-none-any.whl</a>'
                               f'<a href="lib-2.0-py3-none-any.whl#sha256={sha256(bad)}">'
                               'lib-2.0-py3-none-any.whl</a>').encode()
    up.headers["simple/lib/"] = {"Content-Type": "text/html"}
    put_proxy(admin, "html", up.url + "/simple")
    tools.pip("html", index(admin.node, "html"), "lib<2")
    assert tools.installed("html") == {"lib": "1.0"}
    assert page(admin, "html", "lib")["meta"] == {"api-version": "1.0"}
    tools.pip("html2", index(admin.node, "html"), "--retries", "0", "lib", status=1)
    for path in ("/html/lib/3.0/lib-1.0-py3-none-any.whl", "/html/lib/3.0/lib-3.0-py3-none-any.whl",
                 "/html/lib/1.0/lib-1.0-py3-none-any.whl.metadata"):
        assert admin.repo("GET", path).status == 404, path


def ago(days):
    when = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=days)
    return when.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def offer(up, tmp_path, name, versions):
    """A page of PEP 691 and its files: {version: age in days, None: not said}."""
    files = []
    for version, age in versions.items():
        path = wheel(tmp_path, name, version)
        file_name = os.path.basename(path)
        text = metadata(name, version).encode()
        with open(path, "rb") as f:
            up.files["files/" + file_name] = f.read()
        up.files[f"files/{file_name}.metadata"] = text
        files.append({"filename": file_name, "url": f"{up.url}/files/{file_name}",
                      "size": os.path.getsize(path), "hashes": {"sha256": sha256(path)},
                      "requires-python": ">=3.8",
                      "core-metadata": {"sha256": hashlib.sha256(text).hexdigest()},
                      **({} if age is None else {"upload-time": ago(age)})})
    up.files[f"simple/{name}/"] = json.dumps({"meta": {"api-version": "1.1"}, "name": name, "files": files,
                                              "versions": list(versions)}).encode()
    up.headers[f"simple/{name}/"] = {"Content-Type": JSON}


def test_cooldown(admin, tools, up, tmp_path):
    """What is too young isn't chosen; pinned, it is refused in words; unblocked, it is there at once."""
    offer(up, tmp_path, "lib", {"1.0": 100, "1.1": 20, "1.2": 1})
    put_proxy(admin, "cool", up.url + "/simple", cooldown={"duration": "P7D"})
    put_repo(admin, "cool-group", "pypi-group", members=["cool"])
    for n, (install, repo) in enumerate(((tools.pip, "cool"), (tools.uv, "cool-group"))):
        install(f"k{n}", index(admin.node, repo), "lib")
        assert tools.installed(f"k{n}") == {"lib": "1.1"}
    assert page(admin, "cool", "lib")["versions"] == ["1.0", "1.1"]
    # a lock file knows the URL
    for repo in ("cool", "cool-group"):
        pinned = index(admin.node, repo, path="lib/1.2/lib-1.2-py3-none-any.whl")
        out = tools.run("pip", "install", "--no-cache-dir", "--no-deps", "--target", "k2", pinned, status=1)
        assert "403" in out and "TOO_YOUNG" in out and "lib 1.2 is blocked" in out, out
        tools.run("uv", "pip", "install", "--no-cache", "--target", "k3", f"lib @ {pinned}", status=1)
    # under another version's name it is no file at all
    admin.get("/cool/lib/1.0/lib-1.2-py3-none-any.whl", 404)
    assert up.count("files/lib-1.2-py3-none-any.whl") == 0
    blocked = admin.must("GET", "/cooldown/blocked?search=lib")["items"]
    assert [(b["package_name"], b["version"]) for b in blocked if b["repo"] == "cool"] == [("lib", "1.2")]
    admin.must("POST", "/repositories/cool/cooldown/unblock", {"artifact": "lib", "version": "1.2"})
    tools.uv("k4", index(admin.node, "cool-group"), "lib")
    assert tools.installed("k4") == {"lib": "1.2"}


def configured_index(tools):
    """That of this machine's pip; else the one that pip has built in."""
    run = subprocess.run([sys.executable, "-m", "pip", "config", "get", "global.index-url"], check=False,
                         capture_output=True)
    if run.returncode == 0:
        return run.stdout.decode().strip()
    return subprocess.run([os.path.join(tools.bin, "python"), "-c",
                           "from pip._internal.models.index import PyPI; print(PyPI.simple_url)"],
                          check=True, capture_output=True).stdout.decode().strip()


def test_configured_index(admin, tools):
    """A tree of more than fifty packages through a proxy and through a group; what is here is not asked for
    again."""
    put_proxy(admin, "real", configured_index(tools))
    put_repo(admin, "real-own")
    put_repo(admin, "real-all", "pypi-group", members=["real-own", "real"])
    began = time.monotonic()
    tools.uv("r1", index(admin.node, "real"), "jupyterlab")
    cold, asked = time.monotonic() - began, requests_of(admin, "real")
    count = len(tools.installed("r1"))
    assert count >= 50
    began = time.monotonic()
    out = tools.pip("r2", index(admin.node, "real-all"), "--dry-run", "--quiet", "--report", "-",
                    "jupyterlab")
    report = json.loads(out[out.index("{"):])
    assert len(report["install"]) >= 50
    figure(f"pypi proxy: {count} packages, {asked:.0f} upstream requests in {cold:.1f} s; the tree again "
           f"through a group: {requests_of(admin, 'real') - asked:.0f} in {time.monotonic() - began:.1f} s")
    assert requests_of(admin, "real") < asked * 1.3


def test_three_nodes(make_cluster, tools, up, tmp_path):
    """Any node will do: one upstream request for each thing, whoever asks where; what is unblocked on one
    node is installed through another at once."""
    offer(up, tmp_path, "lib", {"1.0": 100, "1.1": 1})
    offer(up, tmp_path, "dep", {"2.0": 50})
    nodes = make_cluster().nodes
    admins = [nodes[0].admin()]
    admins += [admins[0].at(n) for n in nodes[1:]]
    put_proxy(admins[0], "mirror", up.url + "/simple", cooldown={"duration": "P7D"})
    put_repo(admins[1], "own")
    put_repo(admins[2], "all", "pypi-group", members=["own", "mirror"])
    tools.twine(url(admins[1], "own"), wheel(tmp_path, "app", "1.0", ["lib", "dep"]))
    for n, node in enumerate(nodes):
        (tools.pip, tools.uv)[n % 2](f"n{n}", index(node, "all"), "app")
        assert tools.installed(f"n{n}") == {"app": "1.0", "lib": "1.0", "dep": "2.0"}
    assert all(up.count(path) == 1 for path in up.files if "lib-1.1" not in path), up.log
    release = {"artifact": "LIB", "version": "1.1"}
    admins[1].must("POST", "/repositories/mirror/cooldown/unblock", release)
    tools.uv("n4", index(nodes[2], "all"), "app")
    assert tools.installed("n4")["lib"] == "1.1"
    tools.pip("n4-pip", index(nodes[0], "all"), "app")
    assert tools.installed("n4-pip")["lib"] == "1.1"
    tools.twine(url(admins[0], "own"), wheel(tmp_path, "lib", "0.1"))  # ours from now on
    tools.uv("n5", index(nodes[1], "all"), "app")
    assert tools.installed("n5")["lib"] == "0.1"
