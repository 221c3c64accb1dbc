"""The table of the kernel's reasons for drops, against what kernels say of themselves."""

import json
import os
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from kubectl_vxtrace.diagnosis.drop_reasons import PLACES, REASONS, DropReason, Stage, drop_reason

# Reasons by release: DEFINE_DROP_REASON of Debian's linux-headers-6.1.0-57 (6.1.192) and 6.12.113, and the tracepoint's words of Linux
# 6.18.44. Later reasons were taken back into each of them.
_RELEASES = {
    tuple(int(part) for part in release.split(".")): frozenset(names.split())
    for release, names in json.loads((Path(__file__).parent / "data/drop-reasons.json").read_text()).items()
}
# In the enum, and no word of the tracepoint; renamed before the last of the releases.
_UNSAID, _RENAMED = {"CONSUMED"}, {"VXLAN_NO_REMOTE"}
# Causes that follow from a reason alone.
_CAUSES = {
    "duplicate-vtep-mac",
    "fdb-missing",
    "ip-forward-off",
    "neighbour-table-full",
    "qdisc-drop",
    "receive-overrun",
    "route-missing",
    "routing-loop",
    "rp-filter",
    "socket-overflow",
    "tc-program",
    "vni-mismatch",
    "xdp-drop",
}


def _since(row: DropReason) -> tuple[int, ...]:
    return tuple(int(part) for part in row.since.split("."))


def _core() -> Iterable[DropReason]:
    return (row for row in REASONS if not row.name.startswith("OVS_") and row.name not in _UNSAID)


def test_names_are_unique_and_as_the_kernel_prints_them() -> None:
    names = [row.name for row in REASONS]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[A-Z][A-Z0-9_]+", name) and not name.startswith("SKB_DROP_") for name in names)


@pytest.mark.parametrize("row", [*REASONS, *PLACES], ids=lambda row: f"{row.name}-{row.function or ''}")
def test_each_row_is_complete(row: DropReason) -> None:
    assert re.fullmatch(r"[5-7]\.\d{1,2}", row.since)
    assert Stage.DRIVER <= row.first <= row.last <= Stage.TUNNEL_OUT
    assert len(row.meaning) > 15
    assert not row.meaning.endswith(".")
    assert row.look
    assert row.cause is None or row.cause in _CAUSES
    assert row.cause is None or row.is_loss, "what is no loss has no cause"


def test_stages_are_ordered_as_packets_pass_them() -> None:
    received = [Stage.DRIVER, Stage.XDP, Stage.TC_INGRESS, Stage.BRIDGE, Stage.IP_INPUT, Stage.PREROUTING, Stage.ROUTE_INPUT]
    forwarded = [*received, Stage.FORWARD, Stage.POSTROUTING, Stage.NEIGHBOUR, Stage.TC_EGRESS, Stage.QDISC, Stage.DEVICE]
    delivered = [*received, Stage.LOCAL_IN, Stage.TRANSPORT, Stage.SOCKET, Stage.TUNNEL_IN]
    sent = [Stage.LOCAL_OUT, Stage.POSTROUTING, Stage.NEIGHBOUR, Stage.TC_EGRESS, Stage.QDISC, Stage.DEVICE, Stage.TUNNEL_OUT]
    assert all(way == sorted(way) for way in (forwarded, delivered, sent))
    assert {*forwarded, *delivered, *sent} == set(Stage)


@pytest.mark.parametrize("release", sorted(_RELEASES))
def test_all_reasons_of_a_release_are_in_the_table(release: tuple[int, ...]) -> None:
    assert {name for name in _RELEASES[release] if drop_reason(name) is None} == set()


@pytest.mark.parametrize("release", sorted(_RELEASES))
def test_a_release_has_every_reason_that_is_as_old(release: tuple[int, ...]) -> None:
    as_old = {row.name for row in _core() if _since(row) <= release} - _RENAMED
    assert as_old - _RELEASES[release] == set()


def test_places_make_a_known_reason_narrower() -> None:
    assert len({(row.name, row.function) for row in PLACES}) == len(PLACES)
    for place in PLACES:
        reason = drop_reason(place.name)
        assert reason is not None
        assert reason is not place
        assert reason.first <= place.first <= place.last <= reason.last


@pytest.mark.parametrize(
    ("name", "function", "cause", "is_loss"),
    [
        ("TC_INGRESS", "__netif_receive_skb_core.constprop.0", "tc-program", True),
        ("IP_RPFILTER", "ip_rcv_finish_core", "rp-filter", True),
        ("NO_TX_TARGET", "vxlan_xmit", "fdb-missing", True),
        ("NO_TX_TARGET", "br_handle_frame_finish", None, True),
        ("NOT_SPECIFIED", "nf_queue", None, True),
        ("NOT_SPECIFIED", "ip_error", None, True),
        ("NOT_SPECIFIED", "__udp4_lib_rcv", None, False),
        ("NO_SOCKET", "ping_rcv", None, False),
        ("NO_SOCKET", "tcp_v4_rcv", None, True),
        ("TCP_OLD_DATA", "tcp_data_queue", None, False),
    ],
)
def test_what_a_reason_says_at_its_place(name: str, function: str, cause: str | None, is_loss: bool) -> None:
    found = drop_reason(name, function)
    assert found is not None
    assert (found.cause, found.is_loss) == (cause, is_loss)


def test_a_policys_drop_at_ingress_is_before_any_route() -> None:
    ingress, route = drop_reason("TC_INGRESS"), drop_reason("IP_INNOROUTES")
    assert ingress is not None
    assert route is not None
    assert ingress.last < route.first


@pytest.mark.parametrize(
    ("number", "name"), [("0x30001", "OVS_DROP_LAST_ACTION"), ("0x3000a", "OVS_DROP_CONNTRACK"), ("0x20003", "OVS_DROP_EXPLICIT")]
)
def test_numbers_of_open_vswitch(number: str, name: str) -> None:
    found = drop_reason(number)
    assert found is not None
    assert found.name == name


@pytest.mark.parametrize(
    "name", ["", "A_NEW_ONE", "MAX", "SKB_DROP_REASON_XDP", "0x", "0xzz", "0x30000", "0x30099", "0x10001", "-0x30001", "3"]
)
def test_unknown_reasons_are_none(name: str) -> None:
    assert drop_reason(name) is None
    assert drop_reason(name, "nf_queue") is None


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_this_machines_kernel_has_no_other_reasons() -> None:
    script = "mount -n -t tracefs t /mnt && cat /mnt/events/skb/kfree_skb/format"
    told = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, check=False).stdout
    names = set(re.findall(r'\{ \d+, "(\w+)" \}', told)) - {"MAX"}
    if not names:
        pytest.skip("this kernel names no reasons")
    assert {name for name in names if drop_reason(name) is None} == set()
