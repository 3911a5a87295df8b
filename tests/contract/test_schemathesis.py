# SPDX-License-Identifier: Apache-2.0
"""The running server against its own openapi.json, by schemathesis: what is generated from the schemas (good
and bad) must be answered as documented. What is left out, and why: README.md."""
import os
import re
import subprocess

import pytest

from pantera import FULL, ROOT, figure

TOOL = os.path.join(os.environ.get("PANTERA_TOOLS", os.path.join(ROOT, "build/tools")),
                    "schemathesis/bin/schemathesis")
CHECKS = ("not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
          "response_schema_conformance,negative_data_rejection,missing_required_header,unsupported_method,"
          "allow_header_conformance")
# What would take the cluster of one apart while the others are tested.
EXCLUDED = ["cluster_members_post", "cluster_members_delete", "cluster_transfer_post"]


def test_server_is_as_its_openapi_says(make_node):
    """Every operation: documented statuses, content types and shapes, no 5xx but a documented 503."""
    if not os.access(TOOL, os.X_OK):
        pytest.fail("schemathesis is not installed: scripts/contract does it")
    node = make_node()
    admin = node.admin()
    command = [TOOL, "run", f"http://127.0.0.1:{node.api_port}/api/v1/openapi.json", "--checks", CHECKS,
               "--header", f"Authorization: {admin.authorization}",
               "--phases", "examples,coverage,fuzzing" + (",stateful" if FULL else ""), "--no-color",
               "--max-examples", "100" if FULL else "4", "--seed", os.environ.get("PANTERA_SEED", "1"),
               "--max-time", "900" if FULL else "45", "--request-timeout", "20", "--no-shrink",
               "--suppress-health-check", "all", "--warnings", "off", "--continue-on-failure"]
    for name in EXCLUDED:
        command += ["--exclude-operation-id", name]
    config = os.path.join(os.path.dirname(os.path.abspath(__file__)), "schemathesis.toml")
    run = subprocess.run(command[:1] + ["--config-file", config] + command[1:], cwd=node.dir, check=False,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=1200)
    with open(os.path.join(node.dir, "schemathesis.log"), "w", encoding="utf-8") as f:
        f.write(run.stdout)
    assert node.alive(), "the server died"
    for line in re.findall(r"^.*(?:generated|operations?).*$", run.stdout, re.M)[-4:]:
        figure("schemathesis: " + line.strip())
    assert run.returncode == 0, run.stdout[-20000:]
