import json
import time
from pathlib import Path

import pytest

from kubectl_vxtrace.handover import settle
from kubectl_vxtrace.model.packets import PacketTable, address_text
from kubectl_vxtrace.model.path import Basis, Direction, Endpoint, Flow, Overlay, ServiceRef, Tap
from kubectl_vxtrace.model.path import Path as FlowPath
from kubectl_vxtrace.model.recording import LooseFile, Recording
from kubectl_vxtrace.topology.infer import infer
from tests.topology.frames import A, B, C, Recorder, Side, echo, ethernet, ip, syn, syn_ack, udp

RECORDED = Path(__file__).parent / "recorded"
DNS = "10.96.0.10"
Tables = dict[Tap, PacketTable]


def loose(folder: Path) -> Recording:
    """The captures in a folder, as they are handed over."""
    files = tuple(LooseFile(path=str(path), name=path.name) for path in sorted(folder.glob("*.pcap")))
    return Recording(session="x", version="0", started_ns=0, overlay=Overlay(), flows=(), paths=(), loose=files)


def load(folder: Path) -> tuple[Recording, Tables]:
    settled = settle(loose(folder))
    return infer(settled.recording, settled.tables, settled.fabric), settled.tables


def inferred(recorder: Recorder, folder: Path) -> Recording:
    recorder.write(folder)
    return load(folder)[0]


def places(path: FlowPath) -> list[str]:
    """The files of a path's hops; where there is none, the node and what it would have been."""
    return [hop.tap.place.removesuffix(".pcap") if hop.tap.place.endswith(".pcap") else f"{hop.tap.node}-{hop.role}?" for hop in path.hops]


def way(*sides: Side) -> list[str]:
    first, last = sides
    kinds = ("pod", "vxlan-calico", "primary-interface")
    return [f"{first.node}-{kind}" for kind in kinds] + [f"{last.node}-{kind}" for kind in reversed(kinds)]


def frames_at(path: FlowPath, flow: Flow, tables: Tables) -> list[int]:
    """Frames of a path's direction at each hop, counted by addresses alone."""
    assert flow.server is not None or flow.service is not None
    servers = {end.address for end in (flow.server, flow.service) if end is not None}
    counts = []
    for hop in path.hops:
        table = tables[hop.tap]
        of = table.conversations
        pairs = [(address_text(of.source[row]), address_text(of.destination[row])) for row in range(len(of))]
        wanted = [
            pair
            in {
                (flow.client.address, server) if path.direction == Direction.REQUEST else (server, flow.client.address)
                for server in servers
            }
            for pair in pairs
        ]
        counts.append(sum(1 for number in table.conversation if number >= 0 and wanted[number]))
    return counts


@pytest.mark.parametrize("name", ["netpol-ingress", "unknown-vtep"])
def test_the_leg_of_a_recorded_fault_follows_from_the_paths(name: str) -> None:
    recording, tables = load(RECORDED / name)
    truth = json.loads((RECORDED / name / "truth.json").read_text())["truth"]
    broken = []
    for path in recording.paths:
        counts = frames_at(path, recording.flows[path.flow - 1], tables)
        # A client's own tap carries all backends' packets under the Service's address; from the second hop on they stand apart.
        broken += [
            (path.direction, path.hops[at - 1], path.hops[at]) for at in range(2, len(counts)) if counts[at - 1] > 0 and counts[at] == 0
        ]
    ((direction, before, after),) = broken
    assert (direction, before.role, after.role) == (truth["direction"], truth["from"][1], truth["to"][1])
    # The truth names one of the two backends' nodes; in the recorded window all lost questions of netpol-ingress went to the other.
    node = {"netpol-ingress": "ada-ec-3", "unknown-vtep": "ada-ec-2"}[name]
    assert (before.tap.node, after.tap.node) == (node, node)


def test_a_healthy_recording_has_two_backends_and_six_equal_hops() -> None:
    recording, tables = load(RECORDED / "healthy")
    assert [(flow.id, flow.server) for flow in recording.flows] == [
        (1, Endpoint(address="10.244.106.65", port=53, node="ada-ec-3")),
        (2, Endpoint(address="10.244.56.129", port=53, node="ada-ec-2")),
    ]
    assert {flow.service for flow in recording.flows} == {ServiceRef(address=DNS, port=53)}
    assert {flow.client for flow in recording.flows} == {Endpoint(address="10.244.114.65", node="ada-ec-1")}
    assert [(path.flow, path.direction, path.basis) for path in recording.paths] == [
        (number, direction, Basis.INFERRED) for number in (1, 2) for direction in (Direction.REQUEST, Direction.REPLY)
    ]
    counted = [frames_at(path, recording.flows[path.flow - 1], tables) for path in recording.paths]
    assert [counts[1:5] for counts in counted] == [[10] * 4, [10] * 4, [12] * 4, [12] * 4]
    assert [path.outer_destination for path in recording.paths] == ["10.128.0.96", "10.128.0.72", "10.128.0.95", "10.128.0.72"]
    assert recording.overlay.backend == "calico-vxlan"
    assert [(v.node, v.underlay_address, v.vni, v.port) for v in recording.overlay.vteps] == [
        ("ada-ec-1", "10.128.0.72", 4096, 4789),
        ("ada-ec-2", "10.128.0.95", 4096, 4789),
        ("ada-ec-3", "10.128.0.96", 4096, 4789),
    ]
    assert recording.gaps == ()


def test_packets_that_only_the_client_saw_name_no_backend() -> None:
    recording, tables = load(RECORDED / "netpol-egress")
    (flow,) = recording.flows
    assert (flow.server, flow.candidates, flow.service) == (None, (), ServiceRef(address=DNS, port=53))
    # Pods were recorded on other nodes alone, so the way out of the client's node is common to all backends.
    assert [places(path) for path in recording.paths] == [way(A, B)[:3], way(A, B)[2::-1]]
    assert frames_at(recording.paths[0], flow, tables) == [5, 0, 0]


def test_a_pod_recorded_on_the_clients_node_may_be_the_unknown_backend(tmp_path: Path) -> None:
    recorder = Recorder()
    recorder.empty(A, B)
    recorder.empty(A, places=("pod-caliother",))
    recorder.send(A, B, 17, udp(41000, 53), was=DNS, hops=1)
    assert places(inferred(recorder, tmp_path).paths[0]) == ["ada-ec-1-pod"]


def test_a_server_that_nothing_places_is_on_the_one_node_whose_pod_saw_nothing(tmp_path: Path) -> None:
    recorder = Recorder()
    recorder.empty(A, B, C)
    for port in (40001, 40002, 40003):
        recorder.ask(A, C, port, service=DNS)
        recorder.ask(A, B, port + 100, service=DNS, hops=2)
    recording = inferred(recorder, tmp_path)
    lost = next(path for path in recording.paths if recording.flows[path.flow - 1].server == Endpoint(address=B.pod, port=53, node=B.node))
    assert places(lost) == way(A, B)
    assert recording.gaps == ()


def test_the_one_outer_address_left_belongs_to_the_one_node_left(tmp_path: Path) -> None:
    recorder = Recorder()
    recorder.empty(A, B, C)
    recorder.ask(A, C, 40001, service=DNS)
    recorder.ask(A, B, 40002, service=DNS, hops=3)
    recording = inferred(recorder, tmp_path)
    assert [vtep.underlay_address for vtep in recording.overlay.vteps] == [A.underlay, B.underlay, C.underlay]
    assert places(recording.paths[2]) == way(A, B)


def test_two_silent_nodes_are_not_guessed_apart(tmp_path: Path) -> None:
    recorder = Recorder()
    recorder.empty(A, B, C)
    recorder.ask(A, B, 40001, service=DNS, hops=2)
    recorder.ask(A, C, 40002, service=DNS, hops=2)
    recording = inferred(recorder, tmp_path)
    assert [flow.server.node for flow in recording.flows if flow.server] == [None, None]
    assert places(recording.paths[0])[:3] == way(A, B)[:3]
    assert [place[-1] for place in places(recording.paths[0])[3:]] == ["?"] * 3
    assert sorted(gap.node or "" for gap in recording.gaps) == [f"node of {C.pod}", f"node of {B.pod}"]
    assert {gap.reason.partition(" is ")[2].partition(":")[0] for gap in recording.gaps} == {"ada-ec-2 or ada-ec-3"}


def test_candidates_are_what_other_clients_reached(tmp_path: Path) -> None:
    other = Side(pod="10.244.106.99", node=C.node, underlay=C.underlay, mac=C.mac)
    recorder = Recorder()
    recorder.ask(other, B, 40001, service=DNS)
    recorder.send(A, B, 17, udp(41000, 53), was=DNS, hops=1)
    recording = inferred(recorder, tmp_path)
    lost = next(flow for flow in recording.flows if flow.client.address == A.pod)
    assert (lost.server, lost.candidates) == (None, (Endpoint(address=B.pod, port=53, node=B.node),))


def test_a_shared_prefix_of_remote_candidates_is_the_path(tmp_path: Path) -> None:
    other = Side(pod="10.244.106.99", node=C.node, underlay=C.underlay, mac=C.mac)
    recorder = Recorder()
    recorder.empty(A)
    recorder.ask(other, B, 40001, service=DNS)
    recorder.send(A, B, 17, udp(41000, 53), was=DNS, hops=1)
    recording = inferred(recorder, tmp_path)
    lost = next(flow for flow in recording.flows if flow.server is None)
    request = next(path for path in recording.paths if path.flow == lost.id)
    assert places(request) == way(A, B)[:3]


def test_a_syn_says_who_the_client_is(tmp_path: Path) -> None:
    recorder = Recorder()
    recorder.send(A, B, 6, syn(1023, 41234))
    recorder.send(B, A, 6, syn_ack(41234, 1023))
    recording = inferred(recorder, tmp_path)
    (flow,) = recording.flows
    assert (flow.protocol, flow.client.address, flow.client.port, flow.server, flow.service) == (
        "TCP",
        A.pod,
        None,
        Endpoint(address=B.pod, port=41234, node=B.node),
        None,
    )


def test_an_answer_without_its_question_still_knows_the_server(tmp_path: Path) -> None:
    recorder = Recorder()
    recorder.send(B, A, 17, udp(53, 40001))
    (flow,) = inferred(recorder, tmp_path).flows
    assert (flow.client.address, flow.server) == (A.pod, Endpoint(address=B.pod, port=53, node=B.node))


def test_an_end_with_many_partners_is_the_server_whatever_its_port(tmp_path: Path) -> None:
    recorder = Recorder()
    for port in (2000, 2001, 2002):
        recorder.send(B, A, 17, udp(40000, port))
    (flow,) = inferred(recorder, tmp_path).flows
    assert flow.server == Endpoint(address=B.pod, port=40000, node=B.node)


def test_a_socket_that_asks_two_dns_servers_is_the_client(tmp_path: Path) -> None:
    recorder = Recorder()
    for server in (B, C):
        recorder.send(A, server, 17, udp(40000, 53))
    flows = inferred(recorder, tmp_path).flows
    assert {(flow.client.address, flow.server.address if flow.server is not None else None) for flow in flows} == {
        (A.pod, B.pod),
        (A.pod, C.pod),
    }


def test_a_ping_is_a_flow_without_ports(tmp_path: Path) -> None:
    recorder = Recorder()
    for ident in (7, 8):
        recorder.send(A, B, 1, echo(8, ident))
        recorder.send(B, A, 1, echo(0, ident))
    (flow,) = inferred(recorder, tmp_path).flows
    assert (flow.protocol, flow.client.address, flow.server) == ("ICMP", A.pod, Endpoint(address=B.pod, node=B.node))


def test_a_recorded_bridge_is_a_hop(tmp_path: Path) -> None:
    recorder = Recorder()
    recorder.send(A, B, 17, udp(40001, 53), hops=8, bridged=True)
    request = inferred(recorder, tmp_path).paths[0]
    assert [hop.role for hop in request.hops] == ["pod", "bridge", "vxlan", "underlay", "underlay", "vxlan", "bridge", "pod"]


def test_packets_that_both_nics_saw_bare_are_meant_to_go_so(tmp_path: Path) -> None:
    recorder = Recorder()
    recorder.empty(A, B)
    recorder.send(A, B, 17, udp(40001, 53), bare=True)
    assert [hop.role for hop in inferred(recorder, tmp_path).paths[0].hops] == ["pod", "underlay", "underlay", "pod"]


def test_packets_that_one_nic_saw_bare_are_astray(tmp_path: Path) -> None:
    recorder = Recorder()
    recorder.empty(A, B)
    recorder.send(A, B, 17, udp(40001, 53), bare=True, hops=2)
    assert places(inferred(recorder, tmp_path).paths[0]) == way(A, B)


def test_captures_that_were_not_made_leave_blind_hops(tmp_path: Path) -> None:
    recorder = Recorder()
    recorder.ask(A, B, 40001, service=DNS)
    del recorder.files["ada-ec-2-vxlan-calico.pcap"], recorder.files["ada-ec-1-primary-interface.pcap"]
    recording = inferred(recorder, tmp_path)
    expected = way(A, B)
    expected[2], expected[4] = "ada-ec-1-underlay?", "ada-ec-2-vxlan?"
    assert places(recording.paths[0]) == expected
    assert {(gap.node, gap.reason) for gap in recording.gaps} == {
        ("ada-ec-1", "no capture was given of the NIC"),
        ("ada-ec-2", "no capture was given of the VXLAN device"),
    }


def test_without_any_capture_of_the_other_node_its_hops_are_blind(tmp_path: Path) -> None:
    recorder = Recorder()
    recorder.ask(A, B, 40001, service=DNS)
    recorder.files = {name: frames for name, frames in recorder.files.items() if name.startswith(A.node)}
    recording = inferred(recorder, tmp_path)
    assert places(recording.paths[0])[:3] == way(A, B)[:3]
    assert [(hop.tap.node, hop.tap.interface, hop.role) for hop in recording.paths[0].hops[3:]] == [
        (B.underlay, "", role) for role in ("underlay", "vxlan", "pod")
    ]
    assert len({hop.tap for hop in recording.paths[0].hops}) == 6
    assert [gap.node for gap in recording.gaps] == [B.underlay]


def test_without_pod_captures_what_was_encapsulated_is_followed(tmp_path: Path) -> None:
    recorder = Recorder()
    recorder.ask(A, B, 40001)
    recorder.ask(A, C, 40002)
    recorder.files = {name: frames for name, frames in recorder.files.items() if "pod" not in name}
    _, flow = inferred(recorder, tmp_path).flows
    assert (flow.client, flow.server) == (Endpoint(address=A.pod, node=A.node), Endpoint(address=B.pod, port=53, node=B.node))


def test_one_node_has_two_hops(tmp_path: Path) -> None:
    near = Side(pod="10.244.114.80", node=A.node, underlay=A.underlay, mac=A.mac)
    recorder = Recorder()
    frame = ethernet(ip(A.pod, DNS, 17, udp(40001, 53), ident=9, ttl=64))
    recorder.put(A.node, "pod", frame)
    recorder.put(A.node, "pod-caliother", ethernet(ip(A.pod, near.pod, 17, udp(40001, 53), ident=9, ttl=63)))
    recording = inferred(recorder, tmp_path)
    assert recording.flows[0].server == Endpoint(address=near.pod, port=53, node=A.node)
    assert places(recording.paths[0]) == ["ada-ec-1-pod", "ada-ec-1-pod-caliother"]


def test_what_is_answered_without_being_seen_elsewhere_is_not_called_lost(tmp_path: Path) -> None:
    recorder = Recorder()
    recorder.empty(A, B)
    recorder.put(A.node, "pod", ethernet(ip(A.pod, "169.254.20.10", 17, udp(40001, 53), ident=1, ttl=64)))
    recorder.put(A.node, "pod", ethernet(ip("169.254.20.10", A.pod, 17, udp(53, 40001), ident=2, ttl=64)))
    recording = inferred(recorder, tmp_path)
    assert recording.flows[0].server == Endpoint(address="169.254.20.10", port=53)
    assert places(recording.paths[0]) == ["ada-ec-1-pod"]
    assert "may not have left the node" in (recording.paths[0].note or "")


def test_noise_is_not_followed(tmp_path: Path) -> None:
    recorder = Recorder()
    recorder.ask(A, B, 40001)
    tunnel = Side(pod="10.244.106.64", node=C.node, underlay=C.underlay, mac=C.mac)
    recorder.send(tunnel, B, 6, syn(39000, 10250), hops=5)  # a kubelet's, seen by VXLAN devices and NICs alone
    del recorder.files["ada-ec-3-pod.pcap"]
    recorder.put(B.node, "pod", ethernet(ip("10.128.0.95", B.pod, 6, syn(39001, 8080), ident=3, ttl=64)))  # a probe from B itself
    recorder.put(A.node, "pod", ethernet(ip(A.pod, "224.0.0.251", 17, udp(5353, 5353), ident=4, ttl=255)))
    recorder.put(A.node, "pod", ethernet(b"\0\1\x08\0\6\4\0\1" + bytes(20), kind=0x0806))
    recorder.put(A.node, "pod", b"\0" * 7)
    assert [(flow.client.address, flow.server.address) for flow in inferred(recorder, tmp_path).flows if flow.server] == [(A.pod, B.pod)]


def test_empty_captures_have_no_flows(tmp_path: Path) -> None:
    recorder = Recorder()
    recorder.empty(A, B)
    recording = inferred(recorder, tmp_path)
    assert (recording.flows, recording.paths, recording.gaps) == ((), (), ())
    assert [vtep.node for vtep in recording.overlay.vteps] == [A.node, B.node]


def test_many_connections_cost_no_step_each(tmp_path: Path) -> None:
    recorder = Recorder()
    for number in range(4000):
        recorder.send(A, B, 17, udp(10000 + number, 53), was=DNS)
    recorder.write(tmp_path)
    settled = settle(loose(tmp_path))
    began = time.process_time()
    recording = infer(settled.recording, settled.tables)
    assert len(recording.flows) == 1
    assert time.process_time() - began < 2


def test_a_scan_with_equal_packets_is_no_translation(tmp_path: Path) -> None:
    """One port to many addresses with one IP ID: nothing but the address tells these packets apart."""
    recorder = Recorder()
    recorder.empty(A, B)
    for number in range(200):
        probe = ethernet(ip(A.pod, f"10.99.{number}.1", 6, syn(40_000, 80), ident=7, ttl=64))
        for place in ("pod", "vxlan-calico"):
            recorder.put(A.node, place, probe)
    recording = inferred(recorder, tmp_path)
    assert len(recording.flows) == 200
    assert all(flow.service is None or flow.server is None for flow in recording.flows)
