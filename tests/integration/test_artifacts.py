# SPDX-License-Identifier: Apache-2.0
"""What is in a repository, through the management API: tree, detail, instructions, downloads, deletion; and
that nobody learns from any of it what a repository that is not theirs holds."""
import base64
import hashlib
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest

from pantera import GRANT_ALL, PASSWORD, Client

READER = {"api_repository_permissions": ["read"], "adapter_basic_permissions": {"files": ["read"]}}
DELETER = {"api_repository_permissions": ["read", "delete"], "adapter_basic_permissions": {"files": ["read"]}}


def at(repo, what, path=None, **more):
    query = "&".join(f"{k}={quote(str(v))}" for k, v in {**({"path": path} if path is not None else {}),
                                                         **more}.items())
    return f"/repositories/{repo}/{what}" + ("?" + query if query else "")


def put_many(client, paths):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda p: client.put(p, p.encode()), paths))


def signed_in(admin, name, permissions):
    admin.put_role(name, permissions)
    admin.put_user(name, roles=[name])
    return Client(admin.node).login(name, PASSWORD)


@pytest.fixture
def admin(make_node):
    client = make_node().admin()
    client.put_repo("files")
    return client


def test_tree(admin):
    for path in ("com/example/lib/1.0/lib-1.0.jar", "com/example/lib/1.1/lib-1.1.jar", "com/x", "readme.md",
                 "com-2/é ü/50%25.txt"):
        admin.put("/files/" + quote(path, safe="/%"), path.encode())
    for root in (None, "", "/"):
        tree = admin.must("GET", at("files", "tree", root))
        assert [(i["name"], i["path"], i["type"]) for i in tree["items"]] == [
            ("com-2", "com-2", "directory"), ("com", "com", "directory"), ("readme.md", "readme.md", "file")]
        assert tree["marker"] is None and tree["hasMore"] is False
    assert tree["items"][2]["size"] == 9 and tree["items"][2]["modified"].endswith("Z")
    for folder in ("com/example", "/com/example", "/com/example/"):
        assert [i["path"] for i in admin.must("GET", at("files", "tree", folder))["items"]] == \
            ["com/example/lib"]
    assert [i["path"] for i in admin.must("GET", at("files", "tree", "com-2/é ü"))["items"]] == \
        ["com-2/é ü/50%.txt"]
    for path, status in (("nothing", 404), ("readme.md", 404), ("a/../b", 400), ("a//b", 400), ("a\\b", 400)):
        assert admin.api("GET", at("files", "tree", path)).status == status, path
    assert admin.api("GET", at("none", "tree")).status == 404
    admin.put_repo("empty")
    assert admin.must("GET", at("empty", "tree")) == {"items": [], "marker": None, "hasMore": False}


def test_tree_pages(admin):
    """Pages fit together whatever comes and goes, and a page far in costs what the first does."""
    names = [f"d{n:04}/f" if n % 3 else f"f{n:04}" for n in range(210)]
    put_many(admin, ["/files/big/" + name for name in names])
    seen, marker, times = [], None, []
    while True:
        began = time.perf_counter()
        more = {"marker": marker} if marker else {}
        page = admin.must("GET", at("files", "tree", "big", limit=7, **more))
        times.append(time.perf_counter() - began)
        seen += [i["name"] for i in page["items"]]
        if page["hasMore"] and len(times) == 3:
            admin.repo("DELETE", "/files/big/" + names[1])  # shown before: nothing moves
            admin.must("DELETE", "/repositories/files/packages", {"path": "big/" + seen[-1]})
        marker = page["marker"]
        assert (marker is not None) == page["hasMore"]
        if not page["hasMore"]:
            break
    assert seen == sorted(n.split("/")[0] for n in names)
    assert len(times) == 30 and min(times[-5:]) < 20 * min(times[:5])
    for bad in ("!", "Lw", base64.urlsafe_b64encode(b"a/b").decode(), "AA"):
        assert admin.api("GET", at("files", "tree", "big", marker=bad)).status == 400, bad
    assert len(admin.must("GET", at("files", "tree", "big", limit="nonsense"))["items"]) == 208


def test_detail(admin):
    data = b"some bytes"
    admin.put("/files/a/b-1.0.bin", data)
    found = admin.must("GET", at("files", "artifact", "/a/b-1.0.bin"))
    assert found["path"] == "a/b-1.0.bin" and found["name"] == "b-1.0.bin" and found["size"] == len(data)
    assert found["owner"] == "admin"
    for name in ("md5", "sha1", "sha256"):
        assert found["checksums"][name] == hashlib.new(name, data).hexdigest()
    for path, status in (("a/none", 404), ("a", 404), ("a/b-1.0.bin/", 400), ("", 400), ("/", 400),
                         (None, 400), ("x" * 2000, 400)):
        r = admin.api("GET", at("files", "artifact", path))
        assert r.status == status, (path, r)
        assert r.json()["status"] == status and r.json()["error"]


def test_pull(admin):
    admin.put("/files/a%20b/it's.txt", b"x")
    pull = admin.must("GET", at("files", "artifact/pull", "a b/it's.txt"))
    url = f"http://127.0.0.1:{admin.node.port}/files/a%20b/it%27s.txt"
    assert pull == {"type": "file", "instructions": [f"curl -fOL {url}", f"wget {url}"]}
    assert admin.request(admin.node.port, "GET", "/files/a%20b/it%27s.txt").body == b"x"
    assert admin.must("GET", at("files", "artifact/pull", "a b"))  # a folder has them too
    assert admin.api("GET", at("files", "artifact/pull", "none")).status == 404


def test_download(admin):
    data = bytes(range(256)) * 50
    admin.put("/files/d/page.html", data)
    admin.put("/files/d/" + quote('ü".bin'), b"x")
    path = "/api/v1" + at("files", "artifact/download", "d/page.html")
    for _ in range(2):  # cold, warm
        r = admin.request(admin.node.api_port, "GET", path)
        assert r.status == 200 and r.body == data
        assert r.headers["Content-Disposition"] == 'attachment; filename="page.html"'
        assert r.headers["Content-Type"] == "application/octet-stream"
        assert int(r.headers["Content-Length"]) == len(data)
    part = admin.request(admin.node.api_port, "GET", path, headers={"Range": "bytes=10-19"})
    assert part.status == 206 and part.body == data[10:20]
    again = admin.request(admin.node.api_port, "GET", path, headers={"If-None-Match": r.headers["ETag"]})
    assert again.status == 304
    head = admin.request(admin.node.api_port, "HEAD", path)
    assert head.status == 200 and head.body == b"" and int(head.headers["Content-Length"]) == len(data)
    # The repository port says what it is, as before.
    assert admin.get("/files/d/page.html").headers["Content-Type"].startswith("text/html")
    odd = admin.api("GET", at("files", "artifact/download", 'd/ü".bin'))
    assert odd.headers["Content-Disposition"] == \
        "attachment; filename=\"___.bin\"; filename*=UTF-8''%C3%BC%22.bin"
    assert admin.api("GET", at("files", "artifact/download", "d")).status == 404


def token_of(client, path, repo="files"):
    return client.must("POST", at(repo, "artifact/download-token", path))["token"]


def direct(node, token, repo="files", headers=None):
    return Client(node).request(node.api_port, "GET", f"/api/v1/repositories/{repo}/artifact/download-direct"
                                f"?token={quote(token)}", headers=headers)


def test_download_tokens(admin):
    node = admin.node
    admin.put("/files/f.bin", b"0123456789")
    admin.put_repo("other")
    admin.put("/other/f.bin", b"other")
    token = token_of(admin, "/f.bin")
    expires = int(base64.urlsafe_b64decode(token.split(".")[0] + "==").decode().split("\n")[4])
    assert 55_000 < expires - time.time() * 1000 <= 60_500
    for _ in range(2):
        r = direct(node, token)
        assert r.status == 200 and r.body == b"0123456789"
        assert r.headers["Content-Disposition"] == 'attachment; filename="f.bin"'
    assert direct(node, token, headers={"Range": "bytes=2-3"}).body == b"23"
    assert direct(node, token, "other").status == 401  # another repository
    claims, signature = token.split(".")
    text = base64.urlsafe_b64decode(claims + "==").decode()
    forged = base64.urlsafe_b64encode(text.replace("f.bin", "g.bin").encode()).decode().rstrip("=")
    later = text.split("\n")
    later[4] = str(int(later[4]) + 1000)
    later = base64.urlsafe_b64encode("\n".join(later).encode()).decode().rstrip("=")
    flipped = signature[:-2] + ("A" if signature[-2] != "A" else "B") + signature[-1]
    for bad in ("", "x", ".", f"{claims}.", f".{signature}", f"{forged}.{signature}", f"{later}.{signature}",
                f"{claims}.{flipped}", f"{claims}.{signature}x", "é.é", "A" * 7000, "." * 100):
        r = direct(node, bad)
        assert r.status == 401 and r.json()["error"] == "UNAUTHORIZED", bad
    assert admin.api("POST", at("files", "artifact/download-token", "none")).status == 404
    # It is its user's: who may not any more gets nothing with it, from the next request on.
    reader = signed_in(admin, "reader", READER)
    token = token_of(reader, "f.bin")
    assert direct(node, token).status == 200
    admin.put_role("reader", {"api_repository_permissions": ["read"]})
    assert direct(node, token).status == 403
    admin.put_role("reader", READER)
    assert direct(node, token).status == 200
    admin.must("POST", "/admin/revoke-user/reader")
    assert direct(node, token).status == 401
    token = token_of(Client(node).login("reader", PASSWORD), "f.bin")
    admin.must("POST", "/users/reader/disable")
    assert direct(node, token).status == 401


def test_deletion(admin):
    put_many(admin, [f"/files/tree/{n % 7}/{n}" for n in range(502)])  # more than a step has
    admin.put("/files/tree-2/x", b"x")
    admin.put("/files/one", b"x")
    admin.must("DELETE", "/repositories/files/artifacts", {"path": "/tree/0/0"})
    assert admin.api("DELETE", "/repositories/files/artifacts", {"path": "tree/0/0"}).status == 404
    assert admin.api("DELETE", "/repositories/files/artifacts", {"path": "tree"}).status == 404
    admin.must("DELETE", "/repositories/files/packages", {"path": "/tree/"})
    assert [i["name"] for i in admin.must("GET", at("files", "tree"))["items"]] == ["one", "tree-2"]
    admin.get("/files/tree/1/1", 404)
    admin.get("/files/tree-2/x")
    assert admin.api("DELETE", "/repositories/files/packages", {"path": "tree"}).status == 404
    for bad in ({}, {"path": 1}, {"path": ""}, {"path": "/"}, {"path": "a/../b"}):
        for what in ("artifacts", "packages"):
            assert admin.api("DELETE", f"/repositories/files/{what}", bad).status == 400, (what, bad)
    assert admin.api("DELETE", "/repositories/none/packages", {"path": "x"}).status == 404
    actions = [row["action"] for row in admin.must("GET", "/audit?size=10")["items"]]
    assert actions[:3] == ["artifact.delete_tree"] * 2 + ["artifact.delete"]


EVERY = [("GET", "tree", None), ("GET", "artifact?path=f", None), ("GET", "artifact/pull?path=f", None),
         ("GET", "artifact/download?path=f", None), ("POST", "artifact/download-token?path=f", None),
         ("DELETE", "artifacts", {"path": "f"}), ("DELETE", "packages", {"path": "f"})]


def test_permissions(admin):
    """Both the permission on the API and the one on the repository; and no way to tell a repository that one
    may not read from one that does not exist."""
    admin.put_repo("secret")
    admin.put("/files/f", b"x")
    admin.put("/secret/f", b"x")
    reader = signed_in(admin, "reader", READER)
    deleter = signed_in(admin, "deleter", DELETER)
    only_repo = signed_in(admin, "only_repo", {"adapter_basic_permissions": {"*": ["*"]}})
    for method, what, body in EVERY:
        expect = 403 if method == "DELETE" else 200
        assert reader.api(method, f"/repositories/files/{what}", body).status == expect, what
        assert deleter.api(method, f"/repositories/files/{what}", body).status == expect, what
        hidden = [reader.api(method, f"/repositories/{repo}/{what}", body) for repo in ("secret", "none")]
        assert [r.status for r in hidden] == [403, 403] and hidden[0].body == hidden[1].body, what
        assert only_repo.api(method, f"/repositories/files/{what}", body).status == 403, what
        assert Client(admin.node).api(method, f"/repositories/files/{what}", body).status == 401, what
    admin.get("/files/f")


def test_any_node(make_cluster):
    """Put on one, seen on the next in the very next request; tokens of one are good on all."""
    nodes = make_cluster().nodes
    admins = [node.admin() for node in nodes]
    admins[0].put_repo("files")
    admins[1].put_role("r", GRANT_ALL)
    admins[2].put_user("u", roles=["r"])
    users = [Client(nodes[0]).login("u", PASSWORD)]
    users += [users[0].at(n) for n in nodes[1:]]
    for n in range(6):
        a, b, c = ((n + k) % 3 for k in range(3))
        users[a].put(f"/files/r{n}/x-{n}.bin", b"%d" % n)
        assert [i["name"] for i in users[b].must("GET", at("files", "tree", f"r{n}"))["items"]] == \
            [f"x-{n}.bin"]
        assert users[c].must("GET", at("files", "artifact", f"r{n}/x-{n}.bin"))["size"] == len(str(n))
        token = token_of(users[b], f"r{n}/x-{n}.bin")
        assert direct(nodes[c], token).body == b"%d" % n
        if n % 2:
            users[c].must("DELETE", "/repositories/files/packages", {"path": f"r{n}"})
            assert users[b].api("GET", at("files", "tree", f"r{n}")).status == 404
            assert direct(nodes[a], token).status == 404
    admins[1].must("POST", "/users/u/disable")
    assert direct(nodes[2], token).status == 401
