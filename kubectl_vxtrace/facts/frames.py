"""The frames of a look's output: answers told apart by their lengths, as look.sh writes them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from kubectl_vxtrace.model.cluster import AnswerStatus, NodeAnswer

_MAGIC = b"vxtrace-look 1\n"
_LINE = re.compile(rb"([A-Za-z0-9][A-Za-z0-9_.@-]{0,60}) ([0-9]{1,3}|absent) ([0-9]{1,9}) ([0-9]{1,9})")

# look.sh cuts an answer at this many bytes; one that long has lost its end.
_LIMITS = {
    "links": 4194304,
    "udp": 1048576,
    "udp6": 1048576,
    "listeners": 1048576,
    "addresses": 1048576,
    "routes": 2097152,
    "rules": 262144,
    "rules6": 262144,
    "exceptions": 1048576,
    "exceptions6": 1048576,
    "neighbours": 4194304,
    "proxies": 262144,
    "fdb": 2097152,
    "lookups": 1048576,
    "pairs": 1048576,
    "tuples": 1048576,
    "outer": 1048576,
    "conntrack": 4194304,
    "iptables": 16777216,
    "iptables-legacy": 4194304,
    "ip6tables": 16777216,
    "ip6tables-legacy": 4194304,
    "nft": 65536,
    "nft-sets": 4194304,
    "nft-maps": 8388608,
    "ipset": 4194304,
    "ipvs": 2097152,
    "ipvs-connections": 1048576,
    "bpf": 1048576,
    "tc": 2097152,
    "tcx": 262144,
    "xfrm-policy": 1048576,
    "xfrm-state": 1048576,
    "pod-namespaces": 2097152,
    "qdiscs": 1048576,
}
# Of each nft-table.N, and so on.
_NUMBERED_LIMITS = {
    "nft-table.": 4194304,
    "nft-proxy.": 16777216,
    "pod-counters.": 65536,
    "pod-snmp6.": 65536,
    "pod-listeners.": 262144,
    "pod-udp.": 262144,
    "pod-udp6.": 262144,
    "pod-iptables.": 1048576,
    "pod-iptables-legacy.": 1048576,
    "pod-ip6tables.": 1048576,
    "pod-nft.": 1048576,
}


class UnreadableError(ValueError):
    """An answer that is not what its tool prints; the text says what is wrong with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One question's answer. `status` is the exit status, None where the node has no such tool or file."""

    key: str
    status: int | None
    stdout: bytes
    stderr: bytes

    @property
    def complaint(self) -> str | None:
        """Why this is not a whole answer, or None if it is one. The conntrack tool speaks on stderr when all is well."""
        said = _first_line(self.stderr)
        if self.status is None:
            return said or "not there"
        limit = _LIMITS.get(self.key) or next((most for start, most in _NUMBERED_LIMITS.items() if self.key.startswith(start)), None)
        if limit is not None and len(self.stdout) >= limit:
            return f"the answer is longer than {limit} bytes"
        if self.status in (124, 137, 143):  # timeout(1) of coreutils and of busybox, with KILL and with TERM
            return "no answer in time"
        if self.status != 0:
            return said or f"exit status {self.status}"
        return None


def _first_line(raw: bytes) -> str:
    return next((line.strip() for line in raw.decode("utf-8", "replace").splitlines() if line.strip()), "")


def split(answer: NodeAnswer) -> dict[str, Frame]:
    """The frames of a look's answer by their keys.

    Raises:
        UnreadableError: there is no whole answer; the text says why.
    """
    if answer.status is AnswerStatus.ABSENT:
        raise UnreadableError(answer.reason or "the node could not be asked")
    if not answer.stdout.startswith(_MAGIC):
        raise UnreadableError(answer.reason or _first_line(answer.stderr) or f"no answer ({answer.status}, exit code {answer.exit_code})")
    head, separator, body = answer.stdout[len(_MAGIC) :].partition(b"\n\n")
    if not separator:
        raise UnreadableError("the answer ended early")
    return {frame.key: frame for frame in _frames(head.split(b"\n"), body)}


def _frames(lines: list[bytes], body: bytes) -> Iterator[Frame]:
    position = 0
    for line in lines:
        match = _LINE.fullmatch(line)
        if match is None:
            raise UnreadableError("the answer's index is broken")
        key, status, out_bytes, err_bytes = match.groups()
        middle = position + int(out_bytes)
        end = middle + int(err_bytes)
        if end > len(body):
            raise UnreadableError("the answer ended early")
        yield Frame(
            key=key.decode("ascii"),
            status=None if status == b"absent" else int(status),
            stdout=body[position:middle],
            stderr=body[middle:end],
        )
        position = end
