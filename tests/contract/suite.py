# SPDX-License-Identifier: Apache-2.0
"""The contract suite's machinery: where requests go (one node, any node, any node while one restarts),
shapes, cases and the count. The cases are in cases_*.py, what is expected of every row in generated.py, what
must be served in seed.py.

A case is a function that @case names with its route; it gets a Suite and asserts. It uses fresh names, so
that it can be run again, which happens only where a write's outcome was unknown (Restarting)."""
import http.client
import itertools
import json
import random
import re
import threading
import time
import traceback

from pantera import PASSWORD, USER, Client
from seed import plain

CASES = []
PREFIX = "/api/v1"


def case(route, what):
    """Registers a case of "METHOD /path/:with/:parameters" (below /api/v1; 8080's begin with "/.")."""
    def register(function):
        CASES.append((route, what, function))
        return function
    return register


# --- where requests go ---

class Any:
    """Each request to a node chosen at random (one node: to that). Nothing is retried."""

    def __init__(self, nodes, seed=0):
        self.clients = [Client(n) for n in nodes]
        self.random = random.Random(seed)
        self.requests = self.unknown = 0

    def choose(self):
        return self.random.choice(self.clients)

    def send_to(self, client, port, method, path, body, headers):
        self.requests += 1
        number = client.node.api_port if port == "api" else client.node.port
        return client.request(number, method, path, body, headers)

    def send(self, port, method, path, body, headers):
        return self.send_to(self.choose(), port, method, path, body, headers)


class Restarting(Any):
    """The same while one node at a time is being restarted. What is tolerated, and sent again (to any node):

    - a 503 with Retry-After, by any node;
    - a connection that the node being restarted refuses or breaks, between the signal that ends it and its
      /.ready. One that another node refuses or breaks is a failure.

    What is sent again must pass within CURE seconds. A write that was cut off, or answered 503 "the outcome
    ... is unknown", may have happened: it counts as `unknown`, and its case may begin again."""

    CURE = 30

    def __init__(self, nodes, seed=0):
        super().__init__(nodes, seed)
        self.lock = threading.Lock()
        self.down, self.epochs = None, {n.id: 0 for n in nodes}
        self.seen = dict(self.epochs)
        self.refused = self.unavailable = 0
        self.longest, self.slowest = 0.0, ""

    def goes_down(self, node):
        with self.lock:
            self.down = node.id
            self.epochs[node.id] += 1

    def is_up(self, node):
        with self.lock:
            self.down = None
            self.epochs[node.id] += 1

    def attempt(self, port, method, path, body, headers):
        """The answer; None: it is to be sent again."""
        client = self.choose()
        number = client.node.id
        with self.lock:
            epoch, was_down = self.epochs[number], self.down == number
        if epoch != self.seen[number]:  # what is left of connections to the process that was
            client.close()
            self.seen[number] = epoch
        writes = method not in ("GET", "HEAD", "OPTIONS")
        try:
            r = self.send_to(client, port, method, path, body, headers)
        except (OSError, http.client.HTTPException) as e:
            with self.lock:
                excused = was_down or self.epochs[number] != epoch
            assert excused, f"{method} {path}: node {number}, which is up, broke the connection: {e!r}"
            self.refused += 1
            self.unknown += writes and not isinstance(e, ConnectionRefusedError)
            return None
        if r.status != 503:
            return r
        assert r.headers["Retry-After"], f"{method} {path}: 503 without Retry-After: {r}"
        self.unavailable += 1
        self.unknown += writes and b"outcome" in r.body
        return None

    def send(self, port, method, path, body, headers):
        begun = time.monotonic()
        attempts = []
        while True:
            r = self.attempt(port, method, path, body, headers)
            took = time.monotonic() - begun
            attempts.append(f"{took:.2f}")
            if r:
                if took > self.longest:
                    self.longest, self.slowest = took, f"{method} {path[:100]} at {', '.join(attempts)} s"
                return r
            assert took < self.CURE, f"{method} {path}: not cured within {self.CURE} s"
            time.sleep(0.05)


# --- shapes ---

class Opt:
    """An optional member."""

    def __init__(self, shape):
        self.shape = shape


ERROR = {"error": str, "message": str, "status": int}
SEARCH_ERROR = {"code": int, "message": str}
TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$")


def page(item):
    return {"items": [item], "page": int, "size": int, "total": int, "hasMore": bool}


def fits(value, shape, at="body"):
    """Raises unless value has the shape: a type, a pattern, [each], {member: shape}, a tuple of shapes."""
    if isinstance(shape, tuple):
        errors = []
        for one in shape:
            try:
                return fits(value, one, at)
            except AssertionError as e:
                errors.append(str(e))
        raise AssertionError("; ".join(errors))
    if isinstance(shape, dict):
        assert isinstance(value, dict), f"{at}: {value!r} is no object"
        for key, inner in shape.items():
            if isinstance(inner, Opt):
                if key in value:
                    fits(value[key], inner.shape, f"{at}.{key}")
                continue
            assert key in value, f"{at}: no {key!r} in {value!r}"
            fits(value[key], inner, f"{at}.{key}")
    elif isinstance(shape, list):
        assert isinstance(value, list), f"{at}: {value!r} is no array"
        for n, item in enumerate(value):
            fits(item, shape[0], f"{at}[{n}]")
    elif isinstance(shape, re.Pattern):
        assert isinstance(value, str) and shape.match(value), f"{at}: {value!r} is not {shape.pattern}"
    elif isinstance(shape, type):
        same = type(value) is shape if shape is not float else type(value) in (int, float)
        assert same, f"{at}: {value!r} is no {shape.__name__}"
    else:
        assert value == shape, f"{at}: {value!r} instead of {shape!r}"
    return None


# --- the suite ---

class Suite:
    """What a case speaks to the server with."""

    def __init__(self, target):
        self.target = target
        self.count = itertools.count()
        self.tag = f"c{random.randrange(1 << 30):x}"
        self.caches = {}
        self.statuses, self.patterns = {}, []  # what each row has answered
        r = self.api("POST", "/auth/token", {"name": USER, "pass": PASSWORD}, as_=None)
        assert r.status == 200, r
        self.admin = r.json()["token"]
        document = self.api("GET", "/openapi.json", as_=None)
        assert document.status == 200, document
        self.document = document.json()
        self.patterns = sorted(
            ((re.compile("^" + re.sub(r"\\\{[^}]+\\\}", "[^/]+", re.escape(p)) + "$"), p)
             for p in {path for _, path, _ in self.rows()}), key=lambda row: row[1].count("{"))

    def template(self, path):
        """The row's path that a request's path belongs to; None: no row's."""
        path = path.split("?")[0]
        return next((p for pattern, p in self.patterns if pattern.match(path)), None)

    def name(self, what="x"):
        return f"{self.tag}-{what}-{next(self.count)}"

    def note(self, method, path, status):
        self.statuses.setdefault(f"{method} {self.template(path)}", set()).add(status)

    def raw(self, port, method, path, body=None, headers=None):
        return self.target.send(port, method, path, body, headers or {})

    def api(self, method, path, value=None, as_="admin", headers=None, body=None):
        """A request to the management API; CORS and the error's shape are looked at every time."""
        h = dict(headers or {})
        token = self.admin if as_ == "admin" else as_
        if token:
            h["Authorization"] = "Bearer " + token
        if value is not None:
            body = json.dumps(value).encode()
        if body is not None:
            h.setdefault("Content-Type", "application/json")
        r = self.raw("api", method, PREFIX + path, body, h)
        where = f"{method} {path[:100]}: {r}"
        self.note(method, path, r.status)
        assert r.headers["Access-Control-Allow-Origin"] == "*", where
        if r.status >= 400 and method != "HEAD":
            assert r.headers["Content-Type"].startswith("application/json"), where
            e = r.json()
            if path.startswith("/search") and r.status != 414:  # which comes before any route
                fits(e, SEARCH_ERROR)
                assert e["code"] == r.status, where
            else:
                fits(e, ERROR)
                assert e["status"] == r.status and re.match(r"^[A-Z_]+$", e["error"]), where
        return r

    def expect(self, status, method, path, value=None, shape=None, **kw):
        """The answer, which must have this status (or one of them) and shape; shape "": an empty body."""
        r = self.api(method, path, value, **kw)
        wanted = status if isinstance(status, tuple) else (status,)
        assert r.status in wanted, f"{method} {path[:100]}: {r} instead of {status}"
        if shape == "":
            assert r.body == b"", f"{method} {path}: {r} instead of no body"
        elif shape is not None:
            assert r.headers["Content-Type"].startswith("application/json"), r
            fits(r.json(), shape)
        return r

    # --- what cases need ---
    def repo(self, kind="file", **keys):
        name = self.name("repo")
        repo = {"type": kind, "storage": "default", **keys}
        self.expect(200, "PUT", f"/repositories/{name}", {"repo": repo})
        return name

    def upload(self, repo, path, data, token=None):
        r = self.raw("repo", "PUT", f"/{repo}/{path}", data,
                     {"Authorization": "Bearer " + (token or self.admin)})
        assert r.status in (200, 201), f"PUT /{repo}/{path}: {r}"

    def artifact(self, data=b"hello\n"):
        repo = self.repo()
        self.upload(repo, "a/b/file.txt", data)
        return repo, "a/b/file.txt"

    def role(self, permissions):
        name = self.name("role")
        self.expect(201, "PUT", f"/roles/{name}", {"permissions": permissions})
        return name

    def user(self, permissions=None):
        """(name, token) of a new user with these permissions."""
        name = self.name("user")
        roles = [self.role(permissions)] if permissions is not None else []
        self.expect(201, "PUT", f"/users/{name}", {"pass": PASSWORD, "roles": roles})
        r = self.expect(200, "POST", "/auth/token", {"name": name, "pass": PASSWORD}, as_=None)
        return name, r.json()["token"]

    def who(self, key, permissions=None):
        """The token of a user that cases share and do not change."""
        if key not in self.caches:
            self.caches[key] = self.user(permissions)[1]
        return self.caches[key]

    def nobody(self):
        return self.who("nobody")

    # --- routes ---
    def rows(self):
        """(METHOD, /path/{below}/api, operation) of what the server has."""
        for path, item in self.document["paths"].items():
            for method, operation in item.items():
                yield method.upper(), path[len(PREFIX):], operation

    def has(self, route):
        method = route.split(" ")[0]
        if route.split(" ")[1].startswith("/."):
            return route in self.special_routes()
        known = {plain(f"{m} {p}") for m, p, _ in self.rows()}
        return plain(route) in known or (method == "HEAD" and plain("GET " + route[5:]) in known)

    def special_routes(self):
        """Those of the repository port, which are not in routes.def: asked of the server itself."""
        if "specials" not in self.caches:
            found = {"GET /.health", "GET /.version"}
            r = self.raw("repo", "PUT", "/.import/none/x", b"", {"Authorization": "Bearer " + self.admin})
            if b"'.import'" not in r.body:  # "Repository '.import' not found"
                found |= {"PUT /.import/:repository/:path"}
            self.caches["specials"] = found
        return self.caches["specials"]


class Outcome:
    def __init__(self):
        self.passed, self.failures, self.missing, self.again = 0, [], {}, 0
        self.routes = set()
        self.bare = []     # rows without a case
        self.unseen = []   # "ROUTE: status" that is documented and that no case has met
        self.surprises = []  # "ROUTE: status" that is not documented

    def run(self, suite, route, what, function):
        """A case with a write whose outcome was unknown is run again, twice at most."""
        for attempt in range(3):
            before = suite.target.unknown
            try:
                function(suite)
            except Exception as e:  # pylint: disable=broad-except
                if suite.target.unknown > before and attempt < 2:
                    self.again += 1
                    continue
                at = traceback.extract_tb(e.__traceback__)
                line = next((f"{f.filename.rsplit('/', 1)[-1]}:{f.lineno}" for f in reversed(at)
                             if "cases" in f.filename or "generated" in f.filename), "")
                self.failures.append(f"{route}: {what}: {type(e).__name__} {e} ({line})"[:600])
                return
            self.passed += 1
            if suite.has(route):  # not the preflight of a path, nor a method that it has not
                self.routes.add(plain(route))
            return

    def compare(self, suite, unreachable):
        """What was answered with what openapi.json documents."""
        cased = {plain(route) for route, _, _ in CASES}
        for method, path, operation in suite.rows():
            route = f"{method} {path}"
            if plain(route) not in cased:
                self.bare.append(route)
            documented = {int(s) for s in operation["responses"] if s.isdigit()}
            seen = suite.statuses.get(route, set())
            self.unseen += [f"{route}: {s}" for s in sorted(documented - seen)
                            if not unreachable(plain(route), s)]
            if "2XX" not in operation["responses"]:
                self.surprises += [f"{route}: {s}" for s in sorted(seen - documented)]


def run_all(target, generated, expected, unreachable):
    """Every case of every route that the server has; returns the Outcome."""
    suite, outcome = Suite(target), Outcome()
    for route in expected:
        if not suite.has(route):
            outcome.missing.setdefault(route, 0)
    for route, what, function in CASES:
        if suite.has(route):
            outcome.run(suite, route, what, function)
        else:
            outcome.missing[route] = outcome.missing.get(route, 0) + 1
    for route, what, function in generated(suite):
        outcome.run(suite, route, what, function)
    outcome.compare(suite, unreachable)
    return outcome
