# SPDX-License-Identifier: Apache-2.0
"""Package formats beside other people's registries: same machine, same run, same files, all authenticated as
their defaults are (docker-registry and verdaccio are open to anybody; we check a token)."""
import base64
import hashlib
import http.client
import io
import json
import os
import re
import subprocess
import tarfile
import threading
import time

from load import DIR, QUICK, beside, say, wrk
from npm_clients import Verdaccio
from pantera import Node, free_port, wait_until

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
PUSHES = 200 if QUICK else 1000


class Session:
    """One connection, kept."""

    def __init__(self, port, headers=None):
        self.port, self.headers = port, headers or {}
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def ask(self, method, path, body=None, headers=None, want=2):
        self.connection.request(method, path, body, {**self.headers, **(headers or {})})
        r = self.connection.getresponse()
        data = r.read()
        if r.status // 100 != want:
            raise SystemExit(f"scripts/bench: {method} {path}: {r.status} {data[:300]}")
        return r, data


def put_repo(node, name, **repo):
    node.admin().must("PUT", f"/repositories/{name}", {"repo": {"storage": "default", **repo}})


def in_threads(count, work):
    """work(thread's number); seconds that all of them took."""
    failures = []

    def run(n):
        try:
            work(n)
        except BaseException as e:  # pylint: disable=broad-except
            failures.append(e)
    threads = [threading.Thread(target=run, args=(n,)) for n in range(count)]
    began = time.monotonic()
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if failures:
        raise failures[0]
    return time.monotonic() - began


# --- OCI ---

def push_blob(s, image, data):
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    r, _ = s.ask("POST", f"/v2/{image}/blobs/uploads/", headers={"Content-Length": "0"})
    where = re.sub(r"^https?://[^/]*", "", r.getheader("Location"))
    s.ask("PUT", where + ("&" if "?" in where else "?") + "digest=" + digest, data,
          {"Content-Type": "application/octet-stream"})
    return {"mediaType": "application/octet-stream", "digest": digest, "size": len(data)}


def push_image(s, image, tag, layers):
    config = push_blob(s, image, b"{}")
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST,
                "config": {**config, "mediaType": "application/vnd.oci.image.config.v1+json"},
                "layers": [{**x, "mediaType": "application/vnd.oci.image.layer.v1.tar"} for x in layers]}
    s.ask("PUT", f"/v2/{image}/manifests/{tag}", json.dumps(manifest), {"Content-Type": MANIFEST})


def pushes(port, image, headers):
    """Images of one new layer of 64 KiB, eight clients: images a second."""
    each = PUSHES // 8

    def work(n):
        s = Session(port, headers)
        for i in range(each):
            push_image(s, f"{image}/p{n}", f"t{i}", [push_blob(s, f"{image}/p{n}", os.urandom(65536))])
    times = in_threads(8, work)
    return {"per_s": 8 * each / times, "p50_ms": 8000 * times / (8 * each), "p99_ms": 0.0}


REGISTRY = """
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: "{dir}/registry"}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""


def oci(node, auth):
    port = free_port()
    config = os.path.join(DIR, "registry.yml")
    with open(config, "w", encoding="ascii") as f:
        f.write(REGISTRY.format(dir=DIR, port=port))
    put_repo(node, "images", type="docker")
    with open(os.path.join(DIR, "registry.log"), "wb") as log:
        registry = subprocess.Popen(["docker-registry", "serve", config], stdout=log, stderr=log)
    try:
        wait_until("docker-registry", lambda: Session(port).ask("GET", "/v2/"))
        sides = {"ours": (node.port, "images/app", auth), "theirs": (port, "app", {})}
        blobs = {"1k": os.urandom(1024), "1m": os.urandom(1 << 20)}
        for p, image, headers in sides.values():
            s = Session(p, headers)
            push_image(s, image, "latest", [push_blob(s, image, b) for b in blobs.values()])
        ours = [f"{k}: {v}" for k, v in auth.items()]
        out = {}
        for name, data in blobs.items():
            say(f"OCI blob {name}, 32 connections")
            path = "blobs/sha256:" + hashlib.sha256(data).hexdigest()
            out[f"oci_blob_{name}"] = beside(
                "registry", lambda q=path: wrk(node.port, 32, f"/v2/images/app/{q}", headers=ours),
                lambda q=path: wrk(port, 32, f"/v2/app/{q}"))
        say("OCI manifest by tag, 32 connections")
        accept = [f"Accept: {MANIFEST}"]
        out["oci_manifest"] = beside(
            "registry", lambda: wrk(node.port, 32, "/v2/images/app/manifests/latest", headers=ours + accept),
            lambda: wrk(port, 32, "/v2/app/manifests/latest", headers=accept))
        say("OCI push, 8 clients")
        out["oci_push"] = beside("registry", lambda: pushes(node.port, "images", auth),
                                 lambda: pushes(port, "x", {}))
        return out
    finally:
        registry.terminate()
        registry.wait()


# --- npm ---

def package(version):
    """What npm pack makes: 60 KB that don't compress, and a package.json."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        manifest = json.dumps({"name": "bench-package", "version": version}).encode()
        for name, data in (("package.json", manifest), ("index.js", os.urandom(60_000))):
            info = tarfile.TarInfo("package/" + name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def publish(port, path, headers, version, tarball):
    name = "bench-package"
    manifest = {"name": name, "version": version, "description": "for a benchmark", "main": "index.js",
                "dependencies": {f"dep-{i}": "^1.0.0" for i in range(10)},
                "dist": {"integrity": "sha512-" + base64.b64encode(hashlib.sha512(tarball).digest()).decode(),
                         "shasum": hashlib.sha1(tarball).hexdigest(),
                         "tarball": f"http://127.0.0.1:{port}{path}/{name}/-/{name}-{version}.tgz"}}
    body = {"_id": name, "name": name, "dist-tags": {"latest": version}, "versions": {version: manifest},
            "_attachments": {f"{name}-{version}.tgz": {
                "content_type": "application/octet-stream", "length": len(tarball),
                "data": base64.b64encode(tarball).decode()}}}
    Session(port, headers).ask("PUT", f"{path}/{name}", json.dumps(body),
                               {"Content-Type": "application/json"})


def npm(node, auth):
    put_repo(node, "npmjs", type="npm")
    verdaccio = Verdaccio(os.path.join(DIR, "verdaccio"))
    try:
        for i in range(20):
            tarball = package(f"1.{i}.0")
            for port, path, headers in ((node.port, "/npmjs", auth), (verdaccio.port, "", {})):
                publish(port, path, headers, f"1.{i}.0", tarball)
        ours = [f"{k}: {v}" for k, v in auth.items()]
        out = {}
        for label, path, accept in (
                ("npm_packument", "bench-package", []),
                ("npm_abbreviated", "bench-package", ["Accept: application/vnd.npm.install-v1+json"]),
                ("npm_tarball", "bench-package/-/bench-package-1.7.0.tgz", [])):
            say(f"{label}, 16 connections")
            out[label] = beside(
                "verdaccio", lambda q=path, a=accept: wrk(node.port, 16, f"/npmjs/{q}", headers=ours + a),
                lambda q=path, a=accept: wrk(verdaccio.port, 16, f"/{q}", headers=a))
        return out
    finally:
        verdaccio.close()


# --- proxies ---

NGINX = """
worker_processes 1;
daemon off;
{user}
pid {dir}/upstream.pid;
error_log {dir}/upstream.err;
events {{ worker_connections 1024; }}
http {{
  access_log {dir}/upstream.log;
  sendfile on;
  client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3;
  uwsgi_temp_path {dir}/t4; scgi_temp_path {dir}/t5;
  server {{ listen 127.0.0.1:{port}; root {dir}/upstream; }}
}}
"""
FILES, BYTES = 400 if QUICK else 2000, 65536


def read_all(port, prefix, headers):
    def work(n):
        s = Session(port, headers)
        for i in range(n, FILES, 8):
            _, data = s.ask("GET", f"{prefix}/{i}")
            if len(data) != BYTES:
                raise SystemExit("scripts/bench: a file came short")
    seconds = in_threads(8, work)
    return {"per_s": FILES / seconds, "p50_ms": 8000 * seconds / FILES, "p99_ms": 0.0}


def proxy(node, auth):
    os.makedirs(os.path.join(DIR, "upstream"))
    for i in range(FILES):
        with open(os.path.join(DIR, f"upstream/{i}"), "wb") as f:
            f.write(os.urandom(BYTES))
    port, conf = free_port(), os.path.join(DIR, "upstream.conf")
    with open(conf, "w", encoding="ascii") as f:
        f.write(NGINX.format(dir=DIR, port=port, user="" if os.getuid() else "user root;"))
    nginx = subprocess.Popen(["nginx", "-c", conf, "-p", DIR], stderr=subprocess.DEVNULL)

    def asked():
        with open(os.path.join(DIR, "upstream.log"), encoding="ascii") as f:
            return sum(1 for _ in f)
    try:
        wait_until("nginx", lambda: Session(port).ask("GET", "/0"))
        say(f"file proxy, {FILES} files, 8 clients")
        runs = []
        for n in range(1 if QUICK else 3):
            put_repo(node, f"mirror{n}", type="file-proxy", remotes=[{"url": f"http://127.0.0.1:{port}"}])
            direct = read_all(port, "", {})
            before = asked()
            cold = read_all(node.port, f"/mirror{n}", auth)
            between = asked()
            warm = read_all(node.port, f"/mirror{n}", auth)
            runs.append((cold["per_s"] / direct["per_s"], warm["per_s"] / direct["per_s"], between - before,
                         asked() - between))
        runs.sort()
        cold, warm, upstream_cold, upstream_warm = runs[len(runs) // 2]
        return {"proxy": {"files": FILES, "bytes": BYTES, "cold_ratio": round(cold, 3),
                          "warm_ratio": round(warm, 3), "upstream_cold": upstream_cold,
                          "upstream_warm": upstream_warm}}
    finally:
        nginx.terminate()
        nginx.wait()


def formats():
    node = Node(os.path.join(DIR, "formats"), config={"log": {"access": False}}).start()
    try:
        token = node.admin().must("POST", "/auth/token/generate",
                                  {"label": "bench", "expiry_days": 1})["token"]
        auth = {"Authorization": f"Bearer {token}"}
        return {**oci(node, auth), **npm(node, auth), **proxy(node, auth)}
    finally:
        node.stop()
