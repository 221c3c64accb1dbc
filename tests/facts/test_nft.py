"""Rules of nft."""

import json

import pytest

from kubectl_vxtrace.facts.frames import UnreadableError
from kubectl_vxtrace.facts.nft import read_nft
from tests.facts.samples import nft_table


def test_a_real_table() -> None:
    rules = read_nft(nft_table())
    seen = [(rule.chain, rule.hook, rule.text, rule.target, rule.packets) for rule in rules]
    assert seen == [
        ("filter_INPUT", "input", "policy", "DROP", None),
        ("other", None, "meta l4proto udp counter", None, 0),
        ("filter_INPUT", "input", "udp dport 4789 counter drop", "DROP", 0),
        ("filter_INPUT", "input", "ip saddr 10.0.0.0/8 tcp dport { 80, 443 } counter name cc accept", "ACCEPT", 0),
        (
            "filter_INPUT",
            "input",
            'meta nfproto ipv4 ct state invalid counter log {"prefix":"a"} reject with icmp admin-prohibited',
            "REJECT",
            5,
        ),
        ("filter_INPUT", "input", "meta iifname eth* jump other", "other", None),
        (
            "filter_INPUT",
            "input",
            'meta l4proto icmp {"numgen":{"mod":100,"mode":"random","offset":0}} < 30 counter goto other',
            "other",
            0,
        ),
    ]
    assert {rule.table for rule in rules} == {"inet firewalld"}
    assert rules[2].comment == "x"
    assert len({rule.id for rule in rules}) == len(rules)


def test_ids_do_not_change_with_counts_and_handles() -> None:
    changed = nft_table().replace(b'"packets": 0', b'"packets": 77').replace(b'"handle": 5', b'"handle": 50')
    before, after = read_nft(nft_table()), read_nft(changed)
    assert [rule.id for rule in before] == [rule.id for rule in after]
    assert [rule.packets for rule in after if rule.text.startswith(("udp", "ip saddr"))] == [77, 77]


def test_tables_one_after_the_other() -> None:
    assert len(read_nft(nft_table() + b"\n" + nft_table())) == 2 * len(read_nft(nft_table()))
    assert read_nft(b"") == ()


@pytest.mark.parametrize(
    ("expressions", "target", "text"),
    [
        ([{"queue": {"num": 3, "flags": "bypass"}}], "QUEUE", 'queue {"flags":"bypass","num":3}'),
        ([{"tproxy": {"port": 99}}], "TPROXY", 'tproxy {"port":99}'),
        ([{"redirect": {"port": 15001}}], "REDIRECT", 'redirect {"port":15001}'),
        ([{"dnat": {"addr": "10.0.0.1", "port": 53}}], "DNAT", 'dnat {"addr":"10.0.0.1","port":53}'),
        ([{"notrack": None}], "NOTRACK", "notrack"),
        ([{"xt": {"type": "match", "name": "comment"}}, {"xt": {"type": "target", "name": "NFQUEUE"}}], "NFQUEUE", None),
        ([{"vmap": {"key": {"meta": {"key": "iif"}}, "data": "@ways"}}], None, "meta iif vmap @ways"),
        ([{"vmap": 3}, {"vmap": {"data": {"set": [[1, {}], [2]]}}}], None, None),
    ],
)
def test_what_else_takes_or_turns_packets(expressions: list[object], target: str | None, text: str | None) -> None:
    raw = json.dumps({"nftables": [{"rule": {"family": "ip", "table": "t", "chain": "c", "expr": expressions}}]}).encode()
    (rule,) = read_nft(raw)
    assert rule.target == target
    assert text is None or rule.text == text


@pytest.mark.parametrize(("device", "name"), [("ens4", "ens4"), (["ens4", "ens5"], "ens4 ens5"), (None, None), ([3], None)])
def test_a_chain_at_a_device(device: object, name: str | None) -> None:
    chain = {"family": "netdev", "table": "t", "name": "c", "hook": "ingress", "dev": device, "policy": "accept"}
    rule = {"family": "netdev", "table": "t", "chain": "c", "expr": [{"drop": None}]}
    found = read_nft(json.dumps({"nftables": [{"chain": chain}, {"rule": rule}]}).encode())
    assert [(each.hook, each.device) for each in found] == [("ingress", name), ("ingress", name)]


@pytest.mark.parametrize(
    "rule", [{}, {"expr": 3}, {"expr": [{}, {"match": 4}, {"jump": None}, {"counter": []}]}, {"expr": [{"drop": {}}], "comment": 9}]
)
def test_odd_rules_do_not_break(rule: dict[str, object]) -> None:
    raw = json.dumps({"nftables": [{"rule": {"family": "ip", "table": "t", "chain": "c", **rule}}]}).encode()
    assert all(found.backend == "nft" for found in read_nft(raw))


def test_what_is_no_json_is_unreadable() -> None:
    with pytest.raises(UnreadableError):
        read_nft(b"Error: Could not process rule")
