"""bridge-netfilter-off."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.model.facts import Link, NodeFacts
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Endpoint, Hop
from kubectl_vxtrace.model.report import Confidence, EvidenceKind, Finding, Severity
from tests.diagnosis.build import HEALTHY, World, lost_behind
from tests.diagnosis.nodes import facts
from tests.diagnosis.places import POD_A, SERVER, SERVICE, TAPS, A

SETTING = "net.bridge.bridge-nf-call-iptables"
LOCAL = "veth0"


def bridged(value: str | None, *, translated: bool = False, master: str | None = "cni0", asked: bool = True) -> Case:
    """Both pods on one node, their interfaces ports of `master`; replies reach the client as the backend sent them, or translated."""
    source = SERVICE if translated else SERVER
    world = World(requests=HEALTHY.requests, server=Endpoint(address=SERVER, port=53, node=A))
    case = world.case()
    near, far = replace(TAPS[0]), replace(TAPS[5], node=A, interface=LOCAL)
    hops = (Hop(hop=1, role=world.roles[5], tap=far), Hop(hop=2, role=world.roles[0], tap=near))
    path, journey = replace(case.paths[1].path, hops=hops), case.paths[1].journeys
    table = case.tables[near]
    raw = table.conversations.source.copy()
    raw[:] = bytes_of(source)
    look = facts(A)
    links = (*(link for link in look.links if link.name != POD_A), *(Link(name=name, index=9, master=master) for name in (POD_A, LOCAL)))
    look = replace(look, links=links, sysctls={} if value is None else {SETTING: value}, absent={} if asked else {"sysctls": "no answer"})
    seen = replace(journey, path=path, row=journey.row[:, [0, 5]].copy())
    reply = replace(
        case.paths[1],
        path=path,
        journeys=seen if translated else lost_behind(seen, hop=2),
        hops=(replace(case.paths[1].hops[0], node=A, interface=LOCAL), replace(case.paths[1].hops[5], hop=2)),
        legs=(),
    )
    return replace(
        case,
        paths=(case.paths[0], reply),
        tables={**case.tables, near: replace(table, conversations=replace(table.conversations, source=raw)), far: case.tables[TAPS[5]]},
        recording=replace(case.recording, before=(look,), after=(later(look),)),
    )


def later(look: NodeFacts) -> NodeFacts:
    return replace(look, taken_ns=look.taken_ns + 9_000_000_000)


def bytes_of(address: str) -> list[int]:
    return [*bytes(10), 255, 255, *map(int, address.split("."))]


def named(case: Case) -> list[Finding]:
    return [found for found in diagnose(case) if found.cause == "bridge-netfilter-off"]


@pytest.mark.parametrize(("value", "words"), [("0", f"{SETTING} = 0"), (None, "br_netfilter is not loaded")])
def test_replies_that_a_bridge_brings_untranslated(value: str | None, words: str) -> None:
    (found,) = named(bridged(value))
    assert (found.confidence, found.severity, found.packets) == (Confidence.CERTAIN, Severity.ERROR, 24)
    assert any(one.kind is EvidenceKind.PACKETS and SERVER in one.text and one.frames for one in found.evidence)
    assert any(one.kind is EvidenceKind.CONFIG and words in one.text for one in found.evidence)


def test_it_is_less_sure_where_the_setting_was_not_read() -> None:
    (found,) = named(bridged(None, asked=False))
    assert found.confidence is Confidence.LIKELY


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(bridged("0", translated=True), id="translated all the same"),
        pytest.param(bridged("1"), id="bridged packets pass the filter"),
        pytest.param(bridged("0", master=None), id="routed, not bridged"),
        pytest.param(HEALTHY.case(), id="on two nodes"),
    ],
)
def test_near_misses_of_a_bridge_without_the_filter(case: Case) -> None:
    assert named(case) == []
