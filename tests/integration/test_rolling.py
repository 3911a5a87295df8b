# SPDX-License-Identifier: Apache-2.0
"""An upgrade under load: each node in its turn is stopped (SIGTERM) and started again, while clients read and
write through whichever nodes the balancer lists. Nobody sees it, nothing is lost."""
import http.client
import threading
import time

from pantera import Client, figure, scale, wait_until


class Load:
    """Clients that take the next node of the balancer's list for each request."""

    def __init__(self, cluster, admin, threads):
        self.cluster, self.admin, self.listed = cluster, admin, list(cluster.nodes)
        self.stop, self.refused, self.written, self.slowest = threading.Event(), [], {}, 0.0
        self.unknown = 0  # writes that may have happened or not
        self.served, self.at, self.lock = [0] * threads, [None] * threads, threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(i,)) for i in range(threads)]
        for t in self.threads:
            t.start()

    def run(self, me):
        turn = me
        while not self.stop.is_set():
            turn += 1
            with self.lock:
                node = self.listed[turn % len(self.listed)]
                self.at[me] = node.id
            path = f"/r/{me}-{turn}"
            if me % 2:
                status = self.ask(self.admin.at(node), "PUT", path, path.encode())
                if status == 201:
                    self.written[path] = path.encode()
            else:
                status = self.ask(self.admin.at(node), "GET", "/r/f")
            if status in (200, 201):
                self.served[me] += 1
            else:
                self.refused.append((me, node.id, status))

    def leave(self, node):
        """What a balancer does with a node that goes: nothing more to it, and what it has is awaited."""
        with self.lock:
            self.listed = self.cluster.others(node)
        wait_until("nobody asks it", lambda: node.id not in self.at)

    def ask(self, client, method, path, body=None):
        began = time.monotonic()
        try:
            r = client.repo(method, path, body)
            self.unknown += b"outcome" in r.body
            return r.status
        except (OSError, http.client.HTTPException) as e:
            return repr(e)
        finally:
            client.close()
            self.slowest = max(self.slowest, time.monotonic() - began)

    def end(self):
        self.stop.set()
        for t in self.threads:
            t.join()


def test_one_after_the_other(cluster):
    admin = cluster.leader().admin()
    admin.put_repo("r")
    assert admin.repo("PUT", "/r/f", b"bytes").status == 201
    load = Load(cluster, admin, 6)
    try:
        for _ in range(scale(10, 1)):
            for node in cluster.nodes:
                load.leave(node)
                node.process.terminate()
                assert node.process.wait(30) == 0
                node.start()
                wait_until("it is ready", lambda n=node: Client(n).repo("GET", "/.ready").status == 200)
                load.listed = list(cluster.nodes)
                before = list(load.served)
                wait_until("everybody goes on", lambda b=before: all(
                    now > then for now, then in zip(load.served, b)))
    finally:
        load.end()
    figure(f"rolling restart: {sum(load.served)} requests served, {len(load.refused)} not, "
           f"the slowest in {load.slowest * 1000:.0f} ms")
    assert load.unknown == 0, "leadership was handed over with writes under way"
    # None, if no lease ends in the midst of a request: the next attempt waits at the gate.
    assert len(load.refused) <= len(load.threads), load.refused[:10]
    assert all(status == 503 for *_, status in load.refused), load.refused[:10]
    for node in cluster.nodes:
        reader = admin.at(node)
        for path, data in load.written.items():
            r = reader.repo("GET", path)
            assert r.status == 200 and r.body == data, (node.id, path, r)
