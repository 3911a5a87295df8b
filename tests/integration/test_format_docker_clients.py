# SPDX-License-Identifier: Apache-2.0
"""The format docker with podman and buildah from their packages: against one node, and against three with
every request at another one. Both have their storage below the test's folder: vfs, nothing is mounted; images
are made of files, nothing is run."""
import os
import random
import subprocess

from oci import call, make_repo, sha, tags
from pantera import PASSWORD, USER
from spread import Spread

TLS = "--tls-verify=false"


class Machine:
    """Where podman and buildah are used, with one storage for both, as on a real one."""

    def __init__(self, home):
        self.home = str(home)
        os.makedirs(self.home + "/context")
        storage = f'[storage]\ndriver = "vfs"\ngraphroot = "{self.home}/root"\nrunroot = "{self.home}/run"\n'
        for name, text in (("registries.conf", ""), ("auth.json", "{}"), ("storage.conf", storage)):
            with open(f"{self.home}/{name}", "w", encoding="ascii") as f:
                f.write(text)
        self.env = {**os.environ, "HOME": self.home, "REGISTRY_AUTH_FILE": self.home + "/auth.json",
                    "XDG_RUNTIME_DIR": self.home, "TMPDIR": self.home, "BUILDAH_ISOLATION": "chroot",
                    "CONTAINERS_REGISTRIES_CONF": self.home + "/registries.conf",
                    "CONTAINERS_STORAGE_CONF": self.home + "/storage.conf"}

    def run(self, program, *args, fails=None):
        own = ["--cgroup-manager", "cgroupfs", "--events-backend", "none", "--tmpdir", self.home + "/tmp"]
        p = subprocess.run([program, *(own if program == "podman" else []), *args], cwd=self.home, text=True,
                           capture_output=True, timeout=120, check=False, env=self.env)
        if fails:
            assert p.returncode and fails in p.stderr, (args, p.stdout, p.stderr)
        else:
            assert p.returncode == 0, (args, p.stdout, p.stderr)
        return p.stdout.strip()

    def podman(self, *args, fails=None):
        return self.run("podman", *args, fails=fails)

    def buildah(self, *args, fails=None):
        return self.run("buildah", *args, fails=fails)

    def build(self, program, name, *files):
        """FROM scratch, with files of their own; `files`: seeds."""
        for seed in files:
            with open(f"{self.home}/context/{seed}", "wb") as f:
                f.write(random.Random(seed).randbytes(300_000))
        with open(self.home + "/context/Containerfile", "w", encoding="ascii") as f:
            f.write("FROM scratch\n" + "".join(f"COPY {seed} /{seed}\n" for seed in files))
        return self.run(program, "build", "-q", "--layers", "-t", name, self.home + "/context")[:12]


def from_beginning_to_end(m, port, admin):
    """Sign in, build, push, pull, a list for two machines, delete; and what is refused."""
    at = f"127.0.0.1:{port}"
    name = f"{at}/images/team/app"
    # Who is nobody, and who is wrong, is told so.
    m.podman("pull", TLS, "-q", f"{name}:v1", fails="unauthorized: Authentication required")
    m.podman("login", TLS, "-u", USER, "-p", "Wrong-Password-1!", at, fails="invalid username/password")
    m.buildah("login", TLS, "-u", USER, "-p", PASSWORD, at)
    m.buildah("pull", TLS, "-q", f"{name}:v1", fails="manifest unknown")
    # Each builds and pushes one; a list of both.
    ids = {}
    for program, tag, files in ((m.buildah, "v1", ("a", "b")), (m.podman, "v2", ("a", "c"))):
        ids[tag] = m.build("buildah" if program == m.buildah else "podman", f"{name}:{tag}", *files)
        program("push", TLS, "-q", f"{name}:{tag}")
    m.podman("manifest", "create", f"{name}:list")
    for tag, machine in (("v1", "amd64"), ("v2", "s390x")):
        m.podman("manifest", "add", TLS, "--arch", machine, f"{name}:list", f"docker://{name}:{tag}")
    m.podman("manifest", "push", TLS, "--all", f"{name}:list", f"docker://{name}:list")
    assert tags(admin, "images/team/app") == ["list", "v1", "v2"]
    # Everything goes here, and comes back: by tag, by digest, of the list.
    m.podman("rmi", "-a", "-f")
    digest = sha(call(admin, "GET", "/v2/images/team/app/manifests/v1").body)
    for program, reference, tag in ((m.podman, ":v1", "v1"), (m.buildah, f"@{digest}", "v1"),
                                    (m.buildah, ":v2", "v2"), (m.podman, ":list", "v1")):
        assert program("pull", TLS, "-q", "--arch", "s390x" if tag == "v2" else "amd64",
                       name + reference).startswith(ids[tag]), reference
    # Moved, then deleted at the registry: the next pull says so.
    moved = m.build("buildah", f"{name}:v1", "d")
    m.buildah("push", TLS, "-q", f"{name}:v1")
    m.podman("rmi", "-a", "-f")
    assert m.podman("pull", TLS, "-q", f"{name}:v1").startswith(moved)
    assert call(admin, "DELETE", "/v2/images/team/app/manifests/v1").status == 202
    m.podman("pull", TLS, "-q", f"{name}:v1", fails="manifest unknown")
    assert tags(admin, "images/team/app") == ["list", "v2"]
    # Who may not push is told so.
    admin.put_role("puller", {"adapter_basic_permissions": {"images": ["read"]}})
    admin.put_user("anna", roles=["puller"])
    m.podman("login", TLS, "-u", "anna", "-p", PASSWORD, at)
    m.podman("push", TLS, "-q", f"{name}:v1", f"docker://{name}:v3", fails="denied: no permission")


def test_one_node(make_node, tmp_path):
    node = make_node()
    admin = node.admin()
    make_repo(admin, "images")
    from_beginning_to_end(Machine(tmp_path / "home"), node.port, admin)


def test_three_nodes(cluster, tmp_path):
    spread = Spread(cluster.nodes)
    try:
        admin = cluster.nodes[1].admin()
        make_repo(admin, "images")
        from_beginning_to_end(Machine(tmp_path / "home"), spread.port, admin)
        assert min(spread.counts.values()) > 15, spread.counts
    finally:
        spread.close()
