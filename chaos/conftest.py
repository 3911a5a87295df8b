# SPDX-License-Identifier: Apache-2.0
"""The chaos runs use the integration tests' nodes, clusters and relays."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                                "tests", "integration"))

from fixtures import (make_cluster, pytest_runtest_makereport, pytest_sessionstart,  # noqa: E402,F401
                      s3, s3_prefix, s3_proxy)
