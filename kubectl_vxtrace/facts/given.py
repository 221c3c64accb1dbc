"""The answers of one look, read one by one; what has none, or one that cannot be read, is noted."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from kubectl_vxtrace.facts.frames import Frame, UnreadableError

# Questions whose tool may refuse some lines and answer the others.
_PARTIAL = ("lookups", "pairs", "tuples", "outer", "tc")

T = TypeVar("T")


class Given:
    """Answers by their keys.

    Args:
        frames: the answers.
        expected: keys of which each is absent where nobody asked.
    """

    def __init__(self, frames: Mapping[str, Frame], expected: tuple[str, ...]) -> None:
        self._frames = frames
        self.absent = {key: "not asked" for key in expected if key not in frames}

    def read(self, key: str, reader: Callable[[bytes], T]) -> T | None:
        """`reader` applied to the answer to `key`; None where there is none, which is noted in `absent` with its reason."""
        frame = self._frames.get(key)
        if frame is None:
            return None
        complaint = None if key in _PARTIAL and frame.status is not None else frame.complaint
        if complaint is not None:
            self.absent[key] = complaint
            return None
        try:
            return reader(frame.stdout)
        except UnreadableError as error:
            self.absent[key] = str(error)
            return None

    def batch(self, key: str, reader: Callable[[bytes, bytes, bytes], T]) -> T | None:
        """`reader` applied to a batch: its questions, the answers, what the tool said of those that it refused."""
        asked, frame = self._frames.get(f"{key}-asked"), self._frames.get(key)
        if asked is None or frame is None:
            return None
        return self.read(key, lambda raw: reader(asked.stdout, raw, frame.stderr))

    def beginning(self, key: str) -> str:
        """How the answer to `key` begins, for a reason why it cannot be read."""
        return self._frames[key].stdout[:4096].decode("utf-8", "replace")

    def numbered(self, prefix: str) -> list[tuple[str, str]]:
        """Each key that begins with `prefix`, and the rest of it: the device or number that the question is about."""
        return [(key, key.removeprefix(prefix)) for key in self._frames if key.startswith(prefix)]
