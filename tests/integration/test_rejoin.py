# SPDX-License-Identifier: Apache-2.0
"""Loss and return: a node whose folder is gone, a disk that is full, an S3 server that answers 500, hangs or
dies. A clear 503 or 507, nothing lost, recovery without a restart."""
import hashlib
import os
import subprocess
import time

import pytest

from pantera import Client, figure, scale, wait_until


def test_wiped_node_rejoins(cluster):
    """Its folder deleted, a node comes back with everything: users, files, tokens."""
    victim = cluster.others(cluster.leader())[0]
    survivor = cluster.others(victim)[0]
    admin = survivor.admin()
    admin.put_repo("r")
    for n in range(scale(5000, 300)):
        admin.put_role(f"role-{n}", {"r": ["read"]})
    admin.put("/r/before", b"before")
    victim.kill()
    victim.wipe()
    admin.put("/r/while", b"while")
    began = time.monotonic()
    victim.start()
    figure(f"wiped node ready again after {time.monotonic() - began:.2f} s")
    on_victim = admin.at(victim)
    assert on_victim.get("/r/before").body == b"before"
    assert on_victim.get("/r/while").body == b"while"
    on_victim.must("GET", f"/roles/role-{scale(5000, 300) - 1}")
    on_victim.put("/r/after", b"after")
    assert admin.get("/r/after").body == b"after"
    # It counts again: with another gone, the two go on.
    cluster.others(victim)[1].kill()
    wait_until("a write with two of three",
               lambda: Client(victim, token=admin.authorization[7:], timeout=15)
               .repo("PUT", "/r/two", b"2").status == 201, 20)


def test_wiped_leader_rejoins(cluster):
    leader = cluster.leader()
    admin = cluster.others(leader)[0].admin()
    admin.put_role("x", {"r": ["read"]})
    leader.kill()
    leader.wipe()
    wait_until("another leads", lambda: cluster.leader() is not leader, 20)
    leader.start()
    admin.at(leader).must("GET", "/roles/x")


@pytest.fixture
def small_disk(tmp_path):
    """small_disk(MiB): a tmpfs; needs root."""
    made = []

    def make(size):
        path = str(tmp_path / "small")
        os.mkdir(path)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}m", "tmpfs", path],
                              capture_output=True, check=False)
        if done.returncode:
            pytest.skip("no right to mount a tmpfs")
        made.append(path)
        return path

    yield make
    for path in made:
        subprocess.run(["umount", "-l", path], check=False)


def test_full_blob_store(make_node, small_disk):
    """507 for what does not fit; the rest goes on; deleting makes room, without a restart, also of a file
    that was just served (no descriptor of it may stay open)."""
    node = make_node({"storage": {"type": "fs", "path": small_disk(24)},
                      "gc": {"grace": "100ms", "interval": "100ms"}})
    c = node.admin()
    c.put_repo("r")
    big = os.urandom(15 << 20)
    c.put("/r/big", big)
    for n in range(3):
        r = c.repo("PUT", "/r/more", os.urandom(12 << 20))
        c.close()
        assert r.status == 507, r
        assert r.body  # a sentence, in plain text on this port
    c.get("/r/more", 404)
    assert c.get("/r/big").body == big
    c.put_role("still", {"r": ["read"]})
    assert c.repo("DELETE", "/r/big").status in (200, 204)
    wait_until("room again",
               lambda: c.repo("PUT", "/r/more", os.urandom(12 << 20)).status == 201, 20, 0.3)


def fill(path):
    """Takes all room of a file system; gives the file that holds it."""
    name = os.path.join(path, "filler")
    with open(name, "wb", buffering=0) as f:
        for size in (1 << 20, 4096):
            try:
                while True:
                    f.write(b"\0" * size)
            except OSError:
                pass
    return name


def test_full_metadata_disk(make_node, small_disk, tmp_path):
    """No room for the log: writes are refused (503, 507) or the process ends and is started again; what was
    acknowledged is there when room is back."""
    small = small_disk(200)
    node = make_node({"home": os.path.join(small, "data"),
                      "storage": {"type": "fs", "path": str(tmp_path / "b")}})
    c = node.admin()
    c.put_repo("r")
    filler = fill(small)
    acked, refused = [], None
    for n in range(20000):
        try:
            r = c.api("PUT", f"/roles/role-{n}", {"permissions": {"r": ["read"] * 1}})
        except OSError as e:
            refused = e
            break
        if r.status != 201:
            refused = r
            break
        acked.append(n)
    assert refused is not None, "the disk never filled"
    if not isinstance(refused, OSError):
        assert refused.status in (503, 507), refused
    os.unlink(filler)
    if not node.alive():  # crash-only: a supervisor starts it again
        node.start()

    def writes():
        return c.api("PUT", "/roles/after", {"permissions": {"r": ["read"]}}).status == 201

    c.close()
    wait_until("writes again", writes, 30)
    c = node.admin()
    for n in acked[-200:]:
        c.must("GET", f"/roles/role-{n}")
    figure(f"full metadata disk: {len(acked)} writes acknowledged, then {refused!r}"[:200])


@pytest.mark.parametrize("mode", ["error", "dead", "hang"])
def test_s3_fails_and_returns(make_node, s3, s3_proxy, s3_prefix, mode):
    """While the S3 server answers 500, is gone, or hangs: a clear 503 for what needs it, the API as ever;
    when it is back, so are we; nothing acknowledged is lost."""
    endpoint = f"http://127.0.0.1:{s3_proxy.port}"
    node = make_node({"storage": s3.storage(s3_prefix, endpoint), "cache": {"bytes": 0}})
    c = node.admin(timeout=180)
    c.put_repo("r")
    body = os.urandom(3 << 20)
    c.put("/r/before", body)
    s3_proxy.set_mode(mode)
    began = time.monotonic()
    r = c.repo("PUT", "/r/during", body)
    took = time.monotonic() - began
    c.close()
    assert r.status == 503, r
    assert r.body
    assert int(r.headers["Retry-After"]) > 0
    figure(f"S3 {mode}: PUT refused after {took:.1f} s")
    c.get("/r/during", 404)
    # A read may fail before its first byte (503) or break off; it never gives wrong bytes.
    try:
        r = c.repo("GET", "/r/before")
        assert r.status == 503 or r.body == body, r
    except (OSError, Exception) as e:  # pylint: disable=broad-except
        assert "IncompleteRead" in repr(e) or isinstance(e, OSError), e
        c.close()
    c.put_role("meanwhile", {"r": ["read"]})
    assert node.alive()
    s3_proxy.set_mode("pass")
    wait_until("uploads again", lambda: c.repo("PUT", "/r/during", body).status in (200, 201), 60, 0.3)
    assert hashlib.sha256(c.get("/r/before").body).digest() == hashlib.sha256(body).digest()
    assert c.get("/r/during").body == body
