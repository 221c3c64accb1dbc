"""The kernel's own words about dropped packets: the commands that log them on a node, and what the log says. Pure.

What can be claimed from it: that the kernel of this node freed a packet of this ethertype for this reason at about this time. The event
names no address, length, interface or network namespace, so it never tells where a packet was lost; captures do, and the kernel's
word explains it. Nodes that share a kernel (test machines) log each other's drops.
"""

import hashlib
import re
from dataclasses import dataclass
from importlib.resources import files

from kubectl_vxtrace.model.cluster import AnswerStatus, NodeAnswer, NodeCommand
from kubectl_vxtrace.model.facts import KernelDrop

# More drops than this say nothing about single packets.
_MOST_DROPS = 20_000
_HEAD = re.compile(rb"vxtrace-droplog 1 (ok|absent ?([^\n]*))\n")
# "  ping-12    [001] ..s2. 16395.959216: kfree_skb: skbaddr=00.. rx_sk=00.. protocol=2048 location=nft_do_chain+0x3e8/0x610 reason: X"
# A task's name may be anything, so the parts are found from the right. A function in a module is followed by " [vxlan]". Before Linux 6.1
# the location is an address, hashed where the node's symbols may not be read.
_DROP = re.compile(
    rb"\] \S{4,8} +(\d{1,9})\.(\d{6}): kfree_skb: skbaddr=\S+ (?:rx_sk=(\S+) )?protocol=(\d{1,5})"
    rb" location=(\S+)(?: \[(\w{1,60})[^]\n]{0,60}\])? reason: (\w{1,60})"
)
_MARK = re.compile(rb"\] \S{4,8} +(\d{1,9})\.(\d{6}): tracing_mark_write: vxtrace-clock (\d{19})")
_SYMBOL = re.compile(rb"([A-Za-z_][A-Za-z0-9_.]{0,80})(?:\+0x[0-9a-f]+/0x[0-9a-f]+)?")
_ADDRESS = re.compile(rb"(?:0x)?[0-9a-f]{8,16}")
_LOST = re.compile(rb"^CPU:\d+ \[LOST (\d+) EVENTS\]", re.MULTILINE)
_SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DropLog:
    """One node's log. `reason`: why there is none, or why it is not whole; `text` is what the kernel printed.

    `logged_ns`: from when to when it surely ran, by the node's clock; None where it does not say.
    """

    node: str
    drops: tuple[KernelDrop, ...] = ()
    logged_ns: tuple[int, int] | None = None
    reason: str | None = None
    text: bytes = b""


def start(node: str, session: str, directory: str, limit_s: int) -> NodeCommand:
    """Begin to log; may be asked again. After `limit_s` seconds a trace that finds the log left behind may take it away."""
    return _command("start", node, session, directory, limit_s)


def stop(node: str, session: str, directory: str) -> NodeCommand:
    """End the log, say what is in it, and take it away. May be asked again: what was said stays on the node."""
    return _command("stop", node, session, directory, 0, patient=True)


def _command(step: str, node: str, session: str, directory: str, limit_s: int, *, patient: bool = False) -> NodeCommand:
    """Two debug pods may run on one kernel: the log's name holds the session and a hash of the node's name."""
    scripts = files(__package__)
    text = "".join(scripts.joinpath(f"{part}.sh").read_text(encoding="utf-8") for part in ("clock", "droplog"))
    name = f"vxtrace-{session}-{hashlib.sha256(node.encode()).hexdigest()[:8]}"
    argv = ("unshare", "-m", "sh", "-c", text, "vxtrace-droplog", step, directory, name, str(limit_s))
    return NodeCommand(node=node, key=f"droplog-{step}", argv=argv, timeout_s=10.0, max_bytes=8 * 1024 * 1024, patient=patient)


def why_not(answer: NodeAnswer) -> str | None:
    """Why a log did not begin, or None if it did."""
    head = _HEAD.match(answer.stdout)
    if head is not None:
        return None if head[1] == b"ok" else head[2].decode("utf-8", "replace") or "no reason given"
    said = answer.stderr.decode("utf-8", "replace").strip().splitlines()
    if answer.status is AnswerStatus.TIMEOUT:
        return "no answer in time"
    return answer.reason or (said[0] if said else f"no answer ({answer.status}, exit code {answer.exit_code})")


def read_log(answer: NodeAnswer) -> DropLog:
    """The log in the answer to `stop`. Never raises."""
    node = answer.command.node
    if (reason := why_not(answer)) is not None:
        return DropLog(node=node, reason=reason)
    text = answer.stdout.partition(b"\n")[2]
    clock = _clock(text)
    if clock is None:
        return DropLog(node=node, reason="the log's clock cannot be told", text=text)
    found = tuple(_drop(node, match, clock) for match, _ in zip(_DROP.finditer(text), range(_MOST_DROPS), strict=False))
    marks = [int(mark[3]) for mark in _MARK.finditer(text)]
    # The first pair of marks is written when the log has begun, the last one before it ends (droplog.sh).
    logged_ns = (marks[1], marks[-2]) if len(marks) > 3 else None
    return DropLog(node=node, drops=found, logged_ns=logged_ns, reason=_not_whole(answer, text, found), text=text)


def _not_whole(answer: NodeAnswer, text: bytes, found: tuple[KernelDrop, ...]) -> str | None:
    lost = sum(int(count) for count in _LOST.findall(text))
    if lost or (b"entries-in-buffer/entries-written" in text and _overwritten(text)):
        return "the log is not whole: there were more drops than its buffer holds"
    if len(found) == _MOST_DROPS or answer.status is not AnswerStatus.OK:
        return "the log is not whole: its end is missing"
    return None


def _overwritten(text: bytes) -> bool:
    counts = re.search(rb"entries-in-buffer/entries-written: (\d{1,18})/(\d{1,18})", text)
    return counts is not None and int(counts[1]) < int(counts[2])


def _clock(text: bytes) -> tuple[int, int] | None:
    """What to add to the log's time for Unix time, at least and at most; None without the marks.

    Each mark holds a time that was read before it was written, and the pair's second was read after the first was written. Where the
    clock was stepped meanwhile, the two pairs contradict each other, and both bounds are what either says.
    """
    marks = [(_nanoseconds(mark[1], mark[2]), int(mark[3])) for mark in _MARK.finditer(text)]
    # A node that tells whole seconds only is right within one.
    coarse_ns = _SECOND_NS if marks and all(unix_ns % _SECOND_NS == 0 for _, unix_ns in marks) else 1_000
    pairs = [(first, second) for first, second in zip(marks[::2], marks[1::2], strict=False)]
    if not pairs:
        return None
    lows = [max(first[1] - first[0], second[1] - second[0]) for first, second in pairs]
    highs = [second[1] + coarse_ns - first[0] for first, second in pairs]
    low, high = max(lows), min(highs)
    return (low, high) if low <= high else (min(lows), max(highs))


def _drop(node: str, match: re.Match[bytes], clock: tuple[int, int]) -> KernelDrop:
    low, high = clock
    seconds, microseconds, socket, protocol, place, module, reason = match.groups()
    is_address = _ADDRESS.fullmatch(place) is not None
    symbol = None if is_address else _SYMBOL.fullmatch(place)
    return KernelDrop(
        node=node,
        time_ns=_nanoseconds(seconds, microseconds) + (low + high) // 2,
        uncertainty_ns=(high - low) // 2 + 1_000,
        reason=reason.decode("ascii").removeprefix("SKB_DROP_REASON_"),
        location=symbol[1].decode("ascii") if symbol is not None else "",
        ethertype=int(protocol),
        module=module.decode("ascii") if module is not None else None,
        address=place.decode("ascii") if is_address else None,
        socket=socket.strip(b"0") not in (b"", b"(null)") if socket is not None else None,
    )


def _nanoseconds(seconds: bytes, microseconds: bytes) -> int:
    return int(seconds) * _SECOND_NS + int(microseconds) * 1_000
