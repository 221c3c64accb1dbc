"""What the analysis says of Canal's nodes, which are those of the recorded Calico with flannel's device between them.

Canal links pods and enforces policy as Calico does, with the same agent. So the recordings are rewritten where flannel does it otherwise:
the device's name, its port and its VNI, in what the nodes say and in the captured packets.
"""

import struct
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import pytest

from kubectl_vxtrace.analysis import analyse
from kubectl_vxtrace.model.facts import NodeFacts
from kubectl_vxtrace.model.path import Overlay
from kubectl_vxtrace.model.path import Path as HopPath
from kubectl_vxtrace.model.recording import CaptureResult, Recording
from kubectl_vxtrace.model.report import Confidence, EvidenceKind, Verdict
from kubectl_vxtrace.packets import read_pcap
from kubectl_vxtrace.topology.cni import CNIS
from kubectl_vxtrace.topology.overlay import read_overlay
from kubectl_vxtrace.topology.path import plan_paths
from tests.calico.recorded import recording, truth

CALICO, CANAL = (next(cni for cni in CNIS if cni.backend == name) for name in ("calico-vxlan", "canal-vxlan"))
DEVICE = "flannel.1"
FILE_HEADER, RECORD_HEADER = 24, 16


@dataclass(frozen=True, slots=True)
class Said:
    """The parts of a recording that name the device, its port or its VNI."""

    before: tuple[NodeFacts, ...]
    after: tuple[NodeFacts, ...]
    captures: tuple[CaptureResult, ...]
    overlay: Overlay
    paths: tuple[HopPath, ...]


def on_canal(made: Recording) -> Recording:
    """The recording as Canal's nodes would have made it, with its captures rewritten in place."""
    said = Said(made.before, made.after, made.captures, made.overlay, made.paths)
    text = msgspec.json.encode(said)
    for calicos, canals in (
        (f'"{CALICO.device}"', f'"{DEVICE}"'),
        (f'"vni":{CALICO.vni},"port":{CALICO.port}', f'"vni":{CANAL.vni},"port":{CANAL.port}'),
    ):
        assert calicos.encode() in text
        text = text.replace(calicos.encode(), canals.encode())
    said = msgspec.json.decode(text, type=Said)
    assert made.snapshot is not None
    nodes = tuple(replace(node, annotations={}) for node in made.snapshot.nodes)
    for capture in said.captures:
        file = Path(made.folder) / (capture.file or "")
        file.write_bytes(through_flannel(file.read_bytes()))
    return replace(
        made,
        snapshot=replace(made.snapshot, nodes=nodes),
        before=said.before,
        after=said.after,
        captures=said.captures,
        overlay=replace(said.overlay, backend=CANAL.backend),
        paths=said.paths,
    )


def through_flannel(pcap: bytes) -> bytes:
    """A capture (pcap, little-endian) with Calico's VXLAN packets as flannel sends them, without the outer checksum (RFC 7348, 5)."""
    changed, at = bytearray(pcap), FILE_HEADER
    while at < len(changed):
        (captured,) = struct.unpack_from("<I", changed, at + 8)
        frame = at + RECORD_HEADER
        udp = frame + 14 + 4 * (changed[frame + 14] & 0x0F)
        is_udp = changed[frame + 12 : frame + 14] == b"\x08\x00" and changed[frame + 23] == 17
        if is_udp and struct.unpack_from(">H", changed, udp + 2) == (CALICO.port,):
            struct.pack_into(">H", changed, udp + 2, CANAL.port)
            struct.pack_into(">H", changed, udp + 6, 0)
            struct.pack_into(">I", changed, udp + 12, (CANAL.vni or 0) << 8)
        at = frame + captured
    return bytes(changed)


def test_the_packets_are_those_of_canal(tmp_path: Path) -> None:
    made = on_canal(recording("healthy", tmp_path))
    tables = [read_pcap(tmp_path / (capture.file or ""), vxlan_ports=[CANAL.port]) for capture in made.captures]
    tunnels = {(int(port), int(vni)) for table in tables for port, vni in zip(table.tunnels.port, table.tunnels.vni, strict=True)}
    assert tunnels == {(CANAL.port, CANAL.vni)}


def test_the_plan_is_the_same_but_for_the_device(tmp_path: Path) -> None:
    made = on_canal(recording("healthy", tmp_path))
    overlay = read_overlay(made.snapshot, made.before, made.flows)
    assert overlay == made.overlay
    assert plan_paths(made.flows, overlay, made.before, made.snapshot).paths == made.paths


def test_a_healthy_canal_is_no_finding(tmp_path: Path) -> None:
    report = analyse(on_canal(recording("healthy", tmp_path)))
    assert (report.verdict, report.findings, report.completeness.complete) == (Verdict.DELIVERED, (), True)


@pytest.mark.parametrize("scenario", ["netpol-egress", "netpol-ingress"])
def test_calicos_policies_are_found_on_canal(scenario: str, tmp_path: Path) -> None:
    expected = truth(scenario)
    assert expected is not None
    report = analyse(on_canal(recording(scenario, tmp_path)))
    (found,) = report.findings
    assert (report.verdict, found.cause, found.confidence) == (Verdict.DROPPED, expected.cause, Confidence.CERTAIN)
    assert any(proof.kind is EvidenceKind.COUNTER and "in chain cali-" in proof.text for proof in found.evidence)
