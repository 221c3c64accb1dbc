"""Interfaces and their addresses."""

import json

import pytest

from kubectl_vxtrace.facts.frames import UnreadableError
from kubectl_vxtrace.facts.links import read_addresses, read_links, read_qdiscs
from kubectl_vxtrace.model.datapath import BridgePort
from kubectl_vxtrace.model.facts import VxlanDevice
from tests.facts.samples import recorded


def test_a_recorded_calico_node() -> None:
    links = {link.name: link for link in read_links(recorded("ip-link.json"), prefixes=read_addresses(recorded("ip-addr.json")))}
    tunnel = links["vxlan.calico"]
    assert tunnel.vxlan == VxlanDevice(
        vni=4096,
        port=4789,
        local="10.128.0.95",
        device="ens4",
        learning=False,
        zero_checksum6_sent=False,
        zero_checksum6_accepted=False,
    )
    assert (tunnel.kind, tunnel.mtu_bytes, tunnel.up) == ("vxlan", 1410, True)
    assert "10.244.56.128" in tunnel.addresses
    assert "10.128.0.95" in links["ens4"].addresses
    assert "10.128.0.95/24" in links["ens4"].prefixes
    assert links["ens4"].vxlan is None
    assert links["ens4"].counters["rx.packets"] > 0
    assert {"rx.dropped", "tx.errors"} <= links["ens4"].counters.keys()


def test_a_metadata_mode_device_and_programs() -> None:
    raw = json.dumps(
        [
            {
                "ifindex": 5,
                "ifname": "cilium_vxlan",
                "flags": [],
                "linkinfo": {"info_kind": "vxlan", "info_data": {"external": True, "port": 8472}},
            },
            {"ifindex": 6, "ifname": "ens4", "flags": ["UP"], "xdp": {"mode": 1, "prog": {"id": 3}}},
        ]
    ).encode()
    tunnel, nic = read_links(raw, prefixes={}, bpf={"ens4"})
    assert tunnel.vxlan == VxlanDevice(port=8472, external=True)
    assert (tunnel.up, tunnel.xdp, tunnel.bpf) == (False, False, False)
    assert (nic.up, nic.xdp, nic.bpf) == (True, True, True)


def test_odd_records_are_passed_over_and_odd_names_are_data() -> None:
    raw = b'[{"ifindex":1},{"ifname":"x"},{"ifindex":true,"ifname":"y"},3,{"ifindex":7,"ifname":"a;id","flags":"UP",'
    raw += b'"stats64":{"rx":{"packets":"9"}}}]'
    (link,) = read_links(raw, prefixes={})
    assert (link.name, link.up, link.counters) == ("a;id", False, {})


@pytest.mark.parametrize("raw", [b"{}", b'[{"ifname":', b"Usage: ip", b"[" * 100_000, b"[1" + b"0" * 5000 + b"]"])
def test_what_is_no_array_is_unreadable(raw: bytes) -> None:
    with pytest.raises(UnreadableError):
        read_links(raw, prefixes={})


def test_a_vlan_stands_on_its_parent() -> None:
    raw = b'[{"ifindex":5,"link":"ens4","ifname":"ens4.100","linkinfo":{"info_kind":"vlan"}},{"ifindex":6,"link":"p","ifname":"q",'
    raw += b'"linkinfo":{"info_kind":"veth"}}]'
    vlan, veth = read_links(raw, prefixes={})
    assert (vlan.lower, veth.lower) == ("ens4", None)


def test_a_port_of_a_bridge_and_what_kinds_say_of_themselves() -> None:
    """As iproute2 6.1 prints them; the pod's end of a veth is known by its index and its namespace's number."""
    raw = (
        b'[{"ifindex":2,"ifname":"cni0","link_type":"ether","qdisc":"noqueue","linkinfo":{"info_kind":"bridge","info_data":{"stp_state":0,'
    )
    raw += b'"vlan_filtering":1,"bridge_id":"8000.5a:11","gc_timer":0.06,"nf_call_iptables":0,"odd":[1]}}},{"ifindex":9,"link_index":2,'
    raw += b'"ifname":"veth7","flags":["BROADCAST","UP","LOWER_UP"],"master":"cni0","link_netnsid":3,"linkinfo":{"info_kind":"veth",'
    raw += (
        b'"info_slave_kind":"bridge","info_slave_data":{"state":"forwarding","hairpin":false,"learning":true,"flood":true,"isolated":false}'
    )
    raw += b'}},{"ifindex":4,"ifname":"tun0","link_type":"none","linkinfo":{"info_kind":"tun","info_data":{"type":"tun"},'
    raw += b'"info_slave_kind":"vrf"}}]'
    bridge, port, tunnel = read_links(raw, prefixes={})
    assert bridge.details == {"stp_state": 0, "vlan_filtering": 1, "bridge_id": "8000.5a:11", "nf_call_iptables": 0}
    assert (bridge.qdisc, bridge.port, bridge.peer_namespace) == ("noqueue", None, None)
    assert port.port == BridgePort(state="forwarding", hairpin=False, learning=True, flood=True, isolated=False)
    assert (port.peer_index, port.peer_namespace, port.flags) == (2, 3, ("BROADCAST", "UP", "LOWER_UP"))
    assert (tunnel.link_type, tunnel.details, tunnel.port) == ("none", {"type": "tun"}, None)


def test_hostile_kinds_say_nothing() -> None:
    raw = b'[{"ifindex":2,"ifname":"a","link_index":"x","link_netnsid":true,"linkinfo":{"info_kind":4,"info_data":[],'
    raw += b'"info_slave_kind":"bridge","info_slave_data":{"hairpin":"on","state":[]}}}]'
    (link,) = read_links(raw, prefixes={})
    assert (link.peer_index, link.peer_namespace, link.details, link.port) == (None, None, {}, BridgePort())


def test_counters_of_queueing_disciplines_stand_with_their_interface() -> None:
    """As iproute2 6.1 prints them; a hook for filters (clsact) is no queue."""
    raw = b'[{"kind":"pfifo","handle":"8001:","dev":"ens4","root":true,"refcnt":3,"options":{"limit":2},"bytes":90,"packets":1,"drops":7,'
    raw += (
        b'"overlimits":1,"requeues":0,"backlog":0,"qlen":0},{"kind":"clsact","handle":"ffff:","dev":"ens4","parent":"ffff:fff1","drops":9}]'
    )
    qdiscs = read_qdiscs(raw)
    assert qdiscs == {"ens4": {"qdisc.dropped": 7, "qdisc.overlimits": 1, "qdisc.requeues": 0}}
    (link,) = read_links(b'[{"ifindex":2,"ifname":"ens4"}]', prefixes={}, qdiscs=qdiscs)
    assert link.counters["qdisc.dropped"] == 7


@pytest.mark.parametrize("kind", ["veth", "netkit"])
def test_a_pair_both_of_whose_ends_are_the_nodes(kind: str) -> None:
    """iproute2 names the other end where it is in the same namespace, and numbers it where it is not."""
    records = [
        {"ifindex": 3, "ifname": "cilium_net", "link": "cilium_host", "linkinfo": {"info_kind": kind}},
        {"ifindex": 4, "ifname": "lxc3970b005f013", "link_index": 16, "link_netnsid": 1, "linkinfo": {"info_kind": kind}},
    ]
    own, pod = read_links(json.dumps(records).encode(), prefixes={})
    assert (own.peer, own.lower, own.peer_index) == ("cilium_host", None, None)
    assert (pod.peer, pod.lower, pod.peer_index, pod.peer_namespace) == (None, None, 16, 1)
