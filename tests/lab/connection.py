"""One TLS connection that one thread may read while another writes."""

import io
import select
import socket
import ssl
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer


class TlsStream(io.RawIOBase):
    """A raw byte stream over TLS.

    OpenSSL does not let two threads into the same connection at once (SSL_read(3) and SSL_write(3) change its state), so
    each call into it is made under a lock, without blocking; waiting for the network is done outside.
    """

    def __init__(self, raw: socket.socket, context: ssl.SSLContext, handshake_timeout_s: float) -> None:
        super().__init__()
        raw.settimeout(handshake_timeout_s)
        self.tls = context.wrap_socket(raw, server_side=True)
        self.tls.setblocking(False)
        self._lock = threading.Lock()

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def _wait(self, events: int) -> None:
        poll = select.poll()
        poll.register(self.tls, events)
        poll.poll()

    def _call(self, operation: Callable[[memoryview], int], view: memoryview) -> int:
        while True:
            try:
                with self._lock:
                    return operation(view)
            except ssl.SSLWantReadError:
                self._wait(select.POLLIN)
            except ssl.SSLWantWriteError:
                self._wait(select.POLLOUT)

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """As RawIOBase: 0 at the end, also where the peer went without saying goodbye."""
        try:
            return self._call(self.tls.recv_into, memoryview(buffer))
        except (ssl.SSLError, ConnectionError):
            return 0

    def write(self, data: "ReadableBuffer", /) -> int:
        """Send all of `data`. One thread at a time. Raises OSError if the peer is gone."""
        view = memoryview(data).cast("B")
        sent = 0
        while sent < len(view):
            sent += self._call(self.tls.send, view[sent:])
        return sent

    def cut(self) -> None:
        """End the connection at once, without TLS's or anybody's goodbye."""
        try:
            self.tls.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # it has ended already
