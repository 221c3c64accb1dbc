"""reset-in-path, and resets that an end of the connection has sent itself."""

from dataclasses import replace

import numpy as np
import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.model.journeys import Case, OutcomeCode
from kubectl_vxtrace.model.path import Direction
from kubectl_vxtrace.model.report import Confidence, EvidenceKind, Finding, Leg, Severity
from tests.diagnosis.build import HEALTHY, Fate, World, lost, with_paths
from tests.diagnosis.causes.server.test_endpoint import REFUSED
from tests.diagnosis.frames import Frame
from tests.diagnosis.places import CLIENT, SERVER, TAPS

BY_THE_WAY = Frame(source=SERVER, destination=CLIENT, protocol=6, source_port=53, destination_port=40000, flags=0x14)


def reset_on_the_way(*, answered: bool = True, extra: dict[int, tuple[Frame, ...]] | None = None, protocol: str = "TCP") -> World:
    """24 SYNs lost between the server's VXLAN device and its pod, for which RSTs came back."""
    outcome = OutcomeCode.REJECTED if answered else OutcomeCode.LOST
    resets = {number: tuple(replace(BY_THE_WAY, destination_port=40000 + port) for port in range(24)) for number in (2, 5)}
    return replace(
        HEALTHY, protocol=protocol, requests=(lost(24, 5, 6, outcome=outcome),), replies=(), extra=resets if extra is None else extra
    )


def test_a_reset_that_the_server_cannot_have_sent() -> None:
    found = next(one for one in diagnose(reset_on_the_way().case()) if one.cause == "reset-in-path")
    assert (found.confidence, found.leg, found.packets) == (Confidence.LIKELY, Leg(from_=5, to=6), 24)
    assert found.evidence[2].frames
    assert "ada-ec-2/vxlan.calico" in found.evidence[2].text, "the hop nearest to the server that saw it"


@pytest.mark.parametrize(
    "world",
    [
        pytest.param(reset_on_the_way(answered=False), id="nothing answered"),
        pytest.param(reset_on_the_way(extra={}), id="no RST in the files"),
        pytest.param(reset_on_the_way(extra={5: (replace(BY_THE_WAY, flags=0x12),)}), id="a SYN-ACK"),
        pytest.param(reset_on_the_way(protocol="UDP"), id="UDP knows no RST"),
        pytest.param(replace(HEALTHY, protocol="TCP", requests=(REFUSED,), replies=(), extra={6: (BY_THE_WAY,)}), id="the server's own"),
    ],
)
def test_near_misses_of_a_reset_on_the_way(world: World) -> None:
    assert "reset-in-path" not in {found.cause for found in diagnose(world.case())}


def reset_on_the_wire(*, answered: int = 24, count: int = 24, passing: int = 0) -> World:
    """SYNs lost between the nodes' NICs; RSTs for `answered` of them came into the sender's, encapsulated."""
    outer = ("10.128.0.95", "10.128.0.72", 50000, 4789, 4096)
    back = [replace(BY_THE_WAY, destination_port=40000 + number) for number in range(answered)]
    requests = (
        lost(answered, 3, 4, outcome=OutcomeCode.REJECTED),
        *((lost(count - answered, 3, 4),) if count > answered else ()),
        *((Fate(count=passing),) if passing else ()),
    )
    extra = {3: tuple(replace(one, tunnel=outer) for one in back), 2: tuple(back)}
    return replace(HEALTHY, protocol="TCP", requests=requests, replies=(), extra=extra)


@pytest.mark.parametrize("passing", [0, 12], ids=["nothing passes", "other connections pass"])
def test_connections_that_are_reset_between_the_nodes_are_not_the_wires(passing: int) -> None:
    found = [one for one in diagnose(reset_on_the_wire(passing=passing).case()) if one.severity is Severity.ERROR]
    assert [(one.cause, one.confidence, one.leg) for one in found] == [("reset-in-path", Confidence.LIKELY, Leg(from_=3, to=4))]
    assert any("ada-ec-1/ens4" in proof.text and proof.frames for proof in found[0].evidence)


def test_a_few_resets_do_not_explain_what_vanished_without_one() -> None:
    (found,) = (one for one in diagnose(reset_on_the_wire(answered=2).case()) if one.severity is Severity.ERROR)
    assert found.cause == "underlay-udp-blocked"


RST_ACK, DATA = (0x14, 9, 9, 0), (0x18, 9, 9, 40)


def nowhere(
    segment: tuple[int, int, int, int] = RST_ACK, *, skipped: int = 3, blind: int | None = None, own: int = 0, protocol: str = "TCP"
) -> Case:
    """4 replies that the first `skipped` hops did not see, behind 24 that all saw; the server's own resets of `own` of those."""
    last = Fate(count=4, segment=segment)
    closed = (Fate(count=own, segment=RST_ACK),) if own else ()
    world = replace(HEALTHY, protocol=protocol, replies=(last, *closed, Fate(port=40000, segment=DATA), Fate(count=20, segment=DATA)))
    case = replace(world, blind={} if blind is None else {blind: "failed"}).case()
    journey = case.paths[1].journeys
    row, ports = journey.row.copy(), journey.client_port.copy()
    row[:4, :skipped] = -1
    ports[4 : 4 + own] = ports[:own]
    return with_paths(case, journeys=(case.paths[0].journeys, replace(journey, row=row, client_port=ports)))


def appeared(case: Case) -> list[Finding]:
    return [one for one in diagnose(case) if one.cause == "reset-in-path"]


def test_resets_of_open_connections_that_begin_in_the_middle() -> None:
    (found,) = appeared(nowhere())
    assert (found.severity, found.confidence, found.direction, found.packets) == (Severity.WARNING, Confidence.LIKELY, Direction.REPLY, 4)
    assert "between ada-ec-2/ens4 and ada-ec-1/ens4" in found.summary
    (packets,) = (one for one in found.evidence if one.kind is EvidenceKind.PACKETS)
    assert len(packets.frames) == 4
    assert "its other packets there have TTL" in packets.text
    assert any(one.kind is EvidenceKind.ABSENCE and "ada-ec-2/vxlan.calico" in one.text for one in found.evidence)


def test_only_the_connections_that_the_end_did_not_close_itself_count() -> None:
    (found,) = appeared(nowhere(own=1))
    assert found.packets == 3


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(nowhere(skipped=0), id="the server's own resets"),
        pytest.param(nowhere(DATA), id="data, not a reset"),
        pytest.param(nowhere(blind=6), id="the server's interface is blind"),
        pytest.param(nowhere(blind=5), id="the server's VXLAN device is blind"),
        pytest.param(nowhere(own=4), id="the server has reset each of them as well"),
        pytest.param(nowhere(protocol="UDP"), id="UDP knows no RST"),
    ],
)
def test_near_misses_of_a_reset_out_of_nowhere(case: Case) -> None:
    assert appeared(case) == []


def test_the_reset_is_placed_where_its_way_begins() -> None:
    case = nowhere(skipped=1)
    assert "between ada-ec-2/cali2b903875fe4 and ada-ec-2/vxlan.calico" in appeared(case)[0].summary
    assert np.all(case.paths[1].journeys.row[:4, 1] >= 0)
    assert TAPS[4].interface == "vxlan.calico"
