# SPDX-License-Identifier: Apache-2.0
"""npm's other clients (pnpm, yarn 1, yarn berry, bun), each on three nodes with every request on another:
they publish to a hosted repository, install from a proxy and a group, and show why they may not."""
import concurrent.futures
import os

import pytest

from npm_clients import INSTALL, PUBLISH, Home
from pantera import USER
from spread import Spread
from test_format_npm import api_token, packument, put_npm
from test_format_npm_proxy import OLD, old_and_new, put_group, put_proxy
from upstream import Upstream

CLIENTS = ("pnpm", "yarn", "berry", "bun")

# What else each can do about the package "high-…", and what it then says.
MORE = {
    "pnpm": [(["whoami"], USER), (["dist-tag", "add", "HIGH@1.0.1", "old"], ""),
             (["dist-tag", "ls", "HIGH"], "old: 1.0.1"), (["deprecate", "HIGH@1.0.1", "go away"], ""),
             (["view", "HIGH", "deprecated"], "go away"), (["unpublish", "HIGH", "--force"], "")],
    "yarn": [(["tag", "add", "HIGH@1.0.1", "old"], ""), (["tag", "list", "HIGH"], "old: 1.0.1"),
             (["info", "HIGH", "dist-tags"], "1.0.1")],
    "berry": [(["npm", "whoami"], USER), (["npm", "tag", "add", "HIGH@1.0.1", "old"], ""),
              (["npm", "tag", "list", "HIGH"], "old"),
              (["npm", "info", "HIGH", "--fields", "version"], "1.0.1")],
    "bun": [(["pm", "whoami"], USER), (["pm", "view", "HIGH", "version"], "1.0.1")],
}

# What each says of a wrong token when it installs, and when it publishes.
WRONG = {
    "pnpm": ("Unauthorized", "Unauthorized"),
    "yarn": ("Invalid or expired token", "Invalid or expired token"),
    "berry": ("Invalid authentication", "Invalid authentication"),
    "bun": ("401", "unable to authenticate"),
}


class World:
    """Three nodes, an upstream, and what each client sees of them."""

    def __init__(self, cluster, folder):
        self.folder, self.nodes = str(folder), cluster.nodes
        self.upstream, self.front = Upstream(), Spread(cluster.nodes)
        self.admin = cluster.node(1).admin()
        old_and_new(self.upstream, "lib", {"1.0.0": OLD, "1.1.0": OLD})
        put_npm(self.admin)
        put_proxy(self.admin, "mirror", self.upstream.url)
        put_group(self.admin, "all", "mirror", "npm")
        self.token = api_token(self.admin)
        self.admin.put_role("readers", {"adapter_basic_permissions": {"npm": ["read"], "all": ["read"]}})
        self.admin.put_user("joe", roles=["readers"])
        self.reader = api_token(self.admin.login("joe"))

    def home(self, client, name, repo, token):
        return Home(os.path.join(self.folder, f"{client}-{name}"),
                    f"http://127.0.0.1:{self.front.port}/{repo}", token)

    def close(self):
        self.front.close()
        self.upstream.close()


@pytest.fixture
def world(cluster, tmp_path):
    w = World(cluster, tmp_path)
    yield w
    w.close()


def to_publish(home, client, name, **more):
    folder = home.package(name, "1.0.1", **more)
    if client == "berry":
        home.run(client, "install", cwd=folder, ok=None)
    return folder


def publish_and_install(world, client):
    """Two packages of its own, one of which needs the other and one from upstream, with nothing cached."""
    home, high, low = world.home(client, "own", "npm", world.token), f"high-{client}", f"@acme/low-{client}"
    own = to_publish(home, client, low)
    home.run(client, *PUBLISH[client], cwd=own)
    grouped = world.home(client, "group", "all", world.token)
    needs = to_publish(grouped, client, high, dependencies={low: "^1.0.0", "lib": "1.0.x"},
                       publishConfig={"registry": home.registry})
    home.run(client, *PUBLISH[client], cwd=needs)
    project = grouped.project(dependencies={high: "1.x"})
    grouped.run(client, *INSTALL[client], cwd=project)
    assert grouped.has(project, high) == grouped.has(project, low, high) == "1.0.1"
    assert grouped.has(project, "lib", high) == "1.0.0"
    proxied = world.home(client, "proxy", "mirror", world.token)
    project = proxied.project(dependencies={"lib": "*"})
    proxied.run(client, *INSTALL[client], cwd=project)
    assert proxied.has(project, "lib") == "1.1.0"
    again = home.run(client, *PUBLISH[client], cwd=needs, ok=False)
    assert any(word in again.said.lower() for word in ("previously published", "cannot publish over", "409",
                                                      "already")), again.said
    for node in world.nodes:
        assert list(packument(world.admin.at(node), low)["versions"]) == ["1.0.1"]
    for args, expected in MORE[client]:
        done = home.run(client, *[a.replace("HIGH", high) for a in args], cwd=own)
        assert expected in done.said, done.said


def refusals(world, client):
    """A wrong token, and one that may only read: it fails, and says why."""
    wrong = world.home(client, "wrong", "all", "nonsense")
    said = wrong.run(client, *INSTALL[client], cwd=wrong.project(dependencies={"lib": "*"}), ok=False).said
    assert WRONG[client][0] in said, said
    name = f"never-{client}"
    said = wrong.run(client, *PUBLISH[client], cwd=to_publish(wrong, client, name), ok=False).said
    assert WRONG[client][1] in said, said
    reader = world.home(client, "reader", "npm", world.reader)
    said = reader.run(client, *PUBLISH[client], cwd=to_publish(reader, client, name), ok=False).said
    assert "no permission to write to repository 'npm'" in said, said
    world.admin.get(f"/npm/{name}", 404)


def test_other_clients(world):
    """Two at a time."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(what, world, client) for client in CLIENTS
                     for what in (publish_and_install, refusals)]:
            done.result()
    assert all(n >= 5 for n in world.front.counts.values()), world.front.counts
