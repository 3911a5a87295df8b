# SPDX-License-Identifier: Apache-2.0
"""A counter in a file, by which stale answers show.

One client writes 1, 2, 3, ...; anybody reads anywhere. A read that began after n was acknowledged, or after
the same reader had seen n on the same node, must answer at least n, or not at all. (A write that is under way
may be seen on one node and not yet on another; its acknowledgement ends that.) A write of unknown outcome
(503, broken connection) may happen at any later time, also after the next one: then the counter goes on in a
new file, so that a late effect is no violation."""
import http.client
import threading


def ask(client, method, path, body=None):
    """(status, body); None: no answer."""
    try:
        r = client.repo(method, path, body)
        return r.status, r.body
    except (OSError, http.client.HTTPException):
        client.close()
        return None, b""


class Generation:
    def __init__(self, path):
        self.path, self.tried, self.acked = path, 0, 0
        self.seen = {}  # reader -> number


class Register:
    def __init__(self, path):
        self.path, self.lock = path, threading.Lock()
        self.generations = []
        self.acked = self.reads = self.unknown = 0
        self.violations = []
        self.renew()

    def renew(self):
        self.generations.append(Generation(f"{self.path}-{len(self.generations)}"))

    @property
    def current(self):
        return self.generations[-1]

    def write(self, client):
        """True: acknowledged. Only one thread writes."""
        g = self.current
        g.tried += 1
        status, _ = ask(client, "PUT", g.path, str(g.tried).encode())
        if status in (200, 201):
            with self.lock:
                g.acked = g.tried
                self.acked += 1
            return True
        self.unknown += 1
        if status not in (None, 503):
            self.violations.append((client.node.id, g.path, f"PUT answered {status}"))
        self.renew()
        return False

    def read(self, client):
        """The status; what contradicts the past is noted in `violations`."""
        g = self.current
        least = max(g.acked, g.seen.get(client, 0))
        status, body = ask(client, "GET", g.path)
        seen = int(body) if status == 200 else 0
        with self.lock:
            self.reads += status == 200
            if status in (200, 404) and seen < least:
                self.violations.append((client.node.id, g.path, f"{status} {seen}", f"after {least}"))
            elif status not in (None, 200, 404, 503):
                self.violations.append((client.node.id, g.path, f"GET answered {status}"))
            g.seen[client] = max(least, seen)
        return status

    def check_end(self, clients):
        """Calm again: the same on every node, at least what was acknowledged, at most what was tried."""
        for g in self.generations:
            found = {ask(c, "GET", g.path) for c in clients}
            assert len(found) == 1, (g.path, found)
            status, body = found.pop()
            assert status in (200, 404), (g.path, status)
            value = int(body) if status == 200 else 0
            assert g.acked <= value <= g.tried, (g.path, g.acked, value, g.tried)
