"""Network namespaces of the lab from outside: rules with counters, offloads, processes, and what rules log."""

import json
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.datapath import tools

SETTLE_S = 0.3


def chain(name: str, hook: str, priority: int, rules: Sequence[str]) -> str:
    """nft: a base chain."""
    return f"chain {name} {{ type filter hook {hook} priority {priority}; policy accept;\n" + "\n".join(rules) + "\n}"


def table(family: str, name: str, counters: Sequence[str], chains: Sequence[str]) -> str:
    """nft: a table of named counters and chains."""
    return f"table {family} {name} {{\n" + "\n".join([*(f"counter {one} {{ }}" for one in counters), *chains]) + "\n}\n"


def ethtool(netns: str, device: str, on: bool, *features: str) -> None:
    """Switch features of a device."""
    tools.run_inside(netns, ["ethtool", "-K", device, *(word for one in features for word in (one, "on" if on else "off"))])


def nft(netns: str, text: str) -> None:
    """Run a script."""
    tools.run_inside(netns, ["nft", "-f", "-"], text=f"{text}\n")


@contextmanager
def logged(netns: str, group: int, path: Path) -> Iterator[Path]:
    """What rules of a namespace log to a group of nfnetlink_log, in a file that is whole afterwards."""
    argv = ["tcpdump", "-i", f"nflog:{group}", "-U", "-Z", "root", "-w", str(path)]
    with subprocess.Popen(tools.inside(netns, argv), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert any("listening" in line for line in process.stderr)
        try:
            yield path
            time.sleep(SETTLE_S)
        finally:
            process.send_signal(signal.SIGINT)


def segments(path: Path, mss_bytes: int) -> int:
    """How many packets of the wire the logged ones stand for; tshark reads their headers."""
    argv = ["tshark", "-n", "-r", str(path), "-T", "fields", "-e", "ip.len", "-e", "ip.hdr_len", "-e", "tcp.hdr_len"]
    lines = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()
    payload = [int(total) - int(ip) - int(tcp) for total, ip, tcp in (line.split("\t") for line in lines)]
    return sum(max(-(-one // mss_bytes), 1) for one in payload)


def counters(netns: str, family: str, table: str) -> dict[str, int]:
    """Packets by named counter."""
    listed = json.loads(tools.run_inside(netns, ["nft", "-j", "list", "counters", "table", family, table]).stdout)
    return {one["counter"]["name"]: one["counter"]["packets"] for one in listed["nftables"] if "counter" in one}


def address(netns: str) -> str:
    """The IPv4 address of a pod's eth0."""
    found = json.loads(tools.run_inside(netns, ["ip", "-j", "-4", "address", "show", "dev", "eth0"]).stdout)
    return str(found[0]["addr_info"][0]["local"])


@contextmanager
def running(netns: str, argv: Sequence[str]) -> Iterator["subprocess.Popen[str]"]:
    """A process whose stdin and stdout are ours; ended afterwards."""
    process = subprocess.Popen(tools.inside(netns, argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
