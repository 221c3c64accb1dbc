"""Decoding a VXLAN capture against `tshark -T fields` with the same columns, against pyshark, and against tcpdump, which only copies.

Ours is the best of five runs (the file is then in the page cache), tshark and tcpdump the better of two; pyshark reads a slice, and what
it takes for one packet is taken off. Ratios are of processor time, as other work on the machine meets wall clocks unevenly: all but
pyshark, of which tshark's part counts too, use one thread. Fails below --least times tshark.
"""

import argparse
import importlib.util
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from kubectl_vxtrace.packets import read_pcap
from tests.bench.place import SkippedError, load
from tests.bench.traffic import write_vxlan_traffic

GOAL = 40
PYSHARK_GOAL = 2000
COLUMNS = (
    "frame.number",
    "frame.time_epoch",
    "frame.len",
    "frame.cap_len",
    "eth.src",
    "eth.dst",
    "ip.src",
    "ip.dst",
    "ip.proto",
    "ip.id",
    "ip.ttl",
    "ip.flags",
    "ip.frag_offset",
    "ip.len",
    "udp.srcport",
    "udp.dstport",
    "tcp.srcport",
    "tcp.dstport",
    "tcp.seq_raw",
    "tcp.ack_raw",
    "tcp.flags",
    "vxlan.vni",
)
_PYSHARK = """
import sys, pyshark
capture = pyshark.FileCapture(sys.argv[1], keep_packets=False)
capture.apply_on_packets(lambda packet: packet.ip.src, packet_count=int(sys.argv[2]))
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `decode`."""
    parser.add_argument("--packets", type=int, default=300_000, help="packets in the generated file (300000)")
    parser.add_argument("--slice", type=int, default=2_000, help="packets that pyshark reads (2000)")
    parser.add_argument("--smoke", action="store_true", help="30000 packets and a slice of 100, however fast")
    parser.add_argument("--least", type=float, default=20.0, help="exit 1 if not so many times as fast as tshark (20)")


def main(arguments: argparse.Namespace) -> int:
    """Print the figures; 0 if fast enough."""
    for tool in ("tshark", "tcpdump"):
        if shutil.which(tool) is None:
            raise SkippedError(f"{tool} is not installed; it is the peer that this is measured against")
    packets, part, least = (30_000, 100, 0.0) if arguments.smoke else (arguments.packets, arguments.slice, arguments.least)
    with tempfile.TemporaryDirectory(prefix="vxtrace-bench-") as folder:
        path = Path(folder) / "vxlan.pcap"
        write_vxlan_traffic(path, packets)
        size_mib = path.stat().st_size / (1 << 20)
        ours_s = min(ours(path, packets) for _ in range(5))
        fields = [argument for column in COLUMNS for argument in ("-e", column)]
        tshark_s = min(processor_seconds(["tshark", "-n", "-r", str(path), "-T", "fields", *fields]) for _ in range(2))
        tcpdump_s = min(processor_seconds(["tcpdump", "-n", "-r", str(path), "-w", "/dev/null"]) for _ in range(2))
        pyshark_s = pyshark(path, part)
    print(f"decode  {packets} VXLAN packets, {size_mib:.0f} MiB, {len(COLUMNS)} columns, {load()}")
    for name, seconds, count in (("read_pcap", ours_s, packets), ("tshark", tshark_s, packets), ("tcpdump -w", tcpdump_s, packets)):
        print(f"  {name:10} {seconds:8.3f} s {count / seconds:12,.0f} packets/s of processor time")
    each_s = ours_s / packets
    print(f"  {tshark_s / ours_s:.1f} x tshark (goal {GOAL}); {tcpdump_s / ours_s:.2f} x tcpdump, which is the limit")
    if pyshark_s is None:
        print("  pyshark is not installed")
    else:
        print(f"  pyshark    {pyshark_s:8.3f} s for {part} packets; {pyshark_s / part / each_s:,.0f} x pyshark (goal {PYSHARK_GOAL:,})")
    return 0 if tshark_s / ours_s >= least else 1


def ours(path: Path, packets: int) -> float:
    """Seconds of processor time that read_pcap takes."""
    start = time.process_time()
    table = read_pcap(path)
    seconds = time.process_time() - start
    assert len(table) == packets
    assert (table.tunnel >= 0).all()
    return seconds


def run(command: list[str]) -> float:
    """Seconds that a peer takes."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def processor_seconds(command: list[str]) -> float:
    """Seconds of processor time that a peer takes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def pyshark(path: Path, packets: int) -> float | None:
    """Seconds of processor time that pyshark and its tshark take for so many packets; None where it is not installed."""
    if importlib.util.find_spec("pyshark") is None:
        return None
    one, all_ = (processor_seconds([sys.executable, "-c", _PYSHARK, str(path), str(count)]) for count in (1, packets + 1))
    return all_ - one
