# SPDX-License-Identifier: Apache-2.0
"""Authenticated GET, one worker, beside nginx with one worker and sendfile."""
import os
import socket
import subprocess

from load import DIR, beside, say, wrk
from pantera import Node, free_port, wait_until

NGINX = """
worker_processes 1;
daemon off;
pid {dir}/nginx.pid;
error_log {dir}/nginx.err;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000000;
  open_file_cache max=100;
  client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3;
  uwsgi_temp_path {dir}/t4; scgi_temp_path {dir}/t5;
  server {{ listen 127.0.0.1:{port} reuseport; root {dir}/www; }}
}}
"""


def reads():
    www = os.path.join(DIR, "www")
    os.makedirs(www)
    files = {"1k": os.urandom(1024), "1m": os.urandom(1 << 20)}
    for name, data in files.items():
        with open(os.path.join(www, name), "wb") as f:
            f.write(data)
    port = free_port()
    conf = os.path.join(DIR, "nginx.conf")
    with open(conf, "w", encoding="ascii") as f:
        f.write(NGINX.format(dir=DIR, port=port) if os.getuid() else
                "user root;\n" + NGINX.format(dir=DIR, port=port))
    node = Node(os.path.join(DIR, "reads"), config={"workers": 1, "log": {"access": False}}).start()
    nginx = subprocess.Popen(["nginx", "-c", conf, "-p", DIR], stderr=subprocess.DEVNULL)
    try:
        c = node.admin()
        c.put_repo("bench")
        for name, data in files.items():
            c.put(f"/bench/{name}", data)
        token = c.must("POST", "/auth/token/generate", {"label": "bench", "expiry_days": 1})["token"]
        auth = [f"Authorization: Bearer {token}"]
        wait_until("nginx", lambda: socket.create_connection(("127.0.0.1", port), 1).close() or True)
        out = {}
        for name in files:
            say(f"GET {name}, 32 connections, one worker each")
            out[f"get_{name}"] = beside(
                "nginx", lambda n=name: wrk(node.port, 32, f"/bench/{n}", headers=auth),
                lambda n=name: wrk(port, 32, f"/{n}"))
        return out
    finally:
        nginx.terminate()
        nginx.wait()
        node.stop()
