# SPDX-License-Identifier: Apache-2.0
"""A revoked token is dead everywhere: of requests begun on any node after the acknowledgement none is
accepted, also while a node is paused, killed or cut off."""
import http.client
import random
import threading

from pantera import Client, figure, scale, wait_until

PATH = "/api/v1/auth/me"


class Probers:
    """Threads that use one token on every node all the time, and note an acceptance that began too late."""

    def __init__(self, nodes, token, threads_per_node=2):
        self.revoked = threading.Event()
        self.stop = threading.Event()
        self.lock = threading.Lock()
        self.late, self.after, self.accepted = [], {n.id: 0 for n in nodes}, 0
        self.threads = [threading.Thread(target=self.run, args=(n, token), daemon=True)
                        for n in nodes for _ in range(threads_per_node)]
        for t in self.threads:
            t.start()

    def run(self, node, token):
        c = Client(node, token=token, timeout=5)
        while not self.stop.is_set():
            began_after = self.revoked.is_set()
            try:
                status = c.request(node.api_port, "GET", PATH).status
            except (OSError, http.client.HTTPException):
                c.close()
                status = None
                self.stop.wait(0.02)
            with self.lock:
                if status == 200:
                    self.accepted += 1
                    if began_after:
                        self.late.append(node.id)
                elif began_after and status is not None:
                    self.after[node.id] += 1
                    assert status in (401, 503), status
        c.close()

    def wait_after(self, nodes, count):
        wait_until(f"{count} refusals on nodes {[n.id for n in nodes]}",
                   lambda: all(self.after[n.id] >= count for n in nodes) or self.late, 120)

    def end(self):
        self.stop.set()
        for t in self.threads:
            t.join(10)
        assert not self.late, f"accepted after the revocation, on nodes {self.late}"
        return sum(self.after.values())


def new_token(admin):
    t = admin.must("POST", "/auth/token/generate", {"label": "t", "expiry_days": 1})
    return t["token"], t["id"]


def works(node, token):
    c = Client(node, token=token, timeout=5)
    try:
        return c.request(node.api_port, "GET", PATH).status == 200
    finally:
        c.close()


def revoke_while(cluster, disturb, restore, probes):
    """One token: probed everywhere, a node disturbed, revoked on another, the node restored while probes go
    on. Gives the count of probes that began after the acknowledgement and were refused."""
    victim = random.choice(cluster.nodes)
    calm = random.choice(cluster.others(victim) if disturb else cluster.nodes)
    admin = calm.admin()
    token, token_id = new_token(admin)
    for node in cluster.nodes:
        assert works(node, token)
    p = Probers(cluster.nodes, token)
    if disturb:
        disturb(victim)
    # A leader may have been lost: 503 is no acknowledgement, so ask until there is one.
    status = wait_until("the revocation's acknowledgement", lambda: (
        lambda s: s if s in (204, 404) else None)(admin.api("DELETE", f"/auth/tokens/{token_id}").status), 30)
    assert status in (204, 404)  # 404: an earlier answer of unknown outcome had happened
    p.revoked.set()
    p.wait_after([n for n in cluster.nodes if n is not victim], probes // 6)
    if restore:
        restore(victim)
        victim.wait_ready(30)
    p.wait_after(cluster.nodes, probes // 6)
    admin.close()
    return p.end()


def total(cluster, wanted, disturb=None, restore=None):
    done = rounds = 0
    while done < wanted or rounds < scale(40, 4):
        done += revoke_while(cluster, disturb, restore, min(1000, wanted // 4))
        rounds += 1
    return done, rounds


def test_revoked_token_is_refused_everywhere(cluster):
    done, rounds = total(cluster, scale(40000, 3000))
    figure(f"revocation, calm: {done} probes after {rounds} acknowledgements, none accepted")


def test_revoked_while_a_node_is_paused(cluster):
    done, rounds = total(cluster, scale(20000, 1500), lambda n: n.pause(), lambda n: n.resume())
    figure(f"revocation, a node paused: {done} probes after {rounds} acknowledgements, none accepted")


def test_revoked_while_a_node_is_killed(cluster):
    done, rounds = total(cluster, scale(20000, 1500), lambda n: n.kill(), lambda n: n.start(wait=False))
    figure(f"revocation, a node killed: {done} probes after {rounds} acknowledgements, none accepted")


def test_revoked_while_a_node_is_cut_off(cluster):
    done, rounds = total(cluster, scale(20000, 1500), cluster.cut, lambda n: cluster.heal())
    figure(f"revocation, a node cut off: {done} probes after {rounds} acknowledgements, none accepted")


def test_request_sent_to_a_paused_node_is_refused(cluster):
    """The request that began after the acknowledgement waits in a stopped process's socket: when the process
    goes on, its lease has run out, and it must know."""
    for _ in range(scale(50, 3)):
        victim = random.choice(cluster.nodes)
        admin = random.choice(cluster.others(victim)).admin()
        token, token_id = new_token(admin)
        assert works(victim, token)
        victim.pause()
        wait_until("revoked", lambda: admin.api("DELETE", f"/auth/tokens/{token_id}").status in (204, 404))
        c = Client(victim, token=token, timeout=20)
        connection = c.connection(victim.api_port)
        connection.request("GET", PATH, headers={"Authorization": c.authorization})
        victim.resume()
        status = connection.getresponse().status
        c.close()
        assert status in (401, 503), status
        victim.wait_ready()
        assert not works(victim, token)


def test_disabled_user_and_revoked_user(cluster):
    """The same for a user as a whole: passwords and every token of theirs, at once, on every node."""
    a, b, c = (n.admin() for n in cluster.nodes)
    a.put_role("who", {"*": ["read"]})
    for n in range(scale(200, 10)):
        name = f"u{n}"
        a.put_user(name, roles=["who"])
        user = Client(b.node).login(name)
        api_token, _ = new_token(user)
        everywhere = [Client(x, token=t) for x in cluster.nodes
                      for t in (api_token, user.authorization[7:])]
        assert all(x.api("GET", "/auth/me").status == 200 for x in everywhere)
        if n % 2:
            c.must("POST", f"/admin/revoke-user/{name}")
        else:
            c.must("POST", f"/users/{name}/disable")
        assert [x.api("GET", "/auth/me").status for x in everywhere] == [401] * 6
        for x in everywhere:
            x.close()
