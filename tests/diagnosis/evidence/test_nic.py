"""What is read of a NIC's counters, drivers and features."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.diagnosis.evidence import nic
from kubectl_vxtrace.diagnosis.losses import Segment, SegmentKind
from kubectl_vxtrace.model.facts import Link, NodeFacts
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Hop, Role
from tests.diagnosis.build import HEALTHY
from tests.diagnosis.places import NIC, TAPS, A, B

SENDER, RECEIVER = Hop(hop=3, role=Role.UNDERLAY, tap=TAPS[2]), Hop(hop=4, role=Role.UNDERLAY, tap=TAPS[3])


def counted(name: str, growth: int = 7, *, node: str = B, on_link: bool = False, index: int = 2) -> Case:
    """A case in which one counter of a node grew; `index`: of its NIC at the second look."""

    def look(value: int, number: int) -> NodeFacts:
        link = Link(name=NIC, index=number, counters={"rx.packets": 10, **({name: value} if on_link else {})})
        return NodeFacts(node=node, links=(link,), counters={} if on_link else {name: value})

    return replace(HEALTHY, before=(look(100, 2),), after=(look(100 + growth, index),)).case()


@pytest.mark.parametrize(
    ("name", "on_link"),
    [
        ("rx.missed_errors", True),
        ("rx.over_errors", True),
        ("rx.fifo_errors", True),
        ("rx.dropped", True),
        (f"ethtool.{NIC}.rx_no_buffer_count", False),
        (f"ethtool.{NIC}.rx_out_of_buffer", False),
        (f"ethtool.{NIC}.rx_queue_0_drops", False),
        (f"ethtool.{NIC}.rx_discards_phy", False),
        (f"ethtool.{NIC}.bw_in_allowance_exceeded", False),
        ("softnet.dropped", False),
    ],
)
def test_what_a_receiver_lost(name: str, on_link: bool) -> None:
    (found,) = nic.receiver_losses(counted(name, on_link=on_link), RECEIVER)
    assert found.growth == 7
    assert "ada-ec-2" in found.text


@pytest.mark.parametrize(
    ("name", "on_link"),
    [
        ("rx.packets", True),
        ("rx.otherhost", True),
        ("rx.nohandler", True),
        ("tx.dropped", True),
        ("softnet.time_squeeze", False),
        (f"ethtool.{NIC}.rx_queue_0_xdp_drops", False),
        ("ethtool.eth9.rx_dropped", False),
    ],
)
def test_what_is_no_loss_of_a_receiver(name: str, on_link: bool) -> None:
    assert nic.receiver_losses(counted(name, on_link=on_link), RECEIVER) == []


@pytest.mark.parametrize("name", ["tx.errors", "tx.dropped", "tx.carrier_errors", "tx.fifo_errors", "tx.aborted_errors"])
def test_what_a_sender_lost(name: str) -> None:
    (found,) = nic.sender_losses(counted(name, node=A, on_link=True), SENDER)
    assert (found.name, found.growth) == (name, 7)


@pytest.mark.parametrize("name", ["tx.packets", "tx.carrier_changes", "rx.errors", "tx_xdp_tx_drops", "tx_queue_0_xdp_xmit_errors"])
def test_what_is_no_loss_of_a_sender(name: str) -> None:
    assert nic.sender_losses(counted(name, node=A, on_link=True), SENDER) == []


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(counted("rx.missed_errors", 0, on_link=True), id="it did not grow"),
        pytest.param(counted("rx.missed_errors", -40, on_link=True), id="it was reset"),
        pytest.param(counted("rx.missed_errors", on_link=True, index=3), id="another interface of that name"),
        pytest.param(counted("rx.missed_errors", node=A, on_link=True), id="of another node"),
    ],
)
def test_counters_that_say_nothing(case: Case) -> None:
    assert nic.receiver_losses(case, RECEIVER) == []


def test_a_program_counts_for_itself() -> None:
    (found,) = nic.xdp_drops(counted(f"ethtool.{NIC}.rx_xdp_drop"), RECEIVER)
    assert (found.name, found.growth) == ("rx_xdp_drop", 7)


def test_nics_that_were_not_read_twice_are_doubts() -> None:
    wire = Segment(kind=SegmentKind.WIRE, start=SENDER, end=RECEIVER)
    assert nic.unread(HEALTHY.case(), wire) == []
    (doubt,) = nic.unread(counted("rx.missed_errors", on_link=True), wire)
    assert f"{A}/{NIC}" in doubt


@pytest.mark.parametrize(
    ("driver", "features", "offloads"),
    [
        ("mlx5_core", {"tx-udp_tnl-segmentation": "on"}, True),
        ("mlx5_core", {"tx-udp_tnl-csum-segmentation": "on"}, True),
        ("mlx5_core", {"tx-udp_tnl-segmentation": "off"}, False),
        ("mlx5_core", {}, False),
        ("veth", {"tx-udp_tnl-segmentation": "on"}, False),
        (None, {"tx-udp_tnl-segmentation": "on"}, False),
    ],
)
def test_hardware_that_looks_into_tunnels(driver: str | None, features: dict[str, str], offloads: bool) -> None:
    said = {f"{NIC}.{name}": value for name, value in features.items()} | ({f"{NIC}.driver": driver} if driver is not None else {})
    case = replace(HEALTHY, before=(), after=(NodeFacts(node=A, ethtool=said),)).case()
    assert nic.driver(case, SENDER) == driver
    assert nic.offloads_tunnels(case, SENDER) is offloads
