"""What the plugin counts against what the kernel counts: the same number of packets, lost on the leg where the rule is."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.drops import KINDS, Key, Rule
from tests.e2e.place import Lab
from tests.e2e.truth import Pair, Said, Truth

pytestmark = [pytest.mark.lab]

# Every kind in both directions, and each place at each rate.
ONE = [
    Rule("tcp", "request", "wire", 1),
    Rule("tcp", "reply", "receiver", 1),
    Rule("udp", "request", "receiver", 1),
    Rule("udp", "reply", "entry", 1),
    Rule("train", "request", "receiver", 1),
    Rule("train", "reply", "wire", 1),
    Rule("ping", "request", "sender", 1),
    Rule("ping", "reply", "receiver", 1),
]
TEN = [
    Rule("tcp", "request", "sender", 10),
    Rule("tcp", "reply", "wire", 10),
    Rule("udp", "request", "wire", 10),
    Rule("udp", "reply", "receiver", 10),
    Rule("train", "request", "wire", 10),
    Rule("train", "reply", "sender", 10),
    Rule("ping", "request", "entry", 10),
    Rule("ping", "reply", "wire", 10),
]
REQUESTS = [
    Rule("tcp", "request", "receiver", 100),
    Rule("udp", "request", "sender", 100),
    Rule("train", "request", "entry", 100),
    Rule("ping", "request", "wire", 100),
]
REPLIES = [
    Rule("tcp", "reply", "wire", 100),
    Rule("udp", "reply", "wire", 100),
    Rule("train", "reply", "receiver", 100),
    Rule("ping", "reply", "sender", 100),
]
# A rule at a pod drops super-packets, one on a wire that is cut packets.
AT_PODS = [Rule("tcp", "request", "sender", 5), Rule("tcp", "reply", "receiver", 5), Rule("train", "request", "sender", 5)]
AT_FAR_END = [Rule("tcp", "request", "receiver", 5), Rule("tcp", "reply", "sender", 5), Rule("udp", "request", "wire", 5)]
ON_THE_WIRE = [Rule("tcp", "request", "wire", 5), Rule("tcp", "reply", "entry", 5), Rule("train", "reply", "entry", 5)]


@pytest.fixture
def pair(place: Lab, backend: str) -> Iterator[Pair]:
    if type(place) is not Lab:
        pytest.skip("the rules are made for the lab's namespaces")
    found = Pair(place, backend)
    with found.serving():
        yield found
    found.offload("on")


@pytest.mark.parametrize("offloads", ["off", "cut", "on"])
def test_healthy_traffic_loses_nothing(pair: Pair, offloads: str, tmp_path: Path) -> None:
    pair.offload(offloads)
    run, truth, said = pair.measure([], tmp_path)
    assert (run.code, run.report["verdict"], run.report["completeness"]["complete"]) == (0, "delivered", True), run.stderr
    assert _losses(said) == {}
    assert not any(said.undetermined.values())
    _assert_all_counted(truth, said)


@pytest.mark.parametrize("rules", [ONE, TEN, REQUESTS, REPLIES], ids=["1 %", "10 %", "requests", "replies"])
def test_each_lost_packet_is_counted_where_the_rule_is(pair: Pair, backend: str, rules: list[Rule], tmp_path: Path) -> None:
    pair.offload("off")
    run, truth, said = pair.measure(rules, tmp_path)
    assert run.report["completeness"]["complete"], run.report["completeness"]
    assert sum(truth.dropped.values()) > 0
    assert _losses(said) == {rule.key: {rule.leg(backend): count} for rule in rules if (count := _expected(rule, truth))}
    assert not any(said.undetermined.values())
    _assert_all_counted(truth, said)


@pytest.mark.parametrize(
    ("offloads", "rules"), [("cut", AT_PODS), ("on", AT_FAR_END), ("cut", ON_THE_WIRE)], ids=["cut-pods", "on-far-end", "cut-wire"]
)
def test_a_dropped_super_packet_counts_as_its_segments(pair: Pair, backend: str, offloads: str, rules: list[Rule], tmp_path: Path) -> None:
    pair.offload(offloads)
    run, truth, said = pair.measure(rules, tmp_path)
    assert run.report["completeness"]["complete"], run.report["completeness"]
    found = _losses(said)
    for rule in rules:
        expected, [(leg, lost)] = _expected(rule, truth), found.pop(rule.key, {rule.leg(backend): 0}).items()
        assert leg == rule.leg(backend)
        # A pure ACK that vanished where segments are merged cannot be known to be lost.
        assert lost <= expected <= lost + said.undetermined[rule.key], rule
    assert found == {}
    _assert_all_counted(truth, said)


@pytest.mark.parametrize("share", ["", "numgen random mod 100 < 20 "], ids=["all", "20 %"])
def test_lookups_lost_behind_the_translation(pair: Pair, share: str, tmp_path: Path) -> None:
    """Where nothing has named a backend yet the loss is on the leg behind the first hop, whose end is open."""
    run, dropped = pair.lookups(share, tmp_path)
    assert run.report["completeness"]["complete"], run.report["completeness"]
    requests, replies = Counter[str](), Counter[str]()
    for flow in run.report["flows"]:
        for each in flow["directions"]:
            roles = {hop["hop"]: f"{hop['node']}/{hop['role']}" for hop in each["hops"]}
            for leg in each["legs"]:
                (requests if each["direction"] == "request" else replies)[roles[leg["from"]]] += leg["lost"]
                assert leg["undetermined"] == 0
    inner = "pod" if pair.backend == "calico" else "bridge"
    assert dropped["request"] > 0
    assert +requests == Counter({f"ada-ec-1/{inner}": dropped["request"]})
    assert +replies == +Counter({"ada-ec-1/vxlan": dropped["reply"]})


def _expected(rule: Rule, truth: Truth) -> int:
    """Packets that the rule took away: its counter; for super-packets their segments; for fragments the trains that lost one."""
    if rule.kind == "train":
        return truth.sent[rule.key] - truth.arrived[rule.key]
    return truth.segments.get(rule.key, truth.dropped[rule.key])


def _losses(said: Said) -> dict[Key, dict[tuple[str, str], int]]:
    return {key: legs for key, legs in said.lost.items() if legs}


def _assert_all_counted(truth: Truth, said: Said) -> None:
    """All that the pods' kernels handed out and took in; of TCP, which they cut and merge, only that nothing came from nowhere."""
    for kind in KINDS:
        for direction in ("request", "reply"):
            key = kind, direction
            lost = sum(said.lost.get(key, {}).values())
            assert said.first[key] - said.last[key] - said.undetermined[key] == lost, key
            if kind != "tcp":
                assert (said.first[key], said.last[key]) == (truth.sent[key], truth.arrived[key]), key
