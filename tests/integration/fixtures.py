# SPDX-License-Identifier: Apache-2.0
"""Fixtures: nodes, clusters and S3 servers that end with their test, whatever became of it. For the
conftest.py of this folder and of chaos/."""
import os
import uuid

import pytest

from pantera import Cluster, Node, binary
from relay import FaultProxy
from s3 import S3


def pytest_sessionstart(session):
    if not os.access(binary(), os.X_OK):
        pytest.exit(f"{binary()} is not there: scripts/build", 2)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """What the nodes said last belongs to a failure's report."""
    outcome = yield
    report = outcome.get_result()
    if report.when == "call" and report.failed:
        for node in getattr(item, "pantera_nodes", []):
            if os.path.exists(node.log_path):
                report.sections.append((f"log of node {node.id}", node.tail(25)))


@pytest.fixture
def make_node(request, tmp_path):
    """make_node(config=..., env=...): a single node, started."""
    nodes = request.node.pantera_nodes = getattr(request.node, "pantera_nodes", [])
    made = []

    def make(config=None, env=None, start=True):
        node = Node(str(tmp_path / f"single-{len(made)}"), 1, config, env)
        made.append(node)
        nodes.append(node)
        return node.start() if start else node

    yield make
    for node in made:
        if node.alive():
            node.resume()
            node.process.terminate()
            try:
                node.process.wait(10)
            except Exception:  # pylint: disable=broad-except
                node.kill()


@pytest.fixture
def make_cluster(request, tmp_path):
    """make_cluster(storage="fs" or a dict, config=...): three nodes, started."""
    nodes = request.node.pantera_nodes = getattr(request.node, "pantera_nodes", [])
    made = []

    def make(storage="fs", config=None):
        cluster = Cluster(tmp_path / f"cluster-{len(made)}", storage, config)
        made.append(cluster)
        nodes.extend(cluster.nodes)
        return cluster.start()

    yield make
    for cluster in made:
        cluster.stop()


@pytest.fixture
def cluster(make_cluster):
    return make_cluster()


@pytest.fixture(scope="session")
def s3(tmp_path_factory):
    server = S3(tmp_path_factory.mktemp("s3"))
    yield server
    server.stop()


@pytest.fixture
def s3_prefix():
    return f"t-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def s3_proxy(s3):
    proxy = FaultProxy(s3.port)
    yield proxy
    proxy.close()
