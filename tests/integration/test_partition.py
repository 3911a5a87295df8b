# SPDX-License-Identifier: Apache-2.0
"""A minority that is cut off answers 503 to reads and writes alike, never an old answer, and serves again
within two seconds of the cut's end."""
import http.client
import threading
import time

import pytest

from pantera import Client, figure, scale, wait_until
from register import Register


def serves(node, token):
    """200 for a read that depends on metadata."""
    c = Client(node, token=token, timeout=3)
    try:
        return c.api("GET", "/auth/me").status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        c.close()


def refuses(node, token):
    c = Client(node, token=token, timeout=5)
    try:
        return c.api("GET", "/auth/me").status == 503
    finally:
        c.close()


@pytest.fixture(name="cluster")
def _cluster(make_cluster):
    """Whose nodes refuse at once: how long requests wait is test_gate.py's."""
    return make_cluster(config={"cluster": {"wait_ms": 0}})


@pytest.mark.parametrize("who", ["leader", "follower"])
def test_cut_off_node_refuses_and_returns(cluster, who):
    leader = cluster.leader()
    victim = leader if who == "leader" else cluster.others(leader)[0]
    rest = cluster.others(victim)
    admin = rest[0].admin()
    token = admin.authorization[7:]
    admin.put_repo("p")
    register, stop, answers = Register("/p/f"), threading.Event(), {}
    assert register.write(admin)

    def read():
        """On the victim, all the time: an answer may not be older than what was acknowledged before."""
        c = Client(victim, token=token, timeout=5)
        while not stop.is_set():
            status = register.read(c)
            answers[status] = answers.get(status, 0) + 1

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    for _ in range(scale(20, 3)):
        cluster.cut(victim)
        cut_at = time.monotonic()
        slowest = 0.0
        while time.monotonic() - cut_at < 2.5:
            began = time.monotonic()
            register.write(admin)
            slowest = max(slowest, time.monotonic() - began)
        figure(f"{who} cut off: slowest write of the others {slowest * 1000:.0f} ms")
        wait_until("the cut-off node refuses", lambda: refuses(victim, token), 3)
        alone = Client(victim, token=token, timeout=15)
        assert alone.api("PUT", "/roles/lost", {"permissions": {"x": ["read"]}}).status == 503
        assert alone.repo("GET", register.current.path).status == 503
        assert alone.repo("PUT", "/p/g", b"x").status == 503
        assert alone.repo("GET", "/.ready").status == 503
        assert alone.repo("GET", "/.health").status == 200
        assert refuses(victim, token)
        alone.close()
        healed_at = time.monotonic()
        cluster.heal()
        wait_until("the node serves again", lambda: serves(victim, token), 10, 0.01)
        back = time.monotonic() - healed_at
        figure(f"{who} serves again {back * 1000:.0f} ms after the cut's end")
        assert back < 2.0
        register.check_end([Client(n, token=token) for n in cluster.nodes])
        # "lost" was answered 503: it may or may not have happened, but the same everywhere.
        seen = {Client(n, token=token).api("GET", "/roles/lost").status for n in cluster.nodes}
        assert len(seen) == 1
    stop.set()
    reader.join()
    assert not register.violations, register.violations[:5]
    assert answers.get(200) and answers.get(503), answers


def test_no_majority_no_answers(cluster):
    """Three nodes, none hears another: nobody may answer; together again they do."""
    token = cluster.nodes[0].admin().authorization[7:]
    # Two cut from the third are still a majority; each must be alone, so one is killed besides.
    victim, dead, last = cluster.nodes
    dead.kill()
    wait_until("two are a majority", lambda: serves(victim, token) and serves(last, token), 20)
    cluster.cut(victim)
    wait_until("both refuse", lambda: refuses(victim, token) and refuses(last, token), 5)
    time.sleep(1)
    assert refuses(victim, token) and refuses(last, token)
    cluster.heal()
    wait_until("both serve", lambda: serves(victim, token) and serves(last, token), 10)
    dead.start()
