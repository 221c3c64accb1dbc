"""What a dropping rule is made for, by its text and chain."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.diagnosis.rules.purpose import Purpose, purpose_of
from tests.diagnosis.nodes import rule
from tests.diagnosis.places import POD_B

REVERSE_PATH = "-m mark --mark 0x80000/0x80000 -m rpfilter --validmark --invert -j DROP"
XT_COMMENT, XT_CONNTRACK = 'xt {"name":"comment","type":"match"}', 'xt {"name":"conntrack","type":"match"}'
NFACCT = "-m conntrack --ctstate INVALID -m nfacct --nfacct-name ct_state_invalid_dropped_pkts -j DROP"
FROM_WORKLOADS = '-p udp -m comment --comment "Drop VXLAN encapped packets originating in workloads" -m multiport --dports 4789 -j DROP'


@pytest.mark.parametrize(
    ("chain", "text", "backend", "purpose"),
    [
        ("KUBE-FORWARD", "-m conntrack --ctstate INVALID -j DROP", "iptables-nft", Purpose.INVALID),
        ("KUBE-FORWARD", NFACCT, "iptables-nft", Purpose.INVALID),
        ("filter-forward", "ct state invalid counter drop", "nft", Purpose.INVALID),
        ("KUBE-FORWARD", 'xt {"name":"conntrack","type":"match"} counter drop', "nft", Purpose.INVALID),
        (
            "KUBE-FORWARD",
            f'{XT_CONNTRACK} xt {{"name":"nfacct","type":"match"}} counter drop',
            "nft",
            Purpose.INVALID,
        ),
        (f"cali-tw-{POD_B}", f"{XT_COMMENT} {XT_CONNTRACK} counter drop", "nft", Purpose.INVALID),
        (f"cali-tw-{POD_B}", 'xt {"name":"comment","type":"match"} counter drop', "nft", Purpose.NETWORK_POLICY),
        ("KUBE-FIREWALL", 'ip saddr != 127.0.0.0/8 xt {"name":"conntrack","type":"match"} counter drop', "nft", Purpose.FIREWALL),
        ("FORWARD", 'xt {"name":"conntrack","type":"match"} counter drop', "nft", Purpose.FIREWALL),
        (
            "KUBE-SERVICES",
            '-d 10.96.0.10/32 -m comment --comment "a/b:c has no local endpoints" -j DROP',
            "iptables-nft",
            Purpose.NO_LOCAL_ENDPOINTS,
        ),
        (
            "KUBE-SERVICES",
            '-d 10.96.0.10/32 -m comment --comment "a/b:c has no endpoints" -j REJECT --reject-with icmp-port-unreachable',
            "iptables-nft",
            Purpose.NO_ENDPOINTS,
        ),
        ("KUBE-SERVICES", '-d 10.96.0.10/32 -m comment --comment "a/b:c cluster IP" -j DROP', "iptables-nft", Purpose.FIREWALL),
        (
            "cali-INPUT",
            '-m comment --comment "Drop IPv4 VXLAN packets from non-allowed hosts" -j DROP',
            "iptables-nft",
            Purpose.FOREIGN_VXLAN,
        ),
        ("cali-INPUT", '-m comment --comment "Drop VXLAN" -j DROP', "iptables-nft", Purpose.NETWORK_POLICY),
        (f"cali-fw-{POD_B}", FROM_WORKLOADS, "iptables-nft", Purpose.POD_VXLAN),
        ("cali-PREROUTING", REVERSE_PATH, "iptables-nft", Purpose.WORKLOAD_SOURCE),
        ("nixos-fw-rpfilter", "-m rpfilter --validmark --invert -j DROP", "iptables-nft", Purpose.REVERSE_PATH),
        ("filter_PREROUTING", 'fib {"flags":["saddr","mark","iif"],"result":"oif"} False drop', "nft", Purpose.REVERSE_PATH),
        ("INPUT", "fib daddr type broadcast drop", "nft", Purpose.FIREWALL),
    ],
)
def test_what_a_rule_is_made_for(chain: str, text: str, backend: str, purpose: Purpose) -> None:
    made = rule(chain, text, 1, backend=backend)
    assert purpose_of(replace(made, target="DROP")) is purpose


PROXYS = "ip kube-proxy"


@pytest.mark.parametrize(
    ("chain", "text", "table", "purpose"),
    [
        ("cluster-ips-check", "ip daddr 10.96.0.0/16 drop", PROXYS, Purpose.PROXY),
        ("reject-chain", "reject", PROXYS, Purpose.NO_ENDPOINTS),
        ("cluster-ips-check", "ip daddr 10.96.0.0/16 drop", "ip mine", Purpose.FIREWALL),
        ("input", "ip daddr 10.96.0.0/16 drop", "inet filter", Purpose.FIREWALL),
    ],
)
def test_kube_proxys_own_nftables_are_nobodys_firewall(chain: str, text: str, table: str, purpose: Purpose) -> None:
    assert purpose_of(replace(rule(chain, text, None, backend="nft"), table=table)) is purpose
