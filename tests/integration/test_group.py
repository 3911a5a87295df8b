# SPDX-License-Identifier: Apache-2.0
"""file-group: hosted members first, names that are hosted never asked upstream, deploys seen at once."""
import pytest

from pantera import PASSWORD, Client
from test_proxy import put_proxy, settled
from upstream import Upstream


@pytest.fixture
def up():
    upstream = Upstream()
    yield upstream
    upstream.close()


def put_group(client, name, *members, **more):
    repo = {"type": "file-group", "members": list(members), **more}
    client.must("PUT", f"/repositories/{name}", {"repo": repo})


def test_order_and_ownership(make_node, up):
    node = make_node()
    admin = node.admin()
    second = Upstream()
    try:
        admin.put_repo("own")
        put_proxy(admin, "one", up.url)
        put_proxy(admin, "two", second.url)
        put_group(admin, "all", "one", "own", "two")
        for path, servers in (("x/a", (up, second)), ("y/b", (second,)), ("own/c", (up,))):
            for s in servers:
                s.files[path] = s.url.encode()
        admin.put("/own/own/d", b"hosted")
        assert admin.get("/all/own/d").body == b"hosted"
        assert admin.get("/all/x/a").body == up.url.encode()
        assert second.count() == 0
        assert admin.get("/all/y/b").body == second.url.encode()
        # the folder is hosted: nobody else is asked about anything in it
        assert admin.repo("GET", "/all/own/c").status == 404
        assert up.count("own/c") == second.count("own/c") == 0
        # unless the group says so
        put_group(admin, "open", "one", "own", "two", allow_upstream=["ow*"])
        assert admin.get("/open/own/c").body == up.url.encode()
        # hosted first, or as listed
        admin.put("/own/x/a", b"hosted")
        assert admin.get("/all/x/a").body == b"hosted"
        put_group(admin, "listed", "one", "own", order="listed", allow_upstream=["*"])
        assert admin.get("/listed/x/a").body == up.url.encode()
        # what is cached by a later member is not asked for at an earlier one
        before = up.count()
        assert admin.get("/all/y/b").body == second.url.encode()
        assert up.count() == before
        # one that fails is not one that has it not
        up.faults["z"] = up.status(500)
        assert admin.repo("GET", "/all/z").status == 502
        second.files["z"] = b"z"
        admin.must("DELETE", "/repositories/two/cache?path=z")
        assert admin.get("/all/z").body == b"z"
        assert admin.repo("PUT", "/all/x", b"x").status == 405
        assert admin.repo("HEAD", "/all/z").status == 200 # answered when it has its name
        # a folder lists what its members have
        assert admin.get("/all/").body.decode().split() == ["own/", "x/", "y/", "z"]
        assert admin.get("/all/own/").body.decode().split() == ["own/c", "own/d"]
        assert admin.get("/all/?limit=2").body.decode().split() == ["own/", "x/"]
        assert admin.get("/all/?limit=2&after=x/").body.decode().split() == ["y/", "z"]
    finally:
        second.close()


def test_an_index_is_whole_or_none(make_node, up):
    """Two upstreams have the same package; one fails. A build must not resolve to what the other has."""
    admin, second = make_node().admin(), Upstream()
    path = "simple/lib/"
    for n, u in enumerate((up, second)):
        u.files[path] = b'<html><body><a href="../../f/lib-%d.0.tar.gz">lib-%d.0.tar.gz</a></body></html>' % (
            n, n)
        u.headers[path] = {"Content-Type": "text/html"}
        admin.must("PUT", f"/repositories/py{n}", {"repo": {
            "type": "pypi-proxy", "storage": "default", "remotes": [{"url": u.url + "/simple"}],
            "cache": {"metadata": {"ttl": "0s"}, "negative": {"enabled": False}}}})
    group = {"type": "pypi-group", "members": ["py0", "py1"]}
    try:
        admin.must("PUT", "/repositories/all", {"repo": group})
        admin.must("PUT", "/repositories/some", {"repo": group | {"partial_indexes": True}})
        bad = {"repo": group | {"partial_indexes": "yes"}}
        assert admin.api("PUT", "/repositories/all", bad).status == 400
        for fault in (second.status(500), second.status(403), second.cut(b"x" * 100, 50)):
            second.faults[path] = fault
            r = admin.repo("GET", f"/all/{path}")
            assert r.status == 502 and b"'py1'" in r.body, r
            r = admin.get(f"/some/{path}")
            assert b"lib-0.0" in r.body and b"lib-1.0" not in r.body
            assert r.headers["X-Pantera-Partial"] == "py1"
        # an answer that is none
        second.faults[path] = lambda h: h.answer(200, b"oops", {
            "Content-Type": "application/vnd.pypi.simple.v1+json"})
        assert admin.repo("GET", f"/all/{path}").status == 502
        assert b"lib-0.0" in admin.get(f"/some/{path}").body
        admin.must("DELETE", "/repositories/py1/cache")
        second.faults[path] = second.status(404)  # an answer
        r = admin.get(f"/all/{path}")
        assert b"lib-0.0" in r.body and "X-Pantera-Partial" not in r.headers
        second.faults.clear()
        both = admin.get(f"/all/{path}").body
        assert b"lib-0.0" in both and b"lib-1.0" in both
        second.close()  # an old copy is a copy
        assert admin.get(f"/all/{path}").body == both
        assert admin.get(f"/some/{path}").body == both
    finally:
        second.close()


INDEXES = {  # what a format's index is, as little as it may be
    "npm": ("lib", "application/json",
            b'{"name": "lib", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": {"name": "lib", '
            b'"version": "1.0.0", "dist": {"tarball": "http://x.example/lib-1.0.0.tgz"}}}}'),
    "maven": ("org/x/lib/maven-metadata.xml", "text/xml",
              b"<metadata><groupId>org.x</groupId><artifactId>lib</artifactId><versioning><versions>"
              b"<version>1.0.0</version></versions></versioning></metadata>"),
    "helm": ("index.yaml", "application/x-yaml",
             b"apiVersion: v1\nentries:\n  lib:\n"
             b"  - name: lib\n    version: 1.0.0\n    urls: [lib-1.0.0.tgz]\n"),
    "go": ("example.com/lib/@latest", "application/json", b'{"Version": "v1.0.0"}')}


def test_what_can_not_be_read_is_no_part_of_a_whole(make_node, up):
    """A member that answers 200 with something else, as portals do: as if it had failed, in every format."""
    admin, second = make_node().admin(), Upstream()
    try:
        for kind, (path, content_type, data) in INDEXES.items():
            for n, u in enumerate((up, second)):
                u.files[path] = (data, b"<html>sign in" + data[:9])[n]
                u.headers[path] = {"Content-Type": content_type}
                admin.must("PUT", f"/repositories/{kind}{n}", {"repo": {
                    "type": f"{kind}-proxy", "storage": "default", "remotes": [{"url": u.url}]}})
            for name, partial in (("all", False), ("some", True)):
                admin.must("PUT", f"/repositories/{name}-{kind}", {"repo": {
                    "type": f"{kind}-group", "members": [f"{kind}0", f"{kind}1"],
                    "partial_indexes": partial}})
            r = admin.repo("GET", f"/all-{kind}/{path}")
            assert r.status == 502 and f"{kind}1".encode() in r.body, (kind, r)
            r = admin.repo("GET", f"/some-{kind}/{path}")
            assert r.status == 200 and b"1.0.0" in r.body, (kind, r)
    finally:
        second.close()


def test_nested_and_circular(make_node, up):
    node = make_node()
    admin = node.admin()
    admin.put_repo("own")
    admin.put("/own/a", b"a")
    put_group(admin, "g1", "own")
    put_group(admin, "g2", "g1")
    assert admin.get("/g2/a").body == b"a"
    for name, member in (("g1", "g2"), ("g3", "g3")):
        bad = {"repo": {"type": "file-group", "members": [member]}}
        assert admin.api("PUT", f"/repositories/{name}", bad).status == 400
    admin.must("PUT", "/repositories/mvn", {"repo": {"type": "maven", "storage": "default"}})
    other = {"repo": {"type": "file-group", "members": ["mvn"]}}
    assert admin.api("PUT", "/repositories/g4", other).status == 400
    # read on the group is enough, and needed
    admin.put_role("only-group", {"g2": ["read"]})
    admin.put_user("ann", roles=["only-group"])
    ann = Client(node, "ann", PASSWORD)
    assert ann.get("/g2/a").body == b"a"
    assert ann.repo("GET", "/own/a").status == 404
    assert ann.repo("GET", "/g1/a").status == 404


def test_a_deploy_is_in_the_group_at_once_everywhere(cluster, up):
    admin = cluster.node(1).admin()
    clients = [admin.at(n) for n in cluster.nodes]
    admin.put_repo("own")
    put_proxy(admin, "mirror", up.url)
    put_group(admin, "all", "own", "mirror")
    for n in range(30):
        writer, path = clients[n % 3], f"d{n}/x"
        if n % 2: # it was missing a moment ago, and upstream said so
            assert settled(clients[(n + 1) % 3], f"/all/{path}").status == 404
        r = writer.repo("PUT", f"/own/{path}", b"%d" % n)
        if r.status == 503:
            continue
        assert r.status == 201
        for reader in clients:
            r = settled(reader, f"/all/{path}")
            assert (r.status, r.body) == (200, b"%d" % n)
        assert writer.repo("DELETE", f"/own/{path}").status in (204, 503)
