# SPDX-License-Identifier: Apache-2.0
"""Start to ready; memory when idle, and with 5,000 idle connections."""
import os
import socket
import statistics
import time

from load import DIR
from pantera import Node

def start_ms(node):
    """From exec to the line that says it is ready."""
    at = os.path.getsize(node.log_path) if os.path.exists(node.log_path) else 0
    began = time.monotonic()
    node.start(wait=False)
    while True:
        with open(node.log_path, "rb") as f:
            f.seek(at)
            if b"panterad is ready" in f.read():
                return (time.monotonic() - began) * 1000
        if time.monotonic() - began > 30:
            raise SystemExit("scripts/bench: not ready after 30 s")
        time.sleep(0.0005)


def footprint():
    node = Node(os.path.join(DIR, "footprint"))
    first = start_ms(node)
    again = []
    for _ in range(5):
        node.stop()
        again.append(start_ms(node))
    time.sleep(2)
    idle = node.memory()
    token = node.admin().authorization
    request = (f"GET /.ready HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n\r\n").encode()
    connections = []
    for _ in range(5000):
        s = socket.create_connection(("127.0.0.1", node.port))
        connections.append(s)
        s.sendall(request)
        if not s.recv(4096).startswith(b"HTTP/1.1 200"):
            raise SystemExit("scripts/bench: /.ready did not answer 200")
    time.sleep(1)
    many = node.memory()
    for s in connections:
        s.close()
    node.stop()
    return {"start_first_ms": round(first, 1), "start_again_ms": round(statistics.median(again), 1),
            "idle_mib": round(idle / (1 << 20), 1), "at_5000_connections_mib": round(many / (1 << 20), 1)}
