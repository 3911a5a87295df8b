# SPDX-License-Identifier: Apache-2.0
"""Go proxies and groups: against another node, against an upstream with dates of ours, and against what this
machine's go is told to use."""
import json
import subprocess
import time


from pantera import FULL, PASSWORD, USER, figure
from test_format_go import escape, front, go, module_zip, put_repo, upload  # noqa: F401
from test_format_maven_proxy import asked, upstream  # noqa: F401


def put_proxy(client, name, remote, **keys):
    client.must("PUT", f"/repositories/{name}", {"repo": {"type": "go-proxy", "storage": "default",
                                                          "remotes": [remote], **keys}})


def put_group(client, name, *members, **keys):
    repo = {"type": "go-group", "members": list(members), **keys}
    client.must("PUT", f"/repositories/{name}", {"repo": repo})


def listed(client, module, repo):
    return client.get(f"/{repo}/{escape(module)}/@v/list").body.decode().split()


def test_group_over_another_node(make_node, make_cluster, go, front):  # noqa: F811
    """Another registry's modules come through a group of three nodes; a hosted module is only ours."""
    other = make_node()
    up = other.admin()
    put_repo(up)
    for module, version in (("example.com/Their", "v1.0.0"), ("example.com/Their", "v1.2.0"),
                            ("example.com/own", "v9.0.0+incompatible"), ("example.com/own", "v1.9.0")):
        files = {"a.go": "package a\n"} if "incompatible" in version else None
        assert upload(up, module, version, files=files).status == 201
    cluster = make_cluster()
    c = cluster.node(1).admin()
    put_repo(c, "ours")
    remote = f"http://127.0.0.1:{other.port}/go"
    put_proxy(c, "mirror", {"url": remote, "username": USER, "password": PASSWORD})
    put_group(c, "all", "ours", "mirror")
    f = front(*cluster.nodes)
    go(f, "get", "example.com/Their", repo="all")
    assert go(f, "list", "-m", "-f", "{{.Version}}", "example.com/Their", repo="all").strip() == "v1.2.0"
    path = f"{escape('example.com/Their')}/@v/v1.2.0"
    before = sum(asked(n) for n in cluster.nodes)
    for node in cluster.nodes:
        client = c.at(node)
        assert client.get(f"/all/{path}.zip").body == module_zip("example.com/Their", "v1.2.0")
        assert client.get(f"/mirror/{path}.mod").body == b"module example.com/Their\n"
        assert client.get(f"/all/{path}.info").json()["Version"] == "v1.2.0"
        assert listed(client, "example.com/Their", "all") == ["v1.0.0", "v1.2.0"]
        client.get("/all/example.com/none/@v/list", 404)
    assert sum(asked(n) for n in cluster.nodes) - before <= 3
    assert listed(c, "example.com/own", "all") == ["v1.9.0", "v9.0.0+incompatible"]
    r = c.repo("PUT", "/ours/example.com/own/@v/v1.0.0.zip", module_zip("example.com/own", "v1.0.0"))
    assert r.status == 201
    for node in cluster.nodes:
        assert listed(c.at(node), "example.com/own", "all") == ["v1.0.0"]
        assert c.at(node).get("/all/example.com/own/@latest").json()["Version"] == "v1.0.0"
        c.at(node).get("/all/example.com/own/@v/v1.9.0.zip", 404)
    assert c.repo("PUT", "/all/example.com/own/@v/v1.1.0.zip", b"x").status == 405


def test_cooldown(make_cluster, go, front, upstream):  # noqa: F811
    """Too young versions are not listed, and are refused with the reason; go takes the older one. What is
    released on one node is there on another, at once."""
    young = [f"v1.{n}.0" for n in range(2, 14)]
    for version, age in [("v1.0.0", 100), ("v1.1.0", 3)] + [(v, 1) for v in young]:
        base, when = f"/example.com/cool/@v/{version}", time.time() - age * 86400
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(when))
        upstream.files[base + ".info"] = (json.dumps({"Version": version, "Time": stamp}).encode(), None)
        upstream.files[base + ".mod"] = (b"module example.com/cool\n", None)
        upstream.files[base + ".zip"] = (module_zip("example.com/cool", version), None)
    upstream.files["/example.com/cool/@v/list"] = ("\n".join(["v1.0.0", *young, "v1.1.0"]).encode(), None)
    cluster = make_cluster()
    c = cluster.node(1).admin()
    put_proxy(c, "mirror", {"url": upstream.url}, cooldown={"duration": "P7D"})
    put_group(c, "all", "mirror")
    for node in cluster.nodes:
        assert listed(c.at(node), "example.com/cool", "all") == ["v1.0.0"]
    f = front(*cluster.nodes)
    go(f, "get", "example.com/cool@latest", repo="mirror")
    assert go(f, "list", "-m", "-f", "{{.Version}}", "example.com/cool", repo="all").strip() == "v1.0.0"
    out = go(f, "get", "example.com/cool@v1.1.0", repo="all", ok=False)
    assert "TOO_YOUNG" in out, out
    r = c.repo("GET", "/mirror/example.com/cool/@v/v1.1.0.zip")
    assert r.status == 403 and b"TOO_YOUNG" in r.body
    c.must("POST", "/repositories/mirror/cooldown/unblock",
           {"artifact": "example.com/cool", "version": "v1.1.0"})
    assert listed(c.at(cluster.node(3)), "example.com/cool", "all") == ["v1.0.0", "v1.1.0"]
    go(front(cluster.node(3)), "get", "example.com/cool@v1.1.0", repo="all")


def test_tree_and_sum_database(make_cluster, go, front, tmp_path):  # noqa: F811
    """A tree of more than fifty modules from this machine's own upstream through a group, checked with the
    sum database through it too; then again, with nothing known, through the proxy: upstream hears nothing."""
    r = subprocess.run(["go", "env", "GOPROXY"], capture_output=True, text=True, check=True, cwd="/")
    remote = r.stdout.strip().replace("|", ",").split(",")[0]
    cluster = make_cluster(config={"http_client": {"allow_upstreams": ["0.0.0.0/0", "::/0"]}})
    c = cluster.node(1).admin()
    put_repo(c, "ours")
    put_proxy(c, "mirror", {"url": remote})
    put_group(c, "all", "ours", "mirror")
    f = front(*cluster.nodes)
    name = subprocess.run(["go", "env", "GOSUMDB"], capture_output=True, text=True, check=True,
                          cwd="/").stdout
    db = c.repo("GET", f"/mirror/sumdb/{name.split()[0]}/supported").status
    env = {} if db != 200 else {"GONOSUMDB": "", "GOSUMDB": name.strip()}
    start = (tmp_path / "work/go.mod").read_text(encoding="utf-8")

    def resolve(repo, **kw):
        (tmp_path / "work/go.mod").write_text(start, encoding="utf-8")
        (tmp_path / "work/go.sum").unlink(missing_ok=True)
        go(f, "get", "github.com/spf13/viper@v1.18.2", repo=repo, **kw)
        listed = go(f, "list", "-m", "-f", "{{.Path}} {{.Version}}", "all", repo=repo, **kw).splitlines()
        if FULL:
            go(f, "mod", "download", "all", repo=repo, **kw)
        return [line for line in listed if " v" in line]

    def fetched():  # go asks for what is not there too, which upstream may refuse: nothing is kept of that
        return sum(asked(n, only="ok|not_modified") for n in cluster.nodes)

    modules = resolve("all", **env)
    before = fetched()
    try:
        assert resolve("mirror", GOPATH=str(tmp_path / "again")) == modules
    finally:
        subprocess.run(["chmod", "-R", "u+w", str(tmp_path / "again")], check=False)
    warm = fetched() - before
    figure(f"go: {len(modules)} modules through a group, {before} requests upstream; again through the proxy "
           f"{warm}; sum database: {db}")
    assert len(modules) > 50 and warm == 0
