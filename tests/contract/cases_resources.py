# SPDX-License-Identifier: Apache-2.0
"""Seed 000: repositories, storage aliases, artifacts, search, cooldown, settings, dashboard, import."""
import hashlib
import os
import re
from urllib.parse import quote

from cases_identity import page_rules
from pantera import PASSWORD, wait_until
from suite import TIME, Opt, case, fits, page


# --- repositories ---

@case("GET /repositories", "200 page, type, q")
def _(s):
    names = sorted(s.repo() for _ in range(3))
    tag = names[0].rsplit("-", 1)[0]
    r = s.expect(200, "GET", f"/repositories?q={tag}&size=100", shape=page({"name": str, "type": str})).json()
    assert set(names) <= {i["name"] for i in r["items"]}
    assert s.expect(200, "GET", f"/repositories?q={names[0]}&type=il").json()["items"] == [
        {"name": names[0], "type": "file"}]
    assert s.expect(200, "GET", f"/repositories?q={names[0]}&type=maven").json()["total"] == 0
    page_rules(s, f"/repositories?q={tag}")


@case("GET /repositories", "filtered by read permission on each")
def _(s):
    mine, other = s.repo(), s.repo()
    token = s.user({"api_repository_permissions": ["read"], mine: ["read"]})[1]
    r = s.expect(200, "GET", "/repositories?size=100", as_=token).json()
    assert [i["name"] for i in r["items"]] == [mine] and r["total"] == 1


@case("GET /repositories/:name", "200, 404")
def _(s):
    name = s.repo(description="ours")
    r = s.expect(200, "GET", f"/repositories/{name}", shape={"repo": {"type": "file", "storage": "default"}})
    assert r.json()["repo"]["description"] == "ours"
    r = s.expect(404, "GET", "/repositories/nonexistent")
    assert r.json() == {"error": "NOT_FOUND", "message": "Repository 'nonexistent' not found", "status": 404}


@case("HEAD /repositories/:name", "200, 404, no body")
def _(s):
    s.expect(200, "HEAD", f"/repositories/{s.repo()}", shape="")
    s.expect(404, "HEAD", "/repositories/nonexistent", shape="")


@case("PUT /repositories/:name", "200, 400")
def _(s):
    name = s.name("repo")
    body = {"repo": {"type": "file", "storage": "default"}}
    s.expect(200, "PUT", f"/repositories/{name}", body, "")
    s.expect(200, "PUT", f"/repositories/{name}", {"repo": {**body["repo"], "description": "x"}}, "")
    for bad in ({}, {"repo": 5}, {"repo": {}}, {"repo": {"type": "file"}},
                {"repo": {"type": 5, "storage": "default"}},
                {"repo": {"type": "no-such-type", "storage": "default"}},
                {"repo": {"type": "file", "storage": "no-such-alias"}},
                {"repo": {"type": "file", "storage": 5}}, {"repo": {"type": "file-group", "members": []}}):
        s.expect(400, "PUT", f"/repositories/{s.name('repo')}", bad)
    for reserved in ("v2", "api", "auth", ".hidden", "metrics"):
        s.expect(400, "PUT", f"/repositories/{reserved}", body)


@case("PUT /repositories/:name", "403: create and update are two rights")
def _(s):
    body, name = {"repo": {"type": "file", "storage": "default"}}, s.name("repo")
    creator = s.who("repo creator", {"api_repository_permissions": ["create"]})
    updater = s.who("repo updater", {"api_repository_permissions": ["update"]})
    s.expect(403, "PUT", f"/repositories/{name}", body, as_=updater)
    s.expect(200, "PUT", f"/repositories/{name}", body, as_=creator)
    s.expect(403, "PUT", f"/repositories/{name}", body, as_=creator)
    s.expect(200, "PUT", f"/repositories/{name}", body, as_=updater)


@case("DELETE /repositories/:name", "200, 404; its data go too")
def _(s):
    name, path = s.artifact()
    s.expect(200, "DELETE", f"/repositories/{name}", shape="")
    r = s.expect(404, "DELETE", f"/repositories/{name}")
    assert r.json()["message"] == f"Repository '{name}' not found"
    s.expect(200, "PUT", f"/repositories/{name}", {"repo": {"type": "file", "storage": "default"}})
    assert s.raw("repo", "GET", f"/{name}/{path}", None, {"Authorization": "Bearer " + s.admin}).status == 404


@case("PUT /repositories/:name/move", "200, 404, 409, 400")
def _(s):
    name, path = s.artifact(b"moved")
    new, taken = s.name("moved"), s.repo()
    s.expect(409, "PUT", f"/repositories/{name}/move", {"new_name": taken})
    for body in ({}, {"new_name": 5}, {"new_name": ""}, {"new_name": "a/b"}, {"new_name": "api"}):
        s.expect(400, "PUT", f"/repositories/{name}/move", body)
    s.expect(200, "PUT", f"/repositories/{name}/move", {"new_name": new}, "")
    s.expect(404, "GET", f"/repositories/{name}")
    r = s.raw("repo", "GET", f"/{new}/{path}", None, {"Authorization": "Bearer " + s.admin})
    assert r.status == 200 and r.body == b"moved"
    s.expect(404, "PUT", "/repositories/nonexistent/move", {"new_name": s.name("x")})


@case("GET /repositories/:name/members", "200, 404")
def _(s):
    r = s.expect(200, "GET", f"/repositories/{s.repo()}/members", shape={"type": str, "members": [str]})
    assert r.json() == {"type": "not-a-group", "members": []}
    s.expect(404, "GET", "/repositories/nonexistent/members")


# --- storage aliases: the path is below the store that the node has, so that a cluster takes it too ---

def alias_config(s):
    config = s.expect(200, "GET", "/storages").json()
    base = next(a["config"] for a in config if a["name"] == "default")
    return {**base, "path": base["path"] + "-" + s.name("alias")} if base["type"] == "fs" else base


ALIASES = [{"name": str, "config": {"type": str}}]


@case("GET /storages", "200")
def _(s):
    r = s.expect(200, "GET", "/storages", shape=ALIASES)
    assert "default" in [a["name"] for a in r.json()]


@case("PUT /storages/:name", "200, 400")
def _(s):
    name = s.name("alias")
    s.expect(200, "PUT", f"/storages/{name}", alias_config(s), "")
    assert name in [a["name"] for a in s.expect(200, "GET", "/storages").json()]
    for body in ({}, {"type": "tape"}, {"type": 5}, {"type": "fs"}, {"type": "fs", "path": 5},
                 {"type": "s3"}):
        s.expect(400, "PUT", f"/storages/{s.name('alias')}", body)


@case("PUT /storages/:name", "409: artifacts stay where they are")
def _(s):
    name, repo = s.name("alias"), s.name("repo")
    s.expect(200, "PUT", f"/storages/{name}", alias_config(s))
    s.expect(200, "PUT", f"/repositories/{repo}", {"repo": {"type": "file", "storage": name}})
    s.upload(repo, "x.txt", s.name("bytes").encode())
    s.expect(409, "PUT", f"/storages/{name}", alias_config(s))


@case("DELETE /storages/:name", "200, 404, 409 with the repositories that use it")
def _(s):
    name, repo = s.name("alias"), s.name("repo")
    s.expect(200, "PUT", f"/storages/{name}", alias_config(s))
    s.expect(200, "PUT", f"/repositories/{repo}", {"repo": {"type": "file", "storage": name}})
    r = s.expect(409, "DELETE", f"/storages/{name}").json()
    assert r["error"] == "CONFLICT" and repo in r["message"] and name in r["message"]
    s.expect(200, "DELETE", f"/repositories/{repo}")
    wait_until("alias is free", lambda: s.api("DELETE", f"/storages/{name}").status == 200, 30)
    s.expect(404, "DELETE", f"/storages/{name}")


@case("GET /repositories/:name/storages", "200, 404")
def _(s):
    assert s.expect(200, "GET", f"/repositories/{s.repo()}/storages", shape=ALIASES).json() == []
    s.expect(404, "GET", "/repositories/nonexistent/storages")


@case("PUT /repositories/:name/storages/:alias", "200, 400, 404; a reader can't")
def _(s):
    repo = s.repo()
    s.expect(200, "PUT", f"/repositories/{repo}/storages/local", alias_config(s), "")
    r = s.expect(200, "GET", f"/repositories/{repo}/storages", shape=ALIASES).json()
    assert [a["name"] for a in r] == ["local"]
    s.expect(400, "PUT", f"/repositories/{repo}/storages/bad", {"type": "tape"})
    s.expect(404, "PUT", "/repositories/nonexistent/storages/local", alias_config(s))
    reader = s.who("alias reader", {"api_alias_permissions": ["read"]})
    s.expect(403, "PUT", f"/repositories/{repo}/storages/other", alias_config(s), as_=reader)


@case("PUT /repositories/:name/storages/:alias", "409: artifacts stay where they are")
def _(s):
    repo = s.repo()
    url = f"/repositories/{repo}/storages/own"
    s.expect(200, "PUT", url, alias_config(s))
    s.expect(200, "PUT", f"/repositories/{repo}", {"repo": {"type": "file", "storage": "own"}})
    s.upload(repo, "x.txt", s.name("bytes").encode())
    s.expect(409, "PUT", url, alias_config(s))


@case("DELETE /repositories/:name/storages/:alias", "409: the repository uses it")
def _(s):
    repo = s.repo()
    s.expect(200, "PUT", f"/repositories/{repo}/storages/own", alias_config(s))
    s.expect(200, "PUT", f"/repositories/{repo}", {"repo": {"type": "file", "storage": "own"}})
    s.expect(409, "DELETE", f"/repositories/{repo}/storages/own")


@case("DELETE /repositories/:name/storages/:alias", "200, 404")
def _(s):
    repo = s.repo()
    s.expect(200, "PUT", f"/repositories/{repo}/storages/local", alias_config(s))
    s.expect(200, "DELETE", f"/repositories/{repo}/storages/local", shape="")
    s.expect(404, "DELETE", f"/repositories/{repo}/storages/local")
    s.expect(404, "DELETE", "/repositories/nonexistent/storages/local")


# --- artifacts ---

def no_right_on_it(s, repo):
    """Somebody with the API's permission and none on this repository."""
    return s.who("api reader", {"api_repository_permissions": ["read", "delete"]})


@case("GET /repositories/:name/tree", "200, 404, permission on the repository")
def _(s):
    repo, _ = s.artifact()
    s.upload(repo, "top.txt", b"t")
    item = {"name": str, "path": str, "type": re.compile("^(file|directory)$")}
    shape = {"items": [item], "marker": (type(None), str), "hasMore": bool}
    for path in ("", "?path=/", "?path="):
        r = s.expect(200, "GET", f"/repositories/{repo}/tree{path}", shape=shape).json()
        assert [(i["name"], i["path"], i["type"]) for i in r["items"]] == [
            ("a", "a", "directory"), ("top.txt", "top.txt", "file")], r
        assert r["marker"] is None and r["hasMore"] is False
    r = s.expect(200, "GET", f"/repositories/{repo}/tree?path=/a/b").json()
    assert [i["path"] for i in r["items"]] == ["a/b/file.txt"]
    s.expect(404, "GET", "/repositories/nonexistent/tree")
    s.expect((403, 404), "GET", f"/repositories/{repo}/tree", as_=no_right_on_it(s, repo))


@case("GET /repositories/:name/artifact", "200, 404, 400, permission on the repository")
def _(s):
    repo, path = s.artifact(b"hello\n")
    url = f"/repositories/{repo}/artifact?path="
    r = s.expect(200, "GET", url + path, shape={"path": path, "name": "file.txt", "size": 6, "modified": TIME,
                                                "checksums": {"sha256": str}}).json()
    assert r["checksums"]["sha256"] == hashlib.sha256(b"hello\n").hexdigest()
    s.expect(200, "GET", url + quote("/" + path, safe=""))
    s.expect(404, "GET", url + "a/none")
    s.expect(400, "GET", f"/repositories/{repo}/artifact")
    s.expect(404, "GET", "/repositories/nonexistent/artifact?path=x")
    s.expect((403, 404), "GET", url + path, as_=no_right_on_it(s, repo))


@case("GET /repositories/:name/artifact/pull", "200, 400")
def _(s):
    repo, path = s.artifact()
    r = s.expect(200, "GET", f"/repositories/{repo}/artifact/pull?path={path}",
                 shape={"type": "file", "instructions": [str]}).json()
    assert r["instructions"] and any(f"/{repo}/{path}" in i for i in r["instructions"])
    assert not any("<pantera" in i for i in r["instructions"])
    s.expect(400, "GET", f"/repositories/{repo}/artifact/pull")


@case("GET /repositories/:name/artifact/download", "200 attachment, 404, permission on the repository")
def _(s):
    data = os.urandom(70000)
    repo, path = s.artifact(data)
    url = f"/repositories/{repo}/artifact/download?path={path}"
    r = s.expect(200, "GET", url)
    assert r.body == data and r.headers["Content-Length"] == "70000"
    assert r.headers["Content-Type"] == "application/octet-stream"
    assert r.headers["Content-Disposition"].startswith("attachment")
    assert 'filename="file.txt"' in r.headers["Content-Disposition"]
    s.expect(404, "GET", f"/repositories/{repo}/artifact/download?path=none")
    s.expect(400, "GET", f"/repositories/{repo}/artifact/download")
    s.expect((403, 404), "GET", url, as_=no_right_on_it(s, repo))


def conditional(s, url, size, **kw):
    """Ranges and conditions (RFC 9110, 13 and 14), which a download may carry."""
    r = s.expect(200, "GET", url, **kw)
    etag = r.headers["ETag"]
    part = s.expect(206, "GET", url, headers={"Range": "bytes=1-3"}, **kw)
    assert part.body == r.body[1:4] and part.headers["Content-Range"] == f"bytes 1-3/{size}"
    s.expect(416, "GET", url, headers={"Range": f"bytes={size}-"}, **kw)
    s.expect(304, "GET", url, headers={"If-None-Match": etag}, shape="", **kw)
    s.expect(412, "GET", url, headers={"If-Match": '"another"'}, **kw)


@case("GET /repositories/:name/artifact/download", "206, 304, 412, 416")
def _(s):
    repo, path = s.artifact(b"0123456789")
    conditional(s, f"/repositories/{repo}/artifact/download?path={path}", 10)


@case("POST /repositories/:name/artifact/download-token", "200, permission on the repository")
def _(s):
    repo, path = s.artifact()
    url = f"/repositories/{repo}/artifact/download-token?path={path}"
    s.expect(200, "POST", url, shape={"token": str})
    s.expect((403, 404), "POST", url, as_=no_right_on_it(s, repo))
    s.expect(400, "POST", f"/repositories/{repo}/artifact/download-token")


@case("GET /repositories/:name/artifact/download-direct", "200 by the token alone, 401")
def _(s):
    repo, path = s.artifact(b"direct")
    other, _ = s.artifact(b"other")
    token = s.expect(200, "POST", f"/repositories/{repo}/artifact/download-token?path={path}").json()["token"]
    url = f"/repositories/{repo}/artifact/download-direct?token="
    r = s.expect(200, "GET", url + quote(token), as_=None)
    assert r.body == b"direct" and r.headers["Content-Disposition"].startswith("attachment")
    end = "AA" if token[-2:] != "AA" else "BB"
    for bad in ("", "x", "a.b", quote(token[:-2] + end), quote("A" + token)):
        s.expect(401, "GET", url + bad, as_=None)
    url = f"/repositories/{other}/artifact/download-direct?token="
    s.expect((401, 403), "GET", url + quote(token), as_=None)


@case("GET /repositories/:name/artifact/download-direct", "206, 304, 412, 416; 404 for what has gone")
def _(s):
    repo, path = s.artifact(b"0123456789")
    url = f"/repositories/{repo}/artifact/download-token?path={path}"
    token = s.expect(200, "POST", url).json()["token"]
    url = f"/repositories/{repo}/artifact/download-direct?token={quote(token)}"
    conditional(s, url, 10, as_=None)
    s.expect(204, "DELETE", f"/repositories/{repo}/artifacts", {"path": path})
    s.expect(404, "GET", url, as_=None)
    s.expect(404, "POST", f"/repositories/{repo}/artifact/download-token?path=none")


@case("GET /repositories/:name/artifact/download-direct", "403 once its maker may not read any more")
def _(s):
    repo, path = s.artifact()
    role = s.role({"api_repository_permissions": ["read"], repo: ["read"]})
    name = s.name("user")
    s.expect(201, "PUT", f"/users/{name}", {"pass": PASSWORD, "roles": [role]})
    me = s.expect(200, "POST", "/auth/token", {"name": name, "pass": PASSWORD}, as_=None).json()["token"]
    url = f"/repositories/{repo}/artifact/download-token?path={path}"
    token = s.expect(200, "POST", url, as_=me).json()["token"]
    url = f"/repositories/{repo}/artifact/download-direct?token={quote(token)}"
    s.expect(200, "GET", url, as_=None)
    s.expect(201, "PUT", f"/users/{name}", {"roles": []})
    s.expect(403, "GET", url, as_=None)


@case("DELETE /repositories/:name/artifacts", "204, 404, 400, permission on the repository")
def _(s):
    repo, path = s.artifact()
    url = f"/repositories/{repo}/artifacts"
    s.expect((403, 404), "DELETE", url, {"path": path}, as_=no_right_on_it(s, repo))
    for body in ({}, {"path": 5}, {"path": ""}):
        s.expect(400, "DELETE", url, body)
    s.expect(204, "DELETE", url, {"path": path}, "")
    assert s.raw("repo", "GET", f"/{repo}/{path}", None, {"Authorization": "Bearer " + s.admin}).status == 404
    s.expect(404, "DELETE", url, {"path": path})
    s.expect(404, "DELETE", "/repositories/nonexistent/artifacts", {"path": "x"})


@case("DELETE /repositories/:name/packages", "204, 404, permission on the repository")
def _(s):
    repo, path = s.artifact()
    s.upload(repo, "a/keep.txt", b"k")
    url = f"/repositories/{repo}/packages"
    s.expect((403, 404), "DELETE", url, {"path": "a/b"}, as_=no_right_on_it(s, repo))
    s.expect(400, "DELETE", url, {})
    s.expect(204, "DELETE", url, {"path": "a/b"}, "")
    head = {"Authorization": "Bearer " + s.admin}
    assert s.raw("repo", "GET", f"/{repo}/{path}", None, head).status == 404
    assert s.raw("repo", "GET", f"/{repo}/a/keep.txt", None, head).status == 200
    s.expect(404, "DELETE", url, {"path": "a/b"})


@case("DELETE /repositories/:name/cache", "204, 400, 404, permission on the repository")
def _(s):
    name, hosted = s.name("repo"), s.repo()
    s.expect(200, "PUT", f"/repositories/{name}", {"repo": {
        "type": "file-proxy", "storage": "default", "remotes": [{"url": "http://127.0.0.1:9/"}]}}, "")
    url = f"/repositories/{name}/cache"
    s.expect((403, 404), "DELETE", url, as_=no_right_on_it(s, name))
    for query in ("", "?path=a/b", "?path=a&tree=true"):
        s.expect(204, "DELETE", url + query, None, "")
    s.expect(400, "DELETE", url + "?path=../x")
    s.expect(400, "DELETE", f"/repositories/{hosted}/cache")
    s.expect(404, "DELETE", "/repositories/nonexistent/cache")


# --- search ---

ITEM = {"repo_type": str, "repo_name": str, "artifact_path": str, "artifact_name": str,
        "version": Opt((str, type(None))), "size": int, "created_at": TIME, "owner": (str, type(None))}


@case("GET /search", "200 page at once, 400")
def _(s):
    repo, word = s.repo(), s.name("word").replace("-", "")
    s.upload(repo, f"libs/{word}-1.2.txt", b"12345")
    r = s.expect(200, "GET", f"/search?q={word}", shape=page(ITEM)).json()
    assert [(i["repo_name"], i["artifact_path"], i["size"]) for i in r["items"]] == [
        (repo, f"libs/{word}-1.2.txt", 5)]
    for q in (f"name:{word}", f"repo:{repo}", f"repo:{repo} AND type:file",
              f"({word} OR nothing) AND repo:{repo}", f"repo:{repo} AND NOT name:nothing"):
        assert s.expect(200, "GET", "/search?q=" + quote(q)).json()["total"] == 1, q
    assert s.expect(200, "GET", "/search?q=" + quote(f"repo:{repo} AND NOT {word}")).json()["total"] == 0
    assert s.expect(400, "GET", "/search").json()["code"] == 400
    s.expect(400, "GET", "/search?q=")
    s.expect(400, "GET", f"/search?q={word}&page=101&size=100")
    s.expect(200, "GET", f"/search?q={word}&page=100&size=100")
    s.expect(400, "GET", "/search?q=" + quote("(a AND"))


@case("GET /search", "only what the caller may read")
def _(s):
    repo, word = s.repo(), s.name("word").replace("-", "")
    s.upload(repo, f"{word}.txt", b"x")
    token = s.user({"api_search_permissions": ["read"], s.repo(): ["read"]})[1]
    for q in (word, f"repo:{repo}", f"name:{word}"):
        r = s.expect(200, "GET", "/search?q=" + quote(q), as_=token).json()
        assert r["items"] == [] and r["total"] == 0, (q, r)


@case("GET /search/locate", "200, 400, only what the caller may read")
def _(s):
    repo, other, path = s.repo(), s.repo(), s.name("p") + "/f.txt"
    s.upload(repo, path, b"1")
    s.upload(other, path, b"2")
    r = s.expect(200, "GET", f"/search/locate?path={path}",
                 shape={"repositories": [str], "count": int}).json()
    assert sorted(r["repositories"]) == sorted([repo, other]) and r["count"] == 2
    assert s.expect(200, "GET", "/search/locate?path=none/none").json() == {"repositories": [], "count": 0}
    s.expect(400, "GET", "/search/locate")
    token = s.user({"api_search_permissions": ["read"], repo: ["read"]})[1]
    r = s.expect(200, "GET", f"/search/locate?path={path}", as_=token).json()
    assert r == {"repositories": [repo], "count": 1}


@case("POST /search/reindex", "202")
def _(s):
    s.expect((202, 409), "POST", "/search/reindex", shape=({"status": str, "message": str},))


@case("GET /search/stats", "200")
def _(s):
    s.expect(200, "GET", "/search/stats",
             shape={"total_documents": int, "index_size_bytes": int, "last_indexed": (TIME, type(None))})


# --- cooldown ---

COOLDOWN = {"enabled": bool, "minimum_allowed_age": re.compile(r"^\d+[dhm]$"), "repo_types": dict}


@case("GET /cooldown/config", "200")
def _(s):
    s.expect(200, "GET", "/cooldown/config", shape=COOLDOWN)


@case("PUT /cooldown/config", "200, in effect at once; 400")
def _(s):
    body = {"enabled": True, "minimum_allowed_age": "5d",
            "repo_types": {"npm-proxy": {"enabled": False, "minimum_allowed_age": "7d"}}}
    s.expect(200, "PUT", "/cooldown/config", body, {"status": "saved"})
    r = s.expect(200, "GET", "/cooldown/config", shape=COOLDOWN).json()
    assert r["minimum_allowed_age"] == "5d" and r["repo_types"]["npm-proxy"]["enabled"] is False
    for bad in ({"enabled": 5}, {"minimum_allowed_age": "soon"}, {"minimum_allowed_age": 7},
                {"repo_types": []}, {"repo_types": {"npm-proxy": {"enabled": "x"}}}):
        s.expect(400, "PUT", "/cooldown/config", bad)


@case("GET /cooldown/overview", "200")
def _(s):
    s.expect(200, "GET", "/cooldown/overview",
             shape={"repos": [{"name": str, "type": str, "cooldown": str, "active_blocks": int}]})


@case("GET /cooldown/blocked", "200 page")
def _(s):
    r = s.expect(200, "GET", "/cooldown/blocked", shape=page({
        "package_name": str, "version": str, "repo": str, "repo_type": str, "reason": str,
        "blocked_date": TIME, "blocked_until": TIME, "remaining_hours": int})).json()
    assert r["size"] == 50 and r["page"] == 0
    assert s.expect(200, "GET", "/cooldown/blocked?size=1000&search=x&page=3").json()["size"] == 100


@case("POST /repositories/:name/cooldown/unblock", "204 or 404, 400")
def _(s):
    repo = s.repo()
    url = f"/repositories/{repo}/cooldown/unblock"
    s.expect((204, 404), "POST", url, {"artifact": "com.example:lib", "version": "1.0.0"})
    for body in ({}, {"artifact": "x"}, {"artifact": 5, "version": "1"}):
        s.expect(400, "POST", url, body)
    s.expect(404, "POST", "/repositories/nonexistent/cooldown/unblock", {"artifact": "a", "version": "1"})


@case("POST /repositories/:name/cooldown/unblock-all", "204, 404")
def _(s):
    s.expect(204, "POST", f"/repositories/{s.repo()}/cooldown/unblock-all", shape="")
    s.expect(404, "POST", "/repositories/nonexistent/cooldown/unblock-all")


EXEMPTION = {"id": int, "repo": (str, None), "package": str, "version": str, "reason": str,
             "expires": (TIME, None), "active": bool, "created_date": TIME, "created_by": str}


@case("GET /cooldown/exemptions", "200 page")
def _(s):
    name = s.name("pattern")
    s.expect(201, "POST", "/cooldown/exemptions", {"package": name, "reason": "ours"})
    r = s.expect(200, "GET", "/cooldown/exemptions?size=100").json()
    (mine,) = [e for e in r["items"] if e["package"] == name]
    assert mine["repo"] is None and mine["version"] == "*" and mine["active"] and mine["expires"] is None
    page_rules(s, "/cooldown/exemptions", "id")


@case("POST /cooldown/exemptions", "201; 400, 404")
def _(s):
    repo = s.repo()
    body = {"package": "@ours/*", "reason": "made here", "repo": repo, "expires": "30d", "version": "1.*"}
    s.expect(201, "POST", "/cooldown/exemptions", body, {"id": int})
    for bad in ({}, {"package": "x"}, {"package": "x", "reason": ""}, {"package": "", "reason": "y"},
                {"package": 5, "reason": "y"}, {"package": "x", "reason": "y", "expires": "2020-01-01"},
                {"package": "x", "reason": "y", "expires": "soon"}, {"package": "x", "reason": "y", "z": 1}):
        s.expect(400, "POST", "/cooldown/exemptions", bad)
    s.expect(404, "POST", "/cooldown/exemptions", body | {"repo": "nonexistent"})


@case("DELETE /cooldown/exemptions/:id", "204, then 404")
def _(s):
    made = s.expect(201, "POST", "/cooldown/exemptions", {"package": "x", "reason": "y"}).json()["id"]
    s.expect(204, "DELETE", f"/cooldown/exemptions/{made}", shape="")
    for gone in (made, 0, "x", "99999999999999999999999"):
        s.expect(404, "DELETE", f"/cooldown/exemptions/{gone}")


# --- settings ---

@case("GET /settings", "200, secrets masked")
def _(s):
    s.expect(200, "GET", "/settings", shape={
        "port": int, "version": str, "prefixes": [str],
        "jwt": {"algorithm": "RS256", "access_token_expiry_seconds": int,
                "refresh_token_expiry_seconds": int},
        "http_client": dict, "http_server": dict, "metrics": dict, "cooldown": dict, "credentials": list,
        "database": {"configured": bool}, "caches": dict})


@case("PUT /settings/prefixes", "200, route at once; 400")
def _(s):
    repo, path = s.artifact(b"prefixed")
    s.expect(200, "PUT", "/settings/prefixes", {"prefixes": ["test_prefix"]}, "")
    assert s.expect(200, "GET", "/settings").json()["prefixes"] == ["test_prefix"]
    r = s.raw("repo", "GET", f"/test_prefix/{repo}/{path}", None, {"Authorization": "Bearer " + s.admin})
    assert r.status == 200 and r.body == b"prefixed"
    for body in ({}, {"prefixes": "x"}, {"prefixes": [5]}, {"prefixes": ["a/b"]}):
        s.expect(400, "PUT", "/settings/prefixes", body)
    s.expect(200, "PUT", "/settings/prefixes", {"prefixes": []}, "")
    r = s.raw("repo", "GET", f"/test_prefix/{repo}/{path}", None, {"Authorization": "Bearer " + s.admin})
    assert r.status == 404


@case("PUT /settings/prefixes", "409: a prefix is not a repository's name, nor the other way round")
def _(s):
    prefix = s.name("prefix")
    s.expect(409, "PUT", "/settings/prefixes", {"prefixes": [s.repo()]})
    s.expect(200, "PUT", "/settings/prefixes", {"prefixes": [prefix]})
    s.expect(409, "PUT", f"/repositories/{prefix}", {"repo": {"type": "file", "storage": "default"}})
    s.expect(200, "PUT", "/settings/prefixes", {"prefixes": []})


@case("PUT /settings/:section", "200, 400")
def _(s):
    s.expect(200, "PUT", "/settings/http_client", {"connection_timeout": 15000}, {"status": "saved"})
    assert s.expect(200, "GET", "/settings").json()["http_client"]["connection_timeout"] == 15000
    s.expect(400, "PUT", "/settings/no_such_section", {"a": 1})
    s.expect(400, "PUT", "/settings/http_client", {"no_such_key": 1})
    s.expect(400, "PUT", "/settings/http_client", {"connection_timeout": "soon"})


@case("PUT /auth-providers/:id/toggle", "404, 400")
def _(s):
    s.expect(404, "PUT", "/auth-providers/999999/toggle", {"enabled": True})
    s.expect((400, 404), "PUT", "/auth-providers/x/toggle", {"enabled": True})
    s.expect((400, 404), "PUT", "/auth-providers/999999/toggle", {"enabled": "x"})


@case("PUT /auth-providers/:id/config", "404")
def _(s):
    s.expect(404, "PUT", "/auth-providers/999999/config", {"issuer": "https://example.com"})


# --- dashboard ---

@case("GET /dashboard/stats", "200")
def _(s):
    s.expect(200, "GET", "/dashboard/stats", shape={
        "repo_count": int, "artifact_count": int, "total_storage": int, "blocked_count": int,
        "top_repos": [{"name": str, "type": str, "artifact_count": int, "size": int}]})


@case("GET /dashboard/repos-by-type", "200")
def _(s):
    s.repo()
    r = s.expect(200, "GET", "/dashboard/repos-by-type", shape={"types": dict}).json()["types"]
    assert all(isinstance(n, int) for n in r.values()), r


@case("GET /dashboard/requests", "200")
def _(s):
    r = s.expect(200, "GET", "/dashboard/requests", shape={"period": str, "data": list})
    assert r.json()["period"] == "24h"
    assert s.expect(200, "GET", "/dashboard/requests?period=7d").json()["period"] == "7d"


# --- import, on the repository port ---

def send_import(s, repo, path, data, **headers):
    h = {"Authorization": "Bearer " + s.admin, "X-Pantera-Repo-Type": "file",
         "X-Pantera-Idempotency-Key": s.name("key"), **{k.replace("_", "-"): v for k, v in headers.items()}}
    h = {k: v for k, v in h.items() if v is not None}
    return s.raw("repo", "PUT", f"/.import/{repo}/{path}", data, h)


@case("PUT /.import/:repository/:path", "201, 200, 409, 400, 401")
def _(s):
    repo, data = s.repo(), b"imported"
    sha = hashlib.sha256(data).hexdigest()
    shape = {"status": str, "message": str, "size": int, "digests": dict}
    key = s.name("key")
    r = send_import(s, repo, "a/x.bin", data, X_Pantera_Idempotency_Key=key, X_Pantera_Checksum_Sha256=sha)
    assert r.status == 201, r
    fits(r.json(), {**shape, "status": "CREATED", "size": 8, "digests": {"sha256": sha}})
    r = send_import(s, repo, "a/x.bin", data, X_Pantera_Idempotency_Key=key, X_Pantera_Checksum_Sha256=sha)
    assert r.status == 200, r
    fits(r.json(), {**shape, "status": "ALREADY_PRESENT"})
    r = send_import(s, repo, "a/y.bin", data, X_Pantera_Checksum_Sha256="0" * 64)
    assert r.status == 409, r
    fits(r.json(), {**shape, "status": "CHECKSUM_MISMATCH"})
    r = send_import(s, repo, "a/z.bin", data, X_Pantera_Repo_Type=None)
    assert r.status == 400, r
    fits(r.json(), {"status": "INVALID_METADATA", "message": str, "size": 0, "digests": {}})
    assert send_import(s, repo, "a/z.bin", data, Authorization=None).status == 401
    assert send_import(s, repo, "a/z.bin", data, Authorization="Bearer " + s.nobody()).status == 403
    head = {"Authorization": "Bearer " + s.admin}
    got = s.raw("repo", "GET", f"/{repo}/a/x.bin", None, head)
    assert got.status == 200 and got.body == data
    assert s.raw("repo", "GET", f"/{repo}/a/y.bin", None, head).status == 404
