"""vmware-vxlan-clash."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.diagnosis.causes.wire import hypervisor
from kubectl_vxtrace.model.facts import NodeFacts
from kubectl_vxtrace.model.report import Confidence, Finding, Leg, Severity
from tests.diagnosis.asked import asked
from tests.diagnosis.build import HEALTHY, Fate, World, lost
from tests.diagnosis.frames import Frame
from tests.diagnosis.nodes import facts
from tests.diagnosis.places import NIC, A, B


def node(name: str, driver: str = "vmxnet3", *, offloads: bool = True) -> NodeFacts:
    feature = {f"{NIC}.tx-udp_tnl-segmentation": "on" if offloads else "off"}
    return replace(facts(name), ethtool={f"{NIC}.driver": driver, **feature})


VMWARE = (node(A), node(B))
# Three flows, each with its own outer source port, of which nothing arrives.
DYING = tuple(replace(lost(8, 3, 4), outer_port=port) for port in (50001, 50002, 50003))
CLASH = replace(HEALTHY, requests=DYING, replies=(), before=VMWARE, after=VMWARE)


def ping(world: World) -> Frame:
    """An encapsulated ICMP packet between the same nodes."""
    return replace(world.seen()[3][0], protocol=1, source_port=7, destination_port=7, flags=8 << 8)


CROSSING = replace(CLASH, extra={4: (ping(CLASH),) * 5})


def found(world: World) -> list[Finding]:
    """What this check says, before other explanations are weighed against it."""
    return asked(world.case(), hypervisor)


def test_icmp_crosses_and_udp_does_not_between_virtual_nics_of_vmware() -> None:
    finding = diagnose(CROSSING.case())[0]
    assert (finding.cause, finding.confidence, finding.severity) == ("vmware-vxlan-clash", Confidence.CERTAIN, Severity.ERROR)
    assert (finding.leg, finding.packets) == (Leg(from_=3, to=4), 24)
    assert any("5 encapsulated ICMP packets between the same nodes arrived, nothing else did" in proof.text for proof in finding.evidence)
    assert finding.remediation is not None
    assert "ethtool -K ens4 tx-udp_tnl-segmentation off" in finding.remediation


def segments(*, data_dies: bool = True, small: bool = True) -> World:
    """TCP: handshakes pass, segments with data die; `small`: short ones as well."""
    syn = tuple(Fate(count=4, outer_port=port, segment=(2, 0, 0, 0)) for port in (50001, 50002, 50003))
    size = 400 if small else 1460
    data = tuple(replace(lost(4, 3, 4), outer_port=port, segment=(0x18, 1, 1, 300), wire_bytes=size) for port in (50001, 50002, 50003))
    alive = () if data_dies else (Fate(outer_port=50001, segment=(0x18, 1, 1, 300), wire_bytes=size),)
    return replace(CLASH, protocol="TCP", requests=(*syn, *data, *alive))


def test_handshakes_pass_and_small_segments_with_data_do_not() -> None:
    (finding,) = found(segments())
    assert (finding.cause, finding.confidence, finding.packets) == ("vmware-vxlan-clash", Confidence.CERTAIN, 12)


@pytest.mark.parametrize(
    ("world", "confidence", "doubt"),
    [
        pytest.param(CLASH, Confidence.POSSIBLE, "a block of the VXLAN port", id="no ICMP was sent"),
        pytest.param(replace(CROSSING, requests=DYING[:1]), Confidence.LIKELY, "a broken path of several", id="one outer port"),
        pytest.param(replace(CROSSING, wire_bytes=1460), Confidence.LIKELY, "the underlay's MTU", id="all that die are large"),
    ],
)
def test_what_fits_as_well_lessens_the_confidence(world: World, confidence: Confidence, doubt: str) -> None:
    (finding,) = found(world)
    assert finding.confidence is confidence
    assert any(doubt in open_ for open_ in finding.not_ruled_out)


def test_a_nic_that_offloads_nothing_is_only_likely() -> None:
    quiet = (node(A, offloads=False), node(B, offloads=False))
    (finding,) = found(replace(CROSSING, before=quiet, after=quiet))
    assert finding.confidence is Confidence.LIKELY


@pytest.mark.parametrize(
    "world",
    [
        pytest.param(replace(CROSSING, before=(node(A, "virtio_net"),) * 2, after=()), id="another hypervisor"),
        pytest.param(replace(CROSSING, before=(), after=()), id="the driver is not known"),
        pytest.param(replace(CROSSING, extra={4: (CLASH.seen()[3][0],)}), id="other datagrams arrive"),
        pytest.param(segments(data_dies=False), id="some segments with data arrive"),
        pytest.param(segments(small=False), id="only large segments die"),
        pytest.param(replace(HEALTHY, before=VMWARE, after=VMWARE), id="healthy"),
        pytest.param(replace(CLASH, requests=(lost(24, 4, 5),)), id="lost inside the receiver"),
    ],
)
def test_look_alikes(world: World) -> None:
    assert not found(world)
