# SPDX-License-Identifier: Apache-2.0
"""/.import/<repository>/<path>: what seed 000 says of it, one node and three, and what happens in between."""
import concurrent.futures
import hashlib
import http.client
import json
import os
import socket
import sqlite3
import subprocess
import time

import pytest

from pantera import PASSWORD, Client, wait_until

DATA = b"the bytes of an artifact\n" * 100


def digests(data):
    return {n: hashlib.new(n, data).hexdigest() for n in ("sha1", "sha256", "md5")}


def send(client, path, data=b"", key="k", method="PUT", **headers):
    """headers: checksum_sha256=... is X-Pantera-Checksum-Sha256."""
    h = {"X-Pantera-Repo-Type": "file", "X-Pantera-Idempotency-Key": key}
    h.update({"X-Pantera-" + k.replace("_", "-"): v for k, v in headers.items()})
    return client.repo(method, "/.import/" + path, data, {k: v for k, v in h.items() if v is not None})


def check(r, code, status, size=None, sums=None):
    assert r.status == code, r
    body = r.json()
    assert set(body) == {"status", "message", "size", "digests"} and body["status"] == status, body
    if size is not None:
        assert body["size"] == size and body["digests"] == (digests(DATA) if sums is None else sums), body
    return body["message"]


@pytest.fixture(name="node")
def one_node(make_node):
    node = make_node()
    node.admin().put_repo("files")
    return node


def test_the_answers_of_the_seed(node):
    admin = node.admin()
    message = check(send(admin, "files/a/lib.jar", DATA), 201, "CREATED", len(DATA))
    assert message == "Artifact imported successfully"
    assert admin.get("/files/a/lib.jar").body == DATA
    message = check(send(admin, "files/a/lib.jar", DATA), 200, "ALREADY_PRESENT", len(DATA))
    assert message == "Artifact already exists with matching checksum"
    assert check(send(admin, "files/b", DATA, "b", "POST"), 201, "CREATED", len(DATA))
    # 400: each required header, and everything that is not what it should be.
    assert "X-Pantera-Repo-Type" in check(send(admin, "files/x", DATA, Repo_Type=None), 400,
                                          "INVALID_METADATA", 0, {})
    assert "X-Pantera-Idempotency-Key" in check(send(admin, "files/x", DATA, Idempotency_Key=""), 400,
                                                "INVALID_METADATA", 0, {})
    for wrong in [{"Repo_Type": "maven"}, {"Checksum_Mode": "MAYBE"}, {"Checksum_Sha256": "abc"},
                  {"Checksum_Md5": "g" * 32}, {"Artifact_Size": "-1"}, {"Artifact_Created": "yesterday"},
                  {"Metadata_Only": "perhaps"}, {"Artifact_Version": "v" * 256},
                  {"Idempotency_Key": "k" * 1001}]:
        check(send(admin, "files/x", DATA, **wrong), 400, "INVALID_METADATA", 0, {})
    for path in ["files/", "files", "files/a/", "files/../x", "files/a/%2e%2e/b"]:
        check(send(admin, path, DATA, "p"), 400, "INVALID_METADATA")
    check(send(admin, "nowhere/x", DATA, "n"), 404, "NOT_FOUND", 0, {})
    r = send(admin, "files/x", DATA, method="GET")
    assert r.status == 405 and r.headers["Allow"].startswith("PUT, POST")
    assert admin.repo("GET", "/files/x").status == 404
    # What the headers say is kept.
    created = 1_500_000_000_000
    check(send(admin, "files/old", DATA, "old", Artifact_Created=str(created), Artifact_Owner="builder",
               Artifact_Name="lib", Artifact_Version="1.0", Artifact_Size=str(len(DATA)),
               Artifact_Release=str(created)), 201, "CREATED")
    rows = admin.must("GET", "/audit?action=import.put&size=100")["items"]
    assert [r["resource"] for r in rows] == ["files/old", "files/b", "files/a/lib.jar"]
    assert node.stop() == 0
    with sqlite3.connect(os.path.join(node.data, "replica.db")) as db:
        assert db.execute("SELECT created_ms, owner FROM artifact WHERE path = 'old'").fetchone() == \
            (created, "builder")
        assert db.execute("SELECT name, version, artifact_release_ms, imported_by FROM import_session"
                          " WHERE key = 'old'").fetchone() == ("lib", "1.0", created, "admin")
    db.close()


def test_nobody_imports_without_write_permission(node):
    """The original asks nobody (pantera-facts, section 6, number 1)."""
    admin = node.admin()
    admin.put_role("writers", {"adapter_basic_permissions": {"files": ["write"]}})
    admin.put_role("readers", {"adapter_basic_permissions": {"*": ["read"]}})
    admin.put_user("wendy", roles=["writers"])
    admin.put_user("rita", roles=["readers"])
    admin.put_repo("other")
    assert send(Client(node), "files/x", DATA).status == 401
    assert Client(node).repo("POST", "/.merge/files").status == 401  # nor is there such a thing:
    assert admin.repo("POST", "/.merge/files").status == 404
    assert send(Client(node, "wendy", "Wrong-Guess-1!"), "files/x", DATA).status == 401
    check(send(Client(node, "rita", PASSWORD), "files/x", DATA), 403, "FORBIDDEN", 0, {})
    check(send(Client(node, "wendy", PASSWORD), "other/x", DATA), 403, "FORBIDDEN", 0, {})
    assert admin.repo("GET", "/files/x").status == 404
    check(send(Client(node, "wendy", PASSWORD), "files/x", DATA), 201, "CREATED")  # Basic
    check(send(Client(node).login("wendy", PASSWORD), "files/y", DATA, "y"), 201, "CREATED")  # Bearer


def test_checksum_modes(node):
    admin = node.admin()
    good, bad = digests(DATA), digests(b"other")
    for n, mode in enumerate([None, "VERIFY", "COMPUTE", "verify"]):
        mode = {"Checksum_Mode": mode} if mode else {}
        check(send(admin, f"files/v{n}", DATA, f"v{n}", Checksum_Sha256=good["sha256"],
                   Checksum_Sha1=good["sha1"].upper(), Checksum_Md5=good["md5"], **mode),
              201, "CREATED", len(DATA))
        for name in good:
            message = check(send(admin, f"files/w{n}", DATA, f"w{n}", **mode,
                                 **{"Checksum_" + name.capitalize(): bad[name]}),
                            409, "CHECKSUM_MISMATCH", len(DATA))
            assert f"mismatch: expected {bad[name]} got {good[name]}" in message
        # The key is free after a mismatch, and nothing is there.
        assert admin.repo("GET", f"/files/w{n}").status == 404
        check(send(admin, f"files/w{n}", DATA, f"w{n}"), 201, "CREATED", len(DATA))
    for n, mode in enumerate(["STORE", "METADATA"]):  # the client's word for SHA-1 and MD5
        told = {"sha256": good["sha256"], "sha1": bad["sha1"], "md5": bad["md5"]}
        for _ in range(2):
            r = send(admin, f"files/s{n}", DATA, f"s{n}", Checksum_Mode=mode, Checksum_Sha1=bad["sha1"],
                     Checksum_Md5=bad["md5"])
            assert r.json()["digests"] == told
        check(send(admin, f"files/t{n}", DATA, f"t{n}", Checksum_Mode=mode, Checksum_Sha256=bad["sha256"]),
              409, "CHECKSUM_MISMATCH")  # the bytes are named by it here
    for n, mode in enumerate(["NONE", "SKIP"]):
        check(send(admin, f"files/n{n}", DATA, f"n{n}", Checksum_Mode=mode, Checksum_Sha256=bad["sha256"]),
              201, "CREATED", len(DATA), {"sha256": good["sha256"]})
    for n, mode in enumerate(["VERIFY", "STORE", "NONE"]):  # the size counts in every mode
        message = check(send(admin, f"files/z{n}", DATA, f"z{n}", Checksum_Mode=mode,
                             Artifact_Size=str(len(DATA) + 1)), 409, "CHECKSUM_MISMATCH")
        assert message == f"Size mismatch: expected {len(DATA) + 1} got {len(DATA)}"
        assert admin.repo("GET", f"/files/z{n}").status == 404


def test_keys(node):
    """The original answers 200 to any body under a known key, of any path."""
    admin = node.admin()
    sums = digests(DATA)
    check(send(admin, "files/a", DATA), 201, "CREATED")
    modified = admin.get("/files/a").headers["Last-Modified"]
    time.sleep(1.1 - time.time() % 1)  # the next second, so that a second write would show
    check(send(admin, "files/a", DATA, Checksum_Sha256=sums["sha256"]), 200, "ALREADY_PRESENT", len(DATA))
    assert admin.get("/files/a").headers["Last-Modified"] == modified
    rows = admin.must("GET", "/audit?action=import.put")["items"]
    assert len(rows) == 1
    for conflict in [send(admin, "files/a", DATA + b"!"), send(admin, "files/a", DATA[:-1]),
                     send(admin, "files/a", b"x" * len(DATA)), send(admin, "files/b", DATA),
                     send(admin, "files/a", DATA, Checksum_Md5="0" * 32),
                     send(admin, "files/a", DATA, Artifact_Size="1"),
                     send(admin, "files/a", DATA, Metadata_Only="true")]:
        assert "idempotency key" in check(conflict, 409, "CONFLICT", 0, {})
    assert admin.get("/files/a").body == DATA and admin.repo("GET", "/files/b").status == 404
    # The artifact went away: the import is done again. It was replaced: that is not undone.
    assert admin.repo("DELETE", "/files/a").status == 204
    check(send(admin, "files/a", DATA), 201, "CREATED", len(DATA))
    admin.put("/files/a", b"newer")
    check(send(admin, "files/a", DATA), 409, "CONFLICT")
    assert admin.get("/files/a").body == b"newer"
    # curl waits for leave to send a large body, and is told that it need not.
    path = os.path.join(node.dir, "large")
    with open(path, "wb") as f:
        f.write(DATA * 1000)
    sha = hashlib.sha256(DATA * 1000).hexdigest()
    sent = []
    for _ in range(2):
        out = subprocess.run(
            ["curl", "-sS", "-T", path, "-u", f"admin:{PASSWORD}", "-H", "X-Pantera-Repo-Type: file", "-H",
             "X-Pantera-Idempotency-Key: large", "-H", "X-Pantera-Checksum-Sha256: " + sha, "-H",
             "Expect: 100-continue", "-w", "\n%{http_code} %{size_upload}",
             f"http://127.0.0.1:{node.port}/.import/files/large"], capture_output=True, text=True, check=True)
        sent.append(out.stdout.splitlines()[-1])
    assert sent == [f"201 {len(DATA) * 1000}", "200 0"]


def test_metadata_only(node):
    admin = node.admin()
    sums = digests(DATA)
    told = {"Metadata_Only": "true", "Artifact_Size": str(len(DATA)), "Checksum_Sha256": sums["sha256"]}
    for code, status in [(201, "CREATED"), (200, "ALREADY_PRESENT")]:
        message = check(send(admin, "files/m", key="m", **told), code, status, len(DATA),
                        {"sha256": sums["sha256"]})
        assert (message == "Metadata recorded") == (code == 201)
    assert admin.repo("GET", "/files/m").status == 404
    check(send(admin, "files/m", key="m", **{**told, "Checksum_Sha256": "0" * 64}), 409, "CONFLICT")
    check(send(admin, "files/other", key="m", **told), 409, "CONFLICT")


def head_of(client, path, key, size):
    return (f"PUT /.import/{path} HTTP/1.1\r\nHost: x\r\nAuthorization: {client.authorization}\r\n"
            f"X-Pantera-Repo-Type: file\r\nX-Pantera-Idempotency-Key: {key}\r\n"
            f"Content-Length: {size}\r\nExpect: 100-continue\r\n\r\n").encode()


def test_a_full_queue_says_when_to_come_again(node):
    """Sixty-four at once; the rest 503 with Retry-After, and nothing of them anywhere."""
    admin = node.admin()
    sockets = []
    for n in range(64):
        s = socket.create_connection(("127.0.0.1", node.port))
        s.sendall(head_of(admin, f"files/slow-{n}", f"slow-{n}", 5))
        assert s.recv(100).startswith(b"HTTP/1.1 100")  # it has its place
        s.sendall(b"1234")
        sockets.append(s)
    r = send(admin, "files/late", DATA, "late")
    assert r.headers["Retry-After"] == "5"
    assert check(r, 503, "RETRY_LATER", 0, {}) == "Import queue is full, retry after 5 seconds"
    assert admin.repo("GET", "/files/late").status == 404
    for n, s in enumerate(sockets):
        if n % 2:
            s.sendall(b"5")
            assert s.recv(100).startswith(b"HTTP/1.1 201")
        s.close()  # half of them break off
    r = wait_until("room", lambda: (r := send(admin, "files/late", DATA, "late")).status != 503 and r)
    assert r.status == 201
    for n in range(64):
        assert (admin.repo("GET", f"/files/slow-{n}").status == 200) == bool(n % 2)
    check(send(admin, "files/slow-0", b"12345", "slow-0"), 201, "CREATED")


def test_many_at_once_under_one_key(node):
    """One of them is written; the same bytes twice over are nobody's second write."""
    admin = node.admin()
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda n: send(admin.at(node), "files/race", DATA, "race").status, range(32)))
    assert sorted(set(found)) == [200, 201] and found.count(201) == 1, found
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda n: send(admin.at(node), "files/race2", DATA + bytes([n % 2]), "race2"),
                              range(32)))
    statuses = [r.status for r in found]
    assert statuses.count(201) == 1 and set(statuses) <= {200, 201, 409}, statuses
    winner = [n for n, r in enumerate(found) if r.status == 201][0] % 2
    assert all((r.status == 409) == (n % 2 != winner) for n, r in enumerate(found))
    assert admin.get("/files/race2").body == DATA + bytes([winner])
    rows = admin.must("GET", "/audit?action=import.put")["items"]
    assert [r["resource"] for r in rows] == ["files/race2", "files/race"]


def test_memory_stays_flat(node):
    admin = node.admin()
    send(admin, "files/warm", b"x" * (1 << 20), "warm")
    node.reset_peak()
    before = node.memory("VmHWM")
    body = b"y" * (64 << 20)
    check(send(admin, "files/big", body, "big"), 201, "CREATED")
    check(send(admin, "files/big", body, "big"), 200, "ALREADY_PRESENT")
    assert node.memory("VmHWM") - before < 24 << 20  # the sanitizer's quarantine is in it


def test_any_node_of_a_cluster(cluster):
    nodes = cluster.nodes
    admin = nodes[0].admin()
    admin.put_repo("files")
    for n in range(12):
        first, second, third = (admin.at(nodes[(n + i) % 3]) for i in range(3))
        check(send(first, f"files/{n}", DATA, f"c{n}"), 201, "CREATED", len(DATA))
        assert second.get(f"/files/{n}").body == DATA
        check(send(second, f"files/{n}", DATA, f"c{n}"), 200, "ALREADY_PRESENT", len(DATA))
        check(send(third, f"files/{n}", DATA + b"!", f"c{n}"), 409, "CONFLICT")
    # The leader dies under imports: 503 or a broken connection, and repeating ends well, once each.
    leader = cluster.leader()
    rest = [n for n in nodes if n is not leader]

    def until_done(n):
        client, tries = admin.at(rest[n % 2]), 0
        while True:
            tries += 1
            try:
                r = send(client, f"files/k{n}", DATA + bytes([n]), f"k{n}")
            except (OSError, http.client.HTTPException):
                continue
            if r.status in (200, 201):
                return tries
            check(r, 503, "RETRY_LATER", 0, {})
            assert int(r.headers["Retry-After"]) >= 1
            time.sleep(0.05)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(until_done, n) for n in range(120)]
        wait_until("some imports", lambda: sum(j.done() for j in jobs) > 10, pause=0.001)
        leader.kill()
        tries = [j.result() for j in jobs]
    for n in range(120):
        assert admin.at(rest[(n + 1) % 2]).get(f"/files/k{n}").body == DATA + bytes([n])
    rows = []
    for page in range(2):
        rows += admin.at(rest[0]).must("GET", f"/audit?action=import.put&size=100&page={page}")["items"]
    names = [r["resource"] for r in rows]
    assert len(names) == len(set(names)) == 132, (sum(tries), json.dumps(sorted(names)))


def test_what_has_had_its_time_is_swept(node):
    """Keys after 30 days, audit rows after two years; what is left of the log is still a chain."""
    admin = node.admin()
    for n in range(3):
        check(send(admin, f"files/{n}", DATA, f"old-{n}"), 201, "CREATED")
    assert node.stop() == 0
    with sqlite3.connect(os.path.join(node.data, "replica.db")) as db:
        assert db.execute("UPDATE import_session SET done_ms = 1 WHERE key != 'old-2'").rowcount == 2
        assert db.execute("UPDATE audit SET time_ms = 1 WHERE seq <= 2").rowcount == 2
    db.close()
    node.start()
    admin = node.admin()
    wait_until("the sweep", lambda: admin.must("GET", "/audit/verify")["first_seq"] == 3)
    result = admin.must("GET", "/audit/verify")
    assert result["ok"], result
    # A key that was forgotten is a new one; the artifact is the same all the while.
    check(send(admin, "files/2", DATA, "old-2"), 200, "ALREADY_PRESENT")
    check(send(admin, "files/0", DATA, "old-0"), 201, "CREATED")
