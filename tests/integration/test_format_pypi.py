# SPDX-License-Identifier: Apache-2.0
"""Hosted Python package indexes: pip, twine and uv against one node, and against three with requests
spread."""
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from pantera import FULL, PASSWORD, USER, Client, Node, only_if
from pydist import Tools, index, sdist, sha256, wheel
from spread import Spread

JSON = "application/vnd.pypi.simple.v1+json"


@pytest.fixture(name="tools", scope="module")
def _tools(tmp_path_factory):
    return Tools(tmp_path_factory.mktemp("python"))


@pytest.fixture(name="admin", scope="module")
def _admin(tmp_path_factory):
    node = Node(str(tmp_path_factory.mktemp("node"))).start()
    yield node.admin()
    node.stop()


def put_repo(client, name, kind="pypi", **keys):
    repo = {"type": kind, **({} if kind.endswith("-group") else {"storage": "default"}), **keys}
    client.must("PUT", f"/repositories/{name}", {"repo": repo})


def page(client, repo, project, status=200):
    r = client.repo("GET", f"/{repo}/simple/{project}/", headers={"Accept": JSON})
    assert r.status == status, r
    return r.json() if status == 200 else r


def url(client, repo):
    return f"http://127.0.0.1:{client.node.port}/{repo}/"


def test_twine_pip(admin, tools, tmp_path):
    """Published with twine, installed with pip, which reads metadata without the file."""
    put_repo(admin, "py")
    base, top = wheel(tmp_path, "Dep.Base", "1.0"), wheel(tmp_path, "app-top", "2.0", ["dep-base>=1"])
    source = sdist(tmp_path, "app-top", "2.0")
    tools.twine(url(admin, "py"), base, top)
    tools.twine(url(admin, "py") + "legacy/", source)
    out = tools.pip("one", index(admin.node, "py"), "-v", "app-top")
    assert tools.installed("one") == {"dep_base": "1.0", "app_top": "2.0"}, out
    assert ".whl.metadata" in out
    detail = page(admin, "py", "app-top")
    assert detail["meta"] == {"api-version": "1.4"} and detail["name"] == "app-top"
    assert detail["versions"] == ["2.0"]
    files = {f["filename"]: f for f in detail["files"]}
    assert set(files) == {os.path.basename(top), os.path.basename(source)}
    entry = files[os.path.basename(top)]
    assert entry["hashes"]["sha256"] == sha256(top) and entry["size"] == os.path.getsize(top)
    assert entry["requires-python"] == ">=3.8" and entry["upload-time"].endswith("Z")
    assert entry["core-metadata"] == entry["dist-info-metadata"] and "yanked" not in entry
    assert "core-metadata" not in files[os.path.basename(source)]


def test_uv(admin, tools, tmp_path):
    put_repo(admin, "uv")
    tools.uv_publish(url(admin, "uv"), wheel(tmp_path, "lib", "1.0"), sdist(tmp_path, "lib", "1.0"))
    again = wheel(tmp_path, "lib", "1.1", ["lib-b"])
    tools.uv_publish(url(admin, "uv"), again, wheel(tmp_path, "lib_b", "0.5"))
    tools.uv_publish(url(admin, "uv"), again)  # the same bytes: nothing to complain of
    tools.uv_publish(url(admin, "uv"), again, args=("--check-url", index(admin.node, "uv")))
    tools.uv("uv-one", index(admin.node, "uv"), "lib")
    assert tools.installed("uv-one") == {"lib": "1.1", "lib_b": "0.5"}
    tools.uv("uv-two", index(admin.node, "uv"), "lib", "--exclude-newer", "2020-01-01T00:00:00Z", status=1)


def test_same_name(admin, tools, tmp_path):
    """The same bytes again are fine; others are not."""
    put_repo(admin, "same")
    first = wheel(tmp_path, "lib", "1.0")
    tools.twine(url(admin, "same"), first)
    tools.twine(url(admin, "same"), first)
    os.mkdir(tmp_path / "other")
    other = wheel(tmp_path / "other", "lib", "1.0", body="changed = True\n")
    assert "File already exists" in tools.twine(url(admin, "same"), other, status=1)
    assert "File already exists" in tools.uv_publish(url(admin, "same"), other, status=1)
    assert page(admin, "same", "lib")["files"][0]["hashes"]["sha256"] == sha256(first)


def test_yank(admin, tools, tmp_path):
    """Resolvers go around a yanked version, but for a pin, and show the reason."""
    put_repo(admin, "yank")
    tools.twine(url(admin, "yank"), wheel(tmp_path, "lib", "1.0"), wheel(tmp_path, "lib", "1.1"))
    admin.must("POST", "/pypi/yank/Lib/1.1/yank", {"reason": "eats files"})
    tools.pip("y1", index(admin.node, "yank"), "lib")
    assert tools.installed("y1") == {"lib": "1.0"}
    tools.uv("y2", index(admin.node, "yank"), "lib")
    assert tools.installed("y2") == {"lib": "1.0"}
    assert "eats files" in tools.pip("y3", index(admin.node, "yank"), "lib==1.1")
    assert "eats files" in tools.uv("y4", index(admin.node, "yank"), "lib==1.1")
    tools.twine(url(admin, "yank"), sdist(tmp_path, "lib", "1.1"))  # late: yanked as well
    yanked = [f.get("yanked") for f in page(admin, "yank", "lib")["files"]]
    assert yanked == [None, "eats files", "eats files"]
    html = admin.get("/yank/simple/lib/").body.decode()
    assert html.count('data-yanked="eats files"') == 2
    admin.must("POST", "/pypi/yank/lib/1.1/unyank")
    tools.uv("y5", index(admin.node, "yank"), "lib")
    assert tools.installed("y5") == {"lib": "1.1"}


def test_hashes(admin, tools, tmp_path):
    put_repo(admin, "hash")
    path = wheel(tmp_path, "lib", "1.0")
    tools.twine(url(admin, "hash"), path)
    for n, digest in enumerate((sha256(path), "0" * 64)):
        wanted = tmp_path / f"requirements-{n}.txt"
        wanted.write_text(f"lib==1.0 --hash=sha256:{digest}\n")
        args = ("--require-hashes", "-r", str(wanted))
        tools.pip(f"h{n}", index(admin.node, "hash"), *args, status=n)
        tools.uv(f"hu{n}", index(admin.node, "hash"), *args, status=n)


def test_who_may(admin, tools, tmp_path):
    """Tokens, also by __token__; and what clients show of a refusal."""
    put_repo(admin, "mine")
    admin.put_role("mine-reader", {"adapter_basic_permissions": {"mine": ["read"]}})
    admin.put_user("ann", roles=["mine-reader"])
    token = Client(admin.node).login("ann", PASSWORD).authorization.split(" ")[1]
    path = wheel(tmp_path, "lib", "1.0")
    tools.twine(url(admin, "mine"), path, user="__token__", password=admin.authorization.split(" ")[1])
    tools.pip("w", index(admin.node, "mine", "ann", token), "lib")
    tools.uv("wu", index(admin.node, "mine", "__token__", token), "lib")
    source, refusal = sdist(tmp_path, "lib", "1.0"), "'ann' has no permission to upload to repository 'mine'"
    assert refusal in tools.twine(url(admin, "mine"), source, user="__token__", password=token, status=1)
    assert refusal in tools.uv_publish(url(admin, "mine"), source, user="ann", status=1)
    assert "401" in tools.twine(url(admin, "mine"), path, user="ann", password="wrong", status=1)
    assert "401" in tools.uv_publish(url(admin, "mine"), path, user="__token__", password="wrong", status=1)
    out = tools.pip("w2", index(admin.node, "mine", "admin", token), "lib", status=1)
    assert "401" in out and "Credentials not correct" in out, out
    admin.put_role("mine-reader", {"adapter_basic_permissions": {"mine": ["write"]}})
    out = tools.pip("w3", index(admin.node, "mine", "ann", token), "-vv", "lib", status=1)
    assert "'ann' has no permission to read repository 'mine'" in out, out
    # with no right at all, it is as if it did not exist
    admin.put_role("mine-reader", {"adapter_basic_permissions": {"other": ["read"]}})
    out = tools.pip("w4", index(admin.node, "mine", "ann", token), "-vv", "lib", status=1)
    assert "permission" not in out and "404" in out, out


def form(fields, content=None, name="lib-1.0.tar.gz"):
    """(body, headers) of an upload made by hand."""
    parts = [f'--m\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n'.encode()
             for k, v in fields.items()]
    if content is not None:
        head = f'--m\r\nContent-Disposition: form-data; name="content"; filename="{name}"\r\n\r\n'
        parts.append(head.encode() + content + b"\r\n")
    return b"".join(parts) + b"--m--\r\n", {"Content-Type": "multipart/form-data; boundary=m"}


GOOD = {":action": "file_upload", "name": "lib", "version": "1.0", "filetype": "sdist"}


def test_refused(admin, tmp_path):
    """What does not fit together is refused, in words, and leaves nothing."""
    put_repo(admin, "bad", **{"content-length-max": 100000})
    with open(sdist(tmp_path, "lib", "1.0"), "rb") as f:
        data = f.read()
    with open(sdist(tmp_path, "other", "1.0"), "rb") as f:
        stranger = f.read()
    cases = [({**GOOD, ":action": "submit"}, data, {}, 400, "file_upload"),
             ({**GOOD, "name": "x y"}, data, {}, 400, "Invalid value for name"),
             ({**GOOD, "version": "one"}, data, {}, 400, "PEP 440"),
             ({**GOOD, "version": "1.1"}, data, {}, 400, "Version in filename"),
             ({**GOOD, "name": "lab"}, data, {}, 400, "should be of project"),
             ({**GOOD, "filetype": "bdist_wheel"}, data, {}, 400, "filetype"),
             ({**GOOD, "sha256_digest": "0" * 64}, data, {}, 400, "sha256_digest does not match"),
             ({**GOOD, "md5_digest": "0" * 32}, data, {}, 400, "md5_digest does not match"),
             ({**GOOD, "blake2_256_digest": "0" * 64}, data, {}, 400, "blake2_256_digest does not match"),
             (GOOD, b"not an archive", {}, 400, ""),
             (GOOD, stranger, {}, 400, "project 'other'"),
             (GOOD, None, {}, 400, "does not have a file"),
             (GOOD, data, {"name": "../lib-1.0.tar.gz"}, 400, "Invalid file name"),
             (GOOD, data, {"name": "lib-1.0.egg"}, 400, "neither"),
             (GOOD, b"x" * 200000, {}, 413, "")]
    for fields, content, more, status, words in cases:
        body, headers = form(fields, content, **more)
        r = admin.repo("POST", "/bad/", body, headers)
        assert r.status == status and words in r.body.decode(), (fields, r)
    for body, headers in ((b"{}", {"Content-Type": "application/json"}), (b"--m\r\n", form({})[1]),
                          (b"", form({})[1])):
        assert admin.repo("POST", "/bad/", body, headers).status in (400, 415)
    page(admin, "bad", "lib", 404)
    assert admin.repo("GET", "/bad/simple/", headers={"Accept": JSON}).json()["projects"] == []
    body, headers = form({**GOOD, "sha256_digest": sha256(tmp_path / "lib-1.0.tar.gz").upper(),
                          "gpg_signature": "x", "description": "y" * 100000}, data)
    assert admin.repo("POST", "/bad/legacy", body, headers).status == 200
    for path in ("/bad/.pypi/lib.json", "/bad/lib/1.0/none", "/bad/lib/1.0/", "/bad/simple/none/",
                 "/bad/x/y"):
        assert admin.repo("GET", path).status == 404, path
    assert admin.repo("PUT", "/bad/lib/1.0/lib-1.0.tar.gz", b"x").status == 405
    assert admin.repo("POST", "/bad/simple/", body, headers).status == 405


def test_index(admin, tools, tmp_path):
    """Forms, redirects, entity tags, the list of projects, PyPI's own JSON."""
    put_repo(admin, "idx")
    tools.twine(url(admin, "idx"), wheel(tmp_path, "Some.Lib", "1.0+local.1", python=">=3.8,<4"),
                wheel(tmp_path, "some-lib", "1.1rc1"), sdist(tmp_path, "another", "3"))
    for accept, kind in ((None, "text/html"), ("*/*", "text/html"), ("text/html", "text/html"),
                         (JSON, JSON), ("application/vnd.pypi.simple.latest+json", JSON),
                         ("application/vnd.pypi.simple.v1+html;q=0.5, text/html;q=0.1, application/xml",
                          "application/vnd.pypi.simple.v1+html")):
        for path in ("/idx/simple/some-lib/", "/idx/simple/"):
            r = admin.repo("GET", path, headers={"Accept": accept} if accept else {})
            assert r.status == 200 and r.headers["Content-Type"].startswith(kind), (path, accept)
            assert r.headers["Vary"] == "Accept"
    assert admin.repo("GET", "/idx/simple/some-lib/", headers={"Accept": "image/png"}).status == 406
    r = admin.repo("GET", "/idx/simple/some-lib/?format=" + JSON.replace("+", "%2B"))
    assert r.headers["Content-Type"] == JSON
    html = admin.get("/idx/simple/some-lib/")
    assert b"../../some-lib/1.0%2Blocal.1/some_lib-1.0%2Blocal.1-py3-none-any.whl#sha256=" in html.body
    assert b'data-requires-python="&gt;=3.8,&lt;4"' in html.body
    assert b'data-core-metadata="sha256=' in html.body
    again = admin.repo("GET", "/idx/simple/some-lib/", headers={"If-None-Match": html.headers["ETag"]})
    assert again.status == 304 and again.body == b""
    assert admin.repo("HEAD", "/idx/simple/some-lib/").headers["Content-Length"] == str(len(html.body))
    assert admin.repo("GET", "/idx/simple/some-lib/", headers={"Accept": JSON, "If-None-Match": html.headers[
        "ETag"]}).status == 200
    for path, to in (("/idx", "idx/simple/"), ("/idx/", "simple/"), ("/idx/simple", "simple/"),
                     ("/idx/simple/Some_Lib/", "../some-lib/"), ("/idx/simple/some-lib", "some-lib/"),
                     ("/idx/Some.Lib/", "../simple/some-lib/")):
        r = admin.repo("GET", path)
        assert r.status == 301 and r.headers["Location"] == to, (path, r.headers["Location"])
    assert admin.repo("GET", "/idx/simple/", headers={"Accept": JSON}).json() == {
        "meta": {"api-version": "1.4"}, "projects": [{"name": "another"}, {"name": "some-lib"}]}
    info = admin.get("/idx/pypi/Some.Lib/json").json()
    assert info["info"]["version"] == "1.0+local.1" and info["info"]["summary"] == "a test"
    assert set(info["releases"]) == {"1.0+local.1", "1.1rc1"} and len(info["urls"]) == 1
    assert admin.get("/idx/pypi/some-lib/1.1rc1/json").json()["info"]["version"] == "1.1rc1"
    admin.get("/idx/pypi/some-lib/7/json", 404)
    tools.pip("i1", index(admin.node, "idx", path=""), "some.lib")  # an index URL without simple/
    assert tools.installed("i1") == {"some_lib": "1.0+local.1"}
    name = "/idx/some-lib/1.1rc1/some_lib-1.1rc1-py3-none-any.whl"
    assert admin.get(name + ".metadata").body.startswith(b"Metadata-Version: 2.1\nName: some-lib\n")
    assert admin.repo("GET", "/api/v1x").status == 404
    assert admin.get("/api/pypi" + name).body == admin.get(name).body
    found = admin.must("GET", "/search?q=some-lib")["items"]
    assert {(f["repo_name"], f["artifact_path"]) for f in found} >= {("idx", name[5:])}, found


def test_removed(admin, tools, tmp_path):
    """Files, versions, projects go with what the index says of them."""
    put_repo(admin, "del")
    paths = [wheel(tmp_path, "lib", v) for v in ("1.0", "1.1", "1.2")] + [sdist(tmp_path, "lib", "1.0")]
    tools.twine(url(admin, "del"), *paths, wheel(tmp_path, "other", "1.0"))
    admin.put_role("del-writer", {"adapter_basic_permissions": {"del": ["read", "write"]}})
    admin.put_user("dora", roles=["del-writer"])
    dora = Client(admin.node).login("dora", PASSWORD)
    wheel_path = "/del/lib/1.0/lib-1.0-py3-none-any.whl"
    assert dora.repo("DELETE", wheel_path).status == 403
    assert admin.repo("DELETE", wheel_path).status == 204
    assert admin.repo("DELETE", wheel_path).status == 404
    for path in (wheel_path, wheel_path + ".metadata"):
        admin.get(path, 404)
    names = [f["filename"] for f in page(admin, "del", "lib")["files"]]
    assert sorted(names) == ["lib-1.0.tar.gz", "lib-1.1-py3-none-any.whl", "lib-1.2-py3-none-any.whl"]
    admin.must("DELETE", "/repositories/del/artifacts", {"path": "lib/1.0/lib-1.0.tar.gz"})
    admin.must("DELETE", "/repositories/del/packages", {"path": "lib/1.1"})
    assert page(admin, "del", "lib")["versions"] == ["1.2"]
    assert set(admin.get("/del/pypi/lib/json").json()["releases"]) == {"1.2"}
    tools.twine(url(admin, "del"), paths[0])  # its name is free again
    assert page(admin, "del", "lib")["versions"] == ["1.2", "1.0"]
    assert admin.repo("DELETE", "/del/lib").status == 204
    page(admin, "del", "lib", 404)
    tree = admin.must("GET", "/repositories/del/tree")
    assert [i["name"] for i in tree["items"]] == ["other"]
    root = admin.repo("GET", "/del/simple/", headers={"Accept": JSON}).json()
    assert root["projects"] == [{"name": "other"}]
    for path in ("/del/.pypi/other.json", "/del/lib", "/del/", "/del/other/1.0/none.whl"):
        assert admin.repo("DELETE", path).status == 404, path


def test_status(admin, tools, tmp_path):
    put_repo(admin, "st")
    tools.twine(url(admin, "st"), wheel(tmp_path, "lib", "1.0"))
    admin.must("PUT", "/pypi/st/lib/status", {"status": "archived", "reason": "moved on"})
    assert page(admin, "st", "lib")["project-status"] == {"status": "archived", "reason": "moved on"}
    assert b'<meta name="pypi:project-status" content="archived">' in admin.get("/st/simple/lib/").body
    assert "is archived" in tools.twine(url(admin, "st"), wheel(tmp_path, "lib", "1.1"), status=1)
    tools.uv("s1", index(admin.node, "st"), "lib")
    admin.must("PUT", "/pypi/st/lib/status", {"status": "quarantined"})
    tools.uv("s2", index(admin.node, "st"), "lib", status=1)
    admin.get("/st/lib/1.0/lib-1.0-py3-none-any.whl", 403)
    admin.must("PUT", "/pypi/st/lib/status", {"status": "deprecated"})
    tools.uv("s3", index(admin.node, "st"), "lib")


def test_attestations(admin, tmp_path):
    put_repo(admin, "att")
    with open(sdist(tmp_path, "lib", "1.0"), "rb") as f:
        data = f.read()
    body, headers = form({**GOOD, "attestations": json.dumps([{"version": 1, "envelope": {}}])}, data)
    assert admin.repo("POST", "/att/", body, headers).status == 200
    link = page(admin, "att", "lib")["files"][0]["provenance"]
    assert link == url(admin, "att") + "lib/1.0/lib-1.0.tar.gz.provenance"
    assert f'data-provenance="{link}"'.encode() in admin.get("/att/simple/lib/").body
    r = admin.get("/att/lib/1.0/lib-1.0.tar.gz.provenance")
    assert r.json()["attestation_bundles"][0]["attestations"] == [{"version": 1, "envelope": {}}]


def project(folder, name, version, source, tool, requires=()):
    """A project of poetry or pdm that asks one index."""
    table = {"poetry": '[[tool.poetry.source]]\nname = "ours"\npriority = "primary"\n',
             "pdm": '[[tool.pdm.source]]\nname = "pypi"\nverify_ssl = false\n'}[tool]
    os.makedirs(folder / "dist")
    wheel(str(folder / "dist"), name, version, requires)
    sdist(str(folder / "dist"), name, version)
    wanted = ", ".join(f'"{r}"' for r in requires)
    (folder / "pyproject.toml").write_text(
        f'[project]\nname = "{name}"\nversion = "{version}"\nrequires-python = ">=3.8"\n'
        f'dependencies = [{wanted}]\n{table}url = "{source}"\n', encoding="utf-8")
    return str(folder)


@only_if(FULL)
def test_managers(make_cluster, tmp_path):
    """poetry and pdm publish, lock and install, each request on another node; and what they show of a
    refusal."""
    poetry, pdm = Tools(tmp_path, "poetry"), Tools(tmp_path, "pdm")
    cluster = make_cluster()
    admin = cluster.nodes[0].admin()
    put_repo(admin, "py")
    spread = Spread(cluster.nodes)
    to, source = f"http://127.0.0.1:{spread.port}/py/", f"http://127.0.0.1:{spread.port}/py/simple/"
    login = source.replace("//", f"//{USER}:{PASSWORD}@")
    env = {"POETRY_VIRTUALENVS_IN_PROJECT": "1", "POETRY_REPOSITORIES_OURS_URL": to,
           "POETRY_HTTP_BASIC_OURS_USERNAME": USER, "POETRY_CACHE_DIR": str(tmp_path / "cache"),
           "POETRY_HTTP_BASIC_OURS_PASSWORD": PASSWORD, "PDM_CHECK_UPDATE": "0",
           "PDM_IGNORE_ACTIVE_VENV": "1", "PDM_CACHE_DIR": str(tmp_path / "pdm-cache")}
    wrong = {**env, "POETRY_HTTP_BASIC_OURS_PASSWORD": "wrong"}
    lib = project(tmp_path / "lib", "man-lib", "1.0", source, "poetry")
    poetry.run("poetry", "publish", "-r", "ours", "-n", cwd=lib, **env)
    app = project(tmp_path / "app", "man-app", "1.0", login, "pdm", ["man-lib>=1"])
    publish = ("publish", "--no-build", "--repository", to, "--username", USER, "--password")
    pdm.run("pdm", *publish, PASSWORD, cwd=app, **env)
    out = poetry.run("poetry", "publish", "-r", "ours", "-n", cwd=lib, status=1, **wrong)
    assert "401" in out, out
    out = pdm.run("pdm", *publish, "wrong", cwd=app, status=1, **env)
    assert "401" in out, out
    for tools, tool, address, install in ((poetry, "poetry", source, ("install", "--no-root", "-n")),
                                          (pdm, "pdm", login, ("install", "--no-self"))):
        top = project(tmp_path / f"top-{tool}", "man-top", "1.0", address, tool, ["man-app"])
        tools.run(tool, "lock", cwd=top, **env)
        tools.run(tool, *install, cwd=top, **env)
        place = os.path.join(top, ".venv/lib")
        found = {p for _, folders, _ in os.walk(place) for p in folders if p.startswith("man_")}
        assert found >= {"man_lib-1.0.dist-info", "man_app-1.0.dist-info"}, found
    spread.close()


def test_three_nodes(make_cluster, tools, tmp_path):
    """What one node acknowledged is in the next node's index; uploads to several at once are all in it."""
    nodes = make_cluster().nodes
    admins = [nodes[0].admin()]
    admins += [admins[0].at(n) for n in nodes[1:]]
    put_repo(admins[0], "py")
    files = [wheel(tmp_path, "lib", f"1.{n}") for n in range(12)]

    def publish(n):
        with open(files[n], "rb") as f:
            body, headers = form({**GOOD, "version": f"1.{n}", "filetype": "bdist_wheel"}, f.read(),
                                 os.path.basename(files[n]))
        client = admins[n % 3]
        for _ in range(50):
            r = client.repo("POST", "/py/", body, headers)
            if r.status != 503:
                break
            time.sleep(0.1)
        assert r.status == 200, r
        with_it = page(admins[(n + 1) % 3], "py", "lib")["versions"]
        assert f"1.{n}" in with_it, with_it

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(publish, range(12)))
    for client in admins:
        assert sorted(page(client, "py", "lib")["versions"]) == sorted(f"1.{n}" for n in range(12))
    spread = Spread(nodes)  # each request of a client goes to another node
    tools.twine(f"http://127.0.0.1:{spread.port}/py/", wheel(tmp_path, "app", "1.0", ["lib", "more"]))
    tools.uv_publish(f"http://127.0.0.1:{spread.port}/py/", wheel(tmp_path, "more", "1.0"))
    tools.pip("c1", index(spread, "py"), "app")
    assert tools.installed("c1") == {"app": "1.0", "lib": "1.11", "more": "1.0"}
    admins[2].must("POST", "/pypi/py/lib/1.11/yank")
    tools.uv("c2", index(spread, "py"), "app")
    assert tools.installed("c2") == {"app": "1.0", "lib": "1.10", "more": "1.0"}
    assert min(spread.counts.values()) >= 3, spread.counts
    assert admins[1].repo("DELETE", "/py/lib/1.10").status == 204
    tools.uv("c3", index(nodes[2], "py"), "app")
    assert tools.installed("c3") == {"app": "1.0", "lib": "1.9", "more": "1.0"}
    spread.close()
