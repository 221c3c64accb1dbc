"""What the plugin recorded of healthy networks of a real Cilium: DNS from a pod on ada-ec-1 to kube-dns's pods on the two other nodes.

`default`: kube-proxy kept, programs at tcx, legacy host routing. `bpf-host-routing`: kube-proxy replaced, packets redirected to the pods'
own ends (bpf_redirect_peer), endpoint routes. `legacy-tc`: the programs of `default`, attached by clsact.
"""

import hashlib
import json
import socket
import struct
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

from kubectl_vxtrace.bundle.source import open_recording
from kubectl_vxtrace.model.cluster import NetworkPolicy
from kubectl_vxtrace.model.facts import KernelDrop
from kubectl_vxtrace.model.path import Direction
from kubectl_vxtrace.model.recording import Recording

DATAPATHS: Final = ("default", "bpf-host-routing", "legacy-tc")
CLIENT_NODE: Final = "ada-ec-1"
_HERE = Path(__file__).parent
_SERVICE = "10.96.0.10"


def unpacked(datapath: str, place: Path) -> Path:
    """The folder of a bundle."""
    with tarfile.open(_HERE / "cilium-1.18.tar.xz") as archive:
        members = [member for member in archive if member.name.split("/")[0] == datapath]
        archive.extractall(place, members, filter="data")
    (place / datapath / "manifest.json").unlink()  # its sums are of what was written then
    return place / datapath


def recording(folder: Path) -> Recording:
    """The recording of a folder, as it is now."""
    return open_recording([folder], Path(mkdtemp(dir=folder.parent)))


def with_policy(made: Recording, direction: str, *, rules: int = 0) -> Recording:
    """With a policy that isolates the client (`Egress`) or kube-dns (`Ingress`); `rules` of it let something through."""
    assert made.snapshot is not None
    end = made.flows[0].client if direction == "Egress" else made.flows[0].server
    assert end is not None
    namespace, _, name = (end.pod or "").partition("/")
    pod = next(pod for pod in made.snapshot.pods if (pod.namespace, pod.name) == (namespace, name))
    key = next(iter(pod.labels))
    policy = NetworkPolicy(
        kind="cilium.io/CiliumNetworkPolicy",
        namespace=namespace,
        name="isolate",
        types=(direction,),
        match_labels={key: pod.labels[key]},
        ingress=rules,
        egress=rules,
    )
    return replace(made, snapshot=replace(made.snapshot, policies=(policy,)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """Where every question of the recording is dropped: which files of which nodes hold none of it any more, where each was seen last, and
    what the kernel says there."""

    reason: str
    last: str
    gone: tuple[str, ...]
    at_client: bool = False


BY_THE_PODS_PROGRAM: Final = Drop(reason="TC_INGRESS", last="pod", gone=("vxlan-cilium_vxlan", "primary-interface"), at_client=True)
BY_THE_TUNNELS_PROGRAM: Final = Drop(reason="TC_INGRESS", last="vxlan-cilium_vxlan", gone=("pod",))
BY_A_RULE_AT_THE_NIC: Final = Drop(reason="NETFILTER_DROP", last="primary-interface", gone=("vxlan-cilium_vxlan", "pod"))


def dropped_on_the_way(folder: Path, drop: Drop) -> Recording:
    """The recording with every question dropped, as the client's pod sends it or on its backend's node, by the kernel's word. No answer is
    in it."""
    made = recording(folder)
    client = made.flows[0].client.address
    servers = [flow.server.address for flow in made.flows if flow.server is not None]
    nodes = [flow.server.node for flow in made.flows if flow.server is not None]
    names = {f"{node}-{place}.pcap" for node in ([CLIENT_NODE] if drop.at_client else nodes) for place in drop.gone}
    names |= {file.name for file in folder.glob("*.pcap") if drop.at_client and not file.name.startswith(CLIENT_NODE)}

    def keeps(file: Path, frame: bytes) -> bool:
        if any(_between(frame, sender, client) for sender in (*servers, _SERVICE)):
            return False
        return not (file.name in names and any(_between(frame, client, server) for server in (*servers, _SERVICE)))

    for file in folder.glob("*.pcap"):
        _keep(file, keeps)
    _sign(folder)
    drops = tuple(
        KernelDrop(node=node, time_ns=time_ns + 50_000, reason=drop.reason, location="somewhere")
        for node in ([CLIENT_NODE] if drop.at_client else dict.fromkeys(node for node in nodes if node is not None))
        for time_ns, frame in _packets((folder / f"{node}-{drop.last}.pcap").read_bytes())
        if any(_between(frame, client, server) for server in (*servers, _SERVICE))
    )
    return replace(recording(folder), kernel_drops=drops)


def without_drop_log(made: Recording) -> Recording:
    """As a pod that may not mount tracefs records it."""
    return replace(made, kernel_drops=(), kernel_drops_absent=dict.fromkeys(("ada-ec-1", "ada-ec-2", "ada-ec-3"), "may not mount tracefs"))


def _between(frame: bytes, source: str, destination: str) -> bool:
    return socket.inet_aton(source) + socket.inet_aton(destination) in frame


def _packets(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """The frames of a pcap with times in nanoseconds, little endian (tcpdump on these nodes)."""
    at = 24
    while at < len(raw):
        seconds, nanoseconds, length, _ = struct.unpack_from("<4I", raw, at)
        yield seconds * 1_000_000_000 + nanoseconds, raw[at + 16 : at + 16 + length]
        at += 16 + length


def _keep(file: Path, keeps: Callable[[Path, bytes], bool]) -> None:
    raw = file.read_bytes()
    parts, at = [raw[:24]], 24
    for _, frame in _packets(raw):
        if keeps(file, frame):
            parts.append(raw[at : at + 16 + len(frame)])
        at += 16 + len(frame)
    file.write_bytes(b"".join(parts))


def _sign(folder: Path) -> None:
    """Write what became of the files into the recording: their sums, sizes and numbers of packets."""
    record = json.loads((folder / "recording.json").read_text())
    for capture in record["captures"]:
        raw = (folder / capture["task"]["file"]).read_bytes()
        capture["sha256"], capture["size_bytes"] = hashlib.sha256(raw).hexdigest(), len(raw)
        capture["captured"] = capture["received"] = sum(1 for _ in _packets(raw))
    (folder / "recording.json").write_text(json.dumps(record))


def last_hops(made: Recording) -> set[tuple[str, str]]:
    """Node and interface of the last hop of each path, both ways."""
    return {(path.hops[-1].tap.node, path.hops[-1].tap.interface) for path in made.paths if path.direction in Direction}
