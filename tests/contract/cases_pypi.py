# SPDX-License-Identifier: Apache-2.0
"""Python projects: yanking and status."""
import os
import tempfile
import uuid

from pydist import sdist
from suite import case


def upload(s, repo, name="a-project", version="1.0"):
    """A source distribution, as a form (twine's, in short)."""
    with tempfile.TemporaryDirectory() as folder:
        path = sdist(folder, name, version)
        with open(path, "rb") as f:
            data = f.read()
    fields = {":action": "file_upload", "protocol_version": "1", "name": name, "version": version,
              "filetype": "sdist"}
    mark = uuid.uuid4().hex
    body = b"".join(f'--{mark}\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n'.encode()
                    for k, v in fields.items())
    body += (f'--{mark}\r\nContent-Disposition: form-data; name="content"; '
             f'filename="{os.path.basename(path)}"\r\n\r\n').encode() + data + f"\r\n--{mark}--\r\n".encode()
    r = s.raw("repo", "POST", f"/{repo}/", body, {"Authorization": "Bearer " + s.admin,
                                                 "Content-Type": f"multipart/form-data; boundary={mark}"})
    assert r.status == 200, r


def page(s, repo, project="a-project"):
    r = s.raw("repo", "GET", f"/{repo}/simple/{project}/", None,
              {"Authorization": "Bearer " + s.admin, "Accept": "application/vnd.pypi.simple.v1+json"})
    assert r.status == 200, r
    return r.json()


def with_too_little(s, method, path, body):
    """Reading the repository is not enough; neither is another repository."""
    repo, other = s.repo("pypi"), s.repo("pypi")
    reader = s.user({"adapter_basic_permissions": {repo: ["read", "delete"], other: ["*"]}})[1]
    s.expect(403, method, path.format(repo), body, as_=reader)
    s.expect(404, method, path.format("nonexistent-" + repo), body)
    s.expect(400, method, path.format(s.repo()), body)
    s.expect(404, method, path.format(repo), body)


@case("POST /pypi/:repo/:package/:version/yank", "204 with and without a reason, in any spelling; 400")
def _(s):
    repo = s.repo("pypi")
    upload(s, repo)
    url = f"/pypi/{repo}/A_Project/1.0/yank"
    s.expect(204, "POST", url, {"reason": "broken"}, "")
    assert [f["yanked"] for f in page(s, repo)["files"]] == ["broken"]
    s.expect(204, "POST", url, None, "")
    assert [f["yanked"] for f in page(s, repo)["files"]] == [True]
    s.expect(204, "POST", url, {}, "")
    for bad in ({"reason": 5}, {"reason": "x" * 1025}, []):
        s.expect(400, "POST", url, bad)
    s.expect(404, "POST", f"/pypi/{repo}/a-project/2.0/yank", {})


@case("POST /pypi/:repo/:package/:version/yank", "403, 404")
def _(s):
    with_too_little(s, "POST", "/pypi/{}/a-project/1.0/yank", {})


@case("POST /pypi/:repo/:package/:version/unyank", "204")
def _(s):
    repo = s.repo("pypi")
    upload(s, repo)
    s.expect(204, "POST", f"/pypi/{repo}/a-project/1.0/yank", {"reason": "broken"}, "")
    for _ in range(2):
        s.expect(204, "POST", f"/pypi/{repo}/a-project/1.0/unyank", None, "")
    assert "yanked" not in page(s, repo)["files"][0]


@case("POST /pypi/:repo/:package/:version/unyank", "403, 404")
def _(s):
    with_too_little(s, "POST", "/pypi/{}/a-project/1.0/unyank", None)


@case("PUT /pypi/:repo/:package/status", "204, 400; a quarantined project gives nothing out")
def _(s):
    repo = s.repo("pypi")
    upload(s, repo)
    url = f"/pypi/{repo}/a-project/status"
    s.expect(204, "PUT", url, {"status": "quarantined", "reason": "malware"}, "")
    r = page(s, repo)
    assert r["project-status"] == {"status": "quarantined", "reason": "malware"} and r["files"] == []
    file = f"/{repo}/a-project/1.0/a_project-1.0.tar.gz"
    assert s.raw("repo", "GET", file, None, {"Authorization": "Bearer " + s.admin}).status == 403
    s.expect(204, "PUT", url, {"status": "active"}, "")
    r = page(s, repo)
    assert "project-status" not in r and len(r["files"]) == 1
    assert s.raw("repo", "GET", file, None, {"Authorization": "Bearer " + s.admin}).status == 200
    for bad in ({}, {"status": "gone"}, {"status": 5}, {"status": "active", "reason": 5}):
        s.expect(400, "PUT", url, bad)


@case("PUT /pypi/:repo/:package/status", "403, 404")
def _(s):
    with_too_little(s, "PUT", "/pypi/{}/a-project/status", {"status": "archived"})
