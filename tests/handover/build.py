"""One recording whose truth is known, handed over in the ways that people have."""

import gzip
import io
import random
import tarfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from kubectl_vxtrace.analysis import analyse
from kubectl_vxtrace.bundle.given import read_given
from kubectl_vxtrace.bundle.source import open_recording
from kubectl_vxtrace.model.report import TraceReport
from tests.wire import frames, links
from tests.wire.places import CLIENT, CLIENT_NODE, EPOCH, FIRST, NIC, PODS, SECOND, VXLAN, TapName, hops_to
from tests.wire.simulator import Simulator

SERVER_NODE = "ada-ec-2"
LOST_REQUESTS, LOST_REPLIES = 5, 3
PINGS = 40
ROLES = {NIC: "primary-interface", VXLAN: "vxlan-calico", PODS[CLIENT]: "pod", PODS[FIRST]: "pod"}

Shots = Mapping[TapName, Sequence[tuple[int, bytes]]]
"""For each tap the time and the frame of each packet that it saw."""


def recorded(*, skew_ns: int = 700_000, lost: bool = True, one_way: bool = False) -> Shots:
    """A pod pings one on another node; on the wire some requests and some answers are lost. The server's clock is ahead."""
    world = Simulator(service=None, skew_ns={SERVER_NODE: skew_ns})
    for number in range(PINGS):
        time_ns = EPOCH + number * SECOND // 10
        gone = lost and number in range(4, 4 + LOST_REQUESTS)
        world.ping(FIRST, time_ns=time_ns, ident=77, seq=number, ip_id=1000 + number, vanished=3 if gone else None)
        if not gone and not one_way:
            back = lost and number in range(20, 20 + LOST_REPLIES)
            world.ping(
                FIRST, time_ns=time_ns + 400_000, ident=77, seq=number, ip_id=2000 + number, reply=True, vanished=3 if back else None
            )
    return {tap: sorted(world.files[tap]) for tap in hops_to(FIRST)}


def pcap(shots: Sequence[tuple[int, bytes]], link_type: int = 1) -> bytes:
    return frames.pcap_header(link_type=link_type) + b"".join(frames.pcap_record(time_ns, frame) for time_ns, frame in shots)


def procedure_name(tap: TapName) -> str:
    return f"{tap[0]}-{ROLES[tap[1]]}.pcap"


def by_procedure(shots: Shots) -> dict[str, bytes]:
    """File names and contents, as the by-hand procedure gives them."""
    return {procedure_name(tap): pcap(of_tap) for tap, of_tap in shots.items()}


def by_interface(shots: Shots) -> dict[str, bytes]:
    return {f"{node}_{interface}.pcap": pcap(of_tap) for (node, interface), of_tap in shots.items()}


def in_folders(shots: Shots) -> dict[str, bytes]:
    return {f"captures/{node}/{ROLES[interface]}.pcap": pcap(of_tap) for (node, interface), of_tap in shots.items()}


def nameless(shots: Shots) -> dict[str, bytes]:
    contents = [pcap(of_tap) for of_tap in shots.values()]
    random.Random(5).shuffle(contents)
    return {f"{letter}.pcap": content for letter, content in zip("abcdef", contents, strict=True)}


def _of_node(shots: Shots, node: str) -> list[tuple[int, bytes, int]]:
    """All frames of a node in order of time, with the kernel's index of their interface."""
    indices = {NIC: 2, VXLAN: 5}
    found = [
        (time_ns, frame, indices.get(interface, 17)) for (of, interface), each in shots.items() if of == node for time_ns, frame in each
    ]
    return sorted(found, key=lambda shot: shot[0])


def everywhere(shots: Shots) -> dict[str, bytes]:
    """`tcpdump -i any` on both nodes, whose frames name the kernel's interface."""
    return {
        f"{node}.pcap": pcap(
            [(time_ns, links.sll2(frame[14:], interface=index)) for time_ns, frame, index in _of_node(shots, node)], links.SLL2
        )
        for node in (CLIENT_NODE, SERVER_NODE)
    }


def everywhere_before_sll2(shots: Shots) -> dict[str, bytes]:
    """The same from an older libpcap, whose frames name no interface."""
    return {
        f"{node}-any.pcap": pcap([(time_ns, links.sll(frame[14:])) for time_ns, frame, _ in _of_node(shots, node)], links.SLL)
        for node in (CLIENT_NODE, SERVER_NODE)
    }


def one_pcapng(shots: Shots, *, named: bool = True) -> dict[str, bytes]:
    """All taps as interfaces of one file: with names as a report's merged capture has them, or without, as mergecap leaves them."""
    taps = list(shots)
    blocks = [frames.pcapng_section()]
    blocks += [frames.pcapng_interface(name="/".join((*tap, ROLES[tap[1]])) if named else None, resolution=9) for tap in taps]
    every = sorted((time_ns, number, frame) for number, tap in enumerate(taps) for time_ns, frame in shots[tap])
    blocks += [frames.pcapng_packet(time_ns, frame, interface=number) for time_ns, number, frame in every]
    return {"all.pcapng": b"".join(blocks)}


def pcapng_of_each_node(shots: Shots) -> dict[str, bytes]:
    """As `dumpcap -i ens4 -i vxlan.calico -i cali...` writes it on each node."""
    found = {}
    for node in (CLIENT_NODE, SERVER_NODE):
        of_node = {tap: each for tap, each in shots.items() if tap[0] == node}
        blocks = [frames.pcapng_section(), *(frames.pcapng_interface(name=interface, resolution=9) for _, interface in of_node)]
        every = sorted((time_ns, number, frame) for number, each in enumerate(of_node.values()) for time_ns, frame in each)
        blocks += [frames.pcapng_packet(time_ns, frame, interface=number) for time_ns, number, frame in every]
        found[f"{node}.pcapng"] = b"".join(blocks)
    return found


def rotated(shots: Shots) -> dict[str, bytes]:
    """`tcpdump -C`: three files for each capture."""
    found = {}
    for tap, each in shots.items():
        third = len(each) // 3
        for number, part in enumerate((each[:third], each[third : 2 * third], each[2 * third :])):
            found[f"{procedure_name(tap)}{number or ''}"] = pcap(part)
    return found


def by_time(shots: Shots) -> dict[str, bytes]:
    """`tcpdump -G 1 -w NODE-%Y-%m-%d_%H:%M:%S.pcap`, in a folder for each node."""
    found: dict[str, bytes] = {}
    for tap, each in shots.items():
        for second in range(5):
            part = [shot for shot in each if shot[0] // SECOND == EPOCH // SECOND + second]
            found[f"{tap[0]}/{tap[1]}-2025-10-09_08:53:{20 + second}.pcap"] = pcap(part)
    return found


def tgz(files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def zipped(files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


def ticket(shots: Shots) -> dict[str, bytes]:
    """What a ticket holds: a zip of folders, other files in between."""
    return {
        "ticket.zip": zipped({"ticket/notes.txt": b"it is slow", **{f"ticket/{name}": each for name, each in in_folders(shots).items()}})
    }


def gzipped(shots: Shots) -> dict[str, bytes]:
    return {f"{name}.gz": gzip.compress(content) for name, content in by_procedure(shots).items()}


def retina(shots: Shots) -> dict[str, bytes]:
    """`kubectl retina capture create`: an archive for each node, with a capture of all interfaces and what the node said."""
    found = {}
    for name, content in everywhere(shots).items():
        stem = f"capture-{name.removesuffix('.pcap')}-20251009085320UTC"
        said = {"ip-resources.txt": b"Summary:", "iptables-rules.txt": b"", "proc-net/dev": b"eth0", "tcpdump.log": b"listening"}
        found[f"{stem}.tar.gz"] = tgz({f"{stem}.pcap": content, **said})
    return found


def troubleshoot(shots: Shots) -> dict[str, bytes]:
    """A support bundle whose copyFromHost collector took a folder from each node."""
    nodes = {}
    for node in (CLIENT_NODE, SERVER_NODE):
        of_node = {f"captures/{ROLES[tap[1]]}.pcap": pcap(each) for tap, each in shots.items() if tap[0] == node}
        nodes[f"support-bundle-2025-10-09T08_53_20/captures/{node}/archive.tar"] = tgz(of_node)
    return {"support-bundle.tar.gz": tgz({"support-bundle-2025-10-09T08_53_20/cluster-info/cluster_version.json": b"{}", **nodes})}


Habit = Callable[[Shots], dict[str, bytes]]

HABITS: Sequence[Habit] = (
    by_procedure,
    by_interface,
    in_folders,
    nameless,
    everywhere,
    everywhere_before_sll2,
    one_pcapng,
    pcapng_of_each_node,
    rotated,
    by_time,
    ticket,
    gzipped,
    retina,
    troubleshoot,
)


def write(folder: Path, files: Mapping[str, bytes]) -> Path:
    """The files in a new folder."""
    place = folder / "given"
    for name, content in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content)
    return place


def report_of(folder: Path, files: Mapping[str, bytes], *flags: str) -> TraceReport:
    """What `analyze` says of files; `flags` are `--node=...` and `--hop=...`."""
    scratch = folder / "scratch"
    scratch.mkdir()
    given = read_given(*([flag.partition("=")[2] for flag in flags if flag.startswith(name)] for name in ("--node", "--hop")))
    return analyse(open_recording([write(folder, files)], scratch, given))


def lost(report: TraceReport) -> tuple[int, int]:
    """Requests and answers that were lost, all of them between two NICs."""
    found = []
    for number in range(2):
        directions = [flow.directions[number] for flow in report.flows]
        roles = [{hop.hop: hop.role for hop in direction.hops} for direction in directions]
        legs = [(of, leg) for direction, of in zip(directions, roles, strict=True) for leg in direction.legs if leg.lost]
        assert all(leg.to is not None and (of[leg.from_], of[leg.to]) == ("underlay", "underlay") for of, leg in legs)
        found.append(sum(leg.lost for _, leg in legs))
    return found[0], found[1]


def nodes_of(report: TraceReport) -> tuple[str, ...]:
    """The nodes of a request's hops."""
    return tuple(dict.fromkeys(hop.node for hop in report.flows[0].directions[0].hops if hop.expected))
