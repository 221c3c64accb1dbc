"""Whom a pod talks to, by a capture at its interface."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from kubectl_vxtrace.model.path import Endpoint
from kubectl_vxtrace.packets import read_pcap
from kubectl_vxtrace.topology.peers import MOST_PEERS, Peer, clients_followed, followed, peers_of
from tests.topology.build import DNS, kube_dns, pod, snapshot
from tests.topology.frames import echo, ethernet, ip, pcap, tcp, udp

POD = "10.244.114.75"
BACKEND, OTHER = "10.244.56.129", "10.244.106.65"
CLIENT = Endpoint(address=POD, pod="kotsadm/kotsadm-58f859745b-x4nh8", node="ada-ec-1")


def frame(source: str, destination: str, protocol: int, payload: bytes, number: int = 1) -> bytes:
    return ethernet(ip(source, destination, protocol, payload, ident=number, ttl=64))


def seen(frames: Sequence[bytes], place: Path) -> tuple[Peer, ...]:
    file = place / "peek.pcap"
    file.write_bytes(pcap(frames))
    return peers_of(read_pcap(file, vxlan_ports=None), POD, snapshot())


def test_a_service_that_is_asked_is_the_server_whatever_the_ports(tmp_path: Path) -> None:
    """Of port 53 on both sides only the cluster's list tells."""
    frames = [frame(POD, DNS, 17, udp(53, 53)), frame(DNS, POD, 17, udp(53, 53))]
    assert seen(frames, tmp_path) == (Peer(protocol="UDP", client=POD, server=DNS, port=53, packets=2),)


def test_questions_from_many_ports_are_one_exchange(tmp_path: Path) -> None:
    frames = [frame(POD, DNS, 17, udp(port, 53)) for port in (1024, 40_000, 50_000)]
    assert seen(frames, tmp_path) == (Peer(protocol="UDP", client=POD, server=DNS, port=53, packets=3),)


def test_a_port_with_several_partners_is_a_servers(tmp_path: Path) -> None:
    """The pod serves on a high port whom nobody lists."""
    frames = [frame(BACKEND, POD, 6, tcp(port, 50_051, 0x02)) for port in (30_000, 30_001)]
    assert seen(frames, tmp_path) == (Peer(protocol="TCP", client=BACKEND, server=POD, port=50_051, packets=2),)


def test_the_lower_port_is_the_servers_where_nothing_else_tells(tmp_path: Path) -> None:
    frames = [frame(OTHER, POD, 6, tcp(40_000, 8080, 0x02)), frame(POD, OTHER, 6, tcp(8080, 40_000, 0x12))]
    assert seen(frames, tmp_path) == (Peer(protocol="TCP", client=OTHER, server=POD, port=8080, packets=2),)


@pytest.mark.parametrize(("first", "second"), [(POD, BACKEND), (BACKEND, POD)])
def test_who_pings_first_is_the_client(first: str, second: str, tmp_path: Path) -> None:
    frames = [frame(first, second, 1, echo(8, 7)), frame(second, first, 1, echo(0, 7))]
    assert seen(frames, tmp_path) == (Peer(protocol="ICMP", client=first, server=second, port=None, packets=2),)


def test_those_with_most_packets_come_first_and_others_traffic_is_none(tmp_path: Path) -> None:
    frames = [
        frame(POD, BACKEND, 6, tcp(40_000, 80, 0x02)),
        *(frame(POD, DNS, 17, udp(40_000 + number, 53)) for number in range(3)),
        frame(BACKEND, OTHER, 17, udp(40_000, 53)),
    ]
    assert [(peer.server, peer.packets) for peer in seen(frames, tmp_path)] == [(DNS, 3), (BACKEND, 1)]


def asks(server: str, port: int | None = 53, protocol: str = "UDP", client: str = POD) -> Peer:
    return Peer(protocol=protocol, client=client, server=server, port=port, packets=9)


def test_a_service_is_followed_to_each_of_its_backends() -> None:
    found = followed([asks(DNS)], CLIENT, snapshot(), 10)
    assert [
        (flow.id, flow.service.address if flow.service else None, flow.server.address if flow.server else None) for flow in found.flows
    ] == [
        (1, DNS, BACKEND),
        (2, DNS, OTHER),
    ]
    assert found.notes == ()


def test_a_pod_that_asks_is_a_client_of_its_own() -> None:
    (flow, *_) = followed([asks(POD, 3000, "TCP", client=BACKEND)], CLIENT, snapshot(), 10).flows
    assert (flow.client.pod, flow.client.node) == ("kube-system/coredns-86b5dd7f68-9zdn8", "ada-ec-2")
    assert flow.server is not None
    assert (flow.server.pod, flow.server.port) == (CLIENT.pod, 3000)


@pytest.mark.parametrize(
    ("peer", "why"),
    [
        (asks("10.244.114.74", 4001, "TCP"), "both ends are on one node"),
        (asks("192.0.2.7", 443, "TCP"), "192.0.2.7 is outside the cluster"),
        (asks(POD, 80, "TCP", client="192.0.2.7"), "192.0.2.7 is no pod and no node"),
        (asks("fd00::7", 443, "TCP"), "fd00::7 is outside the cluster"),
        (asks(DNS, 54), "has no port 54/UDP"),
    ],
)
def test_what_is_not_followed_is_said(peer: Peer, why: str) -> None:
    found = followed([peer], CLIENT, snapshot(), 10)
    assert found.flows == ()
    (note,) = found.notes
    assert note.startswith(peer.text)
    assert why in note


def test_one_ip_version_is_followed_at_once() -> None:
    both = snapshot()
    six = replace(both, pods=tuple(replace(each, addresses=(*each.addresses, f"fd00::{n}")) for n, each in enumerate(both.pods, start=1)))
    own, others = (
        (at, f"fd00::{n}")
        for n, at in ((n, each.addresses[0]) for n, each in enumerate(both.pods, start=1))
        if at in (CLIENT.address, BACKEND)
    )
    first, second = sorted((own, others), key=lambda pair: pair[0] != CLIENT.address)
    found = followed([asks(BACKEND), asks(second[1], client=first[1])], CLIENT, six, 10)
    assert {flow.client.address for flow in found.flows} == {CLIENT.address}
    assert "IPv4 and IPv6 are not followed at once" in found.notes[0]


def test_nodes_and_exchanges_are_bounded_and_what_is_left_out_is_said() -> None:
    found = followed([asks(BACKEND), asks(OTHER)], CLIENT, snapshot(), 2)
    assert {flow.server.node for flow in found.flows if flow.server is not None} == {"ada-ec-2"}
    assert "more nodes than --max-nodes 2" in found.notes[0]
    many = replace(snapshot(), pods=(*snapshot().pods, *(pod(f"x/p{number}", "ada-ec-2", f"10.244.56.{number}") for number in range(20))))
    crowd = followed([asks(f"10.244.56.{number}", 80, "TCP") for number in range(20)], CLIENT, many, 10)
    assert len({flow.server.address for flow in crowd.flows if flow.server is not None}) == MOST_PEERS
    assert len(crowd.notes) == 20 - MOST_PEERS


def test_clients_of_a_service_are_followed_to_every_backend() -> None:
    """Whichever backend heard them; who asks most comes first."""
    rqlite = "10.244.114.74"
    heard = [asks(BACKEND, client=rqlite), asks(OTHER, client=rqlite), replace(asks(OTHER), packets=10)]
    found = clients_followed(heard, kube_dns(), snapshot(), 10)
    assert found.notes == ()
    assert [(flow.client.address, flow.server.address if flow.server else None) for flow in found.flows] == [
        (rqlite, BACKEND),
        (rqlite, OTHER),
        (POD, BACKEND),
        (POD, OTHER),
    ]
    assert {flow.service.address for flow in found.flows if flow.service is not None} == {DNS}


def test_a_node_that_asks_is_a_client_too_and_other_ports_are_not_the_services() -> None:
    found = clients_followed([asks(BACKEND, client="10.128.0.96"), asks(BACKEND, 8080, "TCP")], kube_dns(), snapshot(), 10)
    assert {(flow.client.node, flow.client.host_network) for flow in found.flows} == {("ada-ec-3", True)}
    assert found.notes == ()


def test_clients_of_a_headless_service_ask_its_pods() -> None:
    found = clients_followed([asks(BACKEND)], kube_dns(addresses=()), snapshot(services=()), 10)
    assert [(flow.service, flow.server.address if flow.server else None) for flow in found.flows] == [(None, BACKEND)]


def test_a_client_from_outside_is_said() -> None:
    (note,) = clients_followed([asks(BACKEND, client="192.0.2.7")], kube_dns(), snapshot(), 10).notes
    assert "192.0.2.7 is no pod and no node" in note
