"""Memory for what is being fetched: bounded, and closed once nobody wants it any more."""

import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager


class Room:
    """Lets files in as long as together they have no more than `most_bytes`; one that is larger is let in alone."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._changed = threading.Condition()
        self._sizes_bytes: list[int] = []
        self._is_closed = False

    @contextmanager
    def taken(self, size_bytes: int) -> Iterator[None]:
        """So much of it, as soon as it is free. Raises CancelledError once it is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or self._fits(size_bytes))
            if self._is_closed:
                raise CancelledError
            self._sizes_bytes.append(size_bytes)
        try:
            yield
        finally:
            with self._changed:
                self._sizes_bytes.remove(size_bytes)
                self._changed.notify_all()

    def close(self, patience_s: float) -> None:
        """Let nobody in any more, and wait so long until all have left."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._sizes_bytes, patience_s)

    def _fits(self, size_bytes: int) -> bool:
        return not self._sizes_bytes or sum(self._sizes_bytes) + size_bytes <= self._most_bytes
