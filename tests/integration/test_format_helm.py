# SPDX-License-Identifier: Apache-2.0
"""Charts, with Helm 4's own code as their client (its SDK as a library: helm is in no registry as a program),
and with helm itself where there is one."""
import gzip
import hashlib
import io
import json
import os
import subprocess
import tarfile
import threading
import uuid

import pytest

from pantera import FULL, PASSWORD, ROOT, USER, only_if

SDK = "helm-python-sdk==0.2.2"


def chart(name, version, extra="", files=None):
    """A packaged chart, the same bytes each time."""
    files = {"Chart.yaml": f"apiVersion: v2\nname: {name}\nversion: {version}\n{extra}",
             "values.yaml": "a: 1\n", "templates/cm.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata:\n"
             f"  name: {name}\ndata:\n  version: {version}\n", **(files or {})}
    b = io.BytesIO()
    with tarfile.open(fileobj=b, mode="w") as t:
        for path, text in files.items():
            info = tarfile.TarInfo(f"{name}/{path}")
            info.size = len(text)
            t.addfile(info, io.BytesIO(text.encode()))
    return gzip.compress(b.getvalue(), mtime=0)


def prov(name, version, data):
    """What `helm package --sign` puts beside a chart; who signed it is nobody's concern here."""
    return ("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n"
            f"name: {name}\nversion: {version}\n\n...\nfiles:\n"
            f"  {name}-{version}.tgz: sha256:{hashlib.sha256(data).hexdigest()}\n"
            "-----BEGIN PGP SIGNATURE-----\n\nwsBcBAEBCgAQ\n-----END PGP SIGNATURE-----\n").encode()


def form(parts):
    boundary = uuid.uuid4().hex
    b = b"".join(b'--%s\r\nContent-Disposition: form-data; name="%s"; filename="x"\r\n\r\n%s\r\n'
                 % (boundary.encode(), name.encode(), data) for name, data in parts.items())
    return b + f"--{boundary}--\r\n".encode(), {"Content-Type": f"multipart/form-data; boundary={boundary}"}


def put_repo(client, name="charts", **keys):
    client.must("PUT", f"/repositories/{name}", {"repo": {"type": "helm", "storage": "default", **keys}})


def url(node, repo="charts"):
    return f"http://127.0.0.1:{node.port}/{repo}"


@pytest.fixture(scope="session")
def sdk():
    """sdk(code): what the code, with helm_python as `helm`, puts into `out`; an error's text if it fails."""
    home = os.path.join(os.environ.get("PANTERA_TOOLS") or os.path.join(ROOT, "build/tools"), "helm-sdk")
    python = os.path.join(home, "bin/python")
    if not os.path.exists(os.path.join(home, "complete")):
        subprocess.run(["python3", "-m", "venv", home], check=True)
        subprocess.run([os.path.join(home, "bin/pip"), "install", "-q", SDK], check=True)
        with open(os.path.join(home, "complete"), "w", encoding="ascii"):
            pass

    def run(code, *args):
        program = ("import json, sys\nimport helm_python as helm\nfrom helm_python import registry\n"
                   "args = json.loads(sys.argv[1])\nout = None\n"
                   f"try:\n    {code}\nexcept helm.HelmError as e:\n    out = 'error: ' + str(e)\n"
                   "print(json.dumps(out))\n")
        r = subprocess.run([python, "-c", program, json.dumps(args)], capture_output=True, text=True,
                           check=False, timeout=120)
        assert r.returncode == 0, r.stderr
        return json.loads(r.stdout.splitlines()[-1])
    return run


def test_publish_and_pull(make_cluster, sdk, tmp_path):
    """Charts go up through three nodes; Helm reads the index and the charts from each, in order of versions,
    and resolves dependencies; a deleted one is gone at once."""
    cluster = make_cluster()
    c = cluster.node(1).admin()
    put_repo(c)
    assert c.get("/charts/index.yaml").body == b"apiVersion: v1\nentries: {}\n"
    charts = {v: chart("lib", v, 'appVersion: 1.10\ndescription: "a: b"\nkeywords: [x, y]\n')
              for v in ("1.0.0", "1.10.0", "1.9.0", "2.0.0-rc.1")}
    for n, (version, data) in enumerate(charts.items()):
        r = c.at(cluster.nodes[n % 3]).repo("PUT", f"/charts/lib-{version}.tgz", data)
        assert r.status == 201, r
    auth = {"username": USER, "password": PASSWORD}
    for node in cluster.nodes:
        index = sdk("out = registry.repo_index(args[0], **args[1])", url(node), auth)
        assert [e["version"] for e in index["entries"]["lib"]] == ["2.0.0-rc.1", "1.10.0", "1.9.0", "1.0.0"]
        entry = index["entries"]["lib"][1]
        assert entry["digest"] == hashlib.sha256(charts["1.10.0"]).hexdigest()
        assert (entry["appVersion"], entry["description"], entry["keywords"]) == ("1.10", "a: b", ["x", "y"])
    sdk("out = registry.pull('lib', repo_url=args[0], destination=args[1], **args[2])", url(cluster.node(2)),
        str(tmp_path), auth)
    assert (tmp_path / "lib-1.10.0.tgz").read_bytes() == charts["1.10.0"]
    os.makedirs(tmp_path / "app")
    at = f"http://{USER}:{PASSWORD}@127.0.0.1:{cluster.node(3).port}/charts"
    (tmp_path / "app/Chart.yaml").write_text(
        "apiVersion: v2\nname: app\nversion: 0.1.0\ndependencies:\n- name: lib\n  version: ^1.0.0\n"
        f"  repository: {at}\n", encoding="utf-8")
    assert sdk("out = registry.dependency_update(args[0])", str(tmp_path / "app")) is None
    assert os.listdir(tmp_path / "app/charts") == ["lib-1.10.0.tgz"]
    out = sdk("out = registry.pull('lib', repo_url=args[0], destination=args[1], **args[2])",
              url(cluster.node(1)), str(tmp_path), {**auth, "password": "wrong"})
    assert "401" in out
    assert c.repo("DELETE", "/charts/charts/lib/1.10.0").status == 200
    for node in cluster.nodes:
        other = c.at(node)
        assert [e["version"] for e in other.get("/charts/api/charts/lib").json()] == ["2.0.0-rc.1", "1.9.0",
                                                                                   "1.0.0"]
        other.get("/charts/charts/lib-1.10.0.tgz", 404)


def test_concurrent_uploads(make_cluster):
    """Eight charts and versions at the same moment over three nodes are all in the index."""
    cluster = make_cluster()
    c = cluster.node(1).admin()
    put_repo(c)
    answers = []

    def run(n):
        data = chart(f"c{n % 4}", f"1.{n}.0")
        answers.append(c.at(cluster.nodes[n % 3]).repo("POST", "/charts/api/charts", data).status)

    threads = [threading.Thread(target=run, args=(n,), daemon=True) for n in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert answers == [201] * 8
    for node in cluster.nodes:
        entries = c.at(node).get("/charts/api/charts").json()
        assert {name: [e["version"] for e in list_] for name, list_ in entries.items()} == \
            {f"c{n}": [f"1.{n + 4}.0", f"1.{n}.0"] for n in range(4)}


def test_museum_and_rules(make_node):
    """ChartMuseum's API, provenance, what is refused and why; deletion by the management API."""
    c = make_node().admin()
    put_repo(c)
    put_repo(c, "loose", redeploy="allow")
    data = chart("lib", "1.0.0")
    body, headers = form({"chart": data, "prov": prov("lib", "1.0.0", data)})
    r = c.repo("POST", "/charts/api/charts", body, headers)
    assert r.status == 201 and r.json() == {"saved": True}
    assert c.get("/charts/charts/lib-1.0.0.tgz").body == data
    assert c.get("/charts/some/where/lib-1.0.0.tgz").body == data
    assert c.get("/charts/charts/lib-1.0.0.tgz.prov").body == prov("lib", "1.0.0", data)
    assert c.get("/charts/api/charts/lib/1.0.0").json()["name"] == "lib"
    assert c.repo("HEAD", "/charts/api/charts/lib/1.0.0").status == 200
    assert c.repo("GET", "/charts/api/charts/lib/2.0.0").status == 404
    other = chart("lib", "1.0.0", "description: other\n")
    assert c.repo("POST", "/charts/api/charts", data).status == 201
    r = c.repo("POST", "/charts/api/charts", other)
    assert r.status == 409 and r.json() == {"error": "lib-1.0.0.tgz already exists"}
    assert c.get("/charts/charts/lib-1.0.0.tgz").body == data
    for version in (data, other):
        assert c.repo("PUT", "/loose/lib-1.0.0.tgz", version).status == 201
    assert c.get("/loose/api/charts/lib/1.0.0").json()["description"] == "other"
    assert c.get("/loose/charts/lib-1.0.0.tgz").body == other
    bad = {"no Chart.yaml": gzip.compress(b"\0" * 10240), "semantic version": chart("lib", "1.0"),
           "chart's name": chart("li b", "1.0.0"), "not valid YAML": chart("lib", "1.0.0", "a: [\n"),
           "archive": b"nonsense"}
    for reason, broken in bad.items():
        r = c.repo("PUT", "/charts/x.tgz", broken)
        assert r.status == 400 and reason in r.json()["error"], (reason, r)
    assert c.repo("PUT", "/charts/x.txt", data).status == 400
    assert c.repo("POST", "/charts/api/prov", prov("lib", "1.0.0", other)).status == 400
    assert c.repo("POST", "/charts/api/prov", prov("none", "1.0.0", other)).status == 404
    assert c.repo("POST", "/charts/api/prov", prov("lib", "1.0.0", data)).status == 201
    assert c.repo("POST", "/charts/api/charts", b"--x--", {"Content-Type": "multipart/form-data; boundary=x"}
                  ).status == 400
    assert c.repo("GET", "/charts/.helm/index.json").status == 404
    # A whole chart; then one by the management API: the index follows.
    c.repo("PUT", "/charts/lib-1.1.0.tgz", chart("lib", "1.1.0"))
    c.repo("PUT", "/charts/b-1.0.0.tgz", chart("b", "1.0.0"))
    assert c.repo("DELETE", "/charts/api/charts/lib").json() == {"deleted": True}
    assert c.repo("DELETE", "/charts/api/charts/lib").status == 404
    assert list(c.get("/charts/api/charts").json()) == ["b"]
    assert c.repo("GET", "/charts/charts/lib-1.0.0.tgz.prov").status == 404
    assert c.api("DELETE", "/repositories/charts/artifacts", {"path": "charts/b-1.0.0.tgz"}).status == 204
    assert c.get("/charts/api/charts").json() == {}


@only_if(FULL)
def test_helm(make_node, tmp_path):
    """helm repo add, search, pull, template."""
    node = make_node()
    c = node.admin()
    put_repo(c)
    for version in ("1.0.0", "1.10.0"):
        assert c.repo("PUT", f"/charts/lib-{version}.tgz", chart("lib", version)).status == 201

    def helm(*args, ok=True):
        env = {**os.environ, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
        r = subprocess.run(["helm", *args], cwd=tmp_path, env=env, capture_output=True, text=True,
                           check=False, timeout=120)
        assert (r.returncode == 0) == ok, r.stdout + r.stderr
        return r.stdout + r.stderr

    helm("repo", "add", "p", url(node), "--username", USER, "--password", PASSWORD)
    assert "1.10.0" in helm("search", "repo", "p/lib")
    helm("pull", "p/lib", "--version", "1.0.0")
    assert (tmp_path / "lib-1.0.0.tgz").read_bytes() == chart("lib", "1.0.0")
    assert "version: 1.10.0" in helm("template", "x", "p/lib")
    out = helm("repo", "add", "q", url(node), "--username", USER, "--password", "wrong", ok=False)
    assert "401" in out
