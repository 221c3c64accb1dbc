"""The same capture as pcap, pcapng and gzipped: how much longer the others take than pcap. `gzip -dc` is what unpacking alone takes.

Wall clock, the best of seven runs in turns, and beside it processor time, of which a gzip file takes more than it lets anybody wait: it is
unpacked by a second thread. Fails beyond --most times pcap.
"""

import argparse
import gzip
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from kubectl_vxtrace.packets import read_pcap
from tests.bench.decode import processor_seconds
from tests.bench.figures import Figure, Result
from tests.bench.place import SkippedError, judged, load
from tests.bench.traffic import write_vxlan_traffic
from tests.wire import frames

GOAL = 2.0
_RECORD_BYTES = 16


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `formats`."""
    parser.add_argument("--packets", type=int, default=300_000, help="packets in the generated files (300000)")
    parser.add_argument("--runs", type=int, default=7, help="how often each is read (7)")
    parser.add_argument("--smoke", action="store_true", help="30000 packets twice, however fast")
    parser.add_argument("--most", type=float, default=3.0, help="exit 1 if one takes so many times as long as pcap (3)")


def main(arguments: argparse.Namespace) -> Result:
    """Print the figures; status 0 if fast enough."""
    if shutil.which("gzip") is None:
        raise SkippedError("gzip is not installed; it is the peer that this is measured against")
    packets, runs, most = (30_000, 2, 1e9) if arguments.smoke else (arguments.packets, arguments.runs, arguments.most)
    with tempfile.TemporaryDirectory(prefix="vxtrace-bench-") as folder:
        paths = write(Path(folder), packets)
        turns = [{path: seconds_of(path) for path in paths} for _ in range(runs)]
        gzip_s = {path: min(processor_seconds(["gzip", "-dc", str(path)]) for _ in range(runs)) for path in paths if path.suffix == ".gz"}
    best = {path: min(turn[path][0] for turn in turns) for path in paths}
    busy_s = {path: min(turn[path][1] for turn in turns) for path in paths}
    plain, *others = paths
    print(f"formats {packets} packets, best of {runs}, {load()}")
    for path in paths:
        said = f", gzip -dc {gzip_s[path]:.3f} s" if path in gzip_s else ""
        print(f"  {path.name:16} {best[path]:8.3f} s {best[path] / best[plain]:6.2f} x pcap, {busy_s[path]:.3f} s of processor time{said}")
    worst = max(best[path] / best[plain] for path in others)
    print(f"  {judged(worst, GOAL, 'x pcap')}")
    said = ", ".join(f"{path.name.partition('.')[2]} {best[path]:.3f} s" for path in others)
    figure = Figure(what="pcapng, .gz", ours=said, peer=f"pcap {best[plain]:.3f} s", value=worst, unit="x pcap", at_most=GOAL)
    return Result(status=0 if worst <= most else 1, figures=(figure,))


def write(folder: Path, packets: int) -> list[Path]:
    """The same packets in each form, pcap first."""
    plain, blocks = folder / "vxlan.pcap", folder / "vxlan.pcapng"
    write_vxlan_traffic(plain, packets)
    with blocks.open("wb") as file:
        file.write(frames.pcapng_section() + frames.pcapng_interface(resolution=9))
        for time_ns, frame in _records(plain):
            file.write(frames.pcapng_packet(time_ns, frame))
    packed = []
    for path in (plain, blocks):
        packed.append(path.with_name(path.name + ".gz"))
        with path.open("rb") as source, gzip.open(packed[-1], "wb", compresslevel=6) as target:
            shutil.copyfileobj(source, target)
    return [plain, blocks, *packed]


def _records(path: Path) -> Iterator[tuple[int, bytes]]:
    data, at = path.read_bytes(), len(frames.pcap_header())
    while at < len(data):
        seconds, fraction_ns, captured = (int.from_bytes(data[at + word : at + word + 4], "little") for word in (0, 4, 8))
        at += _RECORD_BYTES
        yield seconds * 1_000_000_000 + fraction_ns, data[at : at + captured]
        at += captured


def seconds_of(path: Path) -> tuple[float, float]:
    """Seconds of wall clock, and of processor time of all threads, that read_pcap takes."""
    start, busy_start = time.perf_counter(), time.process_time()
    read_pcap(path)
    return time.perf_counter() - start, time.process_time() - busy_start
