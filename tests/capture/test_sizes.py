"""Which sizes are tried."""

from itertools import pairwise

import pytest

from kubectl_vxtrace.capture.probes import command
from kubectl_vxtrace.capture.sizes import SMALLEST_BYTES, size_targets, sizes_to_try
from kubectl_vxtrace.model.facts import Link, NodeFacts
from kubectl_vxtrace.model.path import Direction, Endpoint, Flow, Hop, Path, Role, Tap


@pytest.mark.parametrize(
    ("largest", "mtus", "inside"),
    [
        (1450, (1450, 1400), {576, 1400, 1401, 1450}),
        (1500, (1450,), {1450, 1451, 1500}),
        (8951, (8951, 1450), {1450, 1451, 8951}),
        (1450, (9000,), {1450}),
    ],
)
def test_the_edges_of_known_mtus_are_tried(largest: int, mtus: tuple[int, ...], inside: set[int]) -> None:
    sizes = sizes_to_try(largest, mtus)
    assert inside <= set(sizes)
    assert sizes == tuple(sorted(set(sizes)))
    assert (sizes[0], sizes[-1]) == (SMALLEST_BYTES, largest)


def test_no_step_between_sizes_is_large() -> None:
    sizes = sizes_to_try(1450, ())
    assert max(after - before for before, after in pairwise(sizes)) <= 20
    assert len(sizes) <= 50


def test_an_interface_that_lets_out_less_than_every_host_has_to_take() -> None:
    assert sizes_to_try(500, (1450,)) == (500,)


def _path(nic_mtu: int, *, six: bool = False) -> tuple[Path, tuple[NodeFacts, ...]]:
    hops = (
        Hop(hop=1, role=Role.POD, tap=Tap(node="node-a", interface="cali1")),
        Hop(hop=2, role=Role.VXLAN, tap=Tap(node="node-a", interface="vxlan.calico")),
        Hop(hop=3, role=Role.UNDERLAY, tap=Tap(node="node-a", interface="ens4")),
    )
    mtus = {"cali1": 1450, "vxlan.calico": 1450, "ens4": nic_mtu}
    links = tuple(Link(name=name, index=number, mtu_bytes=mtu) for number, (name, mtu) in enumerate(mtus.items(), 2))
    path = Path(flow=1, direction=Direction.REQUEST, hops=hops, outer_destination="fd00::2" if six else "192.0.2.2")
    return path, (NodeFacts(node="node-a", links=links, taken_ns=0),)


FLOW = Flow(id=1, protocol="ICMP", client=Endpoint(address="10.1.0.2", node="node-a"), server=Endpoint(address="10.1.1.2", node="node-b"))


@pytest.mark.parametrize(("nic_mtu", "six", "edge"), [(1460, False, 1410), (1460, True, 1390), (9001, False, 1450)])
def test_what_the_tunnel_adds_is_taken_off_the_underlay(nic_mtu: int, six: bool, edge: int) -> None:
    path, facts = _path(nic_mtu, six=six)
    targets = size_targets([FLOW], [path], facts)
    sizes = [target.payload_bytes + 28 for target in targets]
    assert edge in sizes
    assert max(sizes) == 1450
    assert {(target.node, target.address, target.count) for target in targets} == {("node-a", "10.1.1.2", 2)}


def test_what_is_not_known_is_taken_to_be_usual() -> None:
    path, _ = _path(1500)
    assert max(target.payload_bytes for target in size_targets([FLOW], [path], ())) == 1500 - 28


def test_many_packets_are_spread_in_time() -> None:
    path, facts = _path(1500)
    targets = size_targets([FLOW], [path], facts) * 3
    assert int(command(targets).argv[6]) == 10 * len(targets)
    assert int(command(targets[:3]).argv[6]) == 200
    assert command(targets * 5).timeout_s > 2 * 10 * len(targets * 5) / 1000 + 10
