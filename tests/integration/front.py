# SPDX-License-Identifier: Apache-2.0
"""What stands before nodes in production: TLS, and each new connection to the next node. For clients that
send credentials over https only."""
import socket
import ssl
import threading


class Front:
    """https on a free loopback port, with a certificate of scripts/certs; `ports` are those behind it."""

    def __init__(self, certs, ports):
        self.ports, self.next, self.lock = list(ports), 0, threading.Lock()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(f"{certs}/node-1.pem", f"{certs}/node-1.key")
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.used = set()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        with self.lock:
            port = self.ports[self.next % len(self.ports)]
            self.next += 1
        try:
            client = self.context.wrap_socket(client, server_side=True)
            self.used.add(port)
            server = socket.create_connection(("127.0.0.1", port))
        except OSError:
            client.close()
            return
        threading.Thread(target=self.pump, args=(client, server), daemon=True).start()
        self.pump(server, client)

    @staticmethod
    def pump(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except (OSError, ValueError):
            pass
        for s in (sink, source):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()

    def close(self):
        self.listener.close()
