# SPDX-License-Identifier: Apache-2.0
"""Cooldown before a real proxy, on three nodes: each change is made on one, and the very next request to
another shows it, at the index and at the bytes, cached or not. What clients see: test_format_*."""
import contextlib
import datetime
import json
import sqlite3
import threading

import pytest

from pantera import wait_until
from upstream import Upstream

JSON = "application/vnd.pypi.simple.v1+json"
AGES = {"1.0": 100, "1.1": 20, "1.2": 1}  # in days


@pytest.fixture(name="up")
def _up():
    upstream = Upstream()
    yield upstream
    upstream.close()


def ago(days):
    when = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=days)
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def offer(up, name, ages):
    """An index page and its files: {version: age in days, None: not said}."""
    files = []
    for version, age in ages.items():
        file_name = f"{name}-{version}-py3-none-any.whl"
        up.files["files/" + file_name] = file_name.encode()
        files.append({"filename": file_name, "url": f"{up.url}/files/{file_name}", "hashes": {},
                      **({} if age is None else {"upload-time": ago(age)})})
    up.files[f"simple/{name}/"] = json.dumps({"meta": {"api-version": "1.1"}, "name": name, "files": files,
                                              "versions": list(ages)}).encode()
    up.headers[f"simple/{name}/"] = {"Content-Type": JSON}


def again(ask):
    """As a real client does: 503 is asked again."""
    return wait_until("an answer", lambda: (r := ask()).status != 503 and r, 20)


def done(client, method, path, value=None):
    r = again(lambda: client.api(method, path, value))
    assert r.status < 300, r
    return r.json() if r.body else None


def versions(client, name, repo="cool"):
    r = again(lambda: client.repo("GET", f"/{repo}/simple/{name}/", headers={"Accept": JSON}))
    assert r.status in (200, 404), r
    return r.json()["versions"] if r.status == 200 else []


def file(client, name, version, repo="cool"):
    return again(lambda: client.repo("GET", f"/{repo}/{name}/{version}/{name}-{version}-py3-none-any.whl"))


def known(node):
    """How many versions without a date this node's replica knows."""
    with contextlib.closing(sqlite3.connect(f"file:{node.data}/replica.db?mode=ro", uri=True)) as db:
        return db.execute("SELECT count(*) FROM cooldown_seen").fetchone()[0]


def refused(client, name, version, *words):
    r = file(client, name, version)
    assert r.status == 403, r
    for word in words:
        assert word.encode() in r.body, (word, r.body)
    return r


def test_cooldown_of_a_proxy(cluster, up):
    a, b, c = (node.admin() for node in cluster.nodes)
    done(a, "PUT", "/repositories/cool", {"repo": {
        "type": "pypi-proxy", "storage": "default", "remotes": [{"url": up.url + "/simple"}]}})
    for name in ("lib", "ourslib"):
        offer(up, name, AGES)
    offer(up, "dateless", {"1": None, "2": None})
    ages(a, b, c)
    freezes(a, b, c)
    exemptions(a, b, c)
    unknown_ages(a, b, c)
    own_words_of_a_repository(a, b, c, up)


def ages(a, b, c):
    assert versions(b, "lib") == list(AGES)
    assert file(c, "lib", "1.1").status == file(c, "lib", "1.2").status == 200  # cached now
    done(a, "PUT", "/cooldown/config", {"enabled": True, "release_contact": "#help-desk"})
    assert versions(b, "lib") == ["1.0", "1.1"]
    r = refused(c, "lib", "1.2", "TOO_YOUNG", "lib 1.2", "1d ago", "6d left", "#help-desk")
    assert 5 * 86400 < int(r.headers["Retry-After"]) < 6 * 86400 + 60
    # by its path alone, through the management API, too
    where = "/repositories/cool/artifact/download?path=lib/1.{0}/lib-1.{0}-py3-none-any.whl"
    r = again(lambda: a.api("GET", where.format(2)))
    assert r.status == 403 and b"TOO_YOUNG" in r.body, r
    assert again(lambda: a.api("GET", where.format(1))).status == 200
    assert file(b, "lib", "1.1").status == 200
    done(c, "PUT", "/cooldown/config", {"minimum_allowed_age": "30d"})
    assert versions(a, "lib") == ["1.0"]
    refused(b, "lib", "1.1", "20d ago")
    done(b, "PUT", "/cooldown/config", {"minimum_allowed_age": "7d"})
    assert file(a, "lib", "1.1").status == 200
    rows = wait_until("its row", lambda: done(b, "GET", "/cooldown/blocked?search=lib")["items"])
    assert [(row["package_name"], row["version"], row["reason"]) for row in rows] == [
        ("lib", "1.2", "TOO_YOUNG")]


def freezes(a, b, c):
    day = ago(50)[:10]
    done(b, "PUT", "/cooldown/config", {"frozen_at": day})
    assert versions(c, "lib") == ["1.0"]
    r = refused(a, "lib", "1.1", "FROZEN", day, "#help-desk")
    assert "Retry-After" not in r.headers
    (row,) = done(c, "GET", "/cooldown/blocked?search=1.2")["items"]
    assert (row["reason"], row["blocked_until"]) == ("FROZEN", "9999-12-31T23:59:59Z")
    assert done(c, "GET", "/cooldown/overview")["repos"][0]["frozen_at"] == day + "T00:00:00Z"
    # one that somebody decided about passes
    done(c, "POST", "/repositories/cool/cooldown/unblock", {"artifact": "lib", "version": "1.1"})
    assert versions(b, "lib") == ["1.0", "1.1"] and file(a, "lib", "1.1").status == 200
    done(a, "PUT", "/cooldown/config", {"frozen_at": None})
    (row,) = done(b, "GET", "/cooldown/blocked?search=1.2")["items"]
    assert row["reason"] == "TOO_YOUNG"
    refused(c, "lib", "1.2", "TOO_YOUNG")


def exemptions(a, b, c):
    assert versions(b, "ourslib") == ["1.0", "1.1"]
    made = done(a, "POST", "/cooldown/exemptions", {"package": "ours*", "reason": "made here"})["id"]
    assert versions(b, "ourslib") == list(AGES) and file(c, "ourslib", "1.2").status == 200
    assert versions(c, "lib") == ["1.0", "1.1"]
    done(b, "DELETE", f"/cooldown/exemptions/{made}")
    assert versions(c, "ourslib") == ["1.0", "1.1"]
    refused(a, "ourslib", "1.2", "TOO_YOUNG")
    done(c, "POST", "/cooldown/exemptions", {"package": "ours*", "version": "1.2", "repo": "cool",
                                            "reason": "for a moment", "expires": "2s"})
    assert versions(b, "ourslib") == list(AGES)
    wait_until("its end, in an index that is cached", lambda: versions(b, "ourslib") == ["1.0", "1.1"], 10)
    refused(b, "ourslib", "1.2", "TOO_YOUNG")
    actions = [row["action"] for row in done(a, "GET", "/audit?size=100")["items"]]
    assert actions.count("cooldown.exempt") == 2 and actions.count("cooldown.unexempt") == 1
    assert "cooldown.seen" not in actions


def unknown_ages(a, b, c):
    """Blocked until seen for the minimum age: from the first sight on, wherever that was."""
    assert versions(a, "dateless") == []
    wait_until("both to be known", lambda: known(a.node) == 2)  # by the index alone
    r = refused(b, "dateless", "1", "UNKNOWN_AGE", "#help-desk")
    seen = int(r.headers["Retry-After"])
    assert 6.9 * 86400 < seen <= 7 * 86400 + 1
    done(c, "PUT", "/cooldown/config", {"unknown": "block"})
    assert "Retry-After" not in refused(a, "dateless", "1", "UNKNOWN_AGE").headers
    done(a, "PUT", "/cooldown/config", {"unknown": "allow"})
    assert versions(b, "dateless") == ["1", "2"] and file(c, "dateless", "2").status == 200
    assert versions(b, "lib") == ["1.0", "1.1"]  # a date that is known still counts
    done(b, "PUT", "/cooldown/config", {"unknown": "first_seen", "minimum_allowed_age": "1m"})
    assert versions(a, "lib") == list(AGES)
    # The clock runs since the first look, not since the change.
    r = file(c, "dateless", "2")
    assert r.status == 200 or int(r.headers["Retry-After"]) <= 60
    done(c, "PUT", "/cooldown/config", {"minimum_allowed_age": "7d"})


def own_words_of_a_repository(a, b, c, up):
    repo = {"type": "pypi-proxy", "storage": "default", "remotes": [{"url": up.url + "/simple"}]}
    done(b, "PUT", "/repositories/own", {"repo": {**repo, "cooldown": {"enabled": False}}})
    assert versions(c, "lib", "own") == list(AGES)
    done(a, "PUT", "/repositories/own", {
        "repo": {**repo, "cooldown": {"duration": "P30D", "unknown": "allow"}}})
    assert versions(b, "lib", "own") == ["1.0"] and versions(b, "dateless", "own") == ["1", "2"]
    for bad in ({"duration": "x"}, {"unknown": "x"}, {"frozen_at": "x"}, {"release_contact": "x"}, 7):
        assert a.api("PUT", "/repositories/own", {"repo": {**repo, "cooldown": bad}}).status == 400, bad


def test_a_change_while_the_bytes_come(make_node, up):
    """Whoever asks after the change is judged by it, though the bytes are on their way for somebody else."""
    node = make_node()
    admin = node.admin()
    done(admin, "PUT", "/repositories/cool", {"repo": {
        "type": "pypi-proxy", "storage": "default", "remotes": [{"url": up.url + "/simple"}]}})
    offer(up, "lib", AGES)
    data, go_on, answers = b"x" * 200_000, threading.Event(), []

    def slowly(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data[:100_000])
        handler.wfile.flush()
        go_on.wait(20)
        handler.wfile.write(data[100_000:])

    up.faults["files/lib-1.2-py3-none-any.whl"] = slowly
    early, late = node.admin(), node.admin()
    # Its headers are there: it was judged by what held then.
    before = early.open(node.port, "GET", "/cool/lib/1.2/lib-1.2-py3-none-any.whl")
    done(admin, "PUT", "/cooldown/config", {"enabled": True})
    second = threading.Thread(target=lambda: answers.append(file(late, "lib", "1.2")))
    second.start()
    second.join(1)  # it waits for the bytes, or has been refused already
    go_on.set()
    second.join(30)
    assert before.status == 200 and before.read() == data
    assert answers[0].status == 403 and b"TOO_YOUNG" in answers[0].body
