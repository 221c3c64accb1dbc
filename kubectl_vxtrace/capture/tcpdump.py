"""tcpdump: its command, and what it says when it begins and ends."""

import re
from dataclasses import dataclass

from kubectl_vxtrace.model.path import Role

_COUNTS = re.compile(r"^(\d+) packets? (captured|received by filter|dropped by kernel)", re.MULTILINE)
_SO_FAR = re.compile(r"^tcpdump: (\d+) packets? captured, (\d+) packets? received by filter, \d+ packets? dropped by kernel$", re.MULTILINE)
_LISTENING = re.compile(r"listening on (\S+), link-type (\S+)")
_NO_DEVICE = re.compile(r"No such device|SIOCGIFHWADDR: No such|doesn't exist")
_DOWN = re.compile(r"That device is not up|Network is down|The network is down")
# What tcpdump says that is no reason for anything.
_CHATTER = re.compile(r"listening on|packets? (?:captured|received|dropped)|data link type|verbose output suppressed|dropped privs|nohup:")


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
