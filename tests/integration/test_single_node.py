# SPDX-License-Identifier: Apache-2.0
"""One node: what a newcomer does, and large files with little memory."""
import hashlib
import os
import subprocess
import threading

import pytest

from pantera import PASSWORD, USER, Client, figure, scale

MIB = 1 << 20


def blocks(size, seed):
    """`size` bytes that don't repeat, without holding them: 1 MiB blocks, each with its number in front."""
    filler = hashlib.shake_128(seed.encode()).digest(MIB)
    for n in range(0, size, MIB):
        block = n.to_bytes(8, "big") + filler[8:]
        yield block[:min(MIB, size - n)]


def digest_of(size, seed):
    h = hashlib.sha256()
    for b in blocks(size, seed):
        h.update(b)
    return h.hexdigest()


def upload(client, path, size, seed):
    r = client.repo("PUT", path, blocks(size, seed), {"Content-Length": str(size)})
    assert r.status == 201, r


def download(client, path, headers=None, stop_at=None):
    """(status, headers, digest, length); `stop_at`: the connection is dropped after so many bytes."""
    r = client.open(client.node.port, "GET", path, headers=headers)
    h, length = hashlib.sha256(), 0
    while True:
        data = r.read(min(MIB, stop_at - length) if stop_at else MIB)
        h.update(data)
        length += len(data)
        if not data or length == stop_at:
            break
    if stop_at:
        client.close()
    return r.status, r.headers, h, length


def test_first_start_push_pull_restart(make_node):
    """README's way: a file goes up with curl, comes down, survives a restart; the admin's password works."""
    node = make_node()
    url = f"http://127.0.0.1:{node.port}"
    path = os.path.join(node.dir, "hello.txt")
    with open(path, "w", encoding="ascii") as f:
        f.write("hello\n")
    curl = ["curl", "-sS", "--fail", "-u", f"{USER}:{PASSWORD}"]
    subprocess.run(curl + ["-T", path, f"{url}/files/hello.txt"], check=True)  # there from the first start
    out = subprocess.run(curl + [f"{url}/files/hello.txt"], check=True, capture_output=True)
    assert out.stdout == b"hello\n"
    node.admin().put_repo("mine")
    subprocess.run(curl + ["-T", path, f"{url}/mine/a/hello.txt"], check=True)
    out = subprocess.run(curl + [f"{url}/mine/a/hello.txt"], check=True, capture_output=True)
    assert out.stdout == b"hello\n"
    assert Client(node).repo("GET", "/mine/a/hello.txt").status == 401
    assert node.stop() == 0 and node.errors() == []
    node.start()
    r = node.client().get("/mine/a/hello.txt")
    assert r.body == b"hello\n"
    r2 = node.client().repo("GET", "/mine/a/hello.txt", headers={"If-None-Match": r.headers["ETag"]})
    assert r2.status == 304 and r2.body == b""
    node.client().repo("DELETE", "/mine/a/hello.txt")
    node.client().get("/mine/a/hello.txt", 404)


def test_kill_after_the_answer_loses_nothing(make_node):
    """kill -9 in the moment of a 2xx: what was acknowledged is there."""
    node = make_node()
    admin = node.admin()
    admin.put_repo("r")
    for n in range(scale(50, 8)):
        body = os.urandom(20000)
        admin.put(f"/r/f{n}", body)
        admin.put_role(f"role-{n}", {"r": ["read"]})
        node.kill()
        node.start()
        admin = node.admin()
        assert admin.get(f"/r/f{n}").body == body
        admin.must("GET", f"/roles/role-{n}")


@pytest.mark.parametrize("store", ["fs", "s3"])
def test_large_file_with_little_memory(make_node, request, store):
    """A large file goes up and comes down, digest equal, and the node's memory grows by less than 64 MiB; a
    download that broke off half-way goes on with a Range."""
    size = scale(4 << 30, 256 * MIB) + 12345
    config = {}
    if store == "s3":
        prefix = request.getfixturevalue("s3_prefix")
        config = {"storage": request.getfixturevalue("s3").storage(prefix)}
    node = make_node(config)
    c = node.admin(timeout=900)
    c.put_repo("big")
    c.put("/big/warm-up", b"x" * MIB)
    c.get("/big/warm-up")
    before = node.memory()
    node.reset_peak()
    upload(c, "/big/file", size, "one")
    after_put = node.memory("VmHWM") - before
    status, headers, h, length = download(c, "/big/file")
    growth = node.memory("VmHWM") - before
    assert (status, length) == (200, size)
    assert h.hexdigest() == digest_of(size, "one")
    figure(f"{store} {size >> 20} MiB: memory grew by {after_put / MIB:.1f} MiB up, "
           f"{growth / MIB:.1f} MiB up and down")
    assert growth < 64 * MIB
    # Half of it, then the rest from where it stopped.
    half = size // 2
    status, headers, h, length = download(c, "/big/file", stop_at=half)
    assert length == half
    status, headers, rest, length = download(
        c, "/big/file", {"Range": f"bytes={half}-", "If-Range": headers["ETag"]})
    assert status == 206 and length == size - half
    assert headers["Content-Range"] == f"bytes {half}-{size - 1}/{size}"
    whole = hashlib.sha256()
    at = 0
    for b in blocks(size, "one"):  # the second half alone, from what was sent
        if at + len(b) > half:
            whole.update(b[max(0, half - at):])
        at += len(b)
    assert rest.hexdigest() == whole.hexdigest()


def test_uploads_side_by_side_with_little_memory(make_node):
    """16 uploads at a time: memory is bounded by what is in flight, not by what is sent."""
    node = make_node()
    c = node.admin(timeout=300)
    c.put_repo("big")
    size, errors = scale(256, 24) * MIB, []
    before = node.memory()
    node.reset_peak()

    def run(n):
        try:
            upload(c, f"/big/f{n}", size, str(n))
            assert download(c, f"/big/f{n}")[2].hexdigest() == digest_of(size, str(n))
        except Exception as e:  # pylint: disable=broad-except
            errors.append(e)

    threads = [threading.Thread(target=run, args=(n,), daemon=True) for n in range(16)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not errors, errors
    growth = node.memory("VmHWM") - before
    figure(f"16 x {size >> 20} MiB at a time: memory grew by {growth / MIB:.1f} MiB")
    assert growth < 96 * MIB


def test_upload_that_breaks_off_leaves_nothing(make_node):
    """A client that goes away in the middle: no file, and the half of it is collected."""
    node = make_node({"gc": {"grace": "100ms", "interval": "100ms"}})
    c = node.admin()
    c.put_repo("r")
    c.put("/r/keep", b"k")
    conn = c.connection(node.port)
    conn.putrequest("PUT", "/r/broken")
    conn.putheader("Authorization", c.authorization)
    conn.putheader("Content-Length", str(8 * MIB))
    conn.endheaders()
    conn.send(os.urandom(3 * MIB))
    c.close()
    c.get("/r/broken", 404)
    blobs = os.path.join(node.data, "blobs")

    def only_one():
        return sum(len(fs) for _, _, fs in os.walk(blobs)) == 1 if os.path.isdir(blobs) else False

    from pantera import wait_until
    wait_until(f"one object below {blobs}", only_one, 20)
    assert c.get("/r/keep").body == b"k"


def test_ranges_and_conditions(make_node):
    """RFC 9110 in small: single, suffix, several, unsatisfiable; If-Match, If-None-Match: *; HEAD."""
    node = make_node()
    c = node.admin()
    c.put_repo("r")
    body = bytes(range(256)) * 40
    c.put("/r/f", body)

    def part(value):
        return c.repo("GET", "/r/f", headers={"Range": value})

    r = part("bytes=0-0")
    assert (r.status, r.body, r.headers["Content-Range"]) == (206, body[:1], f"bytes 0-0/{len(body)}")
    assert part("bytes=-5").body == body[-5:]
    assert part("bytes=10000-").body == body[10000:]
    r = part(f"bytes={len(body)}-")
    assert (r.status, r.headers["Content-Range"]) == (416, f"bytes */{len(body)}")
    assert part("lines=1-2").status == 200
    r = part("bytes=0-9,100-109")
    assert r.status == 206 and r.headers["Content-Type"].startswith("multipart/byteranges")
    assert body[0:10] in r.body and body[100:110] in r.body
    r = c.repo("HEAD", "/r/f")
    assert (r.status, r.headers["Content-Length"], r.body) == (200, str(len(body)), b"")
    assert c.repo("GET", "/r/f", headers={"If-Match": '"other"'}).status == 412
    assert c.repo("GET", "/r/f", headers={"If-None-Match": "*"}).status == 304
