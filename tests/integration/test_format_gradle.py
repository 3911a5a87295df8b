# SPDX-License-Identifier: Apache-2.0
"""Gradle repositories, with the newest Gradle that a package has: 4.4 of Debian. Its plugins for Maven
repositories are broken there (they lack a transport), so it publishes with ivy-publish, in Maven's layout."""
import os
import re
import subprocess

from pantera import PASSWORD, USER
from test_format_maven import QUICK, url, versions
from test_format_maven_proxy import upstream  # noqa: F401

PUBLISH = """
apply plugin: 'java'
apply plugin: 'maven'
apply plugin: 'ivy-publish'
group = 'org.example'
version = '1.11'
task writePom {{ doLast {{ pom {{ project {{ packaging 'jar' }} }}.writeTo("$buildDir/lib.pom") }} }}
publishing {{
    publications {{ lib(IvyPublication) {{
        from components.java
        artifact("$buildDir/lib.pom") {{ extension 'pom'; type 'pom'; builtBy writePom }} }} }}
    repositories {{
        ivy {{ name 'good'; url '{url}'; layout 'maven'
              credentials {{ username '{user}'; password '{password}' }} }}
        ivy {{ name 'bad'; url '{url}'; layout 'maven'
              credentials {{ username '{user}'; password 'wrong' }} }}
    }}
}}
"""
RESOLVE = """
subprojects {{
    apply plugin: 'java'
    task fetch(type: Copy) {{ from configurations.compile; into 'fetched' }}
}}
project(':group') {{
    repositories {{ maven {{ url '{all}'; credentials {{ username '{user}'; password '{password}' }} }} }}
    dependencies {{ compile 'org.example:lib:1.+', 'org.up:cool:[1.0,2.0)', 'org.up:leaf0:1.0' }}
}}
project(':proxy') {{
    repositories {{ maven {{ url '{mirror}'; credentials {{ username '{user}'; password '{password}' }} }} }}
    dependencies {{ compile 'org.up:cool:1.+', 'org.up:leaf0:1.0' }}
}}
"""
LEAVES = 60


def gradle(folder, *args, ok=True):
    env = {**os.environ, "GRADLE_OPTS": f"-Xmx512m {QUICK}"}  # what it asks for itself makes it start twice
    command = ["gradle", "--no-daemon", "-q", "-Dorg.gradle.jvmargs=", "-g", str(folder / "home"), *args]
    r = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=300)
    assert not ok or r.returncode == 0, r.stdout + r.stderr
    return r.stdout + r.stderr


def put(client, name, kind, **keys):
    client.must("PUT", f"/repositories/{name}", {"repo": {"type": kind, "storage": "default", **keys}})


def tree(upstream):  # noqa: F811
    """A chain of artifacts, and one whose newest version came yesterday."""
    pom = "<project><modelVersion>4.0.0</modelVersion><groupId>org.up</groupId><artifactId>{}</artifactId>" \
          "<version>1.0</version><dependencies>{}</dependencies></project>"
    need = "<dependency><groupId>org.up</groupId><artifactId>leaf{}</artifactId><version>1.0</version>" \
           "</dependency>"
    for n in range(LEAVES):
        base = f"/org/up/leaf{n}/1.0/leaf{n}-1.0"
        upstream.put(base + ".jar", b"leaf")
        more = need.format(n + 1) if n + 1 < LEAVES else ""
        upstream.put(base + ".pom", pom.format(f"leaf{n}", more).encode())
    for version, age in (("1.0", 100), ("1.1", 3), ("1.2", 1)):
        upstream.version("cool", version, age)
    upstream.metadata("cool", ["1.0", "1.1", "1.2"], 1)


def test_publish_and_resolve(make_cluster, tmp_path, upstream):  # noqa: F811
    """What Gradle publishes through one node it resolves through another, and a tree of sixty through a proxy
    and a group, and of a range what is old enough; a wrong password is said to be one."""
    cluster = make_cluster()
    c = cluster.node(1).admin()
    put(c, "g", "gradle")
    put(c, "mirror", "gradle-proxy", remotes=[{"url": upstream.url}], cooldown={"duration": "P7D"})
    put(c, "all", "gradle-group", members=["g", "mirror"])
    tree(upstream)
    for version in ("1.2", "1.10", "2.0"):
        base = f"/g/org/example/lib/{version}/lib-{version}"
        c.put(base + ".pom", f"<project><modelVersion>4.0.0</modelVersion><groupId>org.example</groupId>"
              f"<artifactId>lib</artifactId><version>{version}</version></project>".encode())
        c.put(base + ".jar", b"older")
    lib, app = tmp_path / "lib", tmp_path / "app"
    (lib / "src/main/java").mkdir(parents=True)
    (lib / "src/main/java/A.java").write_text("public class A {}\n", encoding="utf-8")
    (lib / "settings.gradle").write_text("rootProject.name = 'lib'\n", encoding="utf-8")
    where = {"user": USER, "password": PASSWORD}
    text = PUBLISH.format(url=url(cluster.node(2), "g"), **where)
    (lib / "build.gradle").write_text(text, encoding="utf-8")
    out = gradle(lib, "--continue", "publish", ok=False)
    assert out.count("What went wrong") == 1 and re.search("repository 'bad'.*401", out, re.S), out
    assert versions(c, "org/example/lib", "all") == ["1.2", "1.10", "1.11", "2.0"]
    for project in ("group", "proxy"):
        (app / project).mkdir(parents=True)
    (app / "settings.gradle").write_text("include 'group', 'proxy'\n", encoding="utf-8")
    (app / "build.gradle").write_text(RESOLVE.format(all=url(cluster.node(3), "all"),
                                                     mirror=url(cluster.node(1), "mirror"), **where),
                                      encoding="utf-8")
    gradle(app, "fetch")
    theirs = {f"leaf{n}-1.0.jar" for n in range(LEAVES)} | {"cool-1.0.jar"}
    assert set(os.listdir(app / "proxy/fetched")) == theirs
    assert set(os.listdir(app / "group/fetched")) == theirs | {"lib-1.11.jar"}
    ours = (app / "group/fetched/lib-1.11.jar").read_bytes()
    assert ours == c.get("/g/org/example/lib/1.11/lib-1.11.jar").body
    jars = [path for path in upstream.asked if path.endswith(".jar")]
    assert len(jars) == len(set(jars)) == LEAVES + 1
