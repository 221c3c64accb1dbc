"""A server that never accepts a connection, and whose backlog is full. Usage: backlog.py PORT. It says "full" and stays."""

import signal
import socket
import sys


def main() -> None:
    """Listen with the smallest backlog and connect to oneself until that is full."""
    server = socket.create_server(("0.0.0.0", int(sys.argv[1])), backlog=1)
    waiting = []
    for _ in range(2):  # one more than the backlog (sk_acceptq_is_full in Linux include/net/sock.h)
        waiting.append(socket.create_connection(("127.0.0.1", server.getsockname()[1]), timeout=5))
    print("full", flush=True)
    signal.pause()


main()
