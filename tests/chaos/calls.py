"""Which of the plugin's calls an exec is, by the words of its command; and what the nodes themselves answered."""

import re
from dataclasses import dataclass, field
from urllib.parse import unquote_plus

from tests.chaos.rules import Call

_WORDS: tuple[tuple[Call, str], ...] = (
    ("look", "vxtrace-look"),
    ("start", "vxtrace-start"),
    ("poll", "vxtrace-poll"),
    ("stop", "vxtrace-stop"),
    ("drops", "vxtrace-droplog"),
    ("fetch", 'tail -c "+$2" "$1"'),
)
# A record of stop.sh: id, state, device, size, SHA-256, length of what tcpdump said.
_STOPPED = re.compile(rb"^(\d+) [a-z]+ [a-z]+ \d+ ([0-9a-f]{64}) \d+$", re.MULTILINE)


def call_of(target: str, script: bytes) -> Call:
    """What an exec runs; its command stands in the request line, or comes over standard input."""
    # In a script words are quoted for a shell, and quotes of its own are closed and opened again.
    text = unquote_plus(target) + script.decode("utf-8", "replace")
    return next((call for call, words in _WORDS if words in text), "other")


@dataclass(slots=True)
class Truth:
    """What the nodes answered before anything was done to it.

    pods: uid and name of each pod that the API has made. digests: SHA-256 of each capture's file, by pod and capture.
    """

    pods: dict[str, str] = field(default_factory=dict)
    digests: dict[tuple[str, str], str] = field(default_factory=dict)

    def note_stop(self, path: str, stdout: bytes) -> None:
        """What a stop answered."""
        for number, digest in _STOPPED.findall(stdout):
            self.digests[path, number.decode()] = digest.decode()
