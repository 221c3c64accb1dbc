"""What captures take of a node's processors under 100,000 packets/s, against tcpdump with its default options and the same filter.

VXLAN packets come to a network namespace whose NIC is captured as a trace captures it, three times over, as many as a node of a path has:
first packets of other pods, which the filter does not pick, then the traced ones. Measured is the time that the capturing processes ran
together, in hundredths of one processor.
"""

import argparse
import math
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from kubectl_vxtrace.capture import bpf, tcpdump
from kubectl_vxtrace.model.path import Role
from tests.bench import flood, place
from tests.bench.figures import Figure, Result
from tests.bench.tcpdumps import ByHand, Counts, Tcpdumps
from tests.capture import netns
from tests.wire import frames

GOAL_RATE = 100_000
GOAL_PERCENT = 10.0
SENDER, NODE = "vxtrace-load-sender", "vxtrace-load-node"
TRACED, OTHERS = ("10.244.1.2", "10.244.2.2"), ("10.244.1.3", "10.244.2.3")
CAPTURES = 3
_SENT = re.compile(r"sent (\d+) seconds ([\d.]+)")
_NUMBER_BYTES = 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `load`."""
    parser.add_argument("--rate", type=int, default=GOAL_RATE, help="packets per second (100000)")
    parser.add_argument("--seconds", type=float, default=4.0, help="how long they are sent, each time (4)")
    parser.add_argument("--smoke", action="store_true", help="half a second of 5000 packets/s")


def main(arguments: argparse.Namespace) -> Result:
    """Print the figures; status 0 if everything ran."""
    if (reason := netns.missing()) is not None:
        raise place.SkippedError(reason)
    rate, seconds = (5_000, 0.5) if arguments.smoke else (arguments.rate, arguments.seconds)
    with netns.namespaces(SENDER, NODE):
        netns.wire(SENDER, NODE)
        print(f"load    {rate} packets/s for {seconds:g} s asked for, {place.load()}")
        figures = tuple(_measured(what, ends, rate, seconds) for what, ends in (("of others", OTHERS), ("of the trace", TRACED)))
    return Result(status=0, figures=figures)


def _measured(what: str, ends: tuple[str, str], rate: int, seconds: float) -> Figure:
    """Captures under packets between `ends`, and the peer's."""
    ours, theirs = _arguments()
    reached, percent, counts = _flooded(ours, ends, rate, seconds)
    _, peer_percent, peer_counts = _flooded(theirs, ends, rate, seconds)
    ratio = f", {percent / peer_percent:.2f} x the peer's" if peer_percent else ""
    print(f"  packets {what}: {reached:,.0f}/s came, {counts.captured} captured, {counts.dropped} dropped: {percent:.1f} %{ratio}")
    print(f"    tcpdump with its default options: {peer_counts.captured} captured, {peer_counts.dropped} dropped: {peer_percent:.1f} %")
    return Figure(
        what=f"processor, packets {what}",
        ours=f"{percent:.1f} % at {reached:,.0f} packets/s",
        peer=f"tcpdump {peer_percent:.1f} %",
        value=percent if reached >= 0.95 * rate else math.nan,
        unit="% of one processor",
        at_most=GOAL_PERCENT,
    )


def _arguments() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Those of a trace, without the file and the interface, and the peer's."""
    nodes = ("10.128.0.1", "10.128.0.2")
    ends = bpf.Ends(clients=TRACED[:1], servers=TRACED[1:], services=("10.96.0.10",), masquerades=nodes, nodes=nodes, ports=(53,))
    expression = bpf.underlay(ends, ethernet=True)
    argv = tcpdump.argv("eth0", "", expression, role=Role.UNDERLAY, snaplen_bytes=512)
    shortened = tuple(word for at, word in enumerate(argv) if at and word not in ("-i", "-w") and argv[at - 1] not in ("-i", "-w"))
    return shortened, ("--", expression)


def _flooded(arguments: tuple[str, ...], ends: tuple[str, str], rate: int, seconds: float) -> tuple[float, float, Counts]:
    """The rate that was reached, the percentage of one processor that the captures took, and the closing numbers of the worst."""
    captures = [ByHand(netns=NODE, interface="eth0", arguments=arguments)] * CAPTURES
    with tempfile.TemporaryDirectory(prefix="vxtrace-bench-") as folder, Tcpdumps(captures, Path(folder)) as tcpdumps:
        tcpdumps.start()
        before_s, began_s = sum(map(_processor_s, tcpdumps.pids)), time.monotonic()
        packets, took_s = _send(ends, rate, seconds)
        time.sleep(0.5)  # what is in its ring
        percent = 100 * (sum(map(_processor_s, tcpdumps.pids)) - before_s) / (time.monotonic() - began_s)
        counts = tcpdumps.stop()
    worst = max(counts, key=lambda one: one.dropped)
    return packets / took_s, percent, worst


def _send(ends: tuple[str, str], rate: int, seconds: float) -> tuple[int, float]:
    frame = _frame(*ends)
    command = ["ip", "netns", "exec", SENDER, sys.executable, "-I", "-S", str(Path(flood.__file__)), "--seconds", str(seconds)]
    command += ["send", "eth0", frame.hex(), str(len(frame) - _NUMBER_BYTES), "--rate", str(rate)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=place.GIVE_UP_S, check=False)
    said = _SENT.search(done.stdout)
    if done.returncode or said is None or int(said[1]) == 0:
        raise place.BrokenError(f"the sender exited {done.returncode}: {done.stdout}{done.stderr}")
    return int(said[1]), float(said[2])


def _frame(source: str, destination: str) -> bytes:
    """A packet of 64 bytes between pods, encapsulated, for nobody: the node looks at it and lets it go."""
    datagram = frames.udp(bytes(32 + _NUMBER_BYTES), source=40_000, destination=53)
    packet = frames.ipv4(datagram, source=source, destination=destination, protocol=frames.UDP, ttl=63)
    inner = frames.vxlan(frames.ethernet(packet, source="02:00:00:00:01:01", destination="02:00:00:00:01:02"), vni=4096)
    whole = frames.ipv4(
        frames.udp(inner, source=49152, destination=4789), source="10.128.0.1", destination="10.128.0.2", protocol=frames.UDP, fragment=0
    )
    return frames.ethernet(whole, source="02:00:00:00:00:01", destination="02:00:00:00:00:02")


def _processor_s(pid: int) -> float:
    """Seconds that a process ran, in its own code and in the kernel (Documentation/scheduler/sched-stats.rst).

    /proc/PID/stat counts ticks, of which a process that wakes for each packet and sleeps again meets few.
    """
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
