"""Decoding a VXLAN capture against `tshark -T fields` with the same columns, and `capinfos`, which only walks the records.

Ours is the best of three runs (the file is then in the page cache), the peers run once after it. Fails below --least times tshark.
"""

import argparse
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from kubectl_vxtrace.packets import read_pcap
from tests.bench.place import SkippedError
from tests.bench.traffic import write_vxlan_traffic

GOAL = 40
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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `decode`."""
    parser.add_argument("--packets", type=int, default=300_000, help="packets in the generated file (300000)")
    parser.add_argument("--smoke", action="store_true", help="30000 packets, however fast")
    parser.add_argument("--least", type=float, default=20.0, help="exit 1 if not so many times as fast as tshark (20)")


def main(arguments: argparse.Namespace) -> int:
    """Print the figures; 0 if fast enough."""
    for tool in ("tshark", "capinfos"):
        if shutil.which(tool) is None:
            raise SkippedError(f"{tool} is not installed; it is the peer that this is measured against")
    packets, least = (30_000, 0.0) if arguments.smoke else (arguments.packets, arguments.least)
    with tempfile.TemporaryDirectory(prefix="vxtrace-bench-") as folder:
        path = Path(folder) / "vxlan.pcap"
        write_vxlan_traffic(path, packets)
        size_mib = path.stat().st_size / (1 << 20)
        ours_s = min(ours(path, packets) for _ in range(3))
        tshark_s = run(["tshark", "-n", "-r", str(path), "-T", "fields", *(part for column in COLUMNS for part in ("-e", column))])
        capinfos_s = run(["capinfos", "-T", "-M", "-c", str(path)])
    ratio = tshark_s / ours_s
    print(f"decode  {packets} VXLAN packets, {size_mib:.0f} MiB, {len(COLUMNS)} columns")
    for name, seconds in (("read_pcap", ours_s), ("tshark", tshark_s), ("capinfos", capinfos_s)):
        print(f"  {name:10} {seconds:8.3f} s {packets / seconds:12,.0f} packets/s")
    print(f"  {ratio:.1f} x tshark (goal {GOAL}), {capinfos_s / ours_s:.2f} x capinfos (upper line)")
    return 0 if ratio >= least else 1


def ours(path: Path, packets: int) -> float:
    """Seconds that read_pcap takes."""
    start = time.perf_counter()
    table = read_pcap(path)
    seconds = time.perf_counter() - start
    assert len(table) == packets
    assert (table.tunnel >= 0).all()
    return seconds


def run(command: list[str]) -> float:
    """Seconds that a peer takes."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start
