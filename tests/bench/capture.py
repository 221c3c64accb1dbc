"""Whether a node under 50,000 packets/s loses any at a capture, by tcpdump's own numbers, against tcpdump with its default options.

Encapsulated packets of the kotsadm pod come off the lab's wire to another node, for a pod there, while the plugin traces that flow; each
passes three captures. Then once more while plain tcpdumps run at the same taps. Packets stay in the lab's namespaces.
"""

import argparse
import math
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench import flood, place
from tests.bench.figures import Figure, Result
from tests.bench.tcpdumps import ByHand, Counts, Tcpdumps
from tests.bench.tracing import Traced, trace
from tests.datapath import records, tools
from tests.e2e.place import CLIENT
from tests.wire import frames

GOAL_RATE = 50_000
PORT = 40_000
# The captures listen so much longer than the packets come: before, and after.
LEAD_S = 0.5
TAIL_S = 1.5
_NUMBER_BYTES = 4
_SENT = re.compile(r"sent (\d+) seconds ([\d.]+)")


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What the sender says it did."""

    packets: int
    seconds: float

    @property
    def rate(self) -> float:
        """Packets per second."""
        return self.packets / self.seconds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `capture`."""
    parser.add_argument("--rate", type=int, default=GOAL_RATE, help="packets per second (50000)")
    parser.add_argument("--seconds", type=float, default=4.0, help="how long they are sent (4)")
    parser.add_argument("--smoke", action="store_true", help="one second of 5000 packets/s")


def main(arguments: argparse.Namespace) -> Result:
    """Print the figures; status 0 if everything ran."""
    rate, seconds = (5_000, 1.0) if arguments.smoke else (arguments.rate, arguments.seconds)
    with place.lab() as lab:
        client, server = ends(lab)
        packets = Flood(lab, client, server, rate, seconds)
        with sink(server, 2 * place.GIVE_UP_S):
            ours, traced = traced_flood(lab, server, packets)
            theirs, counts = plain_flood(lab, traced, packets)
    mine = [Counts(received=one["received"], captured=one["captured"], dropped=one["dropped_by_kernel"]) for one in traced.captures]
    print(f"capture {len(mine)} taps, {rate} packets/s for {seconds:g} s asked for, {place.load()}")
    names = [f"{one['node']} {one['interface']}" for one in traced.captures]
    report("kubectl-vxtrace", ours, names, mine)
    report("tcpdump with its default options", theirs, names, counts)
    dropped, peers = sum(one.dropped for one in mine), sum(one.dropped for one in counts)
    reached = ours.rate >= 0.95 * rate
    judgement = "NOT met on this machine" if dropped else "met" if reached else "not shown: the machine cannot send so fast beside them"
    print(f"  lost {dropped}, the peer {peers}, of {ours.packets} and {theirs.packets} packets; goal none at {rate}/s: {judgement}")
    said, peer = f"{dropped} at {ours.rate:,.0f} packets/s", f"tcpdump {peers} at {theirs.rate:,.0f} packets/s"
    value = dropped if reached or dropped else math.nan
    return Result(status=0, figures=(Figure(what="capture", ours=said, peer=peer, value=value, unit="lost by the kernel", at_most=0),))


class Flood:
    """Encapsulated packets that come off the wire to the node of `server`, as if the node of `client` had sent them.

    Only that node has work with them: a machine of two processors cannot be the sender's node, too, at this rate.
    """

    def __init__(self, lab: records.Lab, client: records.LabPod, server: records.LabPod, rate: int, seconds: float) -> None:
        assert client.node is not None
        assert server.node is not None
        there = lab.node(server.node)
        frame = _frame(client, server, lab.node(client.node), there)
        offset = len(frame) - _NUMBER_BYTES
        how = ["--seconds", str(seconds), "send", there.fabric_port, frame.hex(), str(offset), "--rate", str(rate)]
        self._command = _inside(lab.fabric, *how)
        self.seconds = seconds

    def run(self) -> Sent:
        """Send; BrokenError where nothing could be sent."""
        done = subprocess.run(self._command, capture_output=True, text=True, timeout=place.GIVE_UP_S, check=False)
        said = _SENT.search(done.stdout)
        if done.returncode or said is None or int(said[1]) == 0:
            raise place.BrokenError(f"the sender exited {done.returncode}: {done.stdout}{done.stderr}")
        return Sent(packets=int(said[1]), seconds=float(said[2]))


def _frame(client: records.LabPod, server: records.LabPod, here: records.LabNode, there: records.LabNode) -> bytes:
    """What comes to `there` when `client` sends a packet of 64 bytes to `server`."""
    assert client.address is not None
    assert server.address is not None
    datagram = frames.udp(bytes(32 + _NUMBER_BYTES), source=PORT, destination=PORT)
    packet = frames.ipv4(datagram, source=client.address, destination=server.address, protocol=frames.UDP, ttl=63)
    inner = frames.vxlan(frames.ethernet(packet, source=here.vtep_mac, destination=there.vtep_mac), vni=there.vni)
    outer = frames.udp(inner, source=49152, destination=there.vxlan_port)
    whole = frames.ipv4(outer, source=here.address, destination=there.address, protocol=frames.UDP, fragment=0)
    return frames.ethernet(whole, source=here.underlay_mac, destination=there.underlay_mac)


def ends(lab: records.Lab) -> tuple[records.LabPod, records.LabPod]:
    """The kotsadm pod, and a pod of the lab on another node."""
    client = next(pod for pod in lab.pods if f"{pod.namespace}/{pod.name}" == CLIENT)
    others = [pod for node in lab.nodes for pod in lab.pods_on(node.name) if node.name != client.node and pod.phase == "Running"]
    return client, others[0]


@contextmanager
def sink(server: records.LabPod, seconds: float) -> Iterator[None]:
    """Somebody in `server` holds the port that packets go to, at most so long."""
    assert server.netns is not None
    command = _inside(server.netns, "--seconds", str(seconds), "sink", str(server.address), str(PORT))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            if process.stdout.readline() != "ready\n":
                raise place.BrokenError(f"port {PORT} of {server.name} cannot be held")
            yield
        finally:
            process.terminate()


def traced_flood(lab: records.Lab, server: records.LabPod, packets: Flood) -> tuple[Sent, Traced]:
    """Packets while the plugin traces them. They come from a thread, as the plugin goes on talking."""
    with ThreadPoolExecutor(1) as pool:
        futures: list[Future[Sent]] = []

        def listening() -> None:
            futures.append(pool.submit(packets.run))

        duration = f"{packets.seconds + LEAD_S + TAIL_S:g}s"
        target = f"pod/{server.namespace}/{server.name}:{PORT}/udp"
        traced = trace(lab, CLIENT, "--to", target, "--duration", duration, "--show", "0", listening=listening)
        if not futures:
            raise place.BrokenError("the plugin never said that its captures listen")
        return futures[0].result(), traced


def plain_flood(lab: records.Lab, traced: Traced, packets: Flood) -> tuple[Sent, list[Counts]]:
    """The same while tcpdumps with default options run at the same taps."""
    captures = [
        ByHand(netns=lab.node(one["node"]).netns, interface=one["interface"], arguments=("--", one["filter"])) for one in traced.captures
    ]
    with tempfile.TemporaryDirectory(prefix="vxtrace-bench-") as folder, Tcpdumps(captures, Path(folder)) as tcpdumps:
        tcpdumps.start()
        sent = packets.run()
        time.sleep(TAIL_S)
        return sent, tcpdumps.stop()


def report(name: str, sent: Sent, captures: Sequence[str], counts: Sequence[Counts]) -> None:
    """One line for each capture."""
    print(f"  {name}: {sent.packets} packets sent in {sent.seconds:.2f} s, {sent.rate:,.0f}/s")
    for capture, count in zip(captures, counts, strict=True):
        print(f"    {capture:32} received {count.received:8} captured {count.captured:8} dropped {count.dropped:6}")


def _inside(netns: str, *arguments: str) -> list[str]:
    return tools.inside(netns, [sys.executable, "-I", "-S", str(Path(flood.__file__)), *arguments])
