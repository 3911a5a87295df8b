# SPDX-License-Identifier: Apache-2.0
"""A sign-in that was begun before a change of the password decides nothing about those that come after it."""
import threading
import time

from pantera import Client, figure

NEXT = "Another-Pass-2!"


def sign_in(node, name):
    return Client(node).api("POST", "/auth/token", {"name": name, "pass": NEXT})


def test_acknowledged_password_is_never_refused(make_node):
    """Others try the next password while it is being set, so that their attempts are still hashing, by the
    old row, when it is acknowledged; an equal attempt afterwards joins them. It is 200, or a 503 that a retry
    cures: never 401."""
    node = make_node()
    admin = node.admin()
    again = 0
    for n in range(15):
        name = f"user-{n}"
        admin.put_user(name)

        def early(pause, name=name):
            time.sleep(pause)  # spread over the time that the change takes: no wait for anything
            sign_in(node, name)

        threads = [threading.Thread(target=early, args=(0.01 * k,), daemon=True) for k in range(4)]
        for t in threads:
            t.start()
        admin.must("PUT", f"/users/{name}", {"pass": NEXT})
        r = sign_in(node, name)
        if r.status == 503:
            assert r.headers["Retry-After"]
            again += 1
            for t in threads:
                t.join()
            r = sign_in(node, name)
        assert r.status == 200, r
        for t in threads:
            t.join()
    figure(f"sign-ins that a change of the password overtook: {again} of 15 were told to try again")
