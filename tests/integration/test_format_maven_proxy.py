# SPDX-License-Identifier: Apache-2.0
"""Maven proxies and groups: against another node, against an upstream that lies, and against what this
machine's mvn is told to use."""
import email.utils
import hashlib
import http.server
import os
import re
import subprocess
import threading
import time
import zipfile

import pytest

from pantera import PASSWORD, Client, figure, scale
from test_format_maven import (ALL, GET, deploy_file, forget, jar, mvn, plugins, put_repo,  # noqa: F401
                               url, versions)


def put_proxy(client, name, remote, **keys):
    client.must("PUT", f"/repositories/{name}", {"repo": {"type": "maven-proxy", "storage": "default",
                                                          "remotes": [remote], **keys}})


def put_group(client, name, *members, **keys):
    repo = {"type": "maven-group", "members": list(members), **keys}
    client.must("PUT", f"/repositories/{name}", {"repo": repo})


def asked(node, only=""):
    """Requests to upstream so far; only: of these outcomes, a pattern."""
    text = Client(node).request(node.metrics_port, "GET", "/metrics").body.decode()
    lines = re.findall(r"^pantera_proxy_upstream_requests_total\{(.*)\} (\d+)$", text, re.M)
    return sum(int(n) for labels, n in lines if re.search(f'result="({only})', labels))


class Upstream:
    """A folder of files with dates, which may be anything; counts what is asked, and for its head only."""

    def __init__(self):
        self.files, self.asked, self.heads, self.down, self.headless = {}, [], [], False, 0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):  # pylint: disable=invalid-name
                head = self.command == "HEAD"
                (outer.heads if head else outer.asked).append(self.path)
                data, age = outer.files.get(self.path, (None, 0))
                self.send_response(503 if outer.down else outer.headless if head and outer.headless
                                   else 404 if data is None else 200)
                data = b"" if data is None or outer.down else data
                if age is not None:
                    date = email.utils.formatdate(time.time() - age * 86400, usegmt=True)
                    self.send_header("Last-Modified", date)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if not head:
                    self.wfile.write(data)

            do_HEAD = do_GET  # pylint: disable=invalid-name

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def put(self, path, data, age=1000.0, sha1=None):
        self.files[path] = (data, age)
        self.files[path + ".sha1"] = ((sha1 or hashlib.sha1(data).hexdigest()).encode(), age)

    def version(self, artifact, version, age):
        base = f"/org/up/{artifact}/{version}/{artifact}-{version}"
        self.put(base + ".jar", f"jar {version}".encode(), age)
        self.put(base + ".pom", "<project><modelVersion>4.0.0</modelVersion><groupId>org.up</groupId>"
                 f"<artifactId>{artifact}</artifactId><version>{version}</version></project>".encode(), age)

    def metadata(self, artifact, listed, age):
        when = time.strftime("%Y%m%d%H%M%S", time.gmtime(time.time() - age * 86400))
        self.put(f"/org/up/{artifact}/maven-metadata.xml", (
            f"<metadata><groupId>org.up</groupId><artifactId>{artifact}</artifactId><versioning>"
            f"<latest>{listed[-1]}</latest><release>{listed[-1]}</release><versions>"
            + "".join(f"<version>{v}</version>" for v in listed)
            + f"</versions><lastUpdated>{when}</lastUpdated></versioning></metadata>").encode(), age)


@pytest.fixture
def upstream():
    u = Upstream()
    yield u
    u.server.shutdown()


def test_group_over_another_node(make_node, make_cluster, mvn, plugins, tmp_path):  # noqa: F811
    """What another registry has comes through a proxy and a group of three nodes, once; what is deployed here
    is in the group's next answer, and its name is not asked upstream."""
    other = make_node()
    up = other.admin()
    put_repo(up, "theirs")
    up.put_role("puller", {"theirs": ["read"]})
    up.put_user("puller", roles=["puller"])
    data = open(jar(tmp_path / "a.jar", "theirs"), "rb").read()
    pom = "<project><modelVersion>4.0.0</modelVersion><groupId>org.other</groupId>" \
          "<artifactId>{}</artifactId><version>{}</version></project>"
    for name, version in (("dep", "1.0"), ("dep", "1.10"), ("own", "9.0")):
        base = f"/theirs/org/other/{name}/{version}/{name}-{version}"
        up.put(base + ".jar", data)
        up.put(base + ".pom", pom.format(name, version).encode())
    cluster = make_cluster()
    c = cluster.node(1).admin()
    put_repo(c, "ours")
    put_proxy(c, "mirror", {"url": url(other, "theirs"), "username": "puller", "password": PASSWORD})
    put_group(c, "all", "ours", "mirror")
    mvn(GET, f"-DremoteRepositories=pantera::default::{url(cluster.node(2), 'all')}",
        "-Dartifact=org.other:dep:RELEASE")
    got = os.path.join(plugins, "org/other/dep/1.10/dep-1.10.jar")
    assert open(got, "rb").read() == data
    before = [asked(n) for n in cluster.nodes]
    for node in cluster.nodes:
        for repo in ("all", "mirror"):
            path = f"/{repo}/org/other/dep/1.10/dep-1.10.jar"
            assert c.at(node).get(path).body == data
            for name in ALL:
                assert c.at(node).get(f"{path}.{name}").body.decode() == hashlib.new(name, data).hexdigest()
            assert versions(c.at(node), "org/other/dep", repo) == ["1.0", "1.10"]
    # Warm: nothing but, on each node that has not asked yet, whether the metadata still holds.
    assert sum(asked(n) for n in cluster.nodes) - sum(before) <= 2
    # A hosted version: in the next answer, everywhere, and upstream's versions of that name are no more.
    assert versions(c, "org/other/own", "all") == ["9.0"]
    deploy_file(mvn, cluster.node(3), jar(tmp_path / "b.jar", "ours"), "1.0", artifact="own", repo="ours")
    c.put("/ours/org/other/own/1.0/own-1.0.jar", b"mine")
    for node in cluster.nodes:
        assert versions(c.at(node), "org/other/own", "all") == ["1.0"]
        assert c.at(node).get("/all/org/other/own/1.0/own-1.0.jar").body == b"mine"
        c.at(node).get("/all/org/other/own/9.0/own-9.0.jar", 404)
    put_group(c, "all", "ours", "mirror", allow_upstream=["org.other:*"])
    assert versions(c.at(cluster.node(2)), "org/other/own", "all") == ["1.0", "9.0"]
    r = c.repo("PUT", "/all/org/other/own/2.0/own-2.0.jar", b"x")
    assert r.status == 405 and b"upload to a hosted repository" in r.body


def test_upstream_that_lies_or_fails(make_node, upstream):
    """Bytes that are not what .sha1 says are not kept; nothing is asked twice; 503 is no 404, and metadata
    that is there is served while upstream is down."""
    c = make_node().admin()
    put_proxy(c, "mirror", {"url": upstream.url}, cache={"metadata": {"ttl": "1s"}})
    upstream.version("lib", "1.0", 100)
    upstream.metadata("lib", ["1.0"], 100)
    upstream.put("/org/up/lib/2.0/lib-2.0.jar", b"bad bytes", sha1="0" * 40)
    upstream.files["/org/up/lib/3.0/lib-3.0.jar"] = (b"no checksum", 100)
    path = "/mirror/org/up/lib/1.0/lib-1.0.jar"
    assert c.get(path).body == b"jar 1.0"
    for name in ALL:  # of the bytes that came, although their name may follow only now
        assert c.get(f"{path}.{name}").body.decode() == hashlib.new(name, b"jar 1.0").hexdigest()
    assert upstream.asked.count("/org/up/lib/1.0/lib-1.0.jar") == 1
    for _ in range(2):
        try:
            assert c.repo("GET", "/mirror/org/up/lib/2.0/lib-2.0.jar").status == 502
        except (OSError, Exception) as e:  # pylint: disable=broad-except
            assert "IncompleteRead" in repr(e) or "Remote" in repr(e), e
    assert c.get("/mirror/org/up/lib/3.0/lib-3.0.jar").body == b"no checksum"
    assert versions(c, "org/up/lib", "mirror") == ["1.0"]
    upstream.down = True
    time.sleep(1.1)
    assert versions(c, "org/up/lib", "mirror") == ["1.0"]
    assert c.get(path).body == b"jar 1.0"
    assert c.repo("GET", "/mirror/org/up/lib/4.0/lib-4.0.jar").status in (502, 503)
    upstream.down = False
    upstream.version("lib", "4.0", 100)


def test_checksums_that_upstream_has_not(make_cluster, upstream):  # noqa: F811
    """.sha256 and .sha512 of what is not here yet, while others fetch it, through any node: the right ones,
    and the file comes once. What may not be had has none."""
    cluster = make_cluster()
    c = cluster.node(1).admin()
    put_proxy(c, "mirror", {"url": upstream.url})
    put_group(c, "all", "mirror")
    upstream.put("/org/up/sum/2.0/sum-2.0.jar", b"bad bytes", sha1="0" * 40)
    data = os.urandom(300000)
    upstream.put("/org/up/sum/3.0/sum-3.0.jar", data)
    path, wrong = "/all/org/up/sum/3.0/sum-3.0.jar", []

    def ask(client, name):
        body = client.get(path + name).body
        want = data if not name else hashlib.new(name[1:], data).hexdigest().encode()
        wrong.extend([] if body == want else [(name, body[:80])])

    threads = [threading.Thread(target=ask, args=(c.at(node), name)) for node in cluster.nodes
               for name in (".sha256", "", ".sha512", ".sha1", ".md5")]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong and upstream.asked.count("/org/up/sum/3.0/sum-3.0.jar") == 1, wrong
    assert c.repo("GET", "/all/org/up/sum/2.0/sum-2.0.jar.sha256").status == 502
    assert c.repo("GET", "/all/org/up/sum/4.0/sum-4.0.jar.sha512").status == 404


def test_cooldown(make_cluster, mvn, plugins, upstream):  # noqa: F811
    """Metadata has no dates: those of POMs are asked for, once in a cluster. Versions that are too young are
    not in it, and their bytes are refused with the reason, which mvn shows; the older one resolves, by a
    range that has all of them; what is released on one node is there on another, at once, for an mvn that
    goes by checksums of which upstream has none, too."""
    cluster = make_cluster()
    c = cluster.node(1).admin()
    for version, age in (("1.0", 100), ("1.1", 3), ("1.2", 1), ("0.9.1", 2)):
        upstream.version("cool", version, age)
    upstream.metadata("cool", ["1.0", "1.1", "0.9.1", "1.2"], 1)
    put_proxy(c, "mirror", {"url": upstream.url}, cooldown={"duration": "P7D"})
    put_group(c, "all", "mirror")
    for node in cluster.nodes:
        for repo in ("all", "mirror"):
            assert versions(c.at(node), "org/up/cool", repo) == ["1.0"]
    assert len(upstream.heads) == 4 and len(set(upstream.heads)) == 4, upstream.heads
    where = f"-DremoteRepositories=pantera::default::{url(cluster.node(2), 'all')}"
    mvn(GET, where, "-Dartifact=org.up:cool:[0.9,2.0)")
    assert os.path.exists(os.path.join(plugins, "org/up/cool/1.0/cool-1.0.jar"))
    out = mvn(GET, where, "-Dartifact=org.up:cool:1.1", ok=False)
    assert "TOO_YOUNG" in out and "administrator" in out, out
    r = c.at(cluster.node(3)).repo("GET", "/mirror/org/up/cool/1.2/cool-1.2.jar")
    assert r.status == 403 and b"TOO_YOUNG" in r.body
    c.must("POST", "/repositories/mirror/cooldown/unblock", {"artifact": "org.up:cool", "version": "1.1"})
    third = c.at(cluster.node(3))
    assert versions(third, "org/up/cool", "all") == ["1.0", "1.1"]
    forget(plugins, "org/up")
    mvn(GET, f"-DremoteRepositories=pantera::default::{url(cluster.node(3), 'all')}",
        "-Dartifact=org.up:cool:1.1", "-Daether.checksums.algorithms=SHA-512")
    for name, data in (("", b"jar 1.1"), (".sha512", hashlib.sha512(b"jar 1.1").hexdigest().encode())):
        with open(os.path.join(plugins, "org/up/cool/1.1/cool-1.1.jar" + name), "rb") as f:
            assert f.read() == data
    assert len(upstream.heads) == 4


def test_cooldown_of_many_versions(make_node, upstream):  # noqa: F811
    """Of hundreds of versions the newest are asked for, while none of them is old enough the next, and the
    newest of each line; old metadata needs no dates; without a date a version is blocked until it was seen
    long enough."""
    c = make_node().admin()
    put_proxy(c, "mirror", {"url": upstream.url}, cooldown={"duration": "P7D"})

    def listed(artifact):
        return versions(c, f"org/up/{artifact}", "mirror")

    young = [f"3.0.{n}" for n in range(20)]
    many = [f"1.0.{n}" for n in range(100)] + [f"2.0.{n}" for n in range(100)] + young
    for version in many + ["1.0.100"]:
        upstream.version("many", version, 1 if version in young + ["1.0.100"] else 100)
    upstream.metadata("many", many[:100] + ["1.0.100"] + many[100:], 1)
    assert listed("many") == many[:-20]
    assert len(set(upstream.heads)) == len(upstream.heads) <= 34, upstream.heads
    upstream.metadata("old", ["1.0", "1.1"], 30)
    before = len(upstream.heads)
    assert listed("old") == ["1.0", "1.1"] and len(upstream.heads) == before
    # No date: as old as we have known it. And a remote that fails says nothing of older versions.
    upstream.version("odd", "1.1", None)
    upstream.version("odd", "1.0", 100)
    upstream.metadata("odd", ["1.0", "1.1", "1.2"], 1)
    assert listed("odd") == ["1.0"]
    assert sorted(h.split("/")[4] for h in upstream.heads[before:]) == ["1.0", "1.1", "1.2"]
    # Without HEAD a remote is asked with GET; if it fails, what may have come last is left out.
    for artifact, status, left in (("plain", 405, ["1.0"]), ("down", 503, ["1.0", "1.1"])):
        upstream.headless = status
        for version, age in (("1.0", 100), ("1.1", 1), ("1.2", 2)):
            upstream.version(artifact, version, age)
        upstream.metadata(artifact, ["1.0", "1.1", "1.2"], 1)
        assert listed(artifact) == left


def central():
    """Where this machine's mvn gets its artifacts: a mirror of its settings, else what Maven itself says."""
    home = re.search(r"Maven home: (.*)", subprocess.run(["mvn", "-v"], capture_output=True, text=True,
                                                         check=True).stdout).group(1).strip()
    for settings in (os.path.expanduser("~/.m2/settings.xml"), os.path.join(home, "conf/settings.xml")):
        if os.path.exists(settings):
            with open(settings, encoding="utf-8") as f:
                text = re.sub(r"<!--.*?-->", "", f.read(), flags=re.S)
            m = re.search(r"<mirror>(?:(?!</mirror>).)*<url>(https?://[^<]*)</url>", text, re.S)
            if m and "0.0.0.0" not in m.group(1):
                return m.group(1).strip()
    for name in os.listdir(os.path.join(home, "lib")):
        if name.startswith("maven-model-builder"):
            with zipfile.ZipFile(os.path.join(home, "lib", name)) as z:
                pom = z.read("org/apache/maven/model/pom-4.0.0.xml").decode()
            return re.search(r"<repository>.*?<url>(.*?)</url>", pom, re.S).group(1)
    return None


def test_tree_through_proxy_and_group(make_cluster, mvn, tmp_path):  # noqa: F811
    """A tree of more than fifty, with its plugins, from this machine's own upstream, through a proxy; then
    the same through a group and another node, of which upstream hears nothing."""
    cluster = make_cluster(config={"http_client": {"allow_upstreams": ["0.0.0.0/0", "::/0"]}})
    c = cluster.node(1).admin()
    put_repo(c, "ours")
    put_proxy(c, "mirror", {"url": central()})
    put_group(c, "all", "ours", "mirror")
    tree = "-Dartifact=" + scale("org.springframework.boot:spring-boot-starter-web:3.2.5",
                                 "org.slf4j:slf4j-simple:2.0.13")  # what mvn needs for it is tree enough

    def resolve(node, repo):
        mvn(GET, tree, f"-Dmaven.repo.local={tmp_path}/{repo}", mirror=url(node, repo))
        names = (f for _, _, files in os.walk(tmp_path / repo) for f in files)
        return {f for f in names if f.endswith((".jar", ".pom"))}

    first = resolve(cluster.node(1), "mirror")
    jars = sum(name.endswith(".jar") for name in first)
    before = sum(asked(n) for n in cluster.nodes)
    assert resolve(cluster.node(2), "all") == first
    for folder, _, files in os.walk(tmp_path / "mirror"):
        for name in files:
            if name in first:
                path = os.path.relpath(os.path.join(folder, name), tmp_path / "mirror")
                with open(os.path.join(folder, name), "rb") as f, open(tmp_path / "all" / path, "rb") as g:
                    assert f.read() == g.read(), path
    again = sum(asked(n) for n in cluster.nodes) - before
    figure(f"maven: {len(first)} files, {jars} of them jars, through a proxy, {before} requests upstream; "
           f"again through a group: {again}")
    assert jars > 50 and again == 0
