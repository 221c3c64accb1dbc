"""Names that are wrong, missing, or overruled by who hands the files over."""

from pathlib import Path

import pytest

from kubectl_vxtrace.model.report import Verdict
from tests.handover import build
from tests.handover.build import SERVER_NODE
from tests.wire import links
from tests.wire.places import CLIENT, CLIENT_NODE, FIRST, NIC, PODS, UNDERLAY, VXLAN

SHOTS = build.recorded()
TRUTH = (build.LOST_REQUESTS, build.LOST_REPLIES)
CLIENT_POD, SERVER_POD = (CLIENT_NODE, PODS[CLIENT]), (SERVER_NODE, PODS[FIRST])
CLIENT_NIC, SERVER_NIC = (CLIENT_NODE, NIC), (SERVER_NODE, NIC)
CLIENT_VXLAN, SERVER_VXLAN = (CLIENT_NODE, VXLAN), (SERVER_NODE, VXLAN)


def _exchanged(one: tuple[str, str], other: tuple[str, str]) -> dict[str, bytes]:
    """Two captures under one another's names."""
    files = build.by_procedure(SHOTS)
    first, second = build.procedure_name(one), build.procedure_name(other)
    return {**files, first: files[second], second: files[first]}


@pytest.mark.parametrize(
    ("one", "other", "says"),
    [
        (CLIENT_POD, CLIENT_NIC, "is called a capture of the pod's interface, and holds what the NIC sees"),
        (SERVER_VXLAN, SERVER_NIC, "is called a capture of the VXLAN device, and holds what the NIC sees"),
        (CLIENT_POD, CLIENT_VXLAN, "is called a capture of the pod's interface, and holds what the VXLAN device sees"),
        (CLIENT_POD, SERVER_POD, f"is named after {CLIENT_NODE}, and holds what only {SERVER_NODE} can have seen"),
        (CLIENT_NIC, SERVER_NIC, f"is named after {CLIENT_NODE}, and holds what only {SERVER_NODE} can have seen"),
        (CLIENT_VXLAN, SERVER_VXLAN, f"is named after {CLIENT_NODE}, and holds what only {SERVER_NODE} can have seen"),
    ],
)
def test_swapped_names_are_noticed_and_said(one: tuple[str, str], other: tuple[str, str], says: str, tmp_path: Path) -> None:
    report = build.report_of(tmp_path, _exchanged(one, other))
    assert build.lost(report) == TRUTH
    assert build.nodes_of(report) == (CLIENT_NODE, SERVER_NODE)
    assert len([note for note in report.completeness.notes if says in note]) == 1
    assert len(report.completeness.notes) == 3


def test_right_names_are_not_doubted(tmp_path: Path) -> None:
    assert len(build.report_of(tmp_path, build.by_procedure(SHOTS)).completeness.notes) == 1


def test_a_nic_that_sees_one_address_bare_is_no_pod(tmp_path: Path) -> None:
    """Host traffic alone at a NIC looks as a pod's does; only where that address is known inside the overlay is it one."""
    files = build.by_procedure(SHOTS)
    pod = files.pop(build.procedure_name(CLIENT_POD))
    report = build.report_of(tmp_path, {"n9-primary-interface.pcap": pod})
    assert {(capture.node, capture.file) for capture in report.captures} == {("n9", "given/n9-primary-interface.pcap")}
    assert not [note for note in report.completeness.notes if "holds what" in note]


def test_two_nics_are_told_apart_by_the_time_that_answers_take(tmp_path: Path) -> None:
    """Both see the same packets, and the server's clock is ahead: only the time from request to answer tells, on one clock each."""
    files = {"x.pcap": build.pcap(SHOTS[SERVER_NIC]), "y.pcap": build.pcap(SHOTS[CLIENT_NIC])}
    report = build.report_of(tmp_path, files)
    assert build.lost(report) == TRUTH
    assert build.nodes_of(report) == ("y", "x")
    assert "no capture of this node" not in str(report)


def test_two_nics_are_told_apart_by_what_one_of_them_misses(tmp_path: Path) -> None:
    shots = build.recorded(one_way=True)
    files = {"x.pcap": build.pcap(shots[SERVER_NIC]), "y.pcap": build.pcap(shots[CLIENT_NIC])}
    report = build.report_of(tmp_path, files)
    assert build.lost(report) == (build.LOST_REQUESTS, 0)
    assert build.nodes_of(report) == ("y", "x")


def test_two_nics_that_nothing_tells_apart_are_said_to_be_so_and_all_passed_the_wire(tmp_path: Path) -> None:
    shots = build.recorded(one_way=True, lost=False)
    files = {"x.pcap": build.pcap(shots[SERVER_NIC]), "y.pcap": build.pcap(shots[CLIENT_NIC])}
    report = build.report_of(tmp_path, files)
    assert build.lost(report) == (0, 0)
    hops = [hop for hop in report.flows[0].directions[0].hops if hop.role == "underlay"]
    assert [(hop.witness, hop.packets) for hop in hops] == [(True, build.PINGS)] * 2
    assert len([note for note in report.completeness.notes if "nothing tells which node is" in note]) == 2
    assert "no capture of this node" not in str(report)


def test_a_flag_names_the_node_of_an_address(tmp_path: Path) -> None:
    shots = build.recorded(one_way=True, lost=False)
    files = {"x.pcap": build.pcap(shots[SERVER_NIC]), "y.pcap": build.pcap(shots[CLIENT_NIC])}
    report = build.report_of(tmp_path, files, f"--node=y={UNDERLAY[CLIENT_NODE]}")
    assert build.nodes_of(report) == ("y", "x")
    assert not [note for note in report.completeness.notes if "nothing tells" in note]


def test_flags_place_files_that_nothing_else_does(tmp_path: Path) -> None:
    """Empty captures whose names say nothing."""
    empty = build.pcap([])
    near = {name: each for name, each in build.by_procedure(SHOTS).items() if name.startswith(CLIENT_NODE)}
    files = {**near, "a.pcap": empty, "b.pcap": empty, "c.pcap": empty}
    (tmp_path / "1").mkdir()
    (tmp_path / "2").mkdir()
    said = build.report_of(tmp_path / "1", files).completeness.notes
    assert [note for note in said if note.startswith("given/a.pcap was passed over: it is empty")]
    flags = [f"--hop={SERVER_NODE}:{role}={name}.pcap" for role, name in (("pod", "a"), ("vxlan", "b"), ("underlay", "c"))]
    report = build.report_of(tmp_path / "2", files, *flags)
    assert build.nodes_of(report) == (CLIENT_NODE, SERVER_NODE)


def test_a_given_role_beats_a_name_and_packets(tmp_path: Path) -> None:
    files = build.by_procedure(SHOTS)
    name = build.procedure_name(CLIENT_NIC)
    report = build.report_of(tmp_path, files, f"--hop={CLIENT_NODE}:bridge={name}")
    (capture,) = [each for each in report.captures if each.file == f"given/{name}"]
    hop = next(hop for hop in report.flows[0].directions[0].hops if hop.capture == capture.id)
    assert hop.role == "bridge"


def test_a_capture_at_a_switch_is_a_hop_between_the_nics(tmp_path: Path) -> None:
    """All that is lost is lost between the client's NIC and the switch, as the switch saw what the server's NIC saw."""
    span = [(time_ns - 700_000 - 20_000, frame) for time_ns, frame in SHOTS[SERVER_NIC]]
    report = build.report_of(tmp_path, {**build.by_procedure(SHOTS), "span.pcap": build.pcap(span)}, "--hop=leaf:tor=span.pcap")
    assert build.nodes_of(report) == (CLIENT_NODE, "leaf", SERVER_NODE)
    (leg,) = [leg for leg in report.flows[0].directions[0].legs if leg.lost]
    assert (leg.from_, leg.to, leg.lost) == (3, 4, build.LOST_REQUESTS)


def test_an_empty_receiver_is_a_suspect_and_no_stranger(tmp_path: Path) -> None:
    """The port is blocked: nothing comes back, and the other node's captures are empty."""
    shots = {tap: each if tap[0] == CLIENT_NODE else () for tap, each in build.recorded(one_way=True).items()}
    report = build.report_of(tmp_path, build.by_procedure(shots))
    assert report.verdict is Verdict.LOST
    # The first packet passed the pod before all captures are known to have run.
    assert build.lost(report) == (build.PINGS - 1, 0)
    assert build.nodes_of(report) == (CLIENT_NODE, SERVER_NODE)
    assert "no capture" not in str(report.completeness)


def test_an_empty_capture_of_all_interfaces_is_an_empty_receiver_as_well(tmp_path: Path) -> None:
    shots = {tap: each if tap[0] == CLIENT_NODE else () for tap, each in build.recorded(one_way=True).items()}
    report = build.report_of(tmp_path, build.everywhere(shots))
    # The first packet passed the pod before all captures are known to have run.
    assert build.lost(report) == (build.PINGS - 1, 0)
    assert build.nodes_of(report) == (CLIENT_NODE, SERVER_NODE)


def test_the_server_s_pod_alone_saw_traffic(tmp_path: Path) -> None:
    report = build.report_of(tmp_path, {build.procedure_name(SERVER_POD): build.pcap(SHOTS[SERVER_POD])})
    assert report.verdict is Verdict.UNDETERMINED
    assert [(hop.node, hop.packets) for hop in report.flows[0].directions[0].hops if hop.witness] == [
        (SERVER_NODE, build.PINGS - build.LOST_REQUESTS)
    ]


def test_an_end_that_no_capture_can_see_is_blind(tmp_path: Path) -> None:
    """The server's node alone: its answers died behind its NIC, where nobody looked."""
    far = {name: each for name, each in build.by_procedure(SHOTS).items() if name.startswith(SERVER_NODE)}
    report = build.report_of(tmp_path, far)
    assert report.verdict is Verdict.UNDETERMINED
    assert not report.completeness.complete
    assert [blind.node for blind in report.completeness.blind] == [UNDERLAY[CLIENT_NODE]]


def test_a_copy_of_a_file_is_no_other_node(tmp_path: Path) -> None:
    content = build.pcap(build.recorded(one_way=True, lost=False)[CLIENT_NIC])
    report = build.report_of(tmp_path, {"x.pcap": content, "y.pcap": content})
    assert [note for note in report.completeness.notes if "is a copy of" in note]
    assert len(report.captures) == 1


def test_a_nic_that_may_be_either_node_s_is_between_both(tmp_path: Path) -> None:
    """What left the client's pod and was not seen there was lost before, whichever it is."""
    shots = build.recorded(one_way=True)
    files = {"x-primary-interface.pcap": build.pcap(shots[SERVER_NIC]), "n1-pod.pcap": build.pcap(shots[CLIENT_POD])}
    without_outer = build.report_of(tmp_path, files)
    hops = without_outer.flows[0].directions[0].hops
    assert (hops[0].role, hops[0].node) == ("pod", "n1")
    assert [(leg.from_, leg.lost) for leg in without_outer.flows[0].directions[0].legs if leg.lost] == [(1, build.LOST_REQUESTS)]


def test_a_nic_alone_counts_what_it_saw(tmp_path: Path) -> None:
    shots = build.recorded(one_way=True)
    report = build.report_of(tmp_path, {"x.pcap": build.pcap(shots[CLIENT_NIC])})
    hops = report.flows[0].directions[0].hops
    assert [(hop.packets, hop.node) for hop in hops if hop.witness] == [(build.PINGS, "x")]
    assert report.verdict is Verdict.UNDETERMINED
    assert {blind.node for blind in report.completeness.blind} == {UNDERLAY[CLIENT_NODE], UNDERLAY[SERVER_NODE]}
    assert all("nothing tells whether" in blind.reason for blind in report.completeness.blind)


def test_in_a_capture_of_all_interfaces_the_bridge_is_behind_the_pod(tmp_path: Path) -> None:
    """Both see one address and fresh packets; the pod's own come to its bridge after its interface."""
    bridged = {
        **SHOTS,
        (CLIENT_NODE, "cni0"): [
            (time_ns + (2_000 if number % 2 == 0 else -2_000), frame) for number, (time_ns, frame) in enumerate(SHOTS[CLIENT_POD])
        ],
    }
    indices = {NIC: 2, VXLAN: 5, "cni0": 9}
    every = sorted(
        (time_ns, links.sll2(frame[14:], interface=indices.get(interface, 17)))
        for (node, interface), each in bridged.items()
        if node == CLIENT_NODE
        for time_ns, frame in each
    )
    report = build.report_of(tmp_path, {"n1-any.pcap": build.pcap(every, links.SLL2)})
    hops = report.flows[0].directions[0].hops
    assert [(hop.role, hop.interface) for hop in hops[:4]] == [("pod", "if17"), ("bridge", "if9"), ("vxlan", "if5"), ("underlay", "if2")]


def test_a_role_for_a_file_of_several_interfaces_is_said_not_to_be_used(tmp_path: Path) -> None:
    report = build.report_of(tmp_path, build.pcapng_of_each_node(SHOTS), f"--hop={CLIENT_NODE}:pod={CLIENT_NODE}.pcapng")
    assert build.lost(report) == TRUTH
    assert [note for note in report.completeness.notes if "the role of --hop was not used" in note]
