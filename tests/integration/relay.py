# SPDX-License-Identifier: Apache-2.0
"""TCP relays that tests can break: between nodes (Relay), and in front of an S3 server (FaultProxy).

A cut relay is a network that loses every packet: nothing is reset, nothing is refused, bytes in flight wait
as they would in a sender's buffer, and go on when the cut ends.
"""
import socket
import threading
import time


class Listener:
    """Accepts on a loopback port; `serve(sock)` in a thread for each connection."""

    def __init__(self):
        self.lock = threading.Condition()
        self.closed = False
        self.connections = set()
        self.server = None
        self.port = 0
        self.listen()

    def listen(self):
        self.server = socket.create_server(("127.0.0.1", self.port), backlog=128)
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self.accept, args=(self.server,), daemon=True).start()

    def accept(self, server):
        while True:
            try:
                sock, address = server.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                self.connections.add(sock)
            threading.Thread(target=self.run, args=(sock, address[1]), daemon=True).start()

    def run(self, sock, source_port):
        try:
            self.serve(sock, source_port)
        except OSError:
            pass
        finally:
            with self.lock:
                self.connections.discard(sock)
            sock.close()

    def serve(self, sock, source_port):
        raise NotImplementedError

    def deaf(self):
        """Stops listening: connections are refused."""
        try:
            self.server.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.server.close()

    def drop_connections(self):
        with self.lock:
            socks = list(self.connections)
        for s in socks:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        with self.lock:
            self.closed = True
            self.lock.notify_all()
        self.deaf()
        self.drop_connections()

    def pump(self, source, target, gate):
        """Bytes one way until the end; `gate()` blocks while they may not pass."""
        try:
            while True:
                data = source.recv(65536)
                gate()
                if not data:
                    break
                target.sendall(data)
        except OSError:
            gate()
        for s in (source, target):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def join(self, a, b, gate):
        other = threading.Thread(target=self.pump, args=(b, a, gate), daemon=True)
        other.start()
        self.pump(a, b, gate)
        other.join()


class Relay(Listener):
    """In front of one node's peer port. Knows who dials by asking whose socket the other end is."""

    def __init__(self, target_node, target_port, owner_of):
        self.target_node, self.target_port, self.owner_of = target_node, target_port, owner_of
        self.cut_nodes = frozenset()
        super().__init__()

    def set_cut(self, numbers):
        with self.lock:
            self.cut_nodes = frozenset(numbers)
            self.lock.notify_all()

    def serve(self, sock, source_port):
        source = self.owner_of(source_port)

        def gate():
            with self.lock:
                while not self.closed and \
                        (source in self.cut_nodes) != (self.target_node in self.cut_nodes):
                    self.lock.wait()
        gate()
        with socket.create_connection(("127.0.0.1", self.target_port), 5) as out:
            out.settimeout(None)
            out.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.join(sock, out, gate)


class FaultProxy(Listener):
    """In front of an S3 server. mode: pass, error (500 to all), hang (accepts, answers nothing), dead
    (refuses). A change of mode ends what runs."""

    BODY = b'<?xml version="1.0"?><Error><Code>InternalError</Code><Message>injected</Message></Error>'

    def __init__(self, target_port):
        self.target_port, self.mode = target_port, "pass"
        self.requests = 0
        super().__init__()

    def set_mode(self, mode):
        before, self.mode = self.mode, mode
        if mode == "dead":
            self.deaf()
        elif before == "dead":
            self.listen()
        self.drop_connections()

    def serve(self, sock, source_port):
        if self.mode == "hang":
            while self.mode == "hang" and not self.closed and sock.recv(65536):
                pass
        elif self.mode == "error":
            self.answer_500(sock)
        else:
            with socket.create_connection(("127.0.0.1", self.target_port), 5) as out:
                out.settimeout(None)
                self.join(sock, out, lambda: None)

    def answer_500(self, sock):
        sock.settimeout(2)
        data = b""
        while b"\r\n\r\n" not in data:
            more = sock.recv(65536)
            if not more:
                return
            data += more
        self.requests += 1
        sock.sendall(b"HTTP/1.1 500 Internal Server Error\r\nConnection: close\r\n"
                     b"Content-Type: application/xml\r\nContent-Length: %d\r\n\r\n"
                     % len(self.BODY) + self.BODY)
        sock.shutdown(socket.SHUT_WR)
        end = time.monotonic() + 1
        try:
            while time.monotonic() < end and sock.recv(65536):
                pass
        except OSError:
            pass
