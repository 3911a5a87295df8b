# SPDX-License-Identifier: Apache-2.0
"""Seed 000's contract, every route, success and every documented error: on one node, on any node of three,
and while one of the three is being restarted. Prints routes x cases."""
import os
import threading

import cases_identity  # noqa: F401  (registers its cases)
import cases_operation  # noqa: F401
import cases_pypi  # noqa: F401
import cases_resources  # noqa: F401
from generated import generated
from pantera import FULL, figure
from seed import COMING, required, unreachable
from suite import Any, Restarting, run_all

SEED = int(os.environ.get("PANTERA_SEED", "20260322"))


def run(target):
    return run_all(target, generated, required(), unreachable)


def judge(name, target, outcome, complete=True):
    """`complete`: every documented status must have been met."""
    figure(f"contract, {name}: {len(outcome.routes)} routes x {outcome.passed} cases passed, "
           f"{len(outcome.failures)} failed, {len(outcome.missing)} routes to come "
           f"({sum(outcome.missing.values())} cases wait), {target.requests} requests")
    problems = [f"FAILED {failure}" for failure in outcome.failures]
    problems += [f"required and not served: {r}" for r in sorted(outcome.missing) if r not in COMING]
    problems += [f"served, but without a case: {r}" for r in outcome.bare]
    problems += [f"answered, but not documented: {r}" for r in outcome.surprises]
    if complete:
        problems += [f"documented, but never met: {r}" for r in outcome.unseen]
    for route in COMING:
        if route not in outcome.missing:
            print(f"  served by now, take it out of seed.py's COMING: {route}")
    for problem in problems:
        print(f"  {problem}")
    assert not problems, f"{len(problems)} problems, see above"


def test_one_node(make_node):
    """Every route's cases against a single node; every documented status is met, no other."""
    target = Any([make_node()], SEED)
    judge("one node", target, run(target))


def test_any_node(make_cluster):
    """The same with every request sent to a random node of three: what one acknowledged, all know."""
    target = Any(make_cluster().nodes, SEED)
    judge(f"any of three nodes, seed {SEED}", target, run(target))


def restart_loop(target, nodes, stop, counts, failures):
    """One node after the other, stopped with SIGTERM or killed, in turn; the next when all are current."""
    try:
        while not stop.is_set():
            node = nodes[sum(counts.values()) % len(nodes)]
            target.goes_down(node)
            if counts["stopped"] > counts["killed"]:
                node.kill()
                counts["killed"] += 1
            else:
                node.stop()
                counts["stopped"] += 1
            node.start()
            target.is_up(node)
            for n in nodes:
                n.wait_ready()
            stop.wait(0.5)
    except BaseException as e:  # pylint: disable=broad-except
        failures.append(e)


def test_while_one_node_restarts(make_cluster):
    """The same while one node at a time is being restarted; what is tolerated: suite.Restarting."""
    nodes = make_cluster().nodes
    target = Restarting(nodes, SEED)
    stop, counts, broken = threading.Event(), {"stopped": 0, "killed": 0}, []
    thread = threading.Thread(target=restart_loop, args=(target, nodes, stop, counts, broken), daemon=True)
    thread.start()
    try:
        outcome = run(target)
        for _ in range(9 if FULL else 2):
            if outcome.failures or (sum(counts.values()) >= 6 and not FULL):
                break
            outcome = run(target)
    finally:
        stop.set()
        thread.join()
    assert not broken, broken
    figure(f"contract, while one restarts: {counts['stopped']} stops, {counts['killed']} kills; "
           f"{target.unavailable} x 503, {target.refused} x refused or cut by the node that was down, "
           f"all cured by a retry, the longest in {target.longest:.1f} s; {target.unknown} writes of unknown "
           f"outcome, {outcome.again} cases begun again")
    print(f"  the slowest: {target.slowest}")
    judge(f"while one restarts, seed {SEED}", target, outcome)
