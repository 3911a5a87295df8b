# SPDX-License-Identifier: Apache-2.0
"""Go modules, with the go command as their client. It sends credentials over https only: front.py."""
import io
import json
import os
import subprocess
import threading
import zipfile

import pytest

from front import Front
from pantera import PASSWORD, ROOT, USER


def module_zip(module, version, files=None, mod=None):
    """A module's zip file; `files`: names below the module, or with a '/' in front as they are."""
    b = io.BytesIO()
    if files is None:
        files = {"go.mod": mod or f"module {module}\n", "lib.go": f'package lib\n\nconst V = "{version}"\n'}
    with zipfile.ZipFile(b, "w", zipfile.ZIP_DEFLATED) as z:
        for name, text in files.items():
            path = name[1:] if name[0] == "/" else f"{module}@{version}/{name}"
            z.writestr(zipfile.ZipInfo(path), text)  # without a time: the same bytes each time
    return b.getvalue()


def escape(text):
    return "".join("!" + c.lower() if c.isupper() else c for c in text)


def upload(client, module, version, **kw):
    path = f"/go/{escape(module)}/@v/{escape(version)}.zip"
    return client.repo("PUT", path, module_zip(module, version, **kw))


@pytest.fixture
def front(tmp_path):
    made = []

    def make(*nodes):
        certs = str(tmp_path / "front")
        subprocess.run([os.path.join(ROOT, "scripts/certs"), certs, "1"], check=True)
        made.append(Front(certs, [n.port for n in nodes]))
        made[-1].ca = f"{certs}/ca.pem"
        return made[-1]

    yield make
    for f in made:
        f.close()


@pytest.fixture
def go(tmp_path):
    """go(front, args...): its output; in a module of its own, with nothing known."""
    work = tmp_path / "work"
    work.mkdir()

    def run(front, *args, password=PASSWORD, ok=True, repo="go", **env):
        proxy = f"https://{USER}:{password}@127.0.0.1:{front.port}/{repo}"
        e = {**os.environ, "GOPROXY": proxy, "GONOSUMDB": "*", "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local",
             "GOPATH": str(tmp_path / "gopath"), "GOCACHE": str(tmp_path / "gocache"), "HOME": str(tmp_path),
             "SSL_CERT_FILE": front.ca, "GOWORK": "off", **env}
        r = subprocess.run(["go", *args], cwd=work, env=e, capture_output=True, text=True, check=False,
                           timeout=300)
        assert not ok or r.returncode == 0, r.stdout + r.stderr
        return r.stdout + r.stderr

    (work / "go.mod").write_text("module example.com/app\n\ngo 1.19\n", encoding="utf-8")
    yield run
    subprocess.run(["chmod", "-R", "u+w", str(tmp_path / "gopath")], check=False)


def put_repo(client, name="go", **keys):
    client.must("PUT", f"/repositories/{name}", {"repo": {"type": "go", "storage": "default", **keys}})


MAIN = 'package main\n\nimport lib "example.com/Team/lib"\n\nfunc main() { print(lib.V) }\n'
CHOSEN = ("list", "-m", "-f", "{{.Version}}")


def test_publish_and_get(make_cluster, go, front, tmp_path):
    """Versions go up through one node each; go asks all three in turn, and takes the highest release."""
    cluster = make_cluster()
    c = cluster.node(1).admin()
    put_repo(c)
    module = "example.com/Team/lib"
    for n, version in enumerate(("v1.0.0", "v1.10.0", "v1.9.0", "v1.11.0-RC.1")):
        r = upload(c.at(cluster.nodes[n % 3]), module, version)
        assert r.status == 201, r
    f = front(*cluster.nodes)
    (tmp_path / "work/main.go").write_text(MAIN, encoding="utf-8")
    listed = go(f, "list", "-m", "-versions", module).split()
    assert listed[1:] == ["v1.0.0", "v1.9.0", "v1.10.0", "v1.11.0-RC.1"]
    go(f, "get", module)
    assert go(f, *CHOSEN, module).strip() == "v1.10.0"
    go(f, "get", module + "@v1.11.0-RC.1")
    assert go(f, *CHOSEN, module).strip() == "v1.11.0-RC.1"
    assert "lib.go" in os.listdir(go(f, "list", "-m", "-f", "{{.Dir}}", module).strip())
    info = json.loads(go(f, "mod", "download", "-json", module + "@v1.0.0"))
    assert info["Sum"].startswith("h1:") and info["GoModSum"].startswith("h1:")
    assert len(f.used) == 3
    assert c.get(f"/go/{escape(module)}/@latest").json()["Version"] == "v1.10.0"
    # What is deleted is gone at once, everywhere, with its .mod and .info.
    assert c.repo("DELETE", f"/go/{escape(module)}/@v/v1.10.0.zip").status == 204
    for node in cluster.nodes:
        other = c.at(node)
        assert other.get(f"/go/{escape(module)}/@v/list").body == b"v1.0.0\nv1.9.0\nv1.11.0-RC.1\n"
        assert other.get(f"/go/{escape(module)}/@latest").json()["Version"] == "v1.9.0"
        for suffix in ("zip", "mod", "info"):
            other.get(f"/go/{escape(module)}/@v/v1.10.0.{suffix}", 404)
    out = go(f, "get", module + "@v1.12.0", ok=False)
    assert "404" in out and "not found" in out
    out = go(f, "get", module, password="wrong", ok=False)
    assert "401" in out


def test_concurrent_uploads(make_cluster):
    """Eight versions at the same moment over three nodes are all listed; of one version uploaded at the same
    moment with different contents one is kept, whole."""
    cluster = make_cluster()
    c = cluster.node(1).admin()
    put_repo(c)
    answers = {}

    def run(n, version, text):
        client = c.at(cluster.nodes[n % 3])
        r = upload(client, "example.com/m", version, files={"go.mod": "module example.com/m\n", "a.go": text})
        answers[n] = r.status

    jobs = [(n, f"v1.{n}.0", "x") for n in range(8)] + [(8 + n, "v1.99.0", f"text {n}") for n in range(3)]
    threads = [threading.Thread(target=run, args=j, daemon=True) for j in jobs]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert [answers[n] for n in range(8)] == [201] * 8
    assert sorted(answers[n] for n in range(8, 11)) == [201, 409, 409]
    listed = [f"v1.{n}.0" for n in range(8)] + ["v1.99.0"]
    for node in cluster.nodes:
        assert c.at(node).get("/go/example.com/m/@v/list").body.decode().split() == listed


def test_zip_files_are_checked(make_node):
    """What the go command would refuse is refused when it is uploaded, with the reason."""
    c = make_node().admin()
    put_repo(c)
    m, v = "example.com/m", "v1.0.0"
    mod = f"module {m}\n"
    bad = {
        "is not below": {"/elsewhere/a.go": "x"},
        "go.mod says": {"go.mod": "module example.com/other\n"},
        "at the top only": {"go.mod": mod, "sub/go.mod": mod},
        "in lower case": {"GO.MOD": mod},
        "the same name on some systems": {"a.go": "x", "A.go": "x"},
        "a file and a folder": {"x": "x", "x/y.go": "x"},
        "two dots": {"../a.go": "x"},
        "reserved on Windows": {"sub/aux.go": "x"},
        "not allowed": {"a:b": "x"},
        "archive": {},
    }
    for reason, files in bad.items():
        r = upload(c, m, v, files=files)
        assert r.status == 400 and reason in r.body.decode(), (reason, r)
    assert c.repo("PUT", f"/go/{m}/@v/{v}.zip", b"not a zip file").status == 400
    for path in ("example.com/m/v2/@v/v1.0.0", "example.com/m/@v/v2.0.0", "example.com/m/@v/v1.0",
                 "nodot/m/@v/v1.0.0", "example.com/m/v1/@v/v1.0.0"):
        assert c.repo("PUT", f"/go/{path}.zip", module_zip(m, v)).status == 400, path
    assert c.repo("PUT", "/go/example.com/M/@v/v1.0.0.zip", module_zip(m, v)).status == 404
    assert c.repo("GET", f"/go/{m}/@v/list").status == 404
    # .mod and .info of one's own, before the zip file; then none of them changes, but .info.
    info = {"Version": v, "Time": "2020-01-02T03:04:05Z"}
    assert c.repo("PUT", f"/go/{m}/@v/{v}.info", json.dumps({**info, "Version": "v2.0.0"})).status == 400
    assert c.repo("PUT", f"/go/{m}/@v/{v}.info", json.dumps(info)).status == 201
    assert c.repo("PUT", f"/go/{m}/@v/{v}.mod", "module example.com/x\n").status == 400
    assert c.repo("PUT", f"/go/{m}/@v/{v}.mod", mod).status == 201
    assert c.repo("GET", f"/go/{m}/@v/list").status == 404
    assert upload(c, m, v, mod=mod + "go 1.20\n").status == 409
    data = module_zip(m, v)
    assert c.repo("PUT", f"/go/{m}/@v/{v}.zip", data).status == 201
    assert c.repo("PUT", f"/go/{m}/@v/{v}.zip", data).status == 201
    assert upload(c, m, v, files={"go.mod": mod}).status == 409
    assert c.get(f"/go/{m}/@v/list").body == b"v1.0.0\n"
    assert c.get(f"/go/{m}/@latest").json() == info
    assert c.get(f"/go/{m}/@v/{v}.zip").body == data
    # Without a go.mod, as old modules are; and a version of a commit, which is not listed.
    pseudo = "v0.0.0-20260102030405-abcdefabcdef"
    assert upload(c, "example.com/old", pseudo, files={"a.go": "package old\n"}).status == 201
    assert c.get(f"/go/example.com/old/@v/{pseudo}.mod").body == b"module example.com/old\n"
    assert c.get("/go/example.com/old/@v/list").body == b""
    assert c.get("/go/example.com/old/@latest").json()["Version"] == pseudo
