"""A whole answer, read into facts."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubectl_vxtrace.facts import parse, texts
from kubectl_vxtrace.facts.answer import QUESTIONS
from kubectl_vxtrace.model.cluster import AnswerStatus
from kubectl_vxtrace.model.facts import ClockReading, NodeFacts
from tests.facts.samples import answer, framed, nft_table, recorded, said

_FILES = {
    "links": "ip-link.json",
    "addresses": "ip-addr.json",
    "routes": "ip-route.json",
    "neighbours": "ip-neigh.json",
    "fdb": "bridge-fdb.json",
    "conntrack": "conntrack.txt",
    "iptables": "iptables-save.txt",
    "snmp": "proc-net-snmp.txt",
    "ethtool-k.vxlan.calico": "ethtool-k-vxlan.txt",
}


def test_a_recorded_node() -> None:
    parts = {key: ("0", recorded(name), b"") for key, name in _FILES.items()}
    parts["kernel"] = ("0", b"6.18.44\n", b"")
    parts["tc-asked"] = ("0", b"filter show dev ens4 ingress\n", b"")
    parts["tc"] = ("0", b'[{"protocol":"all","pref":1,"kind":"bpf","options":{"handle":"0x1"}}]\n', b"")
    facts = parse(answer(framed(parts)))
    assert (facts.node, facts.kernel) == ("ada-ec-2", "6.18.44")
    assert all((facts.links, facts.routes, facts.neighbours, facts.fdb, facts.conntrack, facts.rules, facts.counters))
    nic = facts.link("ens4")
    assert nic is not None
    assert nic.bpf
    assert "vxlan.calico.tx-checksum-ip-generic" in facts.ethtool
    assert facts.absent["netstat"] == "not asked"
    assert "links" not in facts.absent
    assert facts.absent["sysctl.net.bridge.bridge-nf-call-iptables"] == "the node has no such setting"


def test_the_clock_is_bounded_by_the_client_less_the_time_that_the_look_took() -> None:
    facts = parse(answer(framed({"clock": ("0", b"5000000 1 5003000\n", b"")})))
    assert facts.clock == ClockReading(node_ns=5_000_000, sent_ns=1_000, received_ns=6_001, resolution_ns=1)
    assert facts.taken_ns == 5_000_000


def test_a_clock_that_was_stepped_back_bounds_by_the_answer_alone() -> None:
    facts = parse(answer(framed({"clock": ("0", b"5000000 1000000000 4000000\n", b"")})))
    assert facts.clock is not None
    assert (facts.clock.received_ns, facts.clock.resolution_ns) == (9_000, 1_000_000_000)


def test_one_broken_answer_leaves_the_others() -> None:
    facts = parse(
        answer(framed({"links": ("0", b"[{", b""), "routes": ("absent", b"", b"ip is not installed"), "snmp": ("0", b"A: b\nA: 1\n", b"")}))
    )
    assert facts.absent["links"].startswith("not JSON")
    assert facts.absent["routes"] == "ip is not installed"
    assert facts.counters == {"A.b": 1}


def test_route_questions_that_the_kernel_refused_are_answers() -> None:
    parts = {
        "lookups-asked": ("0", b"route get 10.7.0.1\n", b""),
        "lookups": ("1", b"", b"RTNETLINK answers: Network is unreachable\nCommand failed lookups.batch:1\n"),
    }
    facts = parse(answer(framed(parts)))
    assert [found.error for found in facts.lookups] == ["Network is unreachable"]
    assert "lookups" not in facts.absent


def test_a_node_that_could_not_be_asked_has_every_question_absent() -> None:
    facts = parse(answer(b"", status=AnswerStatus.ABSENT, reason="no debug pod"))
    assert facts.absent == dict.fromkeys(QUESTIONS, "no debug pod")


def test_a_table_that_is_too_long_hides_no_other() -> None:
    long = b'{"nftables": [{"metainfo": {}}, {"table": {"family": "ip", "name": "kube-proxy", "handle": 1}}' + b" " * 4194304
    parts = {"nft": ("0", b"table ip kube-proxy\n", b""), "nft-table.1": ("0", long[:4194304], b""), "nft-table.2": ("0", nft_table(), b"")}
    facts = parse(answer(framed(parts)))
    assert facts.rules
    assert facts.absent["nft"] == 'table "family": "ip", "name": "kube-proxy", "handle": 1: the answer is longer than 4194304 bytes'


def test_kube_proxys_tables_and_maps_make_translations() -> None:
    parts = {
        "nft-proxy.1": ("0", said("nft-kube-proxy.json"), b""),
        "nft-table.2": ("0", nft_table(), b""),
        "nft-maps": ("0", said("nft-maps.json"), b""),
    }
    facts = parse(answer(framed(parts)))
    assert facts.proxy_mode == "nftables"
    assert {rule.table for rule in facts.rules} == {"ip kube-proxy", "inet firewalld"}
    assert len([each for each in facts.service_translations if each.verdict == "translate"]) == 3
    assert "ip kube-proxy service-ips" in {each.name for each in facts.sets}


def test_a_table_of_kube_proxy_may_be_longer_than_others() -> None:
    """An answer that reaches its bound has lost its end."""
    table = said("nft-kube-proxy.json")
    for key, length, whole in (("nft-proxy.1", 4194304, True), ("nft-proxy.1", 16777216, False), ("nft-table.1", 4194304, False)):
        facts = parse(answer(framed({"nft": ("0", b"", b""), key: ("0", table.ljust(length), b"")})))
        assert bool(facts.rules) == whole == ("nft" not in facts.absent)


def test_rules_of_both_families_are_told_apart() -> None:
    saved = recorded("iptables-save.txt")
    facts = parse(answer(framed({"iptables": ("0", saved, b""), "ip6tables": ("0", saved, b"")})))
    assert len({rule.id for rule in facts.rules}) == len(facts.rules)
    assert {(rule.backend, rule.family) for rule in facts.rules} == {("iptables-nft", 4), ("ip6tables-nft", 6)}
    assert facts.proxy_mode == "iptables"


def test_a_killed_tool_gave_no_answer_in_time() -> None:
    facts = parse(answer(framed({"fdb": ("137", b"[]", b"")})))
    assert (facts.fdb, facts.absent["fdb"]) == ((), "no answer in time")


def test_programs_make_interfaces_bpf_ones() -> None:
    links = b'[{"ifindex":2,"ifname":"ens4","xdp":{"mode":2,"prog":{"id":7,"name":"drop"}}},{"ifindex":3,"ifname":"cali1"}]'
    tool = b'[{"xdp":[{"devname":"ens4","ifindex":2,"mode":"driver","id":7}],"tc":[{"devname":"cali1","kind":"tcx/ingress","prog_id":9}]}]'
    facts = parse(answer(framed({"links": ("0", links, b""), "bpf": ("0", tool, b"")})))
    assert [(link.name, link.xdp, link.bpf) for link in facts.links] == [("ens4", True, False), ("cali1", False, True)]
    assert [(each.device, each.hook, each.name, each.id) for each in facts.bpf_programs] == [
        ("ens4", "xdp", "drop", 7),
        ("cali1", "tcx/ingress", None, 9),
    ]


def test_texts_keep_every_answer_raw() -> None:
    kept = texts(answer(framed({"links": ("0", b"[]", b"warning"), "nft": ("absent", b"", b"nft is not installed")})))
    assert kept == {"links": b"[]", "nft": b"nft is not installed"}
    assert texts(answer(b"sh: no", stderr=b"!")) == {"look": b"sh: no!"}


@pytest.mark.parametrize(
    ("said", "name"),
    [(b"a\\ud800", "a\ufffd"), (b"\\uDC00\\uD83D", "\ufffd\ufffd"), (b"\\ud83d\\ude00", "\U0001f600"), (b"\xff\\u00e9", "\ufffd\xe9")],
)
def test_half_a_surrogate_pair_cannot_keep_facts_from_being_written(said: bytes, name: str) -> None:
    facts = parse(answer(framed({"links": ("0", b'[{"ifindex":1,"ifname":"%b"}]' % said, b"")})))
    assert [link.name for link in facts.links] == [name]
    assert msgspec.json.decode(msgspec.json.encode(facts), type=NodeFacts) == facts


_KEYS = [
    *QUESTIONS,
    "lookups-asked",
    "pairs-asked",
    "iptables-legacy",
    "nft-table.1",
    "nft-proxy.1",
    "nft-maps",
    "nft-sets",
    "nfqueue",
    "listeners",
    "rt_cache",
    "pod-namespaces",
    "pod-counters.3",
    "pod-snmp6.3",
    "pod-listeners.3",
    "pod-udp.3",
    "pod-udp6.3",
    "pod-iptables.3",
    "pod-nft.3",
    "tuples",
    "tuples-asked",
    "ip6tables",
    "ipset",
    "ipvs",
    "ipvs-connections",
    "wireguard-endpoints",
    "wireguard-transfer",
    "ethtool-g.ens4",
    "ethtool-S.ens4",
    "ethtool-k.ens4",
    "ethtool-i.ens4",
    "tc",
    "tcx",
    "xfrm-policy",
    "xfrm-state",
    "tc-asked",
    "outer",
    "outer-asked",
]
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=12,
)


@given(
    st.dictionaries(
        st.sampled_from(_KEYS), st.tuples(st.sampled_from(["0", "1", "absent"]), st.binary(max_size=60), st.binary(max_size=20))
    )
)
def test_hostile_bytes_never_raise(parts: dict[str, tuple[str, bytes, bytes]]) -> None:
    assert parse(answer(framed(parts))).node == "ada-ec-2"


@given(st.binary(max_size=100))
def test_hostile_answers_never_raise(raw: bytes) -> None:
    assert parse(answer(b"vxtrace-look 1\n" + raw)).node == "ada-ec-2"


@given(
    st.dictionaries(
        st.sampled_from(
            ["links", "addresses", "routes", "rules", "exceptions", "neighbours", "fdb", "nft-table.1", "nft-proxy.1", "nft-maps", "bpf"]
        ),
        _JSON,
    )
)
def test_hostile_json_never_raises(values: dict[str, object]) -> None:
    parts = {
        key: ("0", json.dumps([value, {"nftables": value, "ifname": "x", "ifindex": 1, "linkinfo": value, "dst": value}]).encode(), b"")
        for key, value in values.items()
    }
    assert parse(answer(framed(parts))).node == "ada-ec-2"
