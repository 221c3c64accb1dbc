"""An HTTP/1.1 server: "/" says which pod answers, "/bytes/N" answers with N bytes. Usage: web.py NAME PORT."""

import socket
import socketserver
import sys

MOST_BYTES = 100_000_000
LONGEST_LINE_BYTES = 8192


class Exchange(socketserver.StreamRequestHandler):
    """One connection: requests until the client closes or asks to close."""

    timeout = 30
    name = ""

    def handle(self) -> None:
        """Answer requests one by one."""
        try:
            while self._answer():
                pass
        except (ConnectionError, TimeoutError):
            return  # the client is gone; there is nobody to tell

    def _answer(self) -> bool:
        line = self.rfile.readline(LONGEST_LINE_BYTES)
        close = b"HTTP/1.1" not in line
        if not line:
            return False
        while (header := self.rfile.readline(LONGEST_LINE_BYTES)) not in (b"\r\n", b"\n", b""):
            close = close or header.lower().replace(b" ", b"").startswith(b"connection:close")
        parts = line.split()
        path = parts[1].decode("ascii", "replace") if len(parts) > 1 else ""
        status, body = self._body(path)
        head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
        self.wfile.write((head + ("Connection: close\r\n" if close else "") + "\r\n").encode() + body)
        return not close

    def _body(self, path: str) -> tuple[str, bytes]:
        if path == "/":
            return "200 OK", f"{self.name}\n".encode()
        size = path.removeprefix("/bytes/")
        if size != path and size.isascii() and size.isdigit() and int(size) <= MOST_BYTES:
            return "200 OK", b"x" * int(size)
        return "404 Not Found", b"not found\n"


class Server(socketserver.ThreadingTCPServer):
    """A thread for each connection."""

    address_family = socket.AF_INET6  # of both versions: IPv4 comes as ::ffff:0:0/96 (ipv6(7))
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128


def main() -> None:
    """Serve for ever."""
    name, port = sys.argv[1], int(sys.argv[2])
    Exchange.name = name
    with Server(("::", port), Exchange) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
