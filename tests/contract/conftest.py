# SPDX-License-Identifier: Apache-2.0
"""The fixtures of tests/integration, for this folder's tests too."""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "integration")]

from fixtures import (cluster, make_cluster, make_node, pytest_runtest_makereport,  # noqa: E402,F401
                      pytest_sessionstart)
