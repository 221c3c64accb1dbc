"""Interfaces and their addresses."""

import json

import pytest

from kubectl_vxtrace.facts.frames import UnreadableError
from kubectl_vxtrace.facts.links import has_bpf_filter, read_addresses, read_bpf, read_links
from kubectl_vxtrace.model.facts import VxlanDevice
from tests.facts.samples import recorded


def test_a_recorded_calico_node() -> None:
    links = {link.name: link for link in read_links(recorded("ip-link.json"), addresses=read_addresses(recorded("ip-addr.json")))}
    tunnel = links["vxlan.calico"]
    assert tunnel.vxlan == VxlanDevice(vni=4096, port=4789, local="10.128.0.95", device="ens4")
    assert (tunnel.kind, tunnel.mtu_bytes, tunnel.up) == ("vxlan", 1410, True)
    assert "10.244.56.128" in tunnel.addresses
    assert "10.128.0.95" in links["ens4"].addresses
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
    tunnel, nic = read_links(raw, addresses={}, bpf={"ens4"})
    assert tunnel.vxlan == VxlanDevice(port=8472, external=True)
    assert (tunnel.up, tunnel.xdp, tunnel.bpf) == (False, False, False)
    assert (nic.up, nic.xdp, nic.bpf) == (True, True, True)


def test_odd_records_are_passed_over_and_odd_names_are_data() -> None:
    raw = b'[{"ifindex":1},{"ifname":"x"},{"ifindex":true,"ifname":"y"},3,{"ifindex":7,"ifname":"a;id","flags":"UP",'
    raw += b'"stats64":{"rx":{"packets":"9"}}}]'
    (link,) = read_links(raw, addresses={})
    assert (link.name, link.up, link.counters) == ("a;id", False, {})


@pytest.mark.parametrize("raw", [b"{}", b'[{"ifname":', b"Usage: ip", b"[" * 100_000, b"[1" + b"0" * 5000 + b"]"])
def test_what_is_no_array_is_unreadable(raw: bytes) -> None:
    with pytest.raises(UnreadableError):
        read_links(raw, addresses={})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            b"filter protocol all pref 49152 bpf chain 0 \nfilter protocol all pref 49152 bpf chain 0 handle 0x1 cali direct-action",
            True,
        ),
        (b"filter protocol ip pref 1 u32 chain 0 \n", False),
        (b"", False),
    ],
)
def test_bpf_filters_of_tc(text: bytes, expected: bool) -> None:
    assert has_bpf_filter(text) is expected


def test_programs_at_tcx() -> None:
    raw = b'[{"xdp":[],"tc":[{"devname":"cali1","ifindex":3,"kind":"tcx/ingress","name":"x","prog_id":9}],"flow_dissector":[]}]'
    assert read_bpf(raw) == {"cali1"}
