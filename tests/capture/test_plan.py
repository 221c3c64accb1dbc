"""Plans: which captures, under which names, with which filters."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.capture.plan import plan_captures
from kubectl_vxtrace.errors import UsageError
from kubectl_vxtrace.kube.manifest import STORAGE_BYTES
from kubectl_vxtrace.model.facts import Link, NodeFacts, Route, VxlanDevice
from kubectl_vxtrace.model.path import Direction, Endpoint, Flow, Hop, Overlay, Path, Role, ServiceRef, Tap, Vtep
from kubectl_vxtrace.model.recording import CapturePlan
from kubectl_vxtrace.model.request import Limits
from tests.capture.judge import compiles, needs_tcpdump

CLIENT = Endpoint(address="10.244.114.75", pod="kotsadm/kotsadm", node="n1")
SERVERS = (
    Endpoint(address="10.244.56.129", port=53, pod="kube-system/a", node="n2"),
    Endpoint(address="10.244.106.65", port=53, pod="kube-system/b", node="n3"),
)
SERVICE = ServiceRef(address="10.96.0.10", port=53, name="kube-system/kube-dns")
FLOWS = tuple(Flow(id=number, protocol="UDP", client=CLIENT, service=SERVICE, server=server) for number, server in enumerate(SERVERS, 1))
OVERLAY = Overlay(
    backend="calico-vxlan",
    vteps=tuple(
        Vtep(
            node=f"n{number}",
            interface="vxlan.calico",
            address=f"10.244.{number}.64",
            underlay_address=f"10.128.0.{number}",
            vni=4096,
            port=4789,
        )
        for number in (1, 2, 3)
    ),
)
POD = {"n1": "cali1", "n2": "cali2", "n3": "cali3"}


def _hops(*steps: tuple[Role, str, str]) -> tuple[Hop, ...]:
    return tuple(
        Hop(hop=number, role=role, tap=Tap(node=node, interface=interface)) for number, (role, node, interface) in enumerate(steps, 1)
    )


def _way(source: str, destination: str) -> tuple[Hop, ...]:
    half = [
        [(Role.POD, node, POD[node]), (Role.VXLAN, node, "vxlan.calico"), (Role.UNDERLAY, node, "ens4")] for node in (source, destination)
    ]
    return _hops(*half[0], *half[1][::-1])


def _paths() -> tuple[Path, ...]:
    return tuple(
        Path(
            flow=flow.id,
            direction=direction,
            hops=_way("n1", flow.server.node or "") if direction is Direction.REQUEST else _way(flow.server.node or "", "n1"),
        )
        for flow in FLOWS
        for direction in Direction
        if flow.server is not None
    )


def _plan(
    *,
    flows: tuple[Flow, ...] = FLOWS,
    paths: tuple[Path, ...] | None = None,
    watch: tuple[tuple[Tap, Role], ...] = (),
    limits: Limits | None = None,
    user_filter: str | None = None,
    facts: tuple[NodeFacts, ...] = (),
) -> CapturePlan:
    return plan_captures(
        limits=limits or Limits(),
        user_filter=user_filter,
        flows=flows,
        paths=_paths() if paths is None else paths,
        watch=watch,
        overlay=OVERLAY,
        facts=facts,
    )


def _filters(plan: CapturePlan) -> dict[str, str]:
    return {task.file: task.filter or "" for task in plan.tasks}


def test_nine_taps_serve_four_paths() -> None:
    plan = _plan()
    assert [task.file for task in plan.tasks] == [
        "n1-pod.pcap",
        "n1-vxlan-calico.pcap",
        "n1-primary-interface.pcap",
        "n2-primary-interface.pcap",
        "n2-vxlan-calico.pcap",
        "n2-pod.pcap",
        "n3-primary-interface.pcap",
        "n3-vxlan-calico.pcap",
        "n3-pod.pcap",
    ]
    assert [task.id for task in plan.tasks] == list(range(1, 10))
    assert plan.duration_s == 15.0
    assert plan.packets is None


def test_the_files_of_a_node_fit_into_its_share_together() -> None:
    assert {task.file_bytes for task in _plan().tasks} == {Limits().file_bytes}
    limits = Limits(file_bytes=64, node_bytes=100)
    assert [task.file_bytes for task in _plan(limits=limits).tasks] == [33] * 9
    many = _plan(watch=tuple((Tap(node="n1", interface=f"eth{number}"), Role.UNDERLAY) for number in range(20)))
    assert Limits().node_bytes - 23 <= sum(task.file_bytes for task in many.tasks if task.tap.node == "n1") <= Limits().node_bytes
    assert Limits().node_bytes < STORAGE_BYTES


def test_the_command_can_be_run_by_hand() -> None:
    task = _plan(limits=Limits(snaplen_bytes=256)).tasks[2]
    command = " ".join(task.argv[: task.argv.index("--")])
    assert command == "tcpdump -p --immediate-mode -U -nn -s 256 -B 16384 -i ens4 -w n1-primary-interface.pcap -T vxlan"
    assert task.argv[-1] == task.filter
    assert task.snaplen_bytes == 256


def test_filters_know_whose_interface_it_is() -> None:
    filters = _filters(_plan())
    assert "port 53" in filters["n1-pod.pcap"]
    assert "(not src host 10.244.114.75) and (dst host 10.96.0.10) and (dst port 53)" in filters["n1-pod.pcap"]
    assert "10.244.56.129" not in filters["n1-pod.pcap"]
    assert "10.244.56.129" in filters["n2-pod.pcap"]
    assert "10.244.106.65" not in filters["n2-pod.pcap"]
    assert "port 53" not in filters["n2-pod.pcap"]
    assert len({filters[f"n{number}-primary-interface.pcap"] for number in (1, 2, 3)}) == 1
    assert "0x0af4724b" in filters["n1-primary-interface.pcap"]


@needs_tcpdump
def test_every_filter_compiles() -> None:
    for plan in (_plan(), _plan(user_filter="udp port 53"), _plan(limits=Limits(packets=5))):
        for task in plan.tasks:
            assert compiles(task.filter or "") is None
            assert task.count_filter is None or compiles(task.count_filter) is None


def test_ports_of_devices_that_are_nobodys_vtep() -> None:
    link = Link(name="vx9", index=9, vxlan=VxlanDevice(vni=1, port=4799, local="10.128.7.7"))
    expression = _filters(_plan(facts=(NodeFacts(node="n2", links=(link,)),)))["n1-primary-interface.pcap"]
    assert all(f"udp dst port {port}" in expression for port in (4789, 4799, 8472))
    assert "10.128.7.7" in expression


def test_a_node_may_masquerade_to_any_address_of_its_nic() -> None:
    """The overlay's underlay address need not be it: nodes that encapsulate over IPv6 send bare IPv4 from their IPv4 address."""
    links = (
        Link(name="ens4", index=2, addresses=("192.0.2.7", "2001:db8::7", "fe80::7", "10.0.0.1 or arp", "")),
        Link(name="ens5", index=3, addresses=("192.0.2.99",)),
    )
    expression = _filters(_plan(facts=(NodeFacts(node="n1", links=links),)))["n2-primary-interface.pcap"]
    assert "192.0.2.7" in expression
    assert "2001:db8::7" in expression
    assert "fe80" not in expression
    assert "10.0.0.1" not in expression, "what is no address is passed over"
    assert "192.0.2.99" not in expression, "no path goes by this NIC"


ROUTED = tuple(
    NodeFacts(
        node=f"n{number}",
        links=(Link(name="vxlan.calico", index=7, addresses=(f"10.244.{number}.64",), vxlan=VxlanDevice()),),
        routes=(Route(destination=f"10.244.{number}.64/26", type="blackhole"),),
    )
    for number in (1, 2, 3)
)


@needs_tcpdump
def test_the_vxlan_device_behind_the_client_sees_what_has_another_source() -> None:
    plan = _plan(facts=ROUTED)
    assert {task.file: task.sources_but for task in plan.tasks if task.sources_but is not None} == {
        "n1-vxlan-calico.pcap": ("10.244.1.64/26",)
    }
    passing = "(ip or ip6) and (not src net 10.244.1.64/26) and (not dst net 10.244.1.64/26) and (dst port 53)"
    assert [task.file for task in plan.tasks if passing in (task.filter or "")] == ["n1-vxlan-calico.pcap"]
    assert all(compiles(task.filter or "") is None for task in plan.tasks)


def test_nobody_looks_for_other_sources_where_they_cannot_be_told() -> None:
    first = Hop(hop=1, role=Role.POD, tap=Tap(node="n1", interface="veth1"))
    bridged = (first, *_hops((Role.BRIDGE, "n1", "cni0"), (Role.VXLAN, "n1", "vxlan.calico")))
    paths = (Path(flow=1, direction=Direction.REQUEST, hops=bridged),)
    on_host = (Path(flow=1, direction=Direction.REQUEST, hops=_way("n1", "n2")[1:]),)
    for plan in (_plan(), _plan(facts=ROUTED, paths=paths), _plan(facts=ROUTED, paths=on_host)):
        assert {task.sources_but for task in plan.tasks} == {None}
        assert not any("not src net" in (task.filter or "") for task in plan.tasks)


def test_the_users_filter_stands_at_the_clients_interface_only() -> None:
    plan = _plan(user_filter="src  port 41234")
    assert [task.file for task in plan.tasks if "src port 41234" in (task.filter or "")] == ["n1-pod.pcap"]
    assert plan.user_filter == "src port 41234"


def test_the_users_filter_needs_an_interface_of_the_clients_own() -> None:
    flow = replace(FLOWS[0], client=Endpoint(address="10.128.0.1", node="n1", host_network=True))
    with pytest.raises(UsageError, match=r"10\.128\.0\.1 has no interface"):
        _plan(flows=(flow,), paths=(Path(flow=1, direction=Direction.REQUEST, hops=_way("n1", "n2")[1:]),), user_filter="udp")


def test_a_limit_is_counted_once_for_all_flows_of_a_client() -> None:
    plan = _plan(limits=Limits(packets=10))
    counted = [task for task in plan.tasks if task.count_filter is not None]
    assert [task.file for task in counted] == ["n1-pod.pcap"]
    assert plan.packets == 10
    assert all(address in (counted[0].count_filter or "") for address in ("10.96.0.10", "10.244.56.129", "10.244.106.65"))


def test_watched_taps_come_last_and_once() -> None:
    plan = _plan(watch=((Tap(node="n2", interface="ens5"), Role.UNDERLAY), (Tap(node="n1", interface="ens4"), Role.UNDERLAY)))
    assert [task.file for task in plan.tasks][9:] == ["n2-primary-interface-ens5.pcap"]


@pytest.mark.parametrize("interface", ["", "-w", "a;id"])
def test_an_interface_that_cannot_be_named_stays_without_a_command(interface: str) -> None:
    plan = _plan(paths=(Path(flow=1, direction=Direction.REQUEST, hops=_hops((Role.POD, "n1", interface), (Role.UNDERLAY, "n1", "ens4"))),))
    assert [task.argv == () for task in plan.tasks] == [True, False]


def test_one_node_with_a_bridge() -> None:
    server = replace(SERVERS[0], node="n1")
    flow = replace(FLOWS[0], server=server)
    request = _hops((Role.POD, "n1", "veth1"), (Role.BRIDGE, "n1", "cni0"), (Role.BRIDGE, "n1", "cni0"), (Role.POD, "n1", "veth2"))
    reply = _hops((Role.POD, "n1", "veth2"), (Role.POD, "n1", "veth1"))
    plan = _plan(
        flows=(flow,),
        paths=(Path(flow=1, direction=Direction.REQUEST, hops=request), Path(flow=1, direction=Direction.REPLY, hops=reply)),
    )
    filters = _filters(plan)
    assert list(filters) == ["n1-pod.pcap", "n1-bridge.pcap", "n1-pod-veth2.pcap"]
    assert server.address not in filters["n1-pod.pcap"]
    assert "port 53" in filters["n1-bridge.pcap"]
    assert server.address in filters["n1-bridge.pcap"]
    assert "port 53" not in filters["n1-pod-veth2.pcap"]


def test_an_unknown_backend() -> None:
    flow = replace(FLOWS[0], server=None, candidates=SERVERS)
    prefix = _way("n1", "n2")[:3]
    plan = _plan(
        flows=(flow,),
        paths=(Path(flow=1, direction=Direction.REQUEST, hops=prefix), Path(flow=1, direction=Direction.REPLY, hops=prefix[::-1])),
    )
    filters = _filters(plan)
    assert list(filters) == ["n1-pod.pcap", "n1-vxlan-calico.pcap", "n1-primary-interface.pcap"]
    assert "host 10.244.114.75" in filters["n1-pod.pcap"]


def test_backends_that_nobody_asked_for_need_no_filter() -> None:
    """What the client sends to them is captured as everything of the client's."""
    asked, unknown = FLOWS[0], replace(FLOWS[0], id=3, server=None, candidates=SERVERS)
    prefix = Path(flow=3, direction=Direction.REQUEST, hops=_way("n1", "n2")[:3])
    filters = _filters(_plan(flows=(asked, unknown), paths=(*_paths()[:2], prefix)))
    assert not any(SERVERS[1].address in text for text in filters.values())
    assert all("10.244.114.75" in text for text in filters.values())


def test_a_node_port_does_not_capture_all_of_its_node() -> None:
    flow = replace(FLOWS[0], service=ServiceRef(address="10.128.0.1", port=30053, name="kube-system/kube-dns"))
    with_port, without = (_filters(_plan(flows=(each,), paths=_paths()[:2])) for each in (flow, replace(FLOWS[0], service=None)))
    assert with_port["n1-primary-interface.pcap"] == without["n1-primary-interface.pcap"]
    assert "port 30053" in with_port["n1-pod.pcap"]


def test_a_ping_has_no_ports() -> None:
    flow = Flow(id=1, protocol="ICMP", client=CLIENT, server=replace(SERVERS[0], port=None))
    plan = _plan(flows=(flow,), paths=_paths()[:2], limits=Limits(packets=3))
    assert "port" not in _filters(plan)["n1-pod.pcap"]
    assert plan.tasks[0].count_filter == "(host 10.244.114.75) and (host 10.244.56.129) and (icmp)"


@needs_tcpdump
def test_an_underlay_of_tun_devices_has_filters_that_libpcap_takes() -> None:
    """As flannel over tailscale0: link type RAW, where nobody may ask for VLAN tags."""
    facts = tuple(NodeFacts(node=node, links=(Link(name="ens4", index=2, kind="tun"),)) for node in ("n1", "n3"))
    filters = _filters(_plan(facts=facts))
    for node, link in (("n1", "RAW"), ("n2", "EN10MB"), ("n3", "RAW")):
        expression = filters[f"{node}-primary-interface.pcap"]
        assert compiles(expression, link) is None
        assert ("vlan" in expression) == (link == "EN10MB")


def test_a_client_of_the_node_s_network_may_send_with_any_of_its_addresses() -> None:
    flow = replace(FLOWS[0], client=Endpoint(address="10.128.0.1", node="n1", host_network=True))
    looks = (NodeFacts(node="n1", links=(Link(name="lo", index=1, addresses=("127.0.0.1", "192.168.50.1")),)),)
    path = Path(flow=1, direction=Direction.REQUEST, hops=_way("n1", "n2")[1:])
    filters = [task.filter or "" for task in _plan(flows=(flow,), paths=(path,), facts=looks).tasks]
    assert all("192.168.50.1" in expression or "0xc0a83201" in expression for expression in filters)
    assert not any("127.0.0.1" in expression for expression in filters)
