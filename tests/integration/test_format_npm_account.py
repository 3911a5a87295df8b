# SPDX-License-Identifier: Apache-2.0
"""What npm does with an account, on three nodes with each request on another: login with a one-time password,
tokens, profile; owners, which there are none of."""
import json
import re

import pytest

from npm_clients import Home
from pantera import Client
from spread import Spread
from test_format_npm import put_npm, typed
from test_mfa import PASSWORD, Person

NEW = "Another-Password-Of-Pat-2!"
ENTER = [("sername:", "pat"), ("assword:", PASSWORD)]


@pytest.fixture
def front(cluster):
    s = Spread(cluster.nodes)
    yield s
    s.close()


def token_in(said):
    return re.search(r"ey[\w-]+\.[\w-]+\.[\w-]+", said).group()


def login(home, pat):
    status, said = typed(home, "login", "--auth-type=legacy", answers=[*ENTER, ("OTP:", "000000")])
    assert status != 0 and "one-time" in said, said
    status, said = typed(home, "login", "--auth-type=legacy", answers=[*ENTER, ("OTP:", pat.code())])
    assert status == 0 and "OTP" in said, said
    assert home.npm("whoami").stdout.strip() == "pat"


def tokens(home, pat, nodes):
    """One is made, used, revoked by the beginning of its id: gone from every node at once."""
    status, said = typed(home, "token", "create", "--json", "--name", "for the build",
                         answers=[("assword:", PASSWORD), ("OTP:", pat.code())])
    assert status == 0, said
    made = Client(nodes[2])
    made.authorization = "Bearer " + token_in(said)
    assert made.get("/npm/-/whoami").json() == {"username": "pat"}
    listed = json.loads(home.npm("token", "list", "--json").stdout)
    assert len(listed) == 2 and all(not t["readonly"] and t["created"].endswith("Z") for t in listed), listed
    key = next(t["key"] for t in listed if t["name"] != "npm login")
    assert key[:8] in home.npm("token", "list").stdout
    assert "Removed 1 token" in home.npm("token", "revoke", key[:8]).stdout
    for node in nodes:
        assert made.at(node).repo("GET", "/npm/-/whoami").status == 401
    assert len(json.loads(home.npm("token", "list", "--json").stdout)) == 1
    assert "Unknown token" in home.npm("token", "revoke", key[:8], ok=False).said
    status, said = typed(home, "token", "create", "--cidr=10.0.0.0/8", answers=[("assword:", PASSWORD)])
    assert status != 0 and "can't be limited by 'cidr_whitelist'" in said, said


def profile(home, node):
    seen = json.loads(home.npm("profile", "get", "--json").stdout)
    assert seen["name"] == "pat" and seen["tfa"] == {"pending": False, "mode": "auth-only"}, seen
    assert "auth-only" in home.npm("profile", "get").stdout
    said = home.npm("profile", "set", "email", "pat@example.com", ok=False).said
    assert "'email' of a profile can't be changed here" in said, said
    change = [("Current password:", "wrong"), ("New password:", NEW), ("Again:", NEW)]
    status, said = typed(home, "profile", "set", "password", answers=change)
    assert status != 0 and "Invalid old password" in said, said
    status, said = typed(home, "profile", "set", "password", answers=[(change[0][0], PASSWORD), *change[1:]])
    assert status == 0, said
    r = Client(node).api("POST", "/auth/token", {"name": "pat", "pass": NEW})
    assert r.status == 401 and "mfa_code" in r.body.decode(), r # the password was right


def test_account(cluster, front):
    admin = cluster.node(1).admin()
    put_npm(admin)
    admin.put_role("writers", {"adapter_basic_permissions": {"npm": ["read", "write"]}})
    pat = Person(admin, cluster.nodes, "pat")
    admin.put_user("pat", PASSWORD, roles=["writers"])
    home = Home(cluster.dir + "/home", f"http://127.0.0.1:{front.port}/npm")
    login(home, pat)
    tokens(home, pat, cluster.nodes)
    profile(home, cluster.node(3))
    home.npm("publish", cwd=home.package("a", "1.0.0"))
    assert home.npm("owner", "ls", "a").stdout.strip() == "pat <>"
    said = home.npm("owner", "add", "admin", "a", ok=False).said
    assert "packages have no owners here" in said, said
    assert all(n >= 5 for n in front.counts.values()), front.counts
