# SPDX-License-Identifier: Apache-2.0
"""The audit log end to end: what was done, by whom, from where; nothing secret; edits are noticed."""
import base64
import glob
import hmac
import http.client
import json
import os
import sqlite3
import struct
import subprocess
import threading
import time

import pytest

from pantera import PASSWORD, Client, binary, wait_until

SECRETS = {
    "password": "Correct-Horse-9!battery", "second": "Staple-Battery-7!horse",
    "access": "AKIAVERYSECRETKEYID", "s3": "verysecrets3secretkey", "wrong": "Wrong-Guess-1!zzzz",
}


def rows(client, **filters):
    query = "&".join(f"{k}={v}" for k, v in {"size": 100, **filters}.items())
    return client.must("GET", f"/audit?{query}")["items"]


def verify(client):
    return client.must("GET", "/audit/verify")


def do_everything(admin):
    """A change through each kind of endpoint, with secrets where there can be some."""
    admin.put_role("readers", {"adapter_basic_permissions": {"*": ["read"]}})
    admin.must("PUT", "/users/alice", {"pass": SECRETS["password"], "roles": ["readers"]})
    admin.must("POST", "/users/alice/password",
               {"old_pass": SECRETS["password"], "new_pass": SECRETS["second"]})
    admin.must("POST", "/users/alice/disable")
    admin.must("POST", "/users/alice/enable")
    admin.must("PUT", "/storages/bucket", {
        "type": "s3", "bucket": "bucket", "region": "us-east-1", "endpoint": "http://127.0.0.1:9",
        "credentials": {"type": "basic", "accessKeyId": SECRETS["access"],
                        "secretAccessKey": SECRETS["s3"]}})
    admin.put_repo("r")
    admin.put("/r/a.txt", b"one")
    admin.put("/r/a.txt", b"two!")
    assert admin.repo("DELETE", "/r/a.txt").status == 204
    made = admin.must("POST", "/auth/token/generate", {"label": "ci"})
    admin.must("DELETE", f"/auth/tokens/{made['id']}")
    admin.must("PUT", "/admin/auth-settings", {"api_token_max_expiry_days": 20})
    admin.must("PUT", "/repositories/r/move", {"new_name": "s"})
    admin.must("DELETE", "/repositories/s")
    admin.must("POST", "/admin/revoke-user/alice")
    admin.must("DELETE", "/users/alice")
    admin.must("DELETE", "/roles/readers")
    return [made["token"]]


def test_every_change_has_its_row(make_node):
    node = make_node()
    admin = node.admin()
    do_everything(admin)
    all_rows = rows(admin)
    actions = [r["action"] for r in reversed(all_rows)]
    assert actions[0] == "system.bootstrap"
    assert actions[actions.index("role.put"):] == [
        "role.put", "user.put", "user.password", "user.enable", "user.enable", "alias.put", "repo.put",
        "artifact.put", "artifact.put", "artifact.delete", "token.add", "token.revoke", "setting.merge",
        "repo.move", "repo.delete", "user.revoke", "user.delete", "role.delete"]
    by_action = {r["action"]: r for r in reversed(all_rows)}
    assert by_action["login"]["actor"] == "admin" and by_action["login"]["resource"] == "admin"
    put = by_action["artifact.put"]
    assert put["resource"] == "r/a.txt" and put["actor"] == "admin" and put["address"] == "127.0.0.1"
    assert put["before"]["size"] == 3 and put["after"]["size"] == 4 and len(put["after"]["sha256"]) == 64
    move = by_action["repo.move"]
    assert (move["before"]["name"], move["after"]["name"]) == ("r", "s")
    disabled = [r for r in all_rows if r["action"] == "user.enable"][1]
    assert disabled["before"]["enabled"] and not disabled["after"]["enabled"]
    assert by_action["alias.put"]["after"]["credentials"]["secretAccessKey"].startswith("***")
    # The filters.
    assert [r["action"] for r in rows(admin, resource="alice")] == \
        ["user.delete", "user.revoke", "user.enable", "user.enable", "user.password", "user.put"]
    assert len(rows(admin, action="artifact.put", actor="admin")) == 2
    assert rows(admin, actor="nobody") == []
    assert len(rows(admin, **{"from": put["time_ms"], "to": put["time_ms"]})) >= 1
    assert rows(admin, **{"from": int(time.time() * 1000) + 10**6}) == []
    assert admin.api("GET", "/audit?from=yesterday").status == 400
    page = admin.must("GET", "/audit?size=3&page=1")
    assert [r["seq"] for r in page["items"]] == [r["seq"] for r in all_rows[3:6]]
    assert page["total"] == len(all_rows) and page["hasMore"]
    result = verify(admin)
    assert result["ok"] and result["count"] == len(all_rows) and result["first_bad"] is None
    # For administrators only.
    admin.put_user("bob", roles=["reader"])
    assert node.client().api("GET", "/audit").status == 200
    assert Client(node, "bob", PASSWORD).api("GET", "/audit").status == 403
    assert Client(node).api("GET", "/audit").status == 401


def test_what_fails_leaves_no_change(make_node):
    admin = make_node().admin()
    count = len(rows(admin))
    admin.api("DELETE", "/users/nobody")
    admin.api("PUT", "/users/x", {"pass": "weak"})
    admin.repo("DELETE", "/files/nothing")
    assert len(rows(admin)) == count


def test_sign_ins_are_recorded_and_bounded(make_node):
    """Right and wrong passwords; of a thousand wrong ones only a few become rows."""
    node = make_node()
    admin = node.admin()
    # The session's password is known already: Basic with it is a sign-in all the same, once an hour.
    for _ in range(3):
        assert node.client().repo("GET", "/files/").status in (200, 404)
    basic = wait_until("a row of the Basic sign-in", lambda: rows(admin, action="login.basic"))
    assert (basic[0]["actor"], basic[0]["address"]) == ("admin", "127.0.0.1")
    for n in range(8):
        Client(node, f"guess-{n}", SECRETS["wrong"]).repo("GET", "/files/x")
    Client(node).api("POST", "/auth/token", {"name": "admin", "pass": SECRETS["wrong"]})
    failed = wait_until("nine rows", lambda: len(r := rows(admin, action="login.failed")) == 9 and r)
    assert {r["resource"] for r in failed} == {f"guess-{n}" for n in range(8)} | {"admin"}
    assert all(r["address"] == "127.0.0.1" and r["actor"] == "anonymous" for r in failed)
    assert all(r["after"]["method"] == "password" for r in failed)
    before = len(rows(admin))
    for n in range(300):
        r = Client(node, f"more-{n}", SECRETS["wrong"]).repo("GET", "/files/x")
        assert r.status in (401, 429)
    assert len(rows(admin)) - before <= 21  # two minutes' worth, if the minute turned meanwhile
    assert len(rows(admin, action="login.basic")) <= os.cpu_count()  # one a worker


def totp(secret, step):
    """RFC 6238 with SHA-1, six digits, 30 s."""
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    mac = hmac.new(key, struct.pack(">Q", step), "sha1").digest()
    at = mac[-1] & 15
    return f"{(struct.unpack('>I', mac[at:at + 4])[0] & 0x7fffffff) % 10**6:06d}"


def test_second_factors_and_lock_outs_are_recorded(make_node):
    node = make_node()
    admin = node.admin()
    admin.put_user("alice", PASSWORD, ["reader"])
    alice = Client(node).login("alice", PASSWORD)
    secret = alice.must("POST", "/auth/mfa/enrol", {"password": PASSWORD})["secret"]
    step = int(time.time()) // 30
    codes = alice.must("POST", "/auth/mfa/confirm", {"mfa_code": totp(secret, step)})["backup_codes"]
    sign_in = {"name": "alice", "pass": PASSWORD}
    ask = Client(node)
    assert ask.api("POST", "/auth/token", sign_in).status == 401
    assert ask.api("POST", "/auth/token", {**sign_in, "mfa_code": "000000"}).status == 401
    replay = {**sign_in, "mfa_code": totp(secret, step)}
    assert ask.api("POST", "/auth/token", replay).status == 401
    assert Client(node, "alice", PASSWORD).repo("GET", "/files/").status == 401  # without the second factor
    assert ask.api("POST", "/auth/token", {**sign_in, "mfa_code": codes[0]}).status == 200
    failed = wait_until("all refusals", lambda: len(r := rows(admin, action="login.failed")) == 4 and r)
    assert {r["resource"] for r in failed} == {"alice"}
    assert [r["after"]["method"] for r in failed] == ["password"] + 3 * ["second factor"]
    assert failed[-1]["after"]["reason"] == "mfa_code required"
    actions = [r["action"] for r in reversed(rows(admin, resource="alice")) if r["action"] != "login.failed"]
    assert actions == ["user.put", "login", "mfa.enrol", "mfa.confirm", "mfa.backup", "login"]
    spent = rows(admin, action="mfa.backup")[0]
    assert spent["before"]["backup_codes_left"] == spent["after"]["backup_codes_left"] + 1 == len(codes)
    assert rows(admin, action="login")[0]["after"]["provider"] == "local"
    shown = admin.api("GET", "/audit?size=100").body
    assert not [s for s in [secret, *codes] if s.encode() in shown]
    for _ in range(30):
        if ask.api("POST", "/auth/token", {"name": "bob", "pass": SECRETS["wrong"]}).status == 429:
            break
    else:
        raise AssertionError("nobody was locked out")
    # The row of the lock-out, unless this minute's rows are spent: then it is in the sum of the next.
    assert any("locked out" in r["after"]["reason"] for r in rows(admin, action="login.failed")) or \
        len(rows(admin, action="login.failed")) >= 10


def test_failed_sign_ins_with_a_provider_are_recorded(make_node):
    node = make_node()
    admin = node.admin()
    admin.must("POST", "/auth-providers", {"type": "keycloak", "config": {
        "url": "http://127.0.0.1:9", "realm": "x", "client-id": "pantera", "client-secret": SECRETS["s3"],
        "callback-urls": ["http://127.0.0.1/callback"]}})
    assert rows(admin, action="provider.create")[0]["resource"] == "keycloak"
    assert SECRETS["s3"] not in json.dumps(rows(admin))
    r = Client(node).api("POST", "/auth/callback", {
        "provider": "keycloak", "code": "x", "state": "y", "callback_url": "http://127.0.0.1/callback"})
    assert r.status == 401, r
    row = wait_until("its row", lambda: rows(admin, action="login.failed"))[0]
    assert row["after"]["method"] == "keycloak" and row["address"] == "127.0.0.1"


def cli(node, *words):
    """`pantera`, the same binary under its other name."""
    env = {"PATH": os.environ["PATH"], "HOME": node.dir, "PANTERA_URL": f"http://127.0.0.1:{node.api_port}",
           "PANTERA_USER_NAME": "admin", "PANTERA_USER_PASS": PASSWORD,
           "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "")}
    return subprocess.run(["pantera", *words], executable=binary(), env=env, capture_output=True, text=True,
                          timeout=60, check=False)


def test_the_command_line_lists_and_verifies(make_node):
    node = make_node()
    do_everything(node.admin())
    listed = cli(node, "audit", "--resource", "alice", "--size", "3")
    assert listed.returncode == 0, listed
    lines = listed.stdout.splitlines()
    assert lines[0].split() == ["SEQ", "TIME", "ACTOR", "FROM", "ACTION", "WHAT", "NAME"]
    assert [line.split()[4] for line in lines[1:]] == ["user.delete", "user.revoke", "user.enable"]
    found = json.loads(cli(node, "audit", "--action", "artifact.put", "--json").stdout)
    assert [r["resource"] for r in found["items"]] == ["r/a.txt", "r/a.txt"]
    assert cli(node, "audit", "--from", "yesterday").returncode == 1
    good = cli(node, "audit", "verify")
    assert good.returncode == 0 and good.stdout.startswith("ok: "), good
    assert node.stop() == 0
    with sqlite3.connect(os.path.join(node.data, "replica.db")) as db:
        db.execute("UPDATE audit SET resource = 'nothing' WHERE seq = 7")
    db.close()
    node.start()
    bad = cli(node, "audit", "verify")
    assert bad.returncode == 1 and "BROKEN at row 7" in bad.stdout, bad
    assert json.loads(cli(node, "audit", "verify", "--json").stdout)["first_bad"]["seq"] == 7


def test_no_secret_is_stored_in_clear(make_node):
    """Every file of the data folder and the log, searched for what was sent in."""
    node = make_node()
    admin = node.admin()
    tokens = do_everything(admin)
    Client(node).api("POST", "/auth/token", {"name": "alice", "pass": SECRETS["wrong"]})
    wait_until("the failed sign-in", lambda: rows(admin, action="login.failed"))
    text = admin.api("GET", "/audit?size=100").body
    assert node.stop() == 0
    found = []
    for path in glob.glob(node.data + "/**", recursive=True) + [node.log_path]:
        if not os.path.isfile(path):
            continue
        with open(path, "rb") as f:
            data = f.read()
        found += [(name, path) for name, s in SECRETS.items() if s.encode() in data]
        found += [("token", path) for t in tokens if t.encode() in data]
    found += [(name, "answer") for name, s in SECRETS.items() if s.encode() in text]
    assert not found


@pytest.mark.parametrize("edit,bad", [
    ("UPDATE audit SET actor = 'somebody' WHERE seq = 5", 5),
    ("DELETE FROM audit WHERE seq = 5", 5),
])
def test_an_edited_row_is_named(make_node, edit, bad):
    node = make_node()
    do_everything(node.admin())
    assert verify(node.admin())["ok"]
    assert node.stop() == 0
    with sqlite3.connect(os.path.join(node.data, "replica.db")) as db:
        assert db.execute(edit).rowcount == 1
    db.close()
    node.start()
    result = verify(node.admin())
    assert not result["ok"] and result["first_bad"]["seq"] == bad


def test_any_node_of_a_cluster_shows_it(cluster):
    admin = cluster.nodes[0].admin()
    for n in range(30):
        admin.at(cluster.nodes[n % 3]).put_role(f"role-{n}", {"*": ["read"]})
        last = admin.at(cluster.nodes[(n + 1) % 3]).must("GET", "/audit?size=1")["items"][0]
        assert (last["action"], last["resource"], last["actor"]) == ("role.put", f"role-{n}", "admin")
        assert last["address"] == "127.0.0.1"
    heads = [verify(admin.at(n)) for n in cluster.nodes]
    assert all(h["ok"] for h in heads) and len({h["head"] for h in heads}) == 1


def test_a_killed_leader_does_not_fork_it(make_cluster):
    """Writers on all nodes while the leader dies: what was acknowledged is in the log, once, and the
    survivors and the one that comes back have one chain."""
    cluster = make_cluster()
    admin = cluster.nodes[0].admin()
    done, stop = [[], [], []], threading.Event()

    def write(i):
        client, n = admin.at(cluster.nodes[i]), 0
        while not stop.is_set():
            n += 1
            try:
                r = client.api("PUT", f"/roles/w{i}-{n}", {"permissions": {"*": ["read"]}})
                if r.status in (200, 201):
                    done[i].append(f"w{i}-{n}")
            except (OSError, http.client.HTTPException):
                if not cluster.nodes[i].alive():
                    return
    threads = [threading.Thread(target=write, args=(i,), daemon=True) for i in range(3)]
    for t in threads:
        t.start()
    try:
        wait_until("some writes", lambda: all(len(d) > 5 for d in done))
        leader = cluster.leader()
        leader.kill()
        marks = [len(d) for d in done]
        rest = [i for i in range(3) if cluster.nodes[i] is not leader]
        wait_until("writes under the new leader", lambda: all(len(done[i]) > marks[i] + 5 for i in rest))
    finally:
        stop.set()
        for t in threads:
            t.join()
    leader.start()
    results = [verify(admin.at(n)) for n in cluster.nodes]
    assert all(r["ok"] for r in results), results
    assert len({(r["head"], r["last_seq"]) for r in results}) == 1, results
    seen = {}
    page, total = 0, 1
    while page * 100 < total:
        answer = admin.at(leader).must("GET", f"/audit?action=role.put&size=100&page={page}")
        total, page = answer["total"], page + 1
        for r in answer["items"]:
            seen[r["resource"]] = seen.get(r["resource"], 0) + 1
    assert not [n for d in done for n in d if seen.get(n) != 1]
