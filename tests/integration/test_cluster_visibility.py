# SPDX-License-Identifier: Apache-2.0
"""What is acknowledged by one node is true on every node in the very next request: no retry, no sleep."""
import threading
import time

from pantera import PASSWORD, Client, figure, scale


def one_round(admins, n, tag):
    """A user, a role, a repository and a file made on one node, used on the two others at once; then taken
    away again, which must be as visible."""
    a, b, c = (admins[(n + k) % 3] for k in range(3))
    name = f"{tag}-{n}"
    a.put_role(name, {name: ["read", "write"]})
    a.put_user(name, roles=[name])
    a.put_repo(name)
    a.put(f"/{name}/f", name.encode())

    user = Client(b.node).login(name, PASSWORD)  # the user, on b
    on_c, on_a = user.at(c.node), user.at(a.node)
    assert user.get(f"/{name}/f").body == name.encode()
    assert on_c.get(f"/{name}/f").body == name.encode()
    on_c.put(f"/{name}/f", b"two")  # the role's write, on c
    assert on_a.get(f"/{name}/f").body == b"two"
    assert user.get(f"/{name}/f").body == b"two"

    b.put_role(name, {name: ["read"]})
    assert on_c.repo("PUT", f"/{name}/f", b"no").status == 403
    c.repo("DELETE", f"/{name}/f")
    user.get(f"/{name}/f", 404)
    on_a.get(f"/{name}/f", 404)
    c.must("POST", f"/users/{name}/disable")
    assert on_a.repo("GET", f"/{name}/f").status == 401
    assert user.repo("GET", f"/{name}/f").status == 401
    b.must("DELETE", f"/repositories/{name}")
    assert a.api("GET", f"/repositories/{name}").status == 404
    a.must("DELETE", f"/users/{name}")
    assert c.api("GET", f"/users/{name}").status == 404
    for client in (user, on_c, on_a):
        client.close()


def test_next_request_anywhere_sees_it(cluster):
    rounds, workers, errors = scale(10000, 300), 4, []
    started = time.monotonic()

    def run(worker):
        admins = [node.admin() for node in cluster.nodes]
        try:
            for n in range(worker, rounds, workers):
                one_round(admins, n, "v")
                if errors:
                    return
                if n % 2000 < workers:  # access tokens live an hour
                    admins = [node.admin() for node in cluster.nodes]
        except BaseException as e:  # pylint: disable=broad-except
            errors.append(e)

    threads = [threading.Thread(target=run, args=(w,), daemon=True) for w in range(workers)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if errors:
        raise errors[0]
    took = time.monotonic() - started
    figure(f"{rounds} rounds on three nodes without one stale answer: {took:.0f} s, "
           f"{took * 1000 * workers / rounds:.0f} ms a round")


def test_any_node_forwards_writes(cluster):
    """Followers and the leader answer alike: every kind of write, on each of the nodes."""
    leader = cluster.leader()
    for node in cluster.nodes:
        c = node.admin()
        name = f"w{node.id}"
        c.put_role(name, {"*": ["read"]})
        assert c.api("PUT", f"/roles/{name}", {"permissions": {"x": ["fly"]}}).status == 400
        assert c.api("DELETE", "/roles/none").status == 404
        c.put_repo(name)
        c.put(f"/{name}/f", b"1")
        for other in cluster.nodes:
            assert other.admin().get(f"/{name}/f").body == b"1"
    assert leader.alive()
