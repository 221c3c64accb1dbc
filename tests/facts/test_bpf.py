"""BPF programs."""

import pytest

from kubectl_vxtrace.facts.bpf import read_bpftool, read_tc_filters, read_xdp
from kubectl_vxtrace.model.facts import BpfProgram

_HEAD = b"filter protocol all pref 49152 bpf chain 0 \n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            _HEAD + _HEAD.rstrip() + b" handle 0x1 cal_from.o:[calico] direct-action not_in_hw id 41 tag 5f name x jited",
            [("cal_from.o:[calico]", 41)],
        ),
        (_HEAD, [(None, None)]),
        (b"filter protocol ip pref 1 u32 chain 0 \n", []),
        (b"", []),
    ],
)
def test_filters_of_tc(text: bytes, expected: list[tuple[str | None, int | None]]) -> None:
    assert [(each.name, each.id) for each in read_tc_filters("cali1", "tc/ingress", text)] == expected


def test_programs_of_bpftool() -> None:
    raw = b'[{"xdp":[],"tc":[{"devname":"cali1","ifindex":3,"kind":"tcx/ingress","name":"x","prog_id":9},{"devname":"ens4",'
    raw += b'"kind":"clsact/egress","name":"cal","id":4}],"flow_dissector":[]}]'
    assert read_bpftool(raw) == (
        BpfProgram(device="cali1", hook="tcx/ingress", name="x", id=9),
        BpfProgram(device="ens4", hook="tc/egress", name="cal", id=4),
    )


def test_xdp_of_links() -> None:
    raw = b'[{"ifindex":6,"ifname":"ens4","xdp":{"mode":1,"prog":{"id":3}}},{"ifindex":7,"ifname":"bond0"},'
    raw += b'{"ifindex":8,"ifname":"e","xdp":{"mode":4}}]'
    assert read_xdp(raw) == (BpfProgram(device="ens4", hook="xdp", id=3), BpfProgram(device="e", hook="xdp"))
