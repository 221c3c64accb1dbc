"""The trace folder and the bundle: what is written is what is read, and nothing else is."""

import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from kubectl_vxtrace.bundle import archive, folder, reading, source
from kubectl_vxtrace.bundle.containers import Budget
from kubectl_vxtrace.bundle.kinds import head_of, kind_of
from kubectl_vxtrace.errors import CannotRunError, UsageError
from kubectl_vxtrace.model.cluster import Cleanup, CleanupState, ClusterSnapshot, Node
from kubectl_vxtrace.model.facts import (
    AddressSet,
    IpvsBackend,
    IpvsService,
    KernelDrop,
    Link,
    NodeFacts,
    RoutingRule,
    TimeSync,
    VxlanDevice,
)
from kubectl_vxtrace.model.path import Direction, Endpoint, Flow, Hop, Overlay, Role, ServiceRef, Tap, Vtep
from kubectl_vxtrace.model.path import Path as HopPath
from kubectl_vxtrace.model.recording import CaptureResult, CaptureStatus, CaptureTask, Gap, Recording
from kubectl_vxtrace.model.request import Access, Request, Target
from kubectl_vxtrace.topology.cni import CNIS
from tests.bundle.packing import packed

TAP = Tap(node="ada-ec-1", interface="ens4")
PCAP = b"\xd4\xc3\xb2\xa1 not really one"


def _recording(place: Path) -> Recording:
    import hashlib

    (place / "ada-ec-1-primary-interface.pcap").write_bytes(PCAP)
    facts = NodeFacts(
        node="ada-ec-1",
        taken_ns=5,
        links=(Link(name="vxlan.calico", index=3, kind="vxlan", vxlan=VxlanDevice(vni=4096, port=4789)),),
        sets=(AddressSet(name="cali40all-vxlan-net", type="hash:net", members=("10.128.0.95",)),),
        routing_rules=(RoutingRule(priority=0, table="local"),),
        ipvs=(IpvsService(protocol="UDP", address="10.96.0.10", port=53, backends=(IpvsBackend(address="10.244.56.129", port=53),)),),
        time_sync=TimeSync(synchronised=True),
        counters={"Udp.NoPorts": 3},
        absent={"nft": "not installed"},
    )
    return Recording(
        session="7f3a",
        version="0.1.0",
        started_ns=1,
        duration_s=5.0,
        request=Request(command="pod", source=Target(name="kotsadm"), target=Target(name="kube-dns")),
        snapshot=ClusterSnapshot(uid="u", nodes=(Node(name="ada-ec-1", addresses=("10.128.0.72",), annotations={}),)),
        overlay=Overlay(backend="calico-vxlan", vteps=(Vtep(node="ada-ec-1", interface="vxlan.calico", vni=4096),)),
        flows=(Flow(id=1, protocol="UDP", client=Endpoint(address="10.244.114.75"), service=ServiceRef(address="10.96.0.10", port=53)),),
        paths=(HopPath(flow=1, direction=Direction.REQUEST, hops=(Hop(hop=1, role=Role.UNDERLAY, tap=TAP),)),),
        before=(facts,),
        after=(replace(facts, taken_ns=9),),
        captures=(
            CaptureResult(
                task=CaptureTask(id=1, tap=TAP, role=Role.UNDERLAY, file="ada-ec-1-primary-interface.pcap"),
                status=CaptureStatus.COMPLETE,
                file="ada-ec-1-primary-interface.pcap",
                sha256=hashlib.sha256(PCAP).hexdigest(),
            ),
        ),
        kernel_drops=(KernelDrop(node="ada-ec-1", time_ns=7, reason="XDP", location="do_xdp_generic", uncertainty_ns=2, ethertype=2048),),
        kernel_drops_absent={"ada-ec-2": "no tracefs"},
        cleanup=Cleanup(state=CleanupState.CONFIRMED, pods=1),
        gaps=(Gap(reason="a gap"),),
        folder=str(place),
    )


def _write(place: Path) -> Recording:
    recording = _recording(place)
    assert recording.snapshot is not None
    folder.write_snapshot(place, recording.snapshot)
    folder.write_facts(place, "before", recording.before, {"ada-ec-1": {"ip-link": b"[]"}})
    folder.write_facts(place, "after", recording.after, {})
    folder.write_recording(place, recording)
    folder.write_manifest(place)
    return recording


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    recording = _write(tmp_path)
    assert reading.read(tmp_path) == recording
    assert (tmp_path / "nodes/ada-ec-1/before/ip-link.txt").read_bytes() == b"[]"


def test_what_this_version_knows_of_networks_is_in_no_bundle(tmp_path: Path) -> None:
    """It is not recorded: a bundle of an older version gets what this one knows."""
    recording = _write(tmp_path)
    written = (tmp_path / folder.RECORDING).read_bytes()
    folder.write_recording(tmp_path, replace(recording, cnis=CNIS))
    assert (tmp_path / folder.RECORDING).read_bytes() == written
    assert reading.read(tmp_path).cnis == ()


def test_the_zip_holds_the_folder(tmp_path: Path) -> None:
    place, scratch = tmp_path / "place", tmp_path / "scratch"
    place.mkdir()
    scratch.mkdir()
    recording = _write(place)
    packed(place, tmp_path / "b.zip")
    found = source.open_recording([tmp_path / "b.zip"], scratch)
    assert found == replace(recording, folder=found.folder)
    assert Path(found.folder).parent == scratch


def test_an_existing_file_is_not_overwritten(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    _write(place)
    (tmp_path / "b.zip").write_text("somebody's")
    with pytest.raises(UsageError, match="exists already"):
        packed(place, tmp_path / "b.zip")
    assert (tmp_path / "b.zip").read_text() == "somebody's"


def _unpack(bundle: Path, folder_: Path) -> None:
    with bundle.open("rb") as file:
        kind = kind_of(head_of(file))
    archive.unpack(bundle, kind, folder_, Budget())


@pytest.mark.parametrize("name", ["../evil.pcap", "/etc/evil", "a/../../evil", "-w", "nodes/a/b/c/d/e"])
def test_members_that_no_bundle_has_are_refused(name: str, tmp_path: Path) -> None:
    bundle = tmp_path / "b.zip"
    with zipfile.ZipFile(bundle, "w") as made:
        made.writestr(folder.RECORDING, "{}")
        made.writestr(name, "x")
    with pytest.raises(CannotRunError, match="no bundle has"):
        _unpack(bundle, tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    bundle = tmp_path / "b.zip"
    link = zipfile.ZipInfo("link.pcap")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(bundle, "w") as made:
        made.writestr(folder.RECORDING, "{}")
        made.writestr(link, "/etc/passwd")
    _unpack(bundle, tmp_path / "target")
    assert [path.name for path in (tmp_path / "target").iterdir()] == [folder.RECORDING]


@pytest.mark.parametrize("around", ["", "around/", "./"])
def test_a_bundle_that_was_packed_again(around: str, tmp_path: Path) -> None:
    """By a ticket system as tgz, or by somebody on a Mac, with a folder around it."""
    place = tmp_path / "place"
    place.mkdir()
    recording = _write(place)
    again = tmp_path / "ticket.tgz"
    with tarfile.open(again, "w:gz") as tar:
        tar.add(place, around or ".")
        junk = tarfile.TarInfo(f"{around}._manifest.json")
        tar.addfile(junk)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    found = source.open_recording([again], scratch)
    assert found == replace(recording, folder=found.folder)


@pytest.mark.parametrize("content", [b"", b"{", b'{"format": "x"}', b"[" * 100_000, b"\xff\xfe"])
def test_a_broken_recording_is_a_clear_error(content: bytes, tmp_path: Path) -> None:
    (tmp_path / folder.RECORDING).write_bytes(content)
    with pytest.raises(CannotRunError, match="cannot read"):
        reading.read(tmp_path)


def test_a_changed_capture_is_a_failed_one(tmp_path: Path) -> None:
    _write(tmp_path)
    (tmp_path / "ada-ec-1-primary-interface.pcap").write_bytes(PCAP + b"!")
    [capture] = reading.read(tmp_path).captures
    assert (capture.status, capture.file) == (CaptureStatus.FAILED, None)
    assert "SHA-256 differs" in str(capture.reason)


def test_a_missing_capture_is_a_failed_one(tmp_path: Path) -> None:
    _write(tmp_path)
    (tmp_path / "ada-ec-1-primary-interface.pcap").unlink()
    [capture] = reading.read(tmp_path).captures
    assert capture.status is CaptureStatus.FAILED


def test_a_capture_s_name_cannot_leave_the_folder(tmp_path: Path) -> None:
    _write(tmp_path)
    text = (tmp_path / folder.RECORDING).read_text().replace('"file": "ada-ec-1-primary-interface.pcap"', '"file": "../../etc/passwd"')
    (tmp_path / folder.RECORDING).write_text(text)
    with pytest.raises(CannotRunError, match="cannot be the name"):
        reading.read(tmp_path)


def test_no_secret_of_the_command_line_is_written_down(tmp_path: Path) -> None:
    access = Access(server="https://a.test", token="hush-token", username="bob", password="hush-password")
    request = Request(command="pod", source=Target(name="web"), access=access)
    overlay = Overlay(backend=None, vteps=())
    folder.write_recording(
        tmp_path, Recording(session="7f3a", version="0", started_ns=0, request=request, overlay=overlay, flows=(), paths=())
    )
    assert "hush" not in (tmp_path / folder.RECORDING).read_text()
    assert "hush" not in repr(request)
    kept = reading.read(tmp_path).request
    assert kept is not None
    assert kept.access == Access()
    assert "bob" not in (tmp_path / folder.RECORDING).read_text()
