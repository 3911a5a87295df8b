# SPDX-License-Identifier: Apache-2.0
"""The fixtures of this folder's tests: fixtures.py."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from fixtures import (cluster, make_cluster, make_node, pytest_runtest_makereport,  # noqa: E402,F401
                      pytest_sessionstart, s3, s3_prefix, s3_proxy)
