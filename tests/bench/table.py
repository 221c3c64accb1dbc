"""The memory of one PacketTable: its bytes for each packet, and the most that the process which reads it ever has.

Files of a million and of ten million packets, each read by a process of its own. Fails where that process has more than --most bytes for
each packet over a fixed 150 MB, the interpreter and numpy among them.
"""

import argparse
import multiprocessing
import struct
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from kubectl_vxtrace.model.packets import PacketTable
from kubectl_vxtrace.packets import read_pcap
from tests.bench import resident
from tests.bench.figures import Figure, Result
from tests.bench.place import judged
from tests.bench.traffic import vxlan_traffic
from tests.wire import frames

GOAL_BYTES = 100
FIXED_BYTES = 150_000_000
SIZES = (1_000_000, 10_000_000)
_PART = 100_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `table`."""
    parser.add_argument("--smoke", action="store_true", help="100000 packets")
    parser.add_argument("--most", type=float, default=float(GOAL_BYTES), help="exit 1 beyond so many bytes a packet (100)")


def main(arguments: argparse.Namespace) -> Result:
    """Print the figures; status 0 if small enough."""
    worst = 0.0
    for packets in (_PART,) if arguments.smoke else SIZES:
        with tempfile.TemporaryDirectory(prefix="vxtrace-bench-") as folder:
            path = Path(folder) / "vxlan.pcap"
            write(path, packets)
            with ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn")) as process:
                table_bytes, peak_bytes = process.submit(measure, path).result()
            size_bytes = path.stat().st_size
        each = max(peak_bytes - FIXED_BYTES, 0) / packets
        worst = max(worst, each)
        print(f"table   {packets} packets in {size_bytes / 1e6:.0f} MB: {table_bytes / packets:.1f} bytes a packet in the table")
        print(f"  peak {peak_bytes / 1e6:.0f} MB: 150 MB and {each:.0f} bytes a packet, {peak_bytes / size_bytes:.2f} x the file")
    print(f"  {judged(worst, GOAL_BYTES, 'bytes a packet')}")
    said = f"{peak_bytes / 1e6:.0f} MB for {packets:,} packets"
    figure = Figure(what="memory of read_pcap", ours=said, value=worst, unit="bytes a packet over 150 MB", at_most=GOAL_BYTES)
    return Result(status=0 if worst <= arguments.most else 1, figures=(figure,))


def measure(path: Path) -> tuple[int, int]:
    """Bytes of the table's columns, and the most memory this process ever had."""
    table = read_pcap(path)
    held = sum(column.nbytes for name in PacketTable.__slots__ if isinstance(column := getattr(table, name), np.ndarray))
    return held, resident.peak_bytes()


def write(path: Path, packets: int) -> None:
    """VXLAN traffic: the same packets again and again, a few seconds later each time."""
    part = [frames.pcap_record(time_ns, frame, snaplen=512) for time_ns, frame in vxlan_traffic(_PART)]
    starts = np.cumsum([0, *(len(record) for record in part)])[:-1]
    data = np.frombuffer(b"".join(part), np.uint8).copy()
    seconds = np.array([struct.unpack_from("<I", record)[0] for record in part], np.uint32)
    lasting = int(seconds[-1] - seconds[0]) + 1
    with path.open("wb") as file:
        file.write(frames.pcap_header())
        for number in range(packets // _PART):
            later = (seconds + np.uint32(number * lasting)).astype("<u4").view(np.uint8).reshape(-1, 4)
            for byte in range(4):
                data[starts + byte] = later[:, byte]
            file.write(data.data)
