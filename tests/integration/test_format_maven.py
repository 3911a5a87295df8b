# SPDX-License-Identifier: Apache-2.0
"""Maven repositories, with mvn as their client.

mvn's own plugins come from wherever this machine's mvn gets them (its settings); a folder of one session
keeps them, so that they are fetched once."""
import hashlib
import os
import re
import shutil
import subprocess
import threading
import xml.etree.ElementTree as ET
import zipfile

import pytest

from pantera import FULL, PASSWORD, USER

PLUGINS = "org.apache.maven.plugins:maven-{}-plugin:{}:{}"
DEPLOY_FILE = PLUGINS.format("deploy", "3.1.1", "deploy-file")
DEPLOY = PLUGINS.format("deploy", "3.1.1", "deploy")
GET = PLUGINS.format("dependency", "3.6.1", "get")
QUICK = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xshare:auto"  # a JVM that starts soon
ALL = ("md5", "sha1", "sha256", "sha512")


@pytest.fixture(scope="session")
def plugins(tmp_path_factory):
    return str(tmp_path_factory.mktemp("mvn-plugins"))


@pytest.fixture
def mvn(tmp_path, plugins):
    """mvn(goal, ...): what it printed. What is under test is asked for by this user."""
    def run(*args, user=USER, password=PASSWORD, mirror=None, cwd=None, ok=True):
        settings = tmp_path / "settings.xml"
        mirrors = f"<mirrors><mirror><id>pantera</id><mirrorOf>*</mirrorOf><url>{mirror}</url></mirror>" \
                  "</mirrors>" if mirror else ""
        settings.write_text(
            f"<settings><servers><server><id>pantera</id><username>{user}</username><password>{password}"
            f"</password></server></servers>{mirrors}</settings>", encoding="utf-8")
        r = subprocess.run(["mvn", "-B", "-s", str(settings), f"-Dmaven.repo.local={plugins}",
                            "-Dstyle.color=never", *args], capture_output=True, text=True, check=False,
                           cwd=cwd or tmp_path, timeout=300, env={**os.environ, "MAVEN_OPTS": QUICK})
        assert not ok or r.returncode == 0, r.stdout[-3000:] + r.stderr[-1000:]
        return r.stdout + r.stderr
    return run


def forget(plugins, group):
    shutil.rmtree(os.path.join(plugins, group), ignore_errors=True)


def put_repo(client, name, **keys):
    client.must("PUT", f"/repositories/{name}", {"repo": {"type": "maven", "storage": "default", **keys}})


def jar(path, text="hello"):
    with zipfile.ZipFile(path, "w") as z:
        z.writestr(zipfile.ZipInfo("hello.txt"), text)
    return str(path)


def url(node, repo="maven"):
    return f"http://127.0.0.1:{node.port}/{repo}"


def deploy_file(mvn, node, file, version, artifact="lib", repo="maven", **kw):
    return mvn(DEPLOY_FILE, f"-Durl={url(node, repo)}", "-DrepositoryId=pantera", f"-Dfile={file}",
               "-DgroupId=org.example", f"-DartifactId={artifact}", f"-Dversion={version}", **kw)


def metadata(client, folder, repo="maven"):
    return ET.fromstring(client.get(f"/{repo}/{folder}/maven-metadata.xml").body)


def versions(client, folder="org/example/lib", repo="maven"):
    return [v.text for v in metadata(client, folder, repo).iter("version")]


def check_checksums(client, path):
    """Each of the four, by the bytes that come with it."""
    body = client.get(path).body
    for name in ALL:
        assert client.get(f"{path}.{name}").body.decode() == hashlib.new(name, body).hexdigest(), name
    return body


def test_deploy_and_get(make_node, mvn, plugins, tmp_path):
    """deploy-file of a release; what comes back is what went up; refusals whose reason mvn shows."""
    node = make_node()
    c = node.admin()
    put_repo(c, "maven")
    file = jar(tmp_path / "lib.jar")
    data = open(file, "rb").read()
    deploy_file(mvn, node, file, "1.10")
    for version in ("1.0", "1.9"):
        c.put(f"/maven/org/example/lib/{version}/lib-{version}.jar", data)
    assert versions(c) == ["1.0", "1.9", "1.10"]
    m = metadata(c, "org/example/lib")
    assert m.findtext("groupId") == "org.example" and m.findtext("artifactId") == "lib"
    assert m.findtext("versioning/latest") == m.findtext("versioning/release") == "1.10"
    assert re.fullmatch(r"\d{14}", m.findtext("versioning/lastUpdated"))
    check_checksums(c, "/maven/org/example/lib/maven-metadata.xml")
    check_checksums(c, "/maven/org/example/lib/1.10/lib-1.10.pom")
    assert check_checksums(c, "/maven/org/example/lib/1.10/lib-1.10.jar") == data
    forget(plugins, "org/example")
    mvn(GET, f"-DremoteRepositories=pantera::default::{url(node)}", "-Dartifact=org.example:lib:RELEASE")
    got = os.path.join(plugins, "org/example/lib/1.10/lib-1.10.jar")
    assert open(got, "rb").read() == data
    # A release again: refused, and mvn says why. The same bytes again are no redeploy.
    out = deploy_file(mvn, node, jar(tmp_path / "other.jar", "other"), "1.10", ok=False)
    assert "BUILD FAILURE" in out and "does not allow redeploying a release" in out
    assert c.get("/maven/org/example/lib/1.10/lib-1.10.jar").body == data
    assert c.repo("PUT", "/maven/org/example/lib/1.10/lib-1.10.jar", data).status == 201
    out = deploy_file(mvn, node, file, "2.0", password="wrong", ok=False)
    assert "BUILD FAILURE" in out and "401" in out
    assert versions(c) == ["1.0", "1.9", "1.10"]


def test_refusals_have_their_reason(make_node, mvn, tmp_path):
    """No permission; no snapshots here: in mvn's own words, of a body that is larger than any buffer."""
    node = make_node()
    c = node.admin()
    put_repo(c, "maven", snapshots=False)
    c.put_role("reader", {"maven": ["read"]})
    c.put_user("reader", roles=["reader"])
    file = str(tmp_path / "large.jar")
    with zipfile.ZipFile(file, "w") as z:
        z.writestr("noise", os.urandom(5 << 20))
    if FULL:
        out = deploy_file(mvn, node, file, "2.0", user="reader", ok=False)
        assert "no permission to write to repository 'maven'" in out, out
    out = deploy_file(mvn, node, file, "1.1-SNAPSHOT", ok=False)
    assert "takes no snapshots" in out, out


PROJECT = """<project><modelVersion>4.0.0</modelVersion><groupId>org.example</groupId>
<artifactId>project</artifactId><version>{version}</version><packaging>jar</packaging>
<properties><maven.compiler.source>8</maven.compiler.source><maven.compiler.target>8</maven.compiler.target>
<project.build.sourceEncoding>UTF-8</project.build.sourceEncoding></properties>
<distributionManagement>
<repository><id>pantera</id><url>{url}</url></repository>
<snapshotRepository><id>pantera</id><url>{url}</url></snapshotRepository>
</distributionManagement></project>
"""


def test_project_is_built_and_deployed(make_cluster, mvn, tmp_path):
    """mvn deploy of a project: a snapshot through one node, its release through another; the third has both.
    """
    cluster = make_cluster()
    c = cluster.node(3).admin()
    put_repo(c, "maven")
    for node, version in ((cluster.node(1), "1.0-SNAPSHOT"), (cluster.node(2), "1.0")):
        (tmp_path / "pom.xml").write_text(PROJECT.format(version=version, url=url(node)), encoding="utf-8")
        mvn("deploy")
    assert versions(c, "org/example/project") == ["1.0-SNAPSHOT", "1.0"]
    assert metadata(c, "org/example/project").findtext("versioning/release") == "1.0"
    check_checksums(c, "/maven/org/example/project/1.0/project-1.0.jar")
    assert b"<version>1.0</version>" in c.get("/maven/org/example/project/1.0/project-1.0.pom").body


def test_snapshots(make_cluster, mvn, plugins, tmp_path):
    """Two deploys of a snapshot, each through another node; a third node's metadata leads to the second."""
    cluster = make_cluster()
    c = cluster.node(1).admin()
    put_repo(c, "maven")
    first, second = jar(tmp_path / "a.jar", "a"), jar(tmp_path / "b.jar", "b")
    for ext, data in (("jar", open(first, "rb").read()), ("pom", b"<project/>")):
        c.put(f"/maven/org/example/lib/1.1-SNAPSHOT/lib-1.1-20200102.030405-1.{ext}", data)
    deploy_file(mvn, cluster.node(2), second, "1.1-SNAPSHOT")
    third = c.at(cluster.node(3))
    m = metadata(third, "org/example/lib/1.1-SNAPSHOT")
    assert m.findtext("version") == "1.1-SNAPSHOT" and m.findtext("versioning/snapshot/buildNumber") == "2"
    values = {s.findtext("extension"): s.findtext("value") for s in m.iter("snapshotVersion")}
    assert set(values) == {"jar", "pom"} and values["jar"].endswith("-2")
    assert versions(third) == ["1.1-SNAPSHOT"]
    assert metadata(third, "org/example/lib").find("versioning/release") is None
    forget(plugins, "org/example")
    mvn(GET, f"-DremoteRepositories=pantera::default::{url(cluster.node(3))}",
        "-Dartifact=org.example:lib:1.1-SNAPSHOT")
    got = os.path.join(plugins, "org/example/lib/1.1-SNAPSHOT/lib-1.1-SNAPSHOT.jar")
    assert open(got, "rb").read() == open(second, "rb").read()


def deploy_by_hand(client, version, problems):
    """What mvn does, request by request."""
    try:
        base = f"/maven/org/example/many/{version}/many-{version}"
        for ext, body in (("jar", os.urandom(3000)), ("pom", f"<project>{version}</project>".encode())):
            for path, data in ((f"{base}.{ext}", body),
                               (f"{base}.{ext}.sha1", hashlib.sha1(body).hexdigest().encode()),
                               (f"{base}.{ext}.md5", hashlib.md5(body).hexdigest().encode())):
                r = client.repo("PUT", path, data)
                assert r.status == 201, (path, r)
        path = "/maven/org/example/many/maven-metadata.xml"
        r = client.repo("PUT", path, b"<metadata><versioning><versions><version>0</version></versions>"
                                     b"</versioning></metadata>")
        assert r.status == 201, r
        assert version in versions(client, "org/example/many"), version
    except Exception as e:  # pylint: disable=broad-except
        problems.append(e)


def test_concurrent_deploys_are_all_in_the_metadata(make_cluster):
    """Eight versions of one artifact at the same moment over three nodes; every node knows all of them, and a
    checksum is that of the metadata beside it."""
    cluster = make_cluster()
    c = cluster.node(1).admin()
    put_repo(c, "maven")
    problems = []
    threads = [threading.Thread(target=deploy_by_hand, daemon=True,
                                args=(c.at(cluster.nodes[n % 3]), f"1.{n}", problems)) for n in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not problems, problems
    bodies = set()
    for node in cluster.nodes:
        assert versions(c.at(node), "org/example/many") == [f"1.{n}" for n in range(8)]
        bodies.add(check_checksums(c.at(node), "/maven/org/example/many/maven-metadata.xml"))
    assert len(bodies) == 1
    for n in range(8):
        check_checksums(c, f"/maven/org/example/many/1.{n}/many-1.{n}.jar")
    # A version that is deleted is not offered any more, in the next request at another node.
    c.repo("DELETE", "/maven/org/example/many/1.7/")
    assert versions(c.at(cluster.node(3)), "org/example/many")[-1] == "1.6"


def test_rules(make_node):
    """Checksum policy, redeploy policy, plugin prefixes, and what is not to be written."""
    c = make_node().admin()
    put_repo(c, "maven")
    put_repo(c, "loose", redeploy="allow", checksums="lenient", releases=True)
    put_repo(c, "nightly", releases=False)
    path = "/{}/org/example/lib/1.0/lib-1.0.jar"
    for repo in ("maven", "loose"):
        c.put(path.format(repo), b"one")
    assert c.repo("PUT", path.format("nightly"), b"one").status == 409
    wrong = c.repo("PUT", path.format("maven") + ".sha1", b"0" * 40)
    assert wrong.status == 409 and b"checksum mismatch" in wrong.body
    assert c.repo("PUT", path.format("maven") + ".md5", b"nonsense").status == 400
    assert c.repo("PUT", "/maven/org/example/lib/1.0/lib-1.0.war.sha1", b"0" * 40).status == 409
    assert c.repo("PUT", path.format("loose") + ".sha1", b"0" * 40).status == 201
    check_checksums(c, path.format("loose"))
    assert c.repo("PUT", path.format("maven"), b"two").status == 409
    assert c.repo("PUT", path.format("loose"), b"two").status == 201
    assert c.get(path.format("loose")).body == b"two"
    c.put(path.format("maven") + ".asc", b"signature")
    check_checksums(c, path.format("maven") + ".asc")
    assert c.repo("PUT", "/maven/.maven/plugins/x.xml", b"x").status == 404
    assert c.api("PUT", "/repositories/bad", {"repo": {"type": "maven", "storage": "default",
                                                       "redeploys": "deny"}}).status == 400
    # Two plugins of one group, told of one after the other; a third that is not there.
    for name in ("a-maven-plugin", "b-maven-plugin"):
        c.put(f"/maven/org/tools/{name}/1.0/{name}-1.0.jar", b"x")
    for name in ("a", "b", "c"):
        r = c.repo("PUT", "/maven/org/tools/maven-metadata.xml",
                   f"<metadata><plugins><plugin><name>{name} &amp; co</name><prefix>{name}</prefix>"
                   f"<artifactId>{name}-maven-plugin</artifactId></plugin></plugins></metadata>".encode())
        assert r.status == 201, r
    m = metadata(c, "org/tools")
    assert [p.text for p in m.iter("prefix")] == ["a", "b"] and m.findtext("plugins/plugin/name") == "a & co"
    bad = c.repo("PUT", "/maven/org/tools/maven-metadata.xml", b"<metadata><plugins><plugin>")
    assert bad.status == 400, bad
    assert c.repo("GET", "/maven/org/none/maven-metadata.xml").status == 404
    r = c.repo("GET", "/maven/org/tools/maven-metadata.xml")
    assert c.repo("GET", "/maven/org/tools/maven-metadata.xml",
                  headers={"If-None-Match": r.headers["ETag"]}).status == 304
    assert r.headers["X-Checksum-Sha1"] == hashlib.sha1(r.body).hexdigest()
    listing = c.repo("GET", "/maven/", headers={"Accept": "text/html"})
    assert b"org/" in listing.body and b".maven" not in listing.body
