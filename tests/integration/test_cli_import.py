# SPDX-License-Identifier: Apache-2.0
"""`pantera import`: a folder and listings, interrupted and repeated, on a server that is busy or dies."""
import http.server
import json
import os
import pty
import re
import signal
import socket
import subprocess
import threading

import pytest

from pantera import PASSWORD, binary, wait_until


def command(node, *words, url=None, **env):
    env = {"PATH": os.environ["PATH"], "HOME": node.dir, "TMPDIR": node.dir, "PANTERA_URL":
           f"http://127.0.0.1:{node.api_port}", "PANTERA_USER_NAME": "admin", "PANTERA_USER_PASS": PASSWORD,
           "PANTERA_REPO_URL": url or f"http://127.0.0.1:{node.port}",
           "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", ""), **env}
    return {"args": ["pantera", "import", *words], "executable": binary(), "env": env}


def run(node, *words, url=None, **env):
    return subprocess.run(**command(node, *words, url=url, **env), capture_output=True, text=True,
                          timeout=120, check=False)


def start(node, *words, lines):
    """A run that has said so many lines."""
    p = subprocess.Popen(**command(node, *words), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for _ in range(lines):
        p.stdout.readline()
    return p


def ended(p):
    out, err = p.communicate(timeout=100)
    assert p.returncode == 0 and b", 0 failed" in out and not err, (out, err)


def sums(r):
    return json.loads(r.stdout)


def tree(folder, count=60, size=2000):
    """Relative path → bytes; odd names among them."""
    files = {f"com/example/lib{n}/1.{n % 3}/lib {n}+ü&'.jar": os.urandom(size + n) for n in range(count)}
    files["empty"] = b""
    files["large.bin"] = os.urandom(3 << 20)
    for path, data in files.items():
        full = os.path.join(folder, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "wb") as f:
            f.write(data)
    return files


def there(client, repo, files, prefix=""):
    for path, data in files.items():
        quoted = "".join(c if c.isalnum() and c.isascii() or c in "/-._~" else
                         "".join(f"%{b:02X}" for b in c.encode()) for c in prefix + path)
        assert client.get(f"/{repo}/{quoted}").body == data, path


def written(admin):
    """How often each was written, by the audit log."""
    names, page, more = [], 0, True
    while more:
        answer = admin.must("GET", f"/audit?action=import.put&size=100&page={page}")
        names += [r["resource"] for r in answer["items"]]
        page, more = page + 1, answer["hasMore"]
    return {n: names.count(n) for n in names}


@pytest.fixture(name="node")
def one_node(make_node):
    node = make_node()
    node.admin().put_repo("files")
    return node


def test_a_folder(node, tmp_path):
    admin = node.admin()
    folder = str(tmp_path / "from")
    files = tree(folder)
    os.symlink("/etc/passwd", os.path.join(folder, "link"))
    r = run(node, folder, "files/moved/here")
    assert r.returncode == 0, r
    lines = r.stdout.splitlines()
    assert sorted(lines[:-1]) == sorted("created " + p for p in files)
    assert lines[-1].startswith(f"{len(files)} created, 0 present already, 0 failed; ")
    assert "link: a link, left out" in r.stderr
    there(admin, "files", files, "moved/here/")
    assert admin.repo("GET", "/files/moved/here/link").status == 404
    r = run(node, folder + "/", "files/moved/here/", "--json")
    assert r.returncode == 0 and (sums(r)["created"], sums(r)["present"]) == (0, len(files)), r
    assert set(written(admin).values()) == {1} and len(written(admin)) == len(files)
    # What has changed here goes there; what somebody changed there stays, and is named.
    with open(os.path.join(folder, "empty"), "wb") as f:
        f.write(b"not any more")
    admin.put("/files/moved/here/large.bin", b"newer")
    r = run(node, folder, "files/moved/here", "--jobs", "3")
    assert r.returncode == 1 and "large.bin: the artifact has been replaced since" in r.stderr, r
    assert "created empty" in r.stdout
    assert f"1 created, {len(files) - 2} present already, 1 failed" in r.stdout
    assert admin.get("/files/moved/here/empty").body == b"not any more"
    assert admin.get("/files/moved/here/large.bin").body == b"newer"


def test_what_is_refused(node, tmp_path):
    tree(str(tmp_path / "from"), 3)
    assert run(node, str(tmp_path / "nowhere"), "files").returncode == 2
    assert run(node, str(tmp_path / "from"), "nothing").returncode == 4
    assert run(node, str(tmp_path / "from"), "files", "--jobs", "1000").returncode == 2
    assert run(node, str(tmp_path / "from"), "files", "--type", "maven").returncode == 1
    assert run(node, str(tmp_path / "from"), "files", PANTERA_USER_PASS="Wrong-1!wrong").returncode == 3
    node.admin().put_user("rita", roles=["reader"])
    r = run(node, str(tmp_path / "from"), "files", "--user", "rita")
    assert r.returncode == 1 and "no permission to write" in r.stderr, r
    assert written(node.admin()) == {}


def test_killed_and_run_again(node, tmp_path):
    """kill -9 in the middle, twice; then all is there, and nothing was written twice."""
    admin = node.admin()
    folder = str(tmp_path / "from")
    files = tree(folder, 250)
    for _ in range(2):
        before = len(written(admin))
        with start(node, folder, "files", "--jobs", "4", lines=40 + before) as p:
            p.send_signal(signal.SIGKILL)
        assert before + 20 < len(written(admin)) < len(files)
    done = len(written(admin))
    r = run(node, folder, "files", "--json")
    assert r.returncode == 0 and sums(r)["present"] >= done - 4 and sums(r)["failed"] == 0, r
    counts = written(admin)
    assert len(counts) == len(files) and set(counts.values()) == {1}
    there(admin, "files", files)


def test_a_busy_server_is_asked_again(node, tmp_path):
    """Sixty-four slow imports hold all places: RETRY_LATER, until they go."""
    admin = node.admin()
    files = tree(str(tmp_path / "from"), 20)
    held = []
    for n in range(64):
        s = socket.create_connection(("127.0.0.1", node.port))
        s.sendall((f"PUT /.import/files/slow-{n} HTTP/1.1\r\nHost: x\r\nX-Pantera-Repo-Type: file\r\n"
                   f"Authorization: {admin.authorization}\r\nX-Pantera-Idempotency-Key: slow-{n}\r\n"
                   "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n").encode())
        assert s.recv(100).startswith(b"HTTP/1.1 100")  # it has its place
        held.append(s)
    with start(node, str(tmp_path / "from"), "files", lines=0) as p:
        wait_until("a 503", lambda: b'"http.response.status_code":503' in open(node.log_path, "rb").read())
        for s in held:
            s.close()
        ended(p)
    there(admin, "files", files)


def test_a_leader_that_dies_is_no_failure(make_cluster, tmp_path):
    cluster = make_cluster()
    admin = cluster.nodes[0].admin()
    admin.put_repo("files")
    files = tree(str(tmp_path / "from"), 150)
    leader = cluster.leader()
    node = cluster.others(leader)[0]
    with start(node, str(tmp_path / "from"), "files", lines=30) as p:
        leader.kill()
        ended(p)
    there(admin.at(cluster.others(leader)[1]), "files", files)
    counts = written(admin.at(node))
    assert len(counts) == len(files) and set(counts.values()) == {1}


def test_our_own_listing(node, tmp_path):
    """From one of our repositories into another; nothing is fetched that is there."""
    admin = node.admin()
    admin.put_repo("copy")
    files = tree(str(tmp_path / "from"), 30)
    assert run(node, str(tmp_path / "from"), "files").returncode == 0
    r = run(node, f"http://127.0.0.1:{node.port}/files", "copy", "--json")
    assert r.returncode == 0 and sums(r)["created"] == len(files), r
    there(admin, "copy", files)
    mark = os.path.getsize(node.log_path)
    r = run(node, f"http://127.0.0.1:{node.port}/files/com/", "copy/com", "--json")
    assert r.returncode == 0 and (sums(r)["created"], sums(r)["present"]) == (0, 30), r
    with open(node.log_path, "rb") as f:
        f.seek(mark)
        asked = [line for line in f.read().splitlines() if b".jar" in line]
    assert len(asked) == 60 and all(b'"HEAD"' in line for line in asked)


class Foreign(http.server.BaseHTTPRequestHandler):
    """What nginx and Apache write, and we, with pages; links that lead elsewhere; a password; one hiccup."""
    pages = {
        "/dist/": '<a href="../">../</a> <a href="?C=N;O=D">Name</a> <a href="sub/">sub/</a> '
                  '<a href="a%20b.txt"><img></a><A HREF=\'a%20b.txt\'>a b.txt</A> '
                  '<a href="/dist/abs.txt">x</a> '
                  '<a href="http://127.0.0.1:1/elsewhere">x</a> <a href="/secret">x</a> '
                  '<a href="..%2f..%2fetc">x</a> <a href="mailto:x@y">m</a> <a href="gone.txt">gone</a>',
        "/dist/sub/": '<a href="/dist/">Parent</a> <a href="c&amp;d.txt">c&amp;d.txt</a>',
        "/dist/sub/?after=c%26d.txt&limit=1": '<a href="./e.txt">e.txt</a>',
    }
    files = {"/dist/a%20b.txt": b"one", "/dist/abs.txt": b"two", "/dist/sub/c%26d.txt": b"three",
             "/dist/sub/e.txt": b"four"}
    seen, hiccup = [], [True]

    def do_GET(self):
        self.seen.append(self.path)
        data = self.pages.get(self.path, "").encode() or self.files.get(self.path)
        status = 200 if data is not None and data != b"" else 404
        if self.headers.get("Authorization") != "Basic YmVuOnNlY3JldA==":
            status, data = 401, b""
        elif self.path == "/dist/abs.txt" and self.hiccup and self.hiccup.pop():
            status, data = 503, b""
        self.send_response(status)
        if self.path == "/dist/sub/":
            self.send_header("Link", '<?after=c%26d.txt&limit=1>; rel="next"')
        self.send_header("Content-Length", str(len(data or b"")))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data or b"")

    do_HEAD = do_GET

    def log_message(self, *args):
        pass


def test_a_foreign_listing(node):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Foreign)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/dist/"
    try:
        r = run(node, url, "files")
        assert r.returncode == 1 and "HTTP 401" in r.stderr, r
        for created in (4, 0):
            r = run(node, url, "files", "--source-user", "ben", "--json", PANTERA_SOURCE_PASS="secret")
            assert r.returncode == 1 and "gone.txt: source: HTTP 404" in r.stderr, r
            assert (sums(r)["created"], sums(r)["present"], sums(r)["failed"]) == (created, 4 - created, 1), r
    finally:
        server.shutdown()
    there(node.admin(), "files", {"a b.txt": b"one", "abs.txt": b"two", "sub/c&d.txt": b"three",
                                   "sub/e.txt": b"four"})
    assert set(Foreign.seen) == {*Foreign.pages, "/dist/gone.txt", *Foreign.files}


def test_a_terminal_sees_a_bar(node, tmp_path):
    tree(str(tmp_path / "from"), 30)
    master, slave = pty.openpty()
    p = subprocess.Popen(**command(node, str(tmp_path / "from"), "files"), stdin=slave,
                         stdout=subprocess.PIPE, stderr=slave, text=True)
    os.close(slave)
    shown = b""
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:  # the other end is closed
            break
        shown += part
    out = p.stdout.read()
    assert p.wait() == 0
    p.stdout.close()
    os.close(master)
    assert re.search(rb"\r\x1b\[K\[[#.]{30}\] \d+/32 files, [\d.]+ \w*B, [\d.]+ \w*B/s", shown), shown
    assert out.startswith("32 created, 0 present already, 0 failed; 3.1 MiB in ") and out.count("\n") == 1


def test_a_token_that_ends_on_the_way_is_renewed(node, tmp_path):
    """Every token of the user is revoked while it runs; the password still is right."""
    admin = node.admin()
    admin.put_role("importers", {"adapter_basic_permissions": {"files": ["read", "write"]}})
    admin.put_user("ida", roles=["importers"])
    files = tree(str(tmp_path / "from"), 150)
    with start(node, str(tmp_path / "from"), "files", "--user", "ida", "--jobs", "2", lines=20) as p:
        admin.must("POST", "/admin/revoke-user/ida")
        ended(p)
    assert len(written(admin)) == len(files)
    assert len(admin.must("GET", "/audit?action=login&actor=ida")["items"]) == 2
