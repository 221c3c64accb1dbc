"""An HTTP proxy of the kind that companies have: it knows CONNECT only (RFC 9110, 9.3.6)."""

import contextlib
import socket
import socketserver
import threading


class Tunnels(socketserver.ThreadingTCPServer):
    """Knows CONNECT only, and remembers what was asked of it."""

    daemon_threads = True

    def __init__(self) -> None:
        self.asked: list[str] = []
        super().__init__(("127.0.0.1", 0), Tunnel)


class Tunnel(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, Tunnels)
        head = [self.rfile.readline().decode().strip()]
        while line := self.rfile.readline().decode().strip():
            head.append(line)
        self.server.asked.append("\n".join(head))
        host, _, port = head[0].split()[1].rpartition(":")
        with socket.create_connection((host, int(port))) as upstream:
            self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
            back = threading.Thread(target=self.copy, args=(upstream, self.connection), daemon=True)
            back.start()
            self.copy(self.connection, upstream)
            back.join(timeout=1)

    def copy(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
