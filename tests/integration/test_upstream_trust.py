# SPDX-License-Identifier: Apache-2.0
"""Whom this node believes and where it goes: a company's own authority for upstreams and OpenID providers,
and the addresses that a provider publishes."""
import json
import os
import subprocess

import pytest

from pantera import ROOT, Client, wait_until
from test_proxy import put_proxy
from upstream import Upstream

CALLBACK = "https://ui.example/callback"


@pytest.fixture(name="certs", scope="module")
def _certs(tmp_path_factory):
    """Two authorities, each with a certificate for 127.0.0.1."""
    out = []
    for name in ("ours", "theirs"):
        folder = str(tmp_path_factory.mktemp(name))
        subprocess.run([os.path.join(ROOT, "scripts/certs"), folder, "1"], check=True)
        out.append(folder)
    return out


def discovery(up, **more):
    """`up` is an OpenID provider: as much of one as a sign-in asks for before it is refused."""
    up.files[".well-known/openid-configuration"] = json.dumps({
        "issuer": up.url, "authorization_endpoint": up.url + "/authorize",
        "token_endpoint": up.url + "/token", "jwks_uri": up.url + "/keys", **more}).encode()
    return {"type": "oidc", "config": {"issuer": up.url, "client-id": "x", "client-secret": "secret-y",
                                       "callback-urls": [CALLBACK], "allow-http": True}}


def allowed(ask):
    """So many sign-ins from one address are too many: later, then."""
    return wait_until("a sign-in may begin", lambda: (r := ask()).status != 429 and r)


def begin(node):
    client = Client(node)
    return allowed(lambda: client.api("GET", f"/auth/providers/oidc/redirect?callback_url={CALLBACK}"))


def log_of(node):
    with open(node.log_path, "rb") as f:
        return f.read()


def test_a_private_authority(make_node, certs):
    ours, theirs = certs
    pair = (f"{ours}/node-1.pem", f"{ours}/node-1.key")
    up, wrong = (Upstream(address, pair) for address in ("127.0.0.1", "127.0.0.2"))
    try:
        up.files["x"] = wrong.files["x"] = b"x"
        for n, ca in enumerate((None, f"{theirs}/ca.pem", f"{ours}/ca.pem")):
            node = make_node(config={"http_client": {"ca_file": ca}} if ca else None)
            admin = node.admin()
            put_proxy(admin, "mirror", up.url)
            put_proxy(admin, "wrong", wrong.url)  # a good certificate of another host
            admin.must("POST", "/auth-providers", discovery(up))
            r, start = admin.repo("GET", "/mirror/x"), begin(node)
            if n < 2:
                assert r.status == 502 and b"certificate" in r.body, r
                assert start.status == 503, start
                assert not up.log
            else:
                assert (r.status, r.body) == (200, b"x")
                assert start.status == 200 and start.json()["url"].startswith(up.url + "/authorize"), start
            r = admin.repo("GET", "/wrong/x")
            assert r.status == 502 and b"certificate" in r.body, r
            assert not wrong.log
    finally:
        up.close()
        wrong.close()


def test_an_authority_that_is_none(make_node, tmp_path):
    (tmp_path / "empty.pem").write_text("no certificate\n")
    for name in ("missing.pem", "empty.pem"):
        path = str(tmp_path / name)
        node = make_node(config={"http_client": {"ca_file": path}}, start=False)
        node.start(wait=False)
        assert node.process.wait(20) == 2
        said, at = node.tail(), 0
        with open(os.path.join(node.dir, "pantera.yml"), encoding="utf-8") as f:
            at = next(i for i, line in enumerate(f, 1) if '"ca_file"' in line)
        assert f"pantera.yml:{at}: meta.http_client.ca_file: " in said and path in said, said


def test_where_a_provider_leads(make_node):
    """The issuer that was configured may be on this machine, also when no upstream may; what it publishes may
    be as near as it is, never a cloud's metadata service."""
    node = make_node(config={"http_client": {"allow_upstreams": []}})
    admin, up, near = node.admin(), Upstream(), Upstream("127.0.0.2")
    try:
        made = admin.must("POST", "/auth-providers", discovery(up, token_endpoint=near.url + "/token"))["id"]
        sign_in(node)
        assert near.count("token") == 1
        admin.must("DELETE", f"/auth-providers/{made}")
        for n, bad in enumerate(("http://169.254.169.254/latest", "http://[fd00:ec2::254]/latest",
                                 "http://100.100.100.200/latest", "http://[::ffff:169.254.169.254]/latest")):
            with_path = Upstream()  # another issuer, so that nothing is remembered of it
            try:
                asked = log_of(node).count(b"allow_upstreams")
                made = admin.must("POST", "/auth-providers", discovery(with_path, token_endpoint=bad))["id"]
                sign_in(node)
                wait_until("the reason is logged", lambda: log_of(node).count(b"allow_upstreams") > asked)
                admin.must("DELETE", f"/auth-providers/{made}")
            finally:
                with_path.close()
        config = discovery(up)
        config["config"]["issuer"] = "http://169.254.169.254"
        admin.must("POST", "/auth-providers", config)
        assert begin(node).status == 503
    finally:
        up.close()
        near.close()


def sign_in(node):
    """As far as the token endpoint, which gives nothing."""
    start = begin(node)
    assert start.status == 200, start
    body = {"code": "c", "provider": "oidc", "callback_url": CALLBACK, "state": start.json()["state"]}
    client = Client(node)
    r = allowed(lambda: client.api("POST", "/auth/callback", body))
    assert r.status == 401, r
