# SPDX-License-Identifier: Apache-2.0
"""Counters in files (register.py), each written by one client, read on every node, while nodes die, stop and
lose each other.

Invariant: no read answers with less than what was acknowledged before it began, anywhere, or than what the
same reader had seen on the same node. In the end every counter holds at least what was acknowledged, at most
what was tried, the same on every node."""
import os
import random
import threading
import time

from pantera import Client, figure
from register import Register

COUNTERS = 4


class Load:
    def __init__(self, cluster, token, seed):
        self.cluster, self.token, self.stop = cluster, token, threading.Event()
        self.registers = [Register(f"/chaos/c{n}") for n in range(COUNTERS)]
        self.threads = [threading.Thread(target=self.write, args=(r, seed + n), daemon=True)
                        for n, r in enumerate(self.registers)]
        self.threads += [threading.Thread(target=self.read, args=(n, seed + 100 + n.id), daemon=True)
                         for n in cluster.nodes]

    def clients(self):
        return [Client(n, token=self.token, timeout=4) for n in self.cluster.nodes]

    def write(self, register, seed):
        rng, clients = random.Random(seed), self.clients()
        while not self.stop.is_set():
            if not register.write(rng.choice(clients)):
                time.sleep(0.02)

    def read(self, node, seed):
        rng, c = random.Random(seed), Client(node, token=self.token, timeout=4)
        while not self.stop.is_set():
            if rng.choice(self.registers).read(c) != 200:
                time.sleep(0.01)

    def violations(self):
        return [v for r in self.registers for v in r.violations]


def disturb(cluster, rng, log):
    """One fault on a random node, some time, and its end. Two of three stay, mostly."""
    node = rng.choice(cluster.nodes)
    kind = rng.choice(["kill", "pause", "cut", "kill leader", "cut leader", "stop"])
    if "leader" in kind:
        try:
            node = cluster.leader(5)
        except AssertionError:
            pass
        kind = kind.split()[0]
    duration = rng.choice([0.1, 0.5, 1.5, 3.0])
    log.append(f"{kind} {node.id} {duration}")
    if kind == "kill":
        node.kill()
        time.sleep(duration)
        node.start(wait=False)
    elif kind == "stop":
        node.stop()
        time.sleep(duration)
        node.start(wait=False)
    elif kind == "pause":
        node.pause()
        time.sleep(duration)
        node.resume()
    else:
        cluster.cut(node)
        time.sleep(duration)
        cluster.heal()
    time.sleep(rng.choice([0.0, 0.3, 1.5]))


def restart_the_ended(cluster):
    """panterad may end itself (crash-only); a supervisor would start it again."""
    for node in cluster.nodes:
        if not node.alive():
            node.start(wait=False)


def seconds_of(share):
    """(seed, seconds) of a run that takes this share of the time that all of them have."""
    seconds = int(int(os.environ.get("PANTERA_TEST_CHAOS_SECONDS", "60")) * share)
    seed = int(os.environ.get("PANTERA_TEST_SEED", random.randrange(1 << 32)))
    print(f"\nseed {seed}", flush=True)
    return seed, seconds


def test_counters_never_go_back(make_cluster):
    seed, seconds = seconds_of(0.55)
    rng, log = random.Random(seed), []
    cluster = make_cluster("fs", {"gc": {"grace": "5s", "interval": "1s"}})
    admin = cluster.nodes[0].admin()
    admin.put_repo("chaos")
    load = Load(cluster, admin.authorization[7:], seed)
    for t in load.threads:
        t.start()
    end = time.monotonic() + seconds
    while time.monotonic() < end and not load.violations():
        disturb(cluster, rng, log)
        restart_the_ended(cluster)
    cluster.heal()
    restart_the_ended(cluster)
    for node in cluster.nodes:
        node.wait_ready(60)
    time.sleep(1)
    load.stop.set()
    for t in load.threads:
        t.join()
    assert not load.violations(), (load.violations()[:5], log)
    for register in load.registers:
        register.check_end(load.clients())
    acked, reads = (sum(getattr(r, k) for r in load.registers) for k in ("acked", "reads"))
    figure(f"chaos seed {seed}: {len(log)} faults, {acked} writes acknowledged, {reads} reads, "
           f"none went back")
    assert acked > seconds and reads > seconds
