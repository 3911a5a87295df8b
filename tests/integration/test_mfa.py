# SPDX-License-Identifier: Apache-2.0
"""Second factors of local users, on a cluster of three: a code, and a backup code, passes once in all of
it."""
import base64
import concurrent.futures
import hmac
import os
import struct
import time
import urllib.parse

import pytest

from pantera import Client, Cluster, wait_until

PASSWORD = "Second-Factor-Test-1!"


def totp(secret, step):
    """RFC 6238 with RFC 4226's truncation; an independent implementation."""
    mac = hmac.digest(base64.b32decode(secret), struct.pack(">Q", step), "sha1")
    return f"{(struct.unpack_from('>I', mac, mac[19] & 15)[0] & 0x7fffffff) % 1000000:06}"


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    cluster = Cluster(tmp_path_factory.mktemp("mfa"))
    try:
        yield cluster.start().nodes
    finally:
        cluster.stop()


@pytest.fixture(scope="module")
def admin(nodes):
    return nodes[0].admin()


@pytest.fixture(autouse=True)
def logs(request, nodes):
    request.node.pantera_nodes = nodes


class Person:
    """A local user with a second factor. Steps only go up: each code that is given out is a new one."""

    def __init__(self, admin, nodes, name, confirm=True):
        self.nodes, self.name = nodes, name
        admin.put_user(name, PASSWORD)
        self.session = Client(nodes[0]).login(name, PASSWORD)
        self.secret = self.session.must("POST", "/auth/mfa/enrol", {"password": PASSWORD})["secret"]
        self.step = int(time.time()) // 30 - 2  # the clock is allowed to be one step off: three codes
        self.backup = None
        if confirm:
            r = self.session.at(nodes[1]).must("POST", "/auth/mfa/confirm", {"mfa_code": self.code()})
            self.backup = r["backup_codes"]

    def code(self):
        wait_until("no step ends just now", lambda: time.time() % 30 < 28)
        self.step = max(self.step + 1, int(time.time()) // 30 - 1)
        return totp(self.secret, self.step)

    def wrong(self):
        now = int(time.time()) // 30
        right = {totp(self.secret, s) for s in range(now - 2, now + 3)}
        return next(c for c in ("000000", "111111", "222222", "333333", "444444", "555555") if c not in right)

    def sign_in(self, node, code=None):
        body = {"name": self.name, "pass": PASSWORD}
        return Client(node).api("POST", "/auth/token", {**body, "mfa_code": code} if code else body)


def test_enrol(admin, nodes):
    """From the otpauth address to the first sign-in, each step on another node; what it takes to begin and
    end."""
    admin.put_user("ann", PASSWORD)
    session = Client(nodes[0]).login("ann", PASSWORD)
    status = session.must("GET", "/auth/mfa")
    assert status == {"enabled": False, "pending": False, "backup_codes_remaining": 0}
    assert session.api("POST", "/auth/mfa/enrol", {}).status == 400
    assert session.api("POST", "/auth/mfa/enrol", {"password": "wrong"}).status == 401
    assert session.api("POST", "/auth/mfa/confirm", {"mfa_code": "123456"}).status == 404
    assert session.api("POST", "/auth/mfa/disable", {"password": PASSWORD}).status == 404
    ann = Person(admin, nodes, "ann", confirm=False)
    session = ann.session
    url = session.must("POST", "/auth/mfa/enrol", {"password": PASSWORD})["otpauth_url"]
    url = urllib.parse.urlsplit(url)
    assert (url.scheme, url.netloc, url.path) == ("otpauth", "totp", "/Pantera:ann")
    ann.secret = dict(urllib.parse.parse_qsl(url.query))["secret"]  # enrolling again replaces what was begun
    assert len(base64.b32decode(ann.secret)) == 20
    assert session.must("GET", "/auth/mfa")["pending"]
    assert ann.sign_in(nodes[2]).status == 200, "not before it is confirmed"
    assert session.api("POST", "/auth/mfa/confirm", {"mfa_code": ann.wrong()}).status == 400
    api_token = session.must("POST", "/auth/token/generate", {"label": "x"})["token"]
    first = ann.code()
    codes = session.at(nodes[1]).must("POST", "/auth/mfa/confirm", {"mfa_code": first})["backup_codes"]
    assert len(codes) == len(set(codes)) == 10
    for node in nodes:
        r = ann.sign_in(node)
        assert (r.status, r.json()["message"]) == (401, "mfa_code required")
        r = Client(node, "ann", PASSWORD).api("GET", "/auth/me")
        assert r.status == 401, "a password alone is not enough"
        assert ann.sign_in(node, first).status == 401, "the code that confirmed is spent"
        assert session.at(node).must("GET", "/auth/mfa")["backup_codes_remaining"] == 10
    assert session.api("POST", "/auth/mfa/enrol", {"password": PASSWORD}).status == 409
    for path in ("enrol", "confirm", "disable", "backup-codes"):
        r = Client(nodes[1], token=api_token).api("POST", f"/auth/mfa/{path}",
                                                  {"password": PASSWORD, "mfa_code": "123456"})
        assert r.status in (403, 409), (path, r)
    r = ann.sign_in(nodes[2], ann.code())
    assert r.status == 200
    assert Client(nodes[0], token=r.json()["token"]).must("GET", "/auth/me")["name"] == "ann"
    assert session.api("POST", "/auth/mfa/disable", {"password": PASSWORD}).status == 401
    session.must("POST", "/auth/mfa/disable", {"password": PASSWORD, "mfa_code": codes[0]})
    for node in nodes:
        assert ann.sign_in(node).status == 200


def test_no_replay(admin, nodes):
    """Of one code given to all nodes at the same time exactly one passes, and afterwards none on any node."""
    bob = Person(admin, nodes, "bob")
    code = bob.code()
    with concurrent.futures.ThreadPoolExecutor(9) as pool:
        answers = list(pool.map(lambda n: bob.sign_in(n, code).status, nodes * 3))
    assert sorted(answers) == [200] + [401] * 8, answers
    for node in nodes:
        r = bob.sign_in(node, code)
        assert (r.status, r.json()["message"]) == (401, "mfa_code is wrong or was used")
    assert bob.sign_in(nodes[0], bob.code()).status == 200, "the next one does"
    assert bob.sign_in(nodes[1], code).status == 401, "and an older one never again"


def test_backup_codes(admin, nodes):
    """Each passes once, however it is written; new ones end the old ones; what is left is told."""
    cleo = Person(admin, nodes, "cleo")
    code = cleo.backup[0]
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda n: cleo.sign_in(n, code).status, nodes * 2))
    assert sorted(answers) == [200] + [401] * 5, answers
    assert cleo.sign_in(nodes[1], cleo.backup[1].upper().replace("-", " ")).status == 200
    for node in nodes:
        assert cleo.session.at(node).must("GET", "/auth/mfa")["backup_codes_remaining"] == 8
    assert cleo.session.api("POST", "/auth/mfa/backup-codes", {"password": PASSWORD}).status == 401
    new = cleo.session.must("POST", "/auth/mfa/backup-codes",
                            {"password": PASSWORD, "mfa_code": cleo.backup[2]})
    assert cleo.sign_in(nodes[2], cleo.backup[3]).status == 401
    assert cleo.sign_in(nodes[2], new["backup_codes"][0]).status == 200


def test_guessing(admin, nodes):
    """Ten wrong codes a minute and no more, with Retry-After; the right password does not buy another
    try, and elsewhere nobody suffers."""
    dan, eve = Person(admin, nodes, "dan"), Person(admin, nodes, "eve")
    answers = [dan.sign_in(nodes[0], dan.wrong()) for _ in range(15)]
    assert [r.status for r in answers[:9]] == [401] * 9
    assert answers[-1].status == 429 and int(answers[-1].headers["Retry-After"]) > 0
    assert dan.sign_in(nodes[0], dan.code()).status == 429, "not even the right one"
    assert eve.sign_in(nodes[0], eve.code()).status == 200


def test_reset(admin, nodes):
    """An administrator takes a lost factor away, not his own; a new user of an old name has none."""
    fay = Person(admin, nodes, "fay")
    assert fay.session.api("DELETE", "/users/fay/mfa").status == 403
    assert admin.api("DELETE", "/users/admin/mfa").status == 403
    admin.at(nodes[1]).must("DELETE", "/users/fay/mfa")
    for node in nodes:
        assert fay.sign_in(node).status == 200
    assert admin.api("DELETE", "/users/fay/mfa").status == 404
    assert admin.api("DELETE", "/users/nobody/mfa").status == 404
    gus = Person(admin, nodes, "gus")
    admin.must("DELETE", "/users/gus")
    admin.put_user("gus", PASSWORD)
    assert gus.sign_in(nodes[2]).status == 200


def files(folder):
    return [os.path.join(at, n) for at, _, names in os.walk(folder) for n in names]


def test_nothing_in_clear(admin, nodes):
    """Neither secret nor backup codes in an audit answer, nor on any node's disk."""
    hal = Person(admin, nodes, "halvard")
    secret = base64.b32decode(hal.secret)
    r = admin.api("GET", "/audit?size=100")
    assert r.status == 200 and hal.secret.encode() not in r.body
    seen = 0
    for node in nodes:
        for path in files(node.dir):
            with open(path, "rb") as f:
                data = f.read()
            seen += b"halvard" in data
            for text in (secret, hal.secret.encode(), secret.hex().encode(), base64.b64encode(secret),
                         hal.backup[0].encode(), hal.backup[0].replace("-", "").encode()):
                assert text not in data, path
    assert seen >= 3
