"""fdb-wrong-destination, wrong-node-address, duplicate-node-address, and what looks like them."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.diagnosis.causes.vxlan import destinations
from kubectl_vxtrace.model.cluster import ClusterSnapshot, Node
from kubectl_vxtrace.model.facts import FdbEntry, Link, NodeFacts
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Vtep
from kubectl_vxtrace.model.report import Confidence, Leg, Severity
from tests.diagnosis.asked import asked
from tests.diagnosis.build import HEALTHY, Fate, World, lost, sent_to
from tests.diagnosis.frames import Frame, arp
from tests.diagnosis.nodes import facts
from tests.diagnosis.places import MAC_B, NIC, NIC_A, NIC_B, POD_A, START_NS, VX, A, B

WRONG, THIRD = "10.128.0.200", "ada-ec-3"
CALICO, FLANNEL, OVERWRITE = (
    "projectcalico.org/IPv4Address",
    "flannel.alpha.coreos.com/public-ip",
    "flannel.alpha.coreos.com/public-ip-overwrite",
)


def node(name: str, address: str, *, says: Mapping[str, str] | None = None, more: tuple[str, ...] = (), ready: bool = True) -> Node:
    return Node(name=name, addresses=(address, *more), annotations=dict({CALICO: f"{address}/24"} if says is None else says), ready=ready)


def cluster(*nodes: Node) -> ClusterSnapshot:
    return ClusterSnapshot(uid="", taken_ns=START_NS, nodes=nodes)


RIGHT = cluster(node(A, NIC_A), node(B, NIC_B))
ASTRAY = replace(HEALTHY, requests=(lost(24, 3, 4),), replies=(), outer_destination=WRONG, snapshot=RIGHT)


def said(*, says: Mapping[str, str] | None = None, more: tuple[str, ...] = ()) -> World:
    """Packets to a foreign address, and what the API says of B."""
    return replace(ASTRAY, snapshot=cluster(node(A, NIC_A), node(B, NIC_B, says=says, more=more)))


def third(*addresses: str) -> NodeFacts:
    return NodeFacts(node=THIRD, links=(Link(name=NIC, index=2, addresses=addresses),))


def test_an_entry_against_what_is_published_is_a_wrong_forwarding_entry() -> None:
    entry = FdbEntry(mac=MAC_B, device=VX, destination=WRONG)
    looks = tuple(replace(one, fdb=(entry,)) if one.node == A else one for one in HEALTHY.after)
    (finding,) = diagnose(replace(ASTRAY, after=looks).case())
    assert (finding.cause, finding.confidence, finding.leg) == ("fdb-wrong-destination", Confidence.CERTAIN, Leg(from_=3, to=4))
    assert any(f"{MAC_B} dev {VX} dst {WRONG}" in proof.text for proof in finding.evidence)
    assert finding.remediation is not None
    assert f"dst {NIC_B}" in finding.remediation


def test_the_entries_of_the_node_that_has_the_address_are_right() -> None:
    entries = (FdbEntry(mac=MAC_B, device=VX, destination=WRONG), FdbEntry(mac="66:00:00:00:00:03", device=VX, destination=WRONG))
    looks = tuple(replace(one, fdb=entries) if one.node == A else one for one in HEALTHY.after)
    case = replace(ASTRAY, after=looks).case()
    end = Vtep(node=THIRD, interface=VX, underlay_address=WRONG, mac="66:00:00:00:00:03")
    overlay = replace(case.recording.overlay, vteps=(*case.recording.overlay.vteps, end))
    (found,) = asked(replace(case, recording=replace(case.recording, overlay=overlay)), destinations)
    (cited,) = [proof.text for proof in found.evidence if "forwarding entries" in proof.text]
    assert MAC_B in cited
    assert "66:00:00:00:00:03" not in cited


@pytest.mark.parametrize(
    ("world", "cause", "confidence"),
    [
        pytest.param(replace(ASTRAY, snapshot=None), "fdb-wrong-destination", Confidence.POSSIBLE, id="nothing published was read"),
        pytest.param(said(says={}), "fdb-wrong-destination", Confidence.POSSIBLE, id="the CNI publishes nothing"),
        pytest.param(said(says={CALICO: "no address"}), "fdb-wrong-destination", Confidence.POSSIBLE, id="it publishes garbage"),
        pytest.param(said(says={FLANNEL: "203.0.113.7"}), "fdb-wrong-destination", Confidence.LIKELY, id="published is a third one"),
        pytest.param(said(says={FLANNEL: WRONG}), "wrong-node-address", Confidence.LIKELY, id="flannel has published it"),
        pytest.param(said(says={CALICO: f"{WRONG}/31"}), "wrong-node-address", Confidence.LIKELY, id="Calico has published it"),
        pytest.param(said(says={OVERWRITE: WRONG}, more=(WRONG,)), "wrong-node-address", Confidence.POSSIBLE, id="its own ExternalIP"),
        pytest.param(replace(ASTRAY, before=(), after=()), "fdb-wrong-destination", Confidence.LIKELY, id="no looks"),
        pytest.param(
            replace(said(says={CALICO: WRONG}), after=(*HEALTHY.after, third(WRONG))),
            "wrong-node-address",
            Confidence.CERTAIN,
            id="published, and another node has it",
        ),
    ],
)
def test_whose_mistake_a_foreign_address_is(world: World, cause: str, confidence: Confidence) -> None:
    (found,) = asked(world.case(), destinations)
    assert (found.cause, found.confidence) == (cause, confidence)
    assert bool(found.not_ruled_out) is not (confidence is Confidence.CERTAIN) or not world.after


def test_an_address_behind_a_translation_is_not_ruled_out() -> None:
    (found,) = asked(said(says={FLANNEL: WRONG}).case(), destinations)
    assert any("1:1 NAT" in doubt for doubt in found.not_ruled_out)


@pytest.mark.parametrize(
    "world",
    [
        pytest.param(replace(ASTRAY, outer_destination=NIC_B), id="the right address, and the wire is to blame"),
        pytest.param(replace(ASTRAY, requests=(lost(4, 3, 4), Fate(count=20))), id="others to that address arrive: 1:1 NAT"),
        pytest.param(replace(ASTRAY, requests=(lost(24, 4, 5),)), id="it came to the node"),
        pytest.param(replace(ASTRAY, requests=HEALTHY.requests), id="nothing was lost"),
    ],
)
def test_what_is_no_wrong_address(world: World) -> None:
    assert asked(world.case(), destinations) == []


def test_a_loss_behind_a_translation_is_the_wires() -> None:
    findings = diagnose(replace(ASTRAY, requests=(lost(4, 3, 4), Fate(count=20))).case())
    assert [finding.cause for finding in findings if finding.severity is Severity.ERROR] == ["underlay-loss"]


def dead(*frames: Frame, arrived: int = 0) -> Case:
    """Packets that left A's VXLAN device for an address that nobody has, and what its NIC saw."""
    fates = (lost(24, 2, 3), *((Fate(count=arrived),) if arrived else ()))
    case = replace(ASTRAY, requests=fates, extra={3: frames}).case()
    paths = sent_to(case, WRONG)
    return replace(case, paths=paths)


def test_a_dead_address_is_asked_for_on_the_nic() -> None:
    (finding,) = diagnose(dead(arp(NIC_A, WRONG), arp(NIC_A, WRONG)))
    assert (finding.cause, finding.confidence, finding.leg) == ("fdb-wrong-destination", Confidence.CERTAIN, Leg(from_=2, to=3))
    assert any(f"2 x ARP who-has {WRONG} at ada-ec-1/ens4, never answered" in proof.text for proof in finding.evidence)


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(dead(), id="nobody asked for it"),
        pytest.param(dead(arp(NIC_A, "10.128.0.1")), id="somebody asked for another"),
        pytest.param(dead(arp(NIC_A, WRONG), arp(WRONG, NIC_A, reply=True)), id="it was answered"),
    ],
)
def test_without_a_question_for_it_another_drop_fits_as_well(case: Case) -> None:
    (found,) = asked(case, destinations)
    assert found.confidence is Confidence.LIKELY
    assert any("another drop on ada-ec-1" in doubt for doubt in found.not_ruled_out)


def test_what_partly_leaves_is_no_dead_address() -> None:
    assert asked(dead(arrived=4), destinations) == []


def test_an_address_that_the_sender_has_itself_never_leaves_it() -> None:
    links = tuple(replace(link, addresses=(NIC_B,)) if link.name == POD_A else link for link in facts(A).links)
    looks = tuple(replace(one, links=links) if one.node == A else one for one in HEALTHY.after)
    case = replace(ASTRAY, requests=(lost(24, 2, 3),), before=looks, after=looks).case()
    (found,) = asked(replace(case, paths=sent_to(case, NIC_B)), destinations)
    assert (found.cause, found.confidence) == ("duplicate-node-address", Confidence.CERTAIN)


TO_B = replace(ASTRAY, outer_destination=NIC_B)


def beside(look: NodeFacts, *, before: bool = True, after: bool = True) -> World:
    return replace(
        TO_B, before=(*HEALTHY.before, look) if before else HEALTHY.before, after=(*HEALTHY.after, look) if after else HEALTHY.after
    )


def test_an_address_on_two_nodes_at_once() -> None:
    finding = diagnose(beside(third(NIC_B)).case())[0]
    assert (finding.cause, finding.confidence) == ("duplicate-node-address", Confidence.CERTAIN)
    assert finding.summary == f"{B} and {THIRD} have the same underlay address {NIC_B}"


def test_an_address_on_two_nodes_of_which_some_packets_reach_the_right_one() -> None:
    (found,) = asked(replace(beside(third(NIC_B)), requests=(lost(12, 3, 4), Fate(count=12))).case(), destinations)
    assert (found.cause, found.confidence, found.packets) == ("duplicate-node-address", Confidence.CERTAIN, 12)


def test_a_claim_of_the_api_alone_is_less_sure() -> None:
    claims = cluster(node(A, NIC_A), node(B, NIC_B), node(THIRD, "10.128.0.96", says={CALICO: f"{NIC_B}/24"}))
    (found,) = asked(replace(TO_B, snapshot=claims).case(), destinations)
    assert (found.cause, found.confidence) == ("duplicate-node-address", Confidence.LIKELY)


def test_an_address_that_moved_is_less_sure() -> None:
    gone = tuple(replace(one, links=one.links[1:]) if one.node == B else one for one in HEALTHY.after)
    (found,) = asked(replace(beside(third(NIC_B), before=False), after=(*gone, third(NIC_B))).case(), destinations)
    assert (found.cause, found.confidence) == ("duplicate-node-address", Confidence.LIKELY)
    assert any("moved" in doubt for doubt in found.not_ruled_out)


@pytest.mark.parametrize(
    "world",
    [
        pytest.param(TO_B, id="each has its own"),
        pytest.param(beside(third("10.128.0.96")), id="a third node with its own"),
        pytest.param(
            replace(TO_B, snapshot=cluster(node(A, NIC_A), node(B, NIC_B), node(THIRD, NIC_B, ready=False))), id="the machine it replaced"
        ),
    ],
)
def test_what_is_no_shared_address(world: World) -> None:
    assert asked(world.case(), destinations) == []


def test_what_a_third_node_has_too_leaves_the_sender() -> None:
    case = replace(beside(third(NIC_B)), requests=(lost(24, 2, 3),)).case()
    assert asked(replace(case, paths=sent_to(case, NIC_B)), destinations) == []


def second_nic(published: str, internal: str) -> World:
    """B has `192.168.7.2` on another NIC than packets come in by; that is what the frames go to."""
    extra = Link(name="ens5", index=9, addresses=("192.168.7.2",))
    looks = tuple(replace(one, links=(*one.links, extra)) if one.node == B else one for one in HEALTHY.after)
    snapshot = cluster(node(A, NIC_A), node(B, internal, says={CALICO: f"{published}/24"}))
    return replace(ASTRAY, outer_destination="192.168.7.2", before=looks, after=looks, snapshot=snapshot)


def test_a_published_address_of_another_nic_is_the_wrong_one() -> None:
    (found,) = asked(second_nic("192.168.7.2", NIC_B).case(), destinations)
    assert (found.cause, found.confidence) == ("wrong-node-address", Confidence.LIKELY)
    assert found.remediation is not None
    assert NIC_B in found.remediation


@pytest.mark.parametrize(
    "world",
    [
        pytest.param(second_nic("192.168.7.2", "192.168.7.2"), id="it is the InternalIP"),
        pytest.param(second_nic(NIC_B, NIC_B), id="it is not what is published"),
        pytest.param(
            replace(second_nic("192.168.7.2", NIC_B), requests=(lost(4, 3, 4), Fate(count=20))), id="a network made for it: others arrive"
        ),
    ],
)
def test_what_is_no_wrong_nic(world: World) -> None:
    assert asked(world.case(), destinations) == []
