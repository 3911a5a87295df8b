# SPDX-License-Identifier: Apache-2.0
"""An upstream for proxies, in the test's own process: files by path, requests noted, faults on demand.

    up = Upstream(); up.files["a/b"] = b"..."; up.count("a/b"); up.faults["x"] = up.status(500); up.close()
"""
import hashlib
import http.server
import socket
import ssl
import threading
import time


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        up, path = self.server.upstream, self.path.lstrip("/")
        if not up.thread: # a connection that was kept
            self.close_connection = True
            return
        with up.lock:
            up.log.append((self.command, path, dict(self.headers)))
            fault, data = up.faults.get(path) or up.every, up.files.get(path)
            headers = dict(up.headers.get(path, {}))
        if up.gate:
            up.gate.wait(20)
        if fault:
            fault(self)
        elif data is None:
            self.answer(404, b"no such file")
        else:
            etag = '"%s"' % hashlib.md5(data).hexdigest()
            if self.headers.get("If-None-Match") == etag:
                self.answer(304, b"", {"ETag": etag})
            else:
                self.answer(200, data, {"ETag": etag, **headers})

    do_HEAD = do_GET

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.do_GET()

    def answer(self, status, data, headers=None):
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if status != 304:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD" and status != 304:
            self.wfile.write(data)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        pass  # the other side went away


class Upstream:
    def __init__(self, address="127.0.0.1", cert=None):
        """`cert`: (PEM, key): over TLS."""
        self.files, self.faults, self.headers, self.log = {}, {}, {}, []
        self.lock, self.gate, self.every = threading.Lock(), None, None  # every: the fault of every path
        self.server = Server((address, 0), Handler)
        self.server.upstream = self
        self.port = self.server.server_address[1]
        self.url = f"{'https' if cert else 'http'}://{address}:{self.port}"
        if cert:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*cert)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True,
                                                     do_handshake_on_connect=False)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def count(self, path=None):
        with self.lock:
            return sum(1 for _, p, _ in self.log if path is None or p == path)

    def close(self):
        if self.thread:
            thread, self.thread = self.thread, None
            self.server.shutdown()
            self.server.server_close()
            thread.join()

    # --- faults: what a handler does instead ---
    @staticmethod
    def status(code, headers=None):
        return lambda h: h.answer(code, b"fault", headers)

    @staticmethod
    def cut(data, after, pause=0.0):
        """Says how long it is, sends a part, and breaks off after a while."""
        def run(h):
            h.send_response(200)
            h.send_header("Content-Length", str(len(data)))
            h.end_headers()
            h.wfile.write(data[:after])
            h.wfile.flush()
            time.sleep(pause)
            h.connection.shutdown(socket.SHUT_RDWR)
            h.close_connection = True
        return run

    @staticmethod
    def slow(data, pieces, pause):
        def run(h):
            h.send_response(200)
            h.send_header("Content-Length", str(len(data)))
            h.end_headers()
            step = len(data) // pieces
            for i in range(pieces):
                h.wfile.write(data[i * step:(i + 1) * step if i < pieces - 1 else len(data)])
                h.wfile.flush()
                time.sleep(pause)
        return run

    @staticmethod
    def redirect(where):
        return lambda h: h.answer(302, b"", {"Location": where})
