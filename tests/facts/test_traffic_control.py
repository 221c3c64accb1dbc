"""Filters of tc, as tc 6.1 prints them in a batch: one line of JSON for each question."""

import pytest

from kubectl_vxtrace.facts.traffic_control import read_tc
from kubectl_vxtrace.model.datapath import TcFilter

_ASKED = b"filter show dev vx ingress\nfilter show dev vx egress\nfilter show dev gone ingress\n"
_GONE = b'Cannot find device "gone"\nCommand failed tc.batch:3\n'
_HEAD = b'{"protocol":"all","pref":49152,"kind":"bpf","chain":0}'
_CODE = b'{"protocol":"all","pref":49152,"kind":"bpf","chain":0,"options":{"handle":"0x1","direct-action":true,"not_in_hw":true,'
_CODE += b'"bytecode":{"length":1,"insns":[{"code":6,"jt":0,"jf":0,"k":2}]}}}'
_PROGRAM = b'{"protocol":"all","pref":1,"kind":"bpf","chain":0,"options":{"handle":"0x1","bpf_name":"cal_to_wep.o:[calico]",'
_PROGRAM += b'"direct-action":true,"prog":{"id":41,"name":"calico_tc","tag":"5f","jited":1}}}'
_DROP = b'{"protocol":"ip","pref":10,"kind":"u32","chain":0},{"protocol":"ip","pref":10,"kind":"u32","chain":0,"options":{"fh":"800:",'
_DROP += (
    b'"ht_divisor":1}},{"protocol":"ip","pref":10,"kind":"u32","chain":0,"options":{"fh":"800::800","actions":[{"order":1,"kind":"gact",'
)
_DROP += b'"control_action":{"type":"drop"},"stats":{"bytes":84,"packets":3,"drops":2}},{"order":2,"kind":"mirred",'
_DROP += b'"mirred_action":"redirect","to_dev":"v1","stats":{"drops":1}}]}}'


def test_old_bytecode_a_program_and_actions_that_drop() -> None:
    stdout = b"[" + _HEAD + b"," + _CODE + b"]\n[" + _PROGRAM + b"," + _DROP + b"]\n"
    assert read_tc(_ASKED, stdout, _GONE) == (
        TcFilter(device="vx", direction="ingress", kind="bpf", priority=49152, protocol="all", name="1,6 0 0 2", direct=True),
        TcFilter(device="vx", direction="egress", kind="bpf", priority=1, protocol="all", name="cal_to_wep.o:[calico]", id=41, direct=True),
        TcFilter(
            device="vx",
            direction="egress",
            kind="u32",
            priority=10,
            protocol="ip",
            actions=("drop", "mirred redirect v1"),
            dropped=3,
        ),
    )


def test_a_hook_without_filters_has_none_and_a_list_alone_is_one_that_is_not_known() -> None:
    assert read_tc(_ASKED, b"[]\n[]\n", _GONE) == ()
    (known,) = read_tc(_ASKED, b"[" + _HEAD + b"]\n[]\n", _GONE)
    assert (known.kind, known.name, known.id) == ("bpf", None, None)


@pytest.mark.parametrize(
    ("stdout", "kinds"),
    [
        (b"[]\nfilter protocol all u32\n", [("egress", "unreadable")]),
        (b"[]\n{}\n", [("egress", "unreadable")]),
        (b"[]\n" + b"[" * 100_000 + b"\n", [("egress", "unreadable")]),
        (b"[]\n", [("ingress", "unreadable"), ("egress", "unreadable")]),
        (b'[3,{},{"kind":4},{"kind":"bpf","options":[]}]\n[]\n', [("ingress", "bpf")]),
        (b'[{"kind":"x","options":{"actions":[{"stats":{"drops":"9"}},3],"bytecode":{"length":2}}}]\n[]\n', [("ingress", "x")]),
    ],
)
def test_what_is_printed_otherwise(stdout: bytes, kinds: list[tuple[str, str]]) -> None:
    assert [(each.direction, each.kind) for each in read_tc(_ASKED, stdout, _GONE)] == kinds
