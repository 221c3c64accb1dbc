"""BPF programs."""

from kubectl_vxtrace.facts.bpf import in_order, of_filters, read_bpftool, read_tcx, read_xdp
from kubectl_vxtrace.model.datapath import TcFilter
from kubectl_vxtrace.model.facts import BpfProgram


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


def test_programs_at_tcx_as_the_kernel_says_them() -> None:
    raw = b"v0 tcx/ingress 101 first_one\nv0 tcx/egress 103 -\nodd\nv0 tcx/ingress x y\n\xff tcx/ingress 99999999999 z\n"
    assert read_tcx(raw) == (
        BpfProgram(device="v0", hook="tcx/ingress", name="first_one", id=101),
        BpfProgram(device="v0", hook="tcx/egress", id=103),
    )
    assert read_tcx(b"") == ()


def test_each_program_once_with_its_name_and_place() -> None:
    """bpftool knows no name of the first, the kernel does; tc's filters come after what is at tcx, at a hook of their own."""
    said = [
        BpfProgram(device="v0", hook="tcx/ingress", id=5),
        BpfProgram(device="v0", hook="tcx/ingress", name="second", id=7),
        BpfProgram(device="v0", hook="tcx/ingress", name="first", id=5),
        *of_filters(
            [
                TcFilter(device="v0", direction="ingress", kind="bpf", name="1,6 0 0 2"),
                TcFilter(device="v0", direction="ingress", kind="u32"),
                TcFilter(device="v0", direction="ingress", kind="unreadable"),
            ]
        ),
    ]
    assert [(each.hook, each.name, each.id, each.position) for each in in_order(said)] == [
        ("tcx/ingress", "first", 5, 0),
        ("tcx/ingress", "second", 7, 1),
        ("tc/ingress", "1,6 0 0 2", None, 0),
        ("tc/ingress", None, None, 1),
    ]
