"""Recordings that cannot be: one clear line, whatever number somebody wrote into them."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kubectl_vxtrace.bundle import folder, reading
from kubectl_vxtrace.bundle.plausible import implausible, unfitting
from kubectl_vxtrace.errors import CannotRunError
from kubectl_vxtrace.model.path import Direction, Endpoint, Flow, Hop, Overlay, Role, Tap
from kubectl_vxtrace.model.path import Path as HopPath
from kubectl_vxtrace.model.recording import CaptureResult, CaptureStatus, CaptureTask, ComparedPair, PortComparison, Recording

TAP = Tap(node="node-a", interface="eth0")
FLOW = Flow(id=1, protocol="UDP", client=Endpoint(address="10.0.0.1"))
HOPS = (Hop(hop=1, role=Role.POD, tap=TAP), Hop(hop=2, role=Role.UNDERLAY, tap=replace(TAP, interface="ens4")))
PATH = HopPath(flow=1, direction=Direction.REQUEST, hops=HOPS)
CAPTURE = CaptureResult(
    task=CaptureTask(id=1, tap=TAP, role=Role.POD, file="node-a-pod.pcap"), status=CaptureStatus.COMPLETE, started_ns=1, received=2
)


BETWEEN = replace(CAPTURE, task=replace(CAPTURE.task, file="node-a-ab.pcap"), file="node-a-ab.pcap")
PAIR = ComparedPair(
    sender="node-a",
    receiver="node-b",
    source="192.0.2.1",
    destination="192.0.2.2",
    vxlan_port=4789,
    other_port=64789,
    checksums=(True, False),
    sizes_bytes=(128, 1500),
    source_ports=(61001, 61002),
    copies=2,
    first_vni=1 << 23,
    sent=(0, 31),
)


def written(place: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A trace folder whose recording.json somebody changed."""
    recording = Recording(session="7f3a", version="0", started_ns=1, overlay=Overlay(), flows=(FLOW,), paths=(PATH,), captures=(CAPTURE,))
    recording = replace(recording, ab=PortComparison(pairs=(PAIR,), captures=(BETWEEN,), missing=("no perl",)))
    folder.write_recording(place, recording)
    document = json.loads((place / folder.RECORDING).read_bytes())
    change(document)
    (place / folder.RECORDING).write_text(json.dumps(document))
    return place


def test_what_was_written_is_read(tmp_path: Path) -> None:
    read = reading.read(written(tmp_path, lambda _: None))
    assert read.paths == (PATH,)
    lost = replace(BETWEEN, status=CaptureStatus.FAILED, file=None, reason="the file is missing in the bundle")
    assert read.ab == PortComparison(pairs=(PAIR,), captures=(lost,), missing=("no perl",))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(lambda said: said.update(started_ns=1 << 63), "started_ns is 9223372036854775808", id="a time beyond int64"),
        pytest.param(lambda said: said["captures"][0].update(started_ns=-(1 << 62)), "started_ns is -4", id="a time long before"),
        pytest.param(lambda said: said["captures"][0].update(received=1 << 64), "received is 1844", id="a counter beyond 64 bits"),
        pytest.param(lambda said: said.update(duration_s=1e300), "duration_s is 1e", id="a duration without end"),
        pytest.param(lambda said: said["paths"][0]["hops"][1].update(hop=10**9), "not numbered from 1 on", id="a hop far away"),
        pytest.param(lambda said: said["paths"][0]["hops"].reverse(), "not numbered from 1 on", id="hops in another order"),
        pytest.param(lambda said: said["flows"].append(said["flows"][0]), "two flows have one id", id="two flows of one id"),
        pytest.param(lambda said: said["paths"].append(said["paths"][0]), "is there twice", id="one path twice"),
        pytest.param(lambda said: said["paths"][0].update(flow=7), "belongs to no flow", id="a path of no flow"),
        pytest.param(lambda said: said["ab"]["pairs"][0].update(copies=10**4), "cannot be so many", id="datagrams without end"),
        pytest.param(lambda said: said["ab"]["pairs"][0].update(source_ports=[]), "cannot be so many", id="no datagrams"),
        pytest.param(lambda said: said["ab"]["pairs"][0].update(sent=[32]), "cannot be so many", id="a datagram that there is not"),
        pytest.param(lambda said: said["ab"]["pairs"][0].update(first_vni=(1 << 24) - 31), "VNIs that cannot be", id="a VNI of 25 bits"),
        pytest.param(lambda said: said["ab"]["pairs"][0].update(source_ports=[7, 7]), "a port, a size", id="a source port twice"),
        pytest.param(lambda said: said["ab"]["pairs"][0].update(sizes_bytes=[65536]), "a port, a size", id="a size that no packet has"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(tmp_path: Path, change: Callable[[dict[str, Any]], None], said: str) -> None:
    with pytest.raises(CannotRunError, match=said) as raised:
        reading.read(written(tmp_path, change))
    assert raised.value.hint == "is it a bundle of kubectl vxtrace, and whole?"
    assert "\n" not in raised.value.message


def test_what_can_be_is_left_alone() -> None:
    assert unfitting((FLOW,), (PATH, replace(PATH, direction=Direction.REPLY))) is None
    assert implausible(CAPTURE) is None
    assert implausible({"rx.bytes": (1 << 64) - 1}) is None
