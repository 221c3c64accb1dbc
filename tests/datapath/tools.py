"""Running the system's network tools, and the errors a user of the lab can read."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

NETNS_DIR = Path("/run/netns")  # where ip-netns(8) keeps the names

# Tool -> Debian package. All but tcpdump are run by the lab itself; tcpdump is what its debug pods run.
TOOLS = {
    "ip": "iproute2",
    "bridge": "iproute2",
    "tc": "iproute2",
    "nsenter": "util-linux",
    "iptables": "iptables",
    "iptables-restore": "iptables",
    "ip6tables": "iptables",
    "nft": "nftables",
    "dnsmasq": "dnsmasq-base",
    "tcpdump": "tcpdump",
}


class LabError(Exception):
    """The lab cannot do what was asked; the text says why and what to do."""


class LabUsageError(LabError):
    """The command itself is wrong: an unknown name, a number out of range, something not built."""


def missing_tools() -> dict[str, str]:
    """Tools that are not on the PATH -> Debian package that has them."""
    return {tool: package for tool, package in TOOLS.items() if shutil.which(tool) is None}


def inside(netns: str, argv: Sequence[str]) -> list[str]:
    """The same command inside a network namespace; nsenter(1) leaves mounts alone and becomes the command (no second process)."""
    return ["nsenter", f"--net={NETNS_DIR / netns}", *argv]


def run(argv: Sequence[str], *, text: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, `text` on its stdin.

    Raises:
        LabError: it failed (with `check`), or ran longer than 60 s.
    """
    try:
        done = subprocess.run(
            argv, input=text, stdin=subprocess.DEVNULL if text is None else None, capture_output=True, text=True, timeout=60, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{' '.join(argv)}: no end after {error.timeout:.0f} s") from error
    except OSError as error:
        raise LabError(f"{argv[0]}: {error.strerror}") from error
    if check and done.returncode != 0:
        words = (done.stderr or done.stdout).strip() or f"exit status {done.returncode}"
        raise LabError(f"{' '.join(argv)}: {words}")
    return done


def run_inside(netns: str, argv: Sequence[str], *, text: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
    """`run` inside a network namespace."""
    return run(inside(netns, argv), text=text, check=check)


def ip_batch(netns: str | None, lines: Sequence[str]) -> None:
    """Commands for ip(8), one a line, in one process; stops at the first that fails."""
    if lines:
        place = [] if netns is None else ["-n", netns]
        run(["ip", *place, "-batch", "-"], text="\n".join(lines) + "\n")


def bridge_batch(netns: str, lines: Sequence[str]) -> None:
    """Commands for bridge(8), one a line, in one process."""
    if lines:
        run(["bridge", "-n", netns, "-batch", "-"], text="\n".join(lines) + "\n")


def namespaces() -> set[str]:
    """Names of the network namespaces of this machine."""
    return {path.name for path in NETNS_DIR.iterdir()} if NETNS_DIR.is_dir() else set()
