# SPDX-License-Identifier: Apache-2.0
"""The s3 blob store alone (tests/unit/storage/test_s3.c as a driver) against two real servers and some bad
ones. PANTERA_S3_DRIVER names another build of the driver."""
import hashlib
import http.server
import json
import os
import re
import shutil
import subprocess
import threading
import time
import urllib.error
import urllib.request

import pytest

from pantera import binary, figure
from relay import FaultProxy
from s3 import S3

MIB = 1 << 20
BIG = 1024 * MIB if os.environ.get("PANTERA_TEST_FULL") else 256 * MIB
DRIVER = os.environ.get("PANTERA_S3_DRIVER") or os.path.join(os.path.dirname(binary()), "tests/test_s3")


@pytest.fixture(scope="module", params=["moto", "strict"])
def server(request, tmp_path_factory):
    made = S3(tmp_path_factory.mktemp(request.param), request.param)
    yield made
    made.stop()


@pytest.fixture
def proxy(server):
    made = FaultProxy(server.port)
    yield made
    made.close()


class Line:
    """What the driver says of one command."""

    def __init__(self, text):
        self.text = text
        self.ok = text.startswith("OK ")
        self.error = None if self.ok else text.split()[1]
        self.values = dict(re.findall(r"(\w+)=(\S+)", text))
        self.ms = int(self.values.get("ms", 0))


def spawn(config, *command, env=None, **more):
    full = {**os.environ, "AWS_EC2_METADATA_DISABLED": "true", "S3_CONFIG": json.dumps(config),
            **(env or {})}
    return subprocess.Popen([DRIVER, *map(str, command)], env=full, stdout=subprocess.PIPE, **more)


def drive(config, *command, env=None):
    out, _ = spawn(config, *command, env=env).communicate(timeout=400)
    lines = [Line(x) for x in out.decode(errors="replace").splitlines()]
    return lines if len(lines) != 1 else lines[0]


def key():
    name = os.urandom(16).hex()
    return f"blobs/{name[:2]}/{name}"


def behind(server, proxy):
    return server.storage(endpoint=f"http://127.0.0.1:{proxy.port}")


def quick(server, proxy):
    """Limits that a test can wait for."""
    return {**behind(server, proxy),
            "http": {"stall-timeout": 1000, "retry-timeout": 4000, "connect-timeout": 1000}}


def digest(path):
    h = hashlib.sha256()
    with open(path, "rb") as f:
        for block in iter(lambda: f.read(MIB), b""):
            h.update(block)
    return h.hexdigest()


def test_roundtrip_of_every_size(server, tmp_path):
    """What was put comes back: empty, small, one part exactly, a byte more, unknown sizes, ranges."""
    config = server.storage(prefix="some/prefix")
    for size in (0, 1, 1000, 8 * MIB - 1, 8 * MIB, 8 * MIB + 1, 20 * MIB + 7):
        for known in (0, 1):
            k, out = key(), tmp_path / "out"
            put, got = drive(config, "put", k, size, known, ",", "get", k, size, 0, size, out)
            assert put.ok and got.ok, (size, put.text, got.text)
            assert put.values["sha256"] == got.values["sha256"] == digest(out)
            assert f"some/prefix/{k}" in server.keys("some")
    part = drive(config, "get", k, size, 9 * MIB, 1000, tmp_path / "part")
    assert part.ok
    assert (tmp_path / "part").read_bytes() == out.read_bytes()[9 * MIB:9 * MIB + 1000]


def test_delete_and_missing(server, tmp_path):
    k = key()
    lines = drive(server.storage(), "put", k, 10, 1, ",", "delete", k, ",", "delete", k, ",",
                  "get", k, 10, 0, 10, tmp_path / "out")
    assert [x.ok for x in lines] == [True, True, True, False]
    assert lines[3].error == "NOT_FOUND"


def test_a_key_is_never_replaced(server):
    """Both servers honour If-None-Match: *."""
    k = key()
    first, second = drive(server.storage(), "put", k, 10, 1, ",", "put", k, 11, 1)
    assert first.ok and second.error == "CONFLICT"


def test_wrong_secret_is_forbidden(server, tmp_path):
    config = server.storage()
    config["credentials"]["secretAccessKey"] = "wrong"
    lines = drive(config, "put", key(), 10, 1, ",", "get", key(), 10, 0, 10, tmp_path / "out", ",",
                  "delete", key())
    assert [x.error for x in lines] == ["FORBIDDEN"] * 3
    assert "wrong" not in " ".join(x.text for x in lines)


def test_unknown_bucket_is_not_a_missing_object(server, tmp_path):
    config = {**server.storage(), "bucket": "no-such-bucket"}
    line = drive(config, "get", key(), 10, 0, 10, tmp_path / "out")
    assert line.error in ("STORE_DOWN", "FORBIDDEN"), line.text


def test_presigned_url_gives_the_object_and_only_it(server):
    """Moto 5 answers 500 to presigned URLs in auth mode, so it only has to refuse the bad one."""
    k = key()
    put, signed = drive(server.storage(), "put", k, 1000, 1, ",", "presign", k)
    url = signed.text.split()[1]
    if server.kind == "strict":
        body = urllib.request.urlopen(url, timeout=10).read()
        assert hashlib.sha256(body).hexdigest() == put.values["sha256"]
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(url[:-4] + ("0000" if url[-4:] != "0000" else "1111"), timeout=10)


def test_abort_leaves_no_upload(server):
    line = drive(server.storage(), "abort", key(), 30 * MIB)
    assert line.ok
    body = server.get(f"/{server.bucket}", {"uploads": ""}).decode()
    assert "<UploadId>" not in body


def test_large_upload_in_bounded_memory(server, tmp_path):
    """Resident memory grows by less than 64 MiB whatever the size."""
    k, out = key(), tmp_path / "out"
    env = {"ASAN_OPTIONS": "quarantine_size_mb=1"}  # of a debug build; else freed memory is counted
    base = drive(server.storage(), "now", k, env=env)
    put, got = drive(server.storage(), "put", k, BIG, 1, ",", "get", k, BIG, 0, BIG, out, env=env)
    assert put.ok and got.ok, (put.text, got.text)
    assert put.values["sha256"] == digest(out)
    grown = int(got.values["hwm_kib"]) - int(base.values["hwm_kib"])
    figure(f"s3 {server.kind}: {BIG // MIB} MiB up in {put.ms} ms, down in {got.ms} ms, "
           f"grown by {grown / 1024:.1f} MiB to {int(got.values['hwm_kib']) / 1024:.1f} MiB")
    assert grown < 64 * 1024


# --- servers that misbehave ---


def test_server_answers_500_then_recovers(server, proxy):
    proxy.set_mode("error")
    p = spawn(quick(server, proxy), "put", key(), 1000, 1)
    wait_for(lambda: proxy.requests >= 1)
    proxy.set_mode("pass")
    line = Line(p.communicate(timeout=60)[0].decode())
    assert line.ok, line.text


@pytest.mark.parametrize("mode", ["error", "hang", "dead"])
def test_server_down_is_told_in_bounded_time(server, proxy, mode, tmp_path):
    """500 for ever, accepts and never answers, refuses: STORE_DOWN, for all three operations."""
    proxy.set_mode(mode)
    lines = drive(quick(server, proxy), "put", key(), 1000, 1, ",", "get", key(), 10, 0, 10,
                  tmp_path / "out", ",", "delete", key(), ",", "put", key(), 20 * MIB, 0)
    assert [x.error for x in lines] == ["STORE_DOWN"] * 4, [x.text for x in lines]
    assert max(x.ms for x in lines) < 8000
    figure(f"s3 {server.kind}: {mode}: told after {[x.ms for x in lines]} ms")


@pytest.mark.parametrize("mode", ["dead", "hang"])
def test_server_lost_in_the_middle_of_an_upload(server, proxy, mode):
    p = spawn(quick(server, proxy), "put", key(), 512 * MIB, 1)
    wait_for(lambda: "<UploadId>" in server.get(f"/{server.bucket}", {"uploads": ""}).decode())
    proxy.set_mode(mode)
    start = time.monotonic()
    line = Line(p.communicate(timeout=60)[0].decode())
    assert line.error == "STORE_DOWN", line.text
    assert time.monotonic() - start < 12


def test_interrupted_transfers_go_on(server, proxy, tmp_path):
    """Connections are cut again and again; the transfer resumes and the bytes are right."""
    k, out, size = key(), tmp_path / "out", 128 * MIB
    config = behind(server, proxy)
    put = drive(server.storage(), "put", k, size, 1)
    for command in (("get", k, size, 0, size, out), ("put", key(), size, 1)):
        p = spawn(config, *command)
        cuts = 0
        while p.poll() is None and cuts < 4:
            time.sleep(0.08)
            proxy.drop_connections()
            cuts += 1
        line = Line(p.communicate(timeout=120)[0].decode())
        assert line.ok and line.values["sha256"] == put.values["sha256"], line.text
        assert cuts >= 1
    assert digest(out) == put.values["sha256"]


# --- the disk cache ---


def test_cache_serves_the_second_read_as_a_file(server, tmp_path):
    k, other, out = key(), key(), tmp_path / "out"
    env = {"S3_CACHE": str(tmp_path / "cache"), "S3_CACHE_BYTES": str(4 * MIB)}
    size = 3 * MIB
    lines = drive(server.storage(), "put", k, size, 1, ",", "now", k, ",",
                  "get", k, size, 5, 10, out, ",", "get", k, size, 0, size, out, ",",
                  "get", k, size, 7, size - 7, out, ",", "now", k, ",",
                  "put", other, size, 1, ",", "get", other, size, 0, size, out, ",", "now", k, ",",
                  "now", other, env=env)
    put, now0, part, whole, again, now1, _, _, now2, now3 = lines
    assert now0.values["size"] == "-1"
    assert part.values["by"] == "stream" and whole.values["by"] == "stream"
    assert again.ok and again.values["by"] == "file"
    assert whole.values["sha256"] == put.values["sha256"]
    assert now1.values["size"] == str(size)
    assert now2.values["size"] == "-1" and now3.values["size"] == str(size)  # evicted, kept
    # the next process finds it, and deleting takes it out
    lines = drive(server.storage(), "delete", key(), ",", "now", other, ",", "delete", other, ",",
                  "now", other, env=env)
    assert [x.values.get("size") for x in lines] == [None, str(size), None, "-1"]


def test_a_full_cache_disk_is_nobodys_trouble(server, tmp_path):
    k, out = key(), tmp_path / "out"
    env = {"S3_CACHE": str(tmp_path / "cache"), "S3_CACHE_BYTES": str(100 * MIB),
           "PANTERA_FAULTS": "cache.write=ENOSPC:2+"}
    lines = drive(server.storage(), "put", k, 3 * MIB, 1, ",", "get", k, 3 * MIB, 0, 3 * MIB, out, ",",
                  "now", k, env=env)
    assert lines[1].ok and lines[1].values["sha256"] == lines[0].values["sha256"]
    assert lines[2].values["size"] == "-1"
    assert os.listdir(tmp_path / "cache") == []


# --- where keys come from ---


class Fake(http.server.ThreadingHTTPServer):
    """IMDSv2 and STS: gives the server's real keys, counts who asked."""

    def __init__(self, server, lifetime_s=3600):
        self.keys = server.values
        self.lifetime_s = lifetime_s
        self.asked = []
        super().__init__(("127.0.0.1", 0), FakeHandler)
        threading.Thread(target=self.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def expiration(self):
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + self.lifetime_s))


class FakeHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, text):
        self.server.asked.append((self.command, self.path))
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def do_PUT(self):
        good = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds")
        self.answer(200 if good else 400, "the-session-token")

    def do_GET(self):
        if self.headers.get("X-aws-ec2-metadata-token") != "the-session-token":
            self.answer(401, "")
        elif self.path == "/latest/meta-data/iam/security-credentials/":
            self.answer(200, "a-role")
        elif self.path == "/latest/meta-data/iam/security-credentials/a-role":
            self.answer(200, json.dumps({
                "Code": "Success", "AccessKeyId": self.server.keys["S3_ACCESS_KEY"],
                "SecretAccessKey": self.server.keys["S3_SECRET_KEY"], "Token": "",
                "Expiration": self.server.expiration()}))
        else:
            self.answer(404, "")

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        good = "Action=AssumeRoleWithWebIdentity" in body and "WebIdentityToken=a.web%2Ftoken" in body \
            and "RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr" in body
        self.answer(200 if good else 403,
                    "<R><Credentials><AccessKeyId>%s</AccessKeyId><SecretAccessKey>%s</SecretAccessKey>"
                    "<SessionToken></SessionToken><Expiration>%s</Expiration></Credentials></R>" % (
                        self.server.keys["S3_ACCESS_KEY"], self.server.keys["S3_SECRET_KEY"],
                        self.server.expiration()))


@pytest.fixture
def fake(server):
    made = Fake(server)
    yield made
    made.shutdown()
    made.server_close()


def without_keys(server, kind=None, **more):
    config = server.storage()
    del config["credentials"]
    if kind:
        config["credentials"] = {"type": kind, **more}
    return config


def clean_env(**more):
    env = {name: "" for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
                                 "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_PROFILE")}
    return {**env, "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent", **more}


def test_keys_from_the_environment(server):
    env = clean_env(AWS_ACCESS_KEY_ID=server.values["S3_ACCESS_KEY"],
                    AWS_SECRET_ACCESS_KEY=server.values["S3_SECRET_KEY"])
    assert drive(without_keys(server), "put", key(), 10, 1, env=env).ok


def test_keys_from_the_shared_file(server, tmp_path):
    file = tmp_path / "credentials"
    file.write_text("[default]\naws_access_key_id = x\naws_secret_access_key = y\n# a comment\n\n"
                    "[ other ]\naws_access_key_id=%s\n  aws_secret_access_key = %s \n" % (
                        server.values["S3_ACCESS_KEY"], server.values["S3_SECRET_KEY"]))
    env = clean_env(AWS_SHARED_CREDENTIALS_FILE=str(file))
    assert drive(without_keys(server, "profile", profile="other"), "put", key(), 10, 1, env=env).ok
    assert drive(without_keys(server), "put", key(), 10, 1, env={**env, "AWS_PROFILE": "other"}).ok
    # versitygw answers 404 XAdminUserNotFound to an unknown key: that must not become NOT_FOUND
    wrong = "FORBIDDEN" if server.kind == "moto" else "STORE_DOWN"
    assert drive(without_keys(server), "put", key(), 10, 1, env=env).error == wrong
    line = drive(without_keys(server, "profile", profile="none"), "put", key(), 10, 1, env=env)
    assert line.error == "FORBIDDEN" and "profile" in line.text


def test_keys_from_imds(server, fake):
    env = clean_env(AWS_EC2_METADATA_SERVICE_ENDPOINT=fake.url + "/", AWS_EC2_METADATA_DISABLED="")
    for config in (without_keys(server), without_keys(server, "imds")):
        lines = drive(config, "put", key(), 10, 1, ",", "put", key(), 10, 1, env=env)
        assert all(x.ok for x in lines), lines[0].text
    assert len(fake.asked) == 6  # token, role, keys; once for both puts


def test_keys_from_web_identity(server, fake, tmp_path):
    file = tmp_path / "token"
    file.write_text("a.web/token\n")
    env = clean_env(AWS_ROLE_ARN="arn:aws:iam::1:role/r", AWS_WEB_IDENTITY_TOKEN_FILE=str(file),
                    AWS_ENDPOINT_URL_STS=fake.url)
    for config in (without_keys(server), without_keys(server, "web-identity")):
        assert drive(config, "put", key(), 10, 1, env=env).ok
    file.write_text("another")
    assert drive(without_keys(server), "put", key(), 10, 1, env=env).error == "FORBIDDEN"


def test_keys_are_renewed_before_they_expire(server, fake):
    """With less than five minutes left, each use asks again, and waits only for keys that have ended."""
    env = clean_env(AWS_EC2_METADATA_SERVICE_ENDPOINT=fake.url, AWS_EC2_METADATA_DISABLED="")
    fake.lifetime_s = 60
    command = ["put", key(), 10, 1]
    for _ in range(3):
        command += [",", "put", key(), MIB, 1]
    assert all(x.ok for x in drive(without_keys(server), *command, env=env))
    assert len(fake.asked) > 3
    fake.asked.clear()
    fake.lifetime_s = -10
    assert drive(without_keys(server), "put", key(), 10, 1, env=env).error == "FORBIDDEN"


def test_no_keys_anywhere_says_so(server):
    line = drive(without_keys(server), "put", key(), 10, 1, env=clean_env())
    assert line.error == "FORBIDDEN" and "credentials" in line.text


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)
