"""tcpdump: what may stand in its command, the command, and what it says when it begins and ends."""

import re
from collections.abc import Container
from dataclasses import dataclass

from kubectl_vxtrace.errors import UsageError
from kubectl_vxtrace.model.path import Role, Tap

# Linux forbids only slashes, colons and blanks, so that `-w` or `a;id` is a legal name; these are the ones that people use.
_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,14}")
_UNSAFE = re.compile(r"[^A-Za-z0-9.@_-]")
_COUNTS = re.compile(r"^(\d+) packets? (captured|received by filter|dropped by kernel)", re.MULTILINE)
_SO_FAR = re.compile(r"^tcpdump: (\d+) packets? captured, (\d+) packets? received by filter, \d+ packets? dropped by kernel$", re.MULTILINE)
_LISTENING = re.compile(r"listening on (\S+), link-type (\S+)")
_NO_DEVICE = re.compile(r"No such device|SIOCGIFHWADDR: No such|doesn't exist")
_DOWN = re.compile(r"That device is not up|Network is down|The network is down")
# What tcpdump says that is no reason for anything.
_CHATTER = re.compile(r"listening on|packets? (?:captured|received|dropped)|data link type|verbose output suppressed|dropped privs|nohup:")


def usable_interface(name: str) -> bool:
    """Whether an interface of this name may stand in a command."""
    return _INTERFACE.fullmatch(name) is not None


def checked(expression: str) -> str:
    """The user's own filter expression, before any node has seen it, with its blanks made single.

    It reaches tcpdump as one argument after `--`, so that none of it can be an option; words that look like one are refused all the same,
    for nothing that is meant as a filter begins with `-`. Whether libpcap takes it only a node can say.

    Raises:
        UsageError: it is empty, holds control characters, or a word of it begins with `-`.
    """
    hint = "See pcap-filter(7); for instance: --filter 'udp port 53'."
    words = expression.split()
    if not words:
        raise UsageError("--filter is empty", hint)
    if not expression.isascii() or not all(character.isprintable() or character.isspace() for character in expression):
        raise UsageError(f"--filter holds characters that no filter can have: {expression!r}", hint)
    option = next((word for word in words if word.lstrip("(").startswith("-")), None)
    if option is not None:
        raise UsageError(f"--filter: {option!r} begins with '-'; options of tcpdump cannot be given", hint)
    return " ".join(words)


def file_name(tap: Tap, role: Role, taken: Container[str]) -> str:
    """The pcap's name, as the by-hand procedure names it, with the interface added where the plain name is `taken`.

    `<node>-pod.pcap`, `<node>-bridge.pcap`, `<node>-vxlan-<device>.pcap` (dots as dashes, no second `vxlan-`),
    `<node>-primary-interface.pcap`.
    """
    interface = _UNSAFE.sub("_", tap.interface)
    device = interface.replace(".", "-")
    kinds = {
        Role.POD: "pod",
        Role.BRIDGE: "bridge",
        Role.VXLAN: f"vxlan-{device.removeprefix('vxlan-')}" if device else "vxlan",
        Role.UNDERLAY: "primary-interface",
    }
    stem = f"{_UNSAFE.sub('_', tap.node).lstrip('.-') or 'node'}-{kinds[role]}"
    candidates = [stem, f"{stem}-{interface}" if interface else stem]
    candidates += [f"{candidates[1]}-{number}" for number in range(2, 1000)]
    return next(name for each in candidates if (name := f"{each}.pcap") not in taken)


def argv(interface: str, file: str, expression: str, *, role: Role, snaplen_bytes: int) -> tuple[str, ...]:
    """The command of one capture, which may as well be run by hand on the node.

    -p: promiscuous mode can hide the very fault that is looked for. --immediate-mode and -U: else up to a second of packets is lost at the
    end. -B: 16 MiB of ring. -T vxlan at the NIC says how to print, as the by-hand procedure has it, and leaves the file alone. `--`: what
    follows is no option. Nothing is printed, for there is no --print.
    """
    command = ["tcpdump", "-p", "--immediate-mode", "-U", "-nn", "-s", str(snaplen_bytes), "-B", "16384", "-i", interface, "-w", file]
    if role is Role.UNDERLAY:
        command += ["-T", "vxlan"]
    return (*command, "--", expression)


def with_options(command: tuple[str, ...], options: tuple[str, ...]) -> tuple[str, ...]:
    """The command as the node ran it, with the options that its own tcpdump knows (see start.sh)."""
    return (*command[:1], *options, *command[1:])


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """tcpdump's last three lines; None for what it did not say."""

    captured: int | None = None
    received: int | None = None
    dropped_by_kernel: int | None = None

    @property
    def whole(self) -> bool:
        """Whether all three are there: tcpdump ended in good order."""
        return None not in (self.captured, self.received, self.dropped_by_kernel)


def closing(stderr: str) -> Closing:
    """The closing numbers; if tcpdump printed some before (on SIGUSR1), the last ones."""
    found = {what: int(number) for number, what in _COUNTS.findall(stderr) if len(number) < 20}
    return Closing(
        captured=found.get("captured"),
        received=found.get("received by filter"),
        dropped_by_kernel=found.get("dropped by kernel"),
    )


def received_early(stderr: str) -> int:
    """How many packets tcpdump had received and not captured when it was first asked for its numbers (SIGUSR1); 0 if it was not.

    Those came before its filter was in place: they count as received, and are never written.
    """
    found = _SO_FAR.search(stderr)
    if found is None or max(map(len, found.groups())) >= 20:
        return 0
    return max(int(found[2]) - int(found[1]), 0)


def listening(stderr: str) -> bool:
    """Whether tcpdump said that it captures."""
    return _LISTENING.search(stderr) is not None


def device_is_gone(stderr: str) -> bool:
    """Whether tcpdump refused because the device is absent or down: nothing can pass there, which is no failure to look."""
    return _NO_DEVICE.search(stderr) is not None or _DOWN.search(stderr) is not None


def complaint(stderr: str) -> str | None:
    """The first line that says what went wrong, without tcpdump's name."""
    lines = (line.strip().removeprefix("tcpdump: ") for line in stderr.splitlines())
    return next((line for line in lines if line and not _CHATTER.search(line)), None)
