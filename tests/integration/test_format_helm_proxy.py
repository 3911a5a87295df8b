# SPDX-License-Identifier: Apache-2.0
"""Helm proxies and groups: against another node, and against an upstream whose index is YAML, with dates."""
import hashlib
import os
import subprocess
import time

from pantera import FULL, PASSWORD, USER, only_if
from test_format_helm import chart, prov, put_repo, sdk, url  # noqa: F401
from test_format_maven_proxy import asked, upstream  # noqa: F401


def put_proxy(client, name, remote, **keys):
    client.must("PUT", f"/repositories/{name}", {"repo": {"type": "helm-proxy", "storage": "default",
                                                          "remotes": [remote], **keys}})


def put_group(client, name, *members, **keys):
    repo = {"type": "helm-group", "members": list(members), **keys}
    client.must("PUT", f"/repositories/{name}", {"repo": repo})


def entries(client, repo):
    index = client.get(f"/{repo}/index.yaml").json()
    return {name: [e["version"] for e in list_] for name, list_ in index["entries"].items()}


def test_group_over_another_node(make_node, make_cluster, sdk, tmp_path):  # noqa: F811
    """Another registry's charts come through a group of three nodes, once; a chart of a hosted member is only
    ours, from the very next answer on."""
    other = make_node()
    up = other.admin()
    put_repo(up, "theirs")
    for name, version in (("lib", "1.0.0"), ("lib", "1.10.0"), ("own", "9.0.0")):
        assert up.repo("PUT", f"/theirs/{name}.tgz", chart(name, version)).status == 201
    data = chart("lib", "1.10.0")
    assert up.repo("POST", "/theirs/api/prov", prov("lib", "1.10.0", data)).status == 201
    cluster = make_cluster()
    c = cluster.node(1).admin()
    put_repo(c, "ours")
    put_proxy(c, "mirror", {"url": url(other, "theirs"), "username": USER, "password": PASSWORD})
    put_group(c, "all", "ours", "mirror")
    auth = {"username": USER, "password": PASSWORD}
    out = sdk("out = registry.pull('lib', repo_url=args[0], destination=args[1], **args[2])",
              url(cluster.node(2), "all"), str(tmp_path), auth)
    assert (tmp_path / "lib-1.10.0.tgz").read_bytes() == data, out
    before = sum(asked(n) for n in cluster.nodes)
    for node in cluster.nodes:
        assert c.at(node).get("/all/charts/lib-1.10.0.tgz").body == data
        assert entries(c.at(node), "mirror") == {"lib": ["1.10.0", "1.0.0"], "own": ["9.0.0"]}
    assert sum(asked(n) for n in cluster.nodes) - before <= 2
    assert c.get("/all/charts/lib-1.10.0.tgz.prov").body == prov("lib", "1.10.0", data)
    assert c.repo("PUT", "/ours/own.tgz", chart("own", "1.0.0")).status == 201
    for node in cluster.nodes:
        assert entries(c.at(node), "all") == {"lib": ["1.10.0", "1.0.0"], "own": ["1.0.0"]}
        assert c.at(node).repo("GET", "/all/charts/own-9.0.0.tgz").status == 404
    put_group(c, "all", "ours", "mirror", allow_upstream=["own"])
    assert entries(c.at(cluster.node(3)), "all")["own"] == ["9.0.0", "1.0.0"]
    assert c.repo("PUT", "/all/own.tgz", b"x").status == 405


def cool(upstream):  # noqa: F811
    """Fills upstream with an index of YAML whose charts are elsewhere; the first one's digest is wrong."""
    charts = {v: chart("cool", v) for v in ("1.0.0", "1.1.0", "1.2.0")}
    text = "apiVersion: v1\nentries:\n  cool:\n"
    for version, age in (("1.2.0", 1), ("1.1.0", 100), ("1.0.0", 200)):
        made = time.strftime("%Y-%m-%dT%H:%M:%S.123456789Z", time.gmtime(time.time() - age * 86400))
        digest = hashlib.sha256(charts[version]).hexdigest() if version != "1.0.0" else "0" * 64
        text += (f"  - name: cool\n    version: {version}\n    created: \"{made}\"\n    digest: {digest}\n"
                 f"    apiVersion: v2\n    urls:\n    - {upstream.url}/files/{version}/cool.tgz\n")
        upstream.files[f"/files/{version}/cool.tgz"] = (charts[version], None)
    upstream.files["/index.yaml"] = (text.encode(), None)
    return charts


def test_yaml_upstream_with_cooldown(make_cluster, sdk, upstream, tmp_path):  # noqa: F811
    """Digests are compared; what is too young is not in the index, and is refused; what is unblocked is, on
    another node at once."""
    charts = cool(upstream)
    cluster = make_cluster()
    c = cluster.node(1).admin()
    put_proxy(c, "mirror", {"url": upstream.url}, cooldown={"duration": "P7D"})
    put_group(c, "all", "mirror")
    for node in cluster.nodes:
        assert entries(c.at(node), "all") == {"cool": ["1.1.0", "1.0.0"]}
    sdk("out = registry.pull('cool', repo_url=args[0], destination=args[1], **args[2])",
        url(cluster.node(2), "all"), str(tmp_path), {"username": USER, "password": PASSWORD})
    assert os.listdir(tmp_path) and (tmp_path / "cool-1.1.0.tgz").read_bytes() == charts["1.1.0"]
    r = c.repo("GET", "/all/charts/cool-1.2.0.tgz")
    assert r.status == 403 and "TOO_YOUNG" in r.json()["error"]
    try:
        assert c.repo("GET", "/all/charts/cool-1.0.0.tgz").status == 502
    except Exception as e:  # pylint: disable=broad-except
        assert "IncompleteRead" in repr(e), e
    c.must("POST", "/repositories/mirror/cooldown/unblock", {"artifact": "cool", "version": "1.2.0"})
    third = c.at(cluster.node(3))
    assert entries(third, "all")["cool"][0] == "1.2.0"
    sdk("out = registry.pull('cool', repo_url=args[0], destination=args[1], **args[2])",
        url(cluster.node(3), "all"), str(tmp_path), {"username": USER, "password": PASSWORD})
    assert (tmp_path / "cool-1.2.0.tgz").read_bytes() == charts["1.2.0"]


@only_if(FULL)
def test_helm_with_cooldown(make_cluster, upstream, tmp_path):  # noqa: F811
    """helm itself: takes the older version; after a release on one node the newer one, through another."""
    charts = cool(upstream)
    cluster = make_cluster()
    c = cluster.node(1).admin()
    put_proxy(c, "mirror", {"url": upstream.url}, cooldown={"duration": "P7D"})
    put_group(c, "all", "mirror")

    def helm(*args, ok=True):
        env = {**os.environ, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
        r = subprocess.run(["helm", *args], cwd=tmp_path, env=env, capture_output=True, text=True,
                           check=False, timeout=120)
        assert (r.returncode == 0) == ok, r.stdout + r.stderr

    for n in (2, 3):
        helm("repo", "add", f"node{n}", url(cluster.node(n), "all"), "--username", USER,
             "--password", PASSWORD)
    helm("pull", "node2/cool")
    assert (tmp_path / "cool-1.1.0.tgz").read_bytes() == charts["1.1.0"]
    helm("pull", "node2/cool", "--version", "1.2.0", ok=False)
    c.must("POST", "/repositories/mirror/cooldown/unblock", {"artifact": "cool", "version": "1.2.0"})
    helm("repo", "update", "node3")
    helm("pull", "node3/cool")
    assert (tmp_path / "cool-1.2.0.tgz").read_bytes() == charts["1.2.0"]
