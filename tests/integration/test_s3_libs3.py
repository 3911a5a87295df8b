# SPDX-License-Identifier: Apache-2.0
"""An independent client, libs3 (Debian's, signature V2), reads what we wrote and the other way round, on a
server that verifies both signature versions (Swift's s3api)."""
import hashlib
import os
import re
import subprocess

import pytest

from pantera import ROOT
from s3 import S3
from test_s3 import MIB, drive, key


class Swift(S3):
    def run(self, command):
        script = os.path.join(ROOT, "scripts/s3-swift")
        return subprocess.run([script, command, self.dir], check=True,
                              stdout=subprocess.PIPE).stdout.decode()


@pytest.fixture(scope="module")
def swift(tmp_path_factory):
    made = Swift(tmp_path_factory.mktemp("swift"), "swift")
    yield made
    made.stop()


def libs3(swift, *command, secret=None):
    env = {**os.environ, "S3_ACCESS_KEY_ID": swift.values["S3_ACCESS_KEY"],
           "S3_SECRET_ACCESS_KEY": secret or swift.values["S3_SECRET_KEY"],
           "S3_HOSTNAME": f"127.0.0.1:{swift.port}"}
    out = subprocess.run(["s3", "-u", "-r", "0", *map(str, command)], env=env, timeout=60,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout
    return re.findall(rb"ERROR: (\w+)", out)  # its exit code is 0 either way


@pytest.mark.parametrize("size", [0, 1000, 8 * MIB, 20 * MIB + 1])
def test_libs3_reads_what_we_wrote(swift, tmp_path, size):
    """Single PUTs (without conditional writes: Swift answers 501 and we go on) and multipart."""
    k, out = key(), tmp_path / "out"
    put = drive(swift.storage(), "put", k, size, 0)
    assert put.ok, put.text
    assert libs3(swift, "get", f"pantera/{k}", f"filename={out}") == []
    assert hashlib.sha256(out.read_bytes()).hexdigest() == put.values["sha256"]


def test_we_read_what_libs3_wrote(swift, tmp_path):
    k, data = key(), os.urandom(3 * MIB + 5)
    (tmp_path / "in").write_bytes(data)
    assert libs3(swift, "put", f"pantera/{k}", f"filename={tmp_path / 'in'}") == []
    out = tmp_path / "out"
    got, part, gone, missing = drive(
        swift.storage(), "get", k, len(data), 0, len(data), out, ",",
        "get", k, len(data), 1000, 10, tmp_path / "part", ",", "delete", k, ",",
        "get", k, len(data), 0, len(data), tmp_path / "none")
    assert got.ok and out.read_bytes() == data
    assert part.ok and (tmp_path / "part").read_bytes() == data[1000:1010]
    assert gone.ok and missing.error == "NOT_FOUND"
    assert libs3(swift, "head", f"pantera/{k}") == [b"HttpErrorNotFound"]


def test_swift_verifies_both_signatures(swift):
    k = key()
    assert drive(swift.storage(), "put", k, 10, 1).ok
    config = swift.storage()
    config["credentials"]["secretAccessKey"] = "wrong"
    assert drive(config, "put", key(), 10, 1).error == "FORBIDDEN"
    assert libs3(swift, "head", f"pantera/{k}") == []
    assert libs3(swift, "head", f"pantera/{k}", secret="wrong") == [b"HttpErrorForbidden"]
