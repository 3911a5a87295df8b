# SPDX-License-Identifier: Apache-2.0
"""A load balancer: each request goes to the next node, whatever connection it came on; a 503 (this node can't
prove that it is current) goes to the next but one, as a balancer's would."""
import http.client
import http.server
import itertools
import threading
import time

HOP = {"connection", "transfer-encoding", "keep-alive", "host", "content-length"}


class Spread:
    def __init__(self, nodes):
        self.nodes, self.lock, self.turn = nodes, threading.Lock(), itertools.cycle(nodes)
        self.counts = {n.id: 0 for n in nodes}
        spread = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def __getattr__(self, name):
                if name.startswith("do_"):
                    return lambda: spread.pass_on(self)
                raise AttributeError(name)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def next(self):
        with self.lock:
            node = next(self.turn)
            self.counts[node.id] += 1
            return node

    def body(self, h):
        if h.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return h.rfile.read(int(h.headers.get("Content-Length") or 0))
        parts = []
        while size := int(h.rfile.readline().split(b";")[0], 16):
            parts.append(h.rfile.read(size))
            h.rfile.readline()
        while h.rfile.readline() not in (b"\r\n", b"\n", b""):
            pass
        return b"".join(parts)

    def ask(self, h, body):
        c = http.client.HTTPConnection("127.0.0.1", self.next().port, timeout=60)
        try:
            c.putrequest(h.command, h.path, skip_host=True, skip_accept_encoding=True)
            c.putheader("Host", h.headers.get("Host", ""))
            for name, value in h.headers.items():
                if name.lower() not in HOP:
                    c.putheader(name, value)
            if body or h.command in ("PUT", "POST", "PATCH"):
                c.putheader("Content-Length", str(len(body)))
            c.endheaders(body or None)
            r = c.getresponse()
            return r, b"" if h.command == "HEAD" else r.read()
        finally:
            c.close()

    def pass_on(self, h):
        body = self.body(h)
        for attempt in range(10):
            r, data = self.ask(h, body)
            if r.status != 503:
                break
            time.sleep(0.05 * (attempt + 1))
        h.send_response_only(r.status, r.reason)
        for name, value in r.headers.items():
            if name.lower() not in HOP:
                h.send_header(name, value)
        if r.status not in (204, 304):
            h.send_header("Content-Length", r.headers["Content-Length"] if h.command == "HEAD" and
                          r.headers["Content-Length"] else str(len(data)))
        h.end_headers()
        h.wfile.write(data)

    def close(self):
        self.server.shutdown()
        self.server.server_close()
