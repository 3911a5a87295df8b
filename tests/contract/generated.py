# SPDX-License-Identifier: Apache-2.0
"""What must be true of every row of routes.def, made from the server's openapi.json."""
import re

from pantera import PASSWORD
from suite import ERROR, fits

BIG = 1 << 30


def filled(path):
    """The path with something in each parameter; what is there is not needed to be refused."""
    return re.sub(r"\{([^}]+)\}", lambda m: "7" if m.group(1) == "id" else "contract-none", path)


def without_credentials(method, path):
    def run(s):
        s.expect(401, method, path, as_=None)
        r = s.api(method, path, as_=None)
        if method != "HEAD":
            assert "WWW-Authenticate" in r.headers
        s.expect(401, method, path, as_="not.a.token")
    return run


def with_too_little(method, path, body):
    def run(s):
        r = s.expect(403, method, path, {} if body else None, as_=s.nobody())
        assert r.json().get("error", "FORBIDDEN") == "FORBIDDEN"
    return run


def other_method(path, methods):
    def run(s):
        r = s.expect(405, "PATCH", path)
        allowed = set(re.split(r",\s*", r.headers["Allow"]))
        assert methods <= allowed, f"{path}: Allow: {r.headers['Allow']}, documented: {methods}"
        assert "PATCH" not in allowed
    return run


def preflight(path):
    def run(s):
        r = s.expect(204, "OPTIONS", path, as_=None, shape="", headers={
            "Origin": "https://console.example", "Access-Control-Request-Method": "PUT"})
        allowed = r.headers["Access-Control-Allow-Methods"]
        assert all(m in allowed for m in ("GET", "POST", "PUT", "DELETE")), allowed
        assert "Authorization" in r.headers["Access-Control-Allow-Headers"]
    return run


def too_large(method, path):
    """Refused by its announced length; the body is never sent."""
    def run(s):
        h = {"Content-Length": str(BIG), "Authorization": "Bearer " + s.admin, "Expect": "100-continue"}
        r = s.raw("api", method, "/api/v1" + path, None, h)
        assert r.status in (413, 404), r
        s.note(method, path, r.status)
        if not path.startswith("/search"):
            fits(r.json(), ERROR)
        for client in s.target.clients:
            client.close()
    return run


def malformed(method, path, statuses, public):
    def run(s):
        for body in (b'{"a": ', b"[1]", b'"text"', b"\xff\xfe", b'{"a":1,"a":2}'):
            s.expect(statuses, method, path, body=body, as_=None if public else "admin")
    return run


def head_like_get(path):
    def run(s):
        get = s.api("GET", path)
        head = s.api("HEAD", path)
        assert head.status == get.status and head.body == b"", (get, head)
    return run


def must_change(method, path, body):
    """Whoever must change the password first may do nothing else."""
    def run(s):
        if "must change" not in s.caches:
            name = s.name("user")
            s.expect(201, "PUT", f"/users/{name}", {"pass": PASSWORD, "must_change_password": True})
            r = s.expect(200, "POST", "/auth/token", {"name": name, "pass": PASSWORD}, as_=None)
            s.caches["must change"] = r.json()["token"]
        s.expect(403, method, path, {} if body else None, as_=s.caches["must change"])
    return run


def too_long(method, path):
    """8 KiB of path, or of query: 414, before anybody is asked who they are."""
    def run(s):
        s.expect(414, method, path.replace("contract-none", "x" * 9000).replace("/7", "/" + "7" * 9000)
                 + "?q=" + "x" * 9000)
    return run


def bad_query(method, path):
    """A filter that can't be read is refused, not taken for none."""
    def run(s):
        for query in ("page=%zz", "q=%", "q=%ff", "token=%00"):
            s.expect(400, method, f"{path}?{query}")
    return run


def not_found(s):
    r = s.expect(404, "GET", "/no/such/endpoint")
    assert r.json()["error"] == "NOT_FOUND"


def generated(suite):
    """(route, what, function) for every row."""
    methods = {}
    for method, path, operation in suite.rows():
        methods.setdefault(path, set()).add(method)
    yield "GET /no/such/endpoint", "404", not_found
    for path, known in methods.items():
        yield f"OPTIONS {path}", "preflight", preflight(filled(path))
        if "PATCH" not in known:
            yield f"PATCH {path}", "405 with Allow", other_method(filled(path), known)
    for method, path, operation in suite.rows():
        route, permission = f"{method} {path}", operation["x-permission"]
        body = "requestBody" in operation
        if permission != "public":
            yield route, "401 without", without_credentials(method, filled(path))
        if permission == "any" and path != "/auth/me":
            yield route, "403 before the password is changed", must_change(method, filled(path), body)
        if "414" in operation["responses"]:
            yield route, "414", too_long(method, filled(path))
        if "400" in operation["responses"]:
            yield route, "400 bad query", bad_query(method, filled(path))
        if permission not in ("public", "any"):
            yield route, "403 with too little", with_too_little(method, filled(path), body)
        if "413" in operation["responses"]:
            yield route, "413", too_large(method, filled(path))
        if body and operation["requestBody"].get("required") and "413" in operation["responses"]:
            yield route, "400 malformed", malformed(method, filled(path),
                                                    (400, 404) if "{" in path else 400,
                                                    permission == "public")
        if method == "GET" and "application/json" in str(operation["responses"].get("200")):
            yield route, "HEAD like GET", head_like_get(filled(path))
