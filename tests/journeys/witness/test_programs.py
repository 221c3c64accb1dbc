"""Programs that take packets: which taps are behind them, and when a tap behind one is a witness all the same."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from kubectl_vxtrace.journeys import follow
from kubectl_vxtrace.journeys.records import Hook, TakingProgram
from kubectl_vxtrace.journeys.witness.programs import hops_behind, passage_of, taking_programs
from kubectl_vxtrace.model.datapath import TcFilter
from kubectl_vxtrace.model.facts import BpfProgram, KernelDrop, Link, NodeFacts, VxlanDevice
from kubectl_vxtrace.model.journeys import Case, OutcomeCode
from kubectl_vxtrace.model.path import Direction, Hop, Role, Tap
from tests.journeys.build import lookups, lost_of, outcomes, paths_of, record, tables_of
from tests.wire import simulator as wire

A = wire.FIRST
NODE = "ada-ec-2"
SENDER = "ada-ec-1"
POD = wire.hops_to(A)[5][1]
MILLISECOND_NS = 1_000_000
REQUEST, REPLY = paths_of(1, A)


def program(device: str, hook: str, *, node: str = NODE) -> NodeFacts:
    """A node with a program that has a name."""
    return NodeFacts(node=node, bpf_programs=(BpfProgram(device=device, hook=hook, name="prog"),))


def at(device: str, hook: Hook, node: str = NODE) -> TakingProgram:
    return TakingProgram(node=node, device=device, hook=hook, text="a program")


@pytest.mark.parametrize(
    ("taking", "request_hops", "reply_hops"),
    [
        pytest.param(at(wire.NIC, Hook.INGRESS), [5, 6], [], id="behind the tap of the device where packets come in"),
        pytest.param(at(wire.VXLAN, Hook.INGRESS), [6], [], id="behind the VXLAN device"),
        pytest.param(at(wire.NIC, Hook.EGRESS), [], [3], id="before the tap of the device where packets go out"),
        pytest.param(at(POD, Hook.EGRESS), [6], [], id="before the tap of the pod's interface, into the pod"),
        pytest.param(at(POD, Hook.INGRESS), [], [2, 3], id="behind it, out of the pod"),
        pytest.param(at(wire.NIC, Hook.XDP), [4], [], id="XDP before the tap, where packets come in alone"),
        pytest.param(at(wire.NIC, Hook.INGRESS, SENDER), [], [5, 6], id="the other node"),
        pytest.param(at("eth7", Hook.INGRESS), [], [], id="a device that no path has"),
    ],
)
def test_a_program_takes_packets_from_taps_behind_it(taking: TakingProgram, request_hops: list[int], reply_hops: list[int]) -> None:
    found = [[index + 1 for index in hops_behind(taking, path.hops)] for path in (REQUEST, REPLY)]
    assert found == [request_hops, reply_hops]


@pytest.mark.parametrize(
    ("roles", "passages"),
    [
        ((Role.POD, Role.BRIDGE, Role.VXLAN, Role.UNDERLAY), "iiee"),
        ((Role.POD, Role.BRIDGE, Role.BRIDGE, Role.POD), "iiee"),
        ((Role.POD, Role.POD), "ie"),
        ((Role.VXLAN, Role.UNDERLAY), "ee"),
        ((Role.UNDERLAY,), "e"),
    ],
)
def test_the_way_by_which_packets_pass_on_the_first_node(roles: Sequence[Role], passages: str) -> None:
    hops = tuple(Hop(hop=number, role=role, tap=Tap(node=NODE, interface=f"d{number}")) for number, role in enumerate(roles, 1))
    assert "".join(passage_of(hops, index).value[0] for index in range(len(hops))) == passages


@pytest.mark.parametrize(
    ("facts", "found"),
    [
        (program(wire.NIC, "xdp"), [(wire.NIC, Hook.XDP)]),
        (program(wire.NIC, "tcx/egress"), [(wire.NIC, Hook.EGRESS)]),
        (program(wire.NIC, "netkit"), [(wire.NIC, Hook.INGRESS), (wire.NIC, Hook.EGRESS)]),
        (NodeFacts(node=NODE, links=(Link(name=wire.NIC, index=2, bpf=True),)), [(wire.NIC, Hook.INGRESS), (wire.NIC, Hook.EGRESS)]),
        (NodeFacts(node=NODE, links=(Link(name=wire.NIC, index=2, xdp=True),)), [(wire.NIC, Hook.XDP)]),
        (
            NodeFacts(node=NODE, links=(Link(name=wire.VXLAN, index=7, vxlan=VxlanDevice(external=True)),)),
            [(wire.VXLAN, Hook.INGRESS)],
        ),
        (
            NodeFacts(node=NODE, tc_filters=(TcFilter(device=wire.NIC, direction="egress", kind="flower", actions=("drop",)),)),
            [(wire.NIC, Hook.EGRESS)],
        ),
        (NodeFacts(node=NODE, tc_filters=(TcFilter(device=wire.NIC, direction="egress", kind="flower", actions=("pass",)),)), []),
        (NodeFacts(node=NODE, links=(Link(name=wire.NIC, index=2),)), []),
    ],
)
def test_what_can_take_packets(facts: NodeFacts, found: list[tuple[str, Hook]]) -> None:
    recording = replace(record(wire.Simulator()), before=(facts,))
    assert [(taking.device, taking.hook) for taking in taking_programs(recording)] == found


def _drops(count: int, *, reason: str = "TC_INGRESS", node: str = NODE) -> tuple[KernelDrop, ...]:
    """A word of the kernel right behind each of the first questions of `lookups`."""
    return tuple(
        KernelDrop(node=node, time_ns=wire.EPOCH + number * 10 * MILLISECOND_NS + MILLISECOND_NS, reason=reason, location="somewhere")
        for number in range(count)
    )


def _often() -> tuple[KernelDrop, ...]:
    """Drops of the same kind, 200 a second, that are others'."""
    (like,) = _drops(1)
    return tuple(replace(like, time_ns=like.time_ns + number * 5 * MILLISECOND_NS) for number in range(1, 2_000))


def _followed(facts: NodeFacts, *, arrived: int, vanished: int, at_hop: int, drops: Sequence[KernelDrop] = ()) -> Case:
    simulator = wire.Simulator()
    lookups(simulator, vanished, vanished=at_hop)
    lookups(simulator, arrived, first=vanished)
    recording = replace(record(simulator), before=(facts,), after=(facts,), kernel_drops=tuple(drops), duration_s=15.0)
    return follow(recording, tables_of(simulator))


def _witnesses(case: Case) -> list[bool]:
    return [hop.witness for hop in case.paths[0].hops]


class TestDoubt:
    def test_a_healthy_network_of_programs_is_seen_whole(self) -> None:
        facts = NodeFacts(
            node=NODE, bpf_programs=tuple(BpfProgram(device=device, hook="tc/ingress") for device in (wire.NIC, wire.VXLAN, POD))
        )
        case = _followed(facts, arrived=5, vanished=0, at_hop=0)
        assert outcomes(case, A) == [OutcomeCode.DELIVERED] * 5
        assert all(hop.witness and hop.reason is None for path in case.paths for hop in path.hops)

    def test_what_is_missing_behind_a_program_may_have_gone_past(self) -> None:
        case = _followed(program(wire.NIC, "tc/ingress"), arrived=2, vanished=3, at_hop=4)
        assert _witnesses(case) == [True] * 4 + [False] * 2
        assert case.paths[0].hops[4].reason == f"the tc ingress program prog on {wire.NIC} can take packets before they are seen here"
        assert outcomes(case, A).count(OutcomeCode.UNDETERMINED) == 3

    def test_what_is_missing_before_it_is_lost(self) -> None:
        case = _followed(program(wire.NIC, "tc/ingress"), arrived=2, vanished=3, at_hop=3)
        assert _witnesses(case) == [True] * 6
        assert lost_of(case, A) == {(3, 4): 3}

    def test_it_is_of_one_direction(self) -> None:
        case = _followed(program(wire.NIC, "tc/egress"), arrived=2, vanished=3, at_hop=4)
        assert lost_of(case, A) == {(4, 5): 3}

    @pytest.mark.parametrize(
        ("drops", "is_lost"),
        [
            pytest.param(_drops(3), True, id="the kernel's word for each"),
            pytest.param(_drops(2), False, id="for too few"),
            pytest.param(_drops(3, reason="NETFILTER_DROP"), True, id="whoever dropped them before the VXLAN device"),
            pytest.param(_drops(3, node=SENDER), False, id="another node"),
            pytest.param(_drops(3) + _often(), False, id="a kernel that drops others all the time"),
        ],
    )
    def test_the_kernels_word_resolves_it(self, drops: tuple[KernelDrop, ...], is_lost: bool) -> None:
        case = _followed(program(wire.NIC, "tc/ingress"), arrived=2, vanished=3, at_hop=4, drops=drops)
        assert lost_of(case, A) == ({(4, 5): 3} if is_lost else {})

    @pytest.mark.parametrize(("growth", "is_lost"), [(3, True), (2, False)])
    def test_the_filters_own_counter_resolves_it(self, growth: int, is_lost: bool) -> None:
        counting = TcFilter(device=wire.NIC, direction="ingress", kind="flower", actions=("drop",), dropped=7)
        simulator = wire.Simulator()
        lookups(simulator, 3, vanished=4)
        recording = replace(
            record(simulator),
            before=(NodeFacts(node=NODE, tc_filters=(counting,)),),
            after=(NodeFacts(node=NODE, tc_filters=(replace(counting, dropped=7 + growth),)),),
        )
        assert lost_of(follow(recording, tables_of(simulator)), A) == ({(4, 5): 3} if is_lost else {})

    @pytest.mark.parametrize(("arrived", "is_lost"), [(0, False), (2, True)])
    def test_a_device_in_metadata_mode_is_read_past_a_pods_tap_always_or_never(self, arrived: int, is_lost: bool) -> None:
        """bpf_redirect_peer carries packets into the pod past its interface on the node; where that saw any, it is not in use."""
        facts = NodeFacts(node=NODE, links=(Link(name=wire.VXLAN, index=7, vxlan=VxlanDevice(external=True)),))
        case = _followed(facts, arrived=arrived, vanished=3, at_hop=5)
        assert lost_of(case, A) == ({(5, 6): 3} if is_lost else {})

    def test_replies_out_of_the_pod_are_not_doubted_by_what_is_on_their_devices_other_side(self) -> None:
        case = _followed(program(POD, "tc/egress"), arrived=3, vanished=0, at_hop=0)
        assert outcomes(case, A, Direction.REPLY) == [OutcomeCode.DELIVERED] * 3
