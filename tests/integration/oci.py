# SPDX-License-Identifier: Apache-2.0
"""What the tests of the format docker share: pushes as the specification has them, skopeo, and somebody
else's registry."""
import hashlib
import json
import os
import random
import re
import socket
import subprocess
import time

from pantera import PASSWORD, USER, free_port, wait_until

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
EMPTY = b"{}"


def sha(data, algorithm="sha256"):
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


def make_repo(client, name, **config):
    client.must("PUT", f"/repositories/{name}", {"repo": {"type": "docker", "storage": "default", **config}})


def call(client, method, path, body=None, headers=None, seconds=20):
    """As clients do: a node that can't prove that it is current is asked again."""
    end = time.monotonic() + seconds
    while True:
        r = client.repo(method, path, body, headers)
        if r.status != 503 or time.monotonic() > end:
            return r
        time.sleep(0.1)


def expect(client, method, path, status, body=None, headers=None):
    r = call(client, method, path, body, headers)
    assert r.status == status, f"{method} {path} on node {client.node.id}: {r}"
    return r


def code_of(response):
    return response.json()["errors"][0]["code"]


def push_blob(client, name, data):
    r = call(client, "POST", f"/v2/{name}/blobs/uploads/?digest={sha(data)}", data)
    if r.status == 202:  # another registry, that takes it in two steps
        url = "/v2/" + r.headers["Location"].split("/v2/", 1)[1]
        r = call(client, "PUT", f"{url}&digest={sha(data)}", data)
    assert r.status == 201, r
    return {"mediaType": "application/octet-stream", "digest": sha(data), "size": len(data)}


def manifest(config, layers, **more):
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers,
                       **more}).encode()


def push_manifest(client, name, data, reference=None, kind=OCI_MANIFEST):
    return expect(client, "PUT", f"/v2/{name}/manifests/{reference or sha(data)}", 201, data,
                  {"Content-Type": kind})


def push_image(client, name, tag, layer=b"layer"):
    config = dict(push_blob(client, name, EMPTY), mediaType="application/vnd.oci.image.config.v1+json")
    data = manifest(config, [push_blob(client, name, layer)])
    push_manifest(client, name, data, tag)
    return data


def tags(client, name, query=""):
    return expect(client, "GET", f"/v2/{name}/tags/list{query}", 200).json()["tags"]


def referrers(client, name, digest, query=""):
    r = expect(client, "GET", f"/v2/{name}/referrers/{digest}{query}", 200)
    assert r.headers["Content-Type"] == OCI_INDEX
    return r


class Skopeo:
    """skopeo with a home of its own."""

    def __init__(self, home):
        self.home = str(home)
        os.makedirs(self.home, exist_ok=True)

    def run(self, *args, fails=None):
        p = subprocess.run(["skopeo", "--insecure-policy", *args], cwd=self.home, capture_output=True,
                           text=True, timeout=120, check=False,
                           env=dict(os.environ, HOME=self.home, REGISTRY_AUTH_FILE=self.home + "/auth.json"))
        if fails:
            assert p.returncode and fails in p.stderr, p.stderr
        else:
            assert p.returncode == 0, p.stderr
        return p.stdout

    def make_image(self, name, tag, size=200_000):
        def umoci(*args):
            subprocess.run(["umoci", *args], cwd=self.home, check=True, capture_output=True, timeout=60)
        if not os.path.exists(f"{self.home}/{name}"):
            umoci("init", "--layout", name)
        umoci("new", "--image", f"{name}:{tag}")
        with open(self.home + "/file", "wb") as f:
            f.write(random.Random(tag).randbytes(size))
        umoci("insert", "--rootless", "--image", f"{name}:{tag}", "file", "/file")


DEST = ["--dest-tls-verify=false", "--dest-creds", f"{USER}:{PASSWORD}"]
SRC = ["--src-tls-verify=false", "--src-creds", f"{USER}:{PASSWORD}"]
ONE = ["--tls-verify=false", "--creds", f"{USER}:{PASSWORD}"]


class Registry:
    """Debian's docker-registry as somebody else's upstream; its log is what it was asked."""

    def __init__(self, directory):
        self.port, self.log = free_port(), os.path.join(directory, "registry.log")
        config = os.path.join(directory, "registry.yml")
        with open(config, "w", encoding="utf-8") as f:
            json.dump({"version": 0.1, "log": {"accesslog": {"disabled": False}, "formatter": "json"},
                       "storage": {"filesystem": {"rootdirectory": directory + "/registry"},
                                   "delete": {"enabled": True}},
                       "http": {"addr": f"127.0.0.1:{self.port}"}}, f)
        self.config = config
        self.start()

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(["docker-registry", "serve", self.config], stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL)
        wait_until("docker-registry", lambda: socket.create_connection(("127.0.0.1", self.port)))

    def stop(self):
        self.process.terminate()
        self.process.wait(10)

    def asked(self, what=""):
        """How many requests of ours for paths with `what` in them it has answered."""
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return sum(1 for line in f if re.search(r'"[A-Z]+ /v2/[^ ]*' + what + '.*"pantera/', line))


def make_proxy(client, name, url, **config):
    config.setdefault("cache", {"metadata": {"ttl": "1h"}})
    client.must("PUT", f"/repositories/{name}", {"repo": {
        "type": "docker-proxy", "storage": "default", "remotes": [{"url": url, **config.pop("remote", {})}],
        **config}})


def make_group(client, name, members, **config):
    client.must("PUT", f"/repositories/{name}", {"repo": {"type": "docker-group", "members": members,
                                                          **config}})
