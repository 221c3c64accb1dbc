"""tunnel-address-conflict, and that the forwarding entry of another node's VTEP is not blamed for it."""

from dataclasses import replace

import numpy as np
import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.diagnosis.causes.vxlan import tunnel_conflict
from kubectl_vxtrace.model.cluster import ClusterSnapshot, Node
from kubectl_vxtrace.model.facts import Neighbour, NodeFacts, Route
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.packets import PacketTable
from kubectl_vxtrace.model.path import Direction, Vtep
from kubectl_vxtrace.model.report import Confidence, Leg, Severity
from tests.diagnosis.asked import asked
from tests.diagnosis.build import HEALTHY, lost
from tests.diagnosis.nodes import facts
from tests.diagnosis.places import CLIENT, NIC_A, NIC_B, START_NS, VTEP_A, VX, A, B

THIRD, NIC_C, VTEP_C, MAC_C = "ada-ec-3", "10.128.0.96", "10.244.106.64", "66:f8:0c:43:a2:ef"
TUNNEL = "10.244.106.90"
ITS_BLOCK = Route(destination="10.244.106.64/26", gateway=VTEP_C, device=VX)
OWN_BLOCK = Route(destination="10.244.114.64/26", gateway=VTEP_A, device=VX)
CLUSTER = ClusterSnapshot(
    uid="",
    taken_ns=START_NS,
    nodes=tuple(
        Node(name=name, addresses=(address,), annotations={"projectcalico.org/IPv4Address": f"{address}/24"}, ready=True)
        for name, address in ((A, NIC_A), (B, NIC_B), (THIRD, NIC_C))
    ),
)


def packed(text: str) -> list[int]:
    return [0] * 10 + [255, 255, *(int(octet) for octet in text.split("."))]


def astray(
    *,
    tunnel: str = TUNNEL,
    routes: tuple[Route, ...] = (ITS_BLOCK, OWN_BLOCK),
    outer: str = NIC_C,
    on_device: bool = True,
    mac: str = MAC_C,
    leg: tuple[int, int] = (3, 4),
) -> Case:
    """Replies to `tunnel`, the address of A's VXLAN device, that left B's NIC for `outer` with an inner destination MAC, or died before."""

    def told(look: NodeFacts) -> NodeFacts:
        if look.node == A:
            links = tuple(replace(link, addresses=(tunnel,)) if link.vxlan is not None and on_device else link for link in look.links)
            return replace(look, links=links)
        entry = Neighbour(address=VTEP_C, device=VX, mac=MAC_C, states=("PERMANENT",))
        return replace(look, routes=routes, neighbours=(*look.neighbours, entry))

    looks = [tuple(told(facts(node, later=later)) for node in (A, B)) for later in (False, True)]
    world = replace(HEALTHY, replies=(lost(24, *leg),), before=looks[0], after=looks[1], snapshot=CLUSTER)
    case = world.case()
    return replace(case, tables={tap: _to(table, tunnel, outer, mac) if tap.node == B else table for tap, table in case.tables.items()})


def _to(table: PacketTable, tunnel: str, outer: str, mac: str) -> PacketTable:
    """A table whose frames for the client go to `tunnel`, encapsulated ones for the client's node to `outer` and `mac`."""
    talks, tunnels = table.conversations, table.tunnels
    to_client = (talks.destination == packed(CLIENT)).all(axis=1)[:, None]
    replies = (tunnels.destination == packed(NIC_A)).all(axis=1)
    return replace(
        table,
        conversations=replace(talks, destination=np.where(to_client, np.array(packed(tunnel), np.uint8), talks.destination)),
        tunnels=replace(
            tunnels,
            destination=np.where(replies[:, None], np.array(packed(outer), np.uint8), tunnels.destination),
            inner_destination_mac=np.where(replies, np.uint64(int(mac.replace(":", ""), 16)), tunnels.inner_destination_mac),
        ),
    )


def test_a_tunnel_address_that_lies_in_another_nodes_block() -> None:
    (found,) = [finding for finding in diagnose(astray()) if finding.severity is Severity.ERROR]
    assert (found.cause, found.confidence) == ("tunnel-address-conflict", Confidence.CERTAIN)
    assert (found.direction, found.leg, found.packets) == (Direction.REPLY, Leg(from_=3, to=4), 24)
    assert f"the tunnel address {TUNNEL} of {A} lies in the block of {THIRD}" in found.summary
    assert found.remediation is not None
    assert "fdb replace" not in found.remediation
    assert f"{A}/{VX} has the address {TUNNEL}" in [proof.text for proof in found.evidence]


def test_the_node_whose_block_it_is_sends_it_nowhere() -> None:
    """The sender has the block itself: there the packets end before the VXLAN device."""
    own = Route(destination="10.244.106.64/26", type="blackhole", protocol="80")
    (found,) = [finding for finding in diagnose(astray(routes=(own,), leg=(1, 2))) if finding.severity is Severity.ERROR]
    assert (found.cause, found.confidence, found.leg) == ("tunnel-address-conflict", Confidence.LIKELY, Leg(from_=1, to=2))
    assert f"lies in the block of {B}" in found.summary


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(astray(tunnel=VTEP_A), id="its own block's address"),
        pytest.param(astray(on_device=False), id="an address that is on no VXLAN device"),
        pytest.param(
            astray(routes=(Route(destination="10.244.106.90", gateway=VTEP_A, device=VX), ITS_BLOCK)), id="borrowed, with a route"
        ),
        pytest.param(astray(routes=(Route(destination="default", gateway="10.128.0.1"),)), id="no route but the default"),
    ],
)
def test_what_looks_like_it(case: Case) -> None:
    assert [finding for finding in asked(case, tunnel_conflict) if finding.severity is Severity.ERROR] == []


def test_the_receivers_own_mac_with_another_destination_is_the_forwarding_entrys_fault() -> None:
    """The next hop is right, and the entry of its MAC address names another node."""
    mac = "66:00:00:00:00:01"
    found = diagnose(astray(tunnel=VTEP_A, mac=mac))[0]
    assert (found.cause, found.confidence) == ("fdb-wrong-destination", Confidence.CERTAIN)
    assert found.remediation is not None
    assert f"bridge fdb replace {mac} dev {VX} dst {NIC_A} self permanent" in found.remediation


def test_the_forwarding_entry_of_another_nodes_mac_is_not_blamed() -> None:
    found = diagnose(astray(tunnel=VTEP_A, mac=MAC_C))
    assert "fdb-wrong-destination" not in [finding.cause for finding in found]
    assert not any("fdb replace" in (finding.remediation or "") for finding in found)


def test_the_overlay_says_whose_a_mac_is_as_well() -> None:
    """The third node is one of the path's, and its VTEP is known; what it has as underlay address decides."""
    case = astray(tunnel=VTEP_A, mac="66:00:00:00:00:0c")
    third = Vtep(node=THIRD, interface=VX, address=VTEP_C, underlay_address=NIC_C, mac="66:00:00:00:00:0C")
    vteps = case.recording.overlay.vteps

    def with_third(end: Vtep) -> list[str]:
        overlay = replace(case.recording.overlay, vteps=(*vteps, end))
        return [finding.cause for finding in diagnose(replace(case, recording=replace(case.recording, overlay=overlay)))]

    assert "fdb-wrong-destination" not in with_third(third)
    assert "fdb-wrong-destination" in with_third(replace(third, underlay_address="10.128.0.97"))


def test_no_entry_is_written_by_hand_for_a_mac_that_nobody_is_known_by() -> None:
    found = diagnose(astray(tunnel=VTEP_A, mac="66:00:00:00:00:0c"))[0]
    assert found.cause == "fdb-wrong-destination"
    assert "fdb replace" not in (found.remediation or "")
