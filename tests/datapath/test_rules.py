"""The rule sets are whole and have the shape of what kube-proxy, Felix and flannel write."""

import re

import pytest

from tests.datapath import calico_rules, flannel_rules, proxy_rules, shape
from tests.datapath.records import Lab, LabNode

BUILT_IN = {"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"}
VERDICTS = {"ACCEPT", "DROP", "RETURN", "REJECT", "MARK", "MASQUERADE", "DNAT", "NOTRACK"}


def ruleset(lab: Lab, node: LabNode) -> str:
    return (calico_rules.ruleset if lab.backend == "calico" else flannel_rules.ruleset)(lab, node)


def tables(text: str) -> dict[str, list[str]]:
    return {table.splitlines()[0]: table.splitlines()[1:] for table in text.split("*")[1:]}


@pytest.mark.parametrize("backend", ["calico", "flannel"])
def test_every_chain_is_declared_once_and_short_enough(backend: str) -> None:
    lab = shape.lab(backend, 3, "/nowhere")
    for node in lab.nodes:
        for lines in tables(ruleset(lab, node)).values():
            declared = [line.split()[0][1:] for line in lines if line.startswith(":")]
            assert len(declared) == len(set(declared))
            assert all(len(name) <= 28 for name in declared)  # XT_EXTENSION_MAXNAMELEN less one
            known = BUILT_IN | set(declared)
            for line in lines:
                if line.startswith("-A"):
                    assert line.split()[1] in known
                    target = re.search(r" -[jg] (\S+)", line)
                    assert target is not None, line
                    assert target.group(1) in known | VERDICTS


def test_chain_names_are_those_of_kube_proxy() -> None:
    # As a cluster's kube-proxy named them for the same service and endpoint.
    assert proxy_rules.chain_name("SVC", "kube-system/kube-dns:dns", "udp") == "KUBE-SVC-TCOU7JCQXEZGVUNU"
    assert proxy_rules.chain_name("SEP", "kube-system/kube-dns:dns", "udp", "10.244.56.129:53") == "KUBE-SEP-TSP7MSN2XSLSPAKH"


def test_two_endpoints_share_evenly_and_none_is_refused() -> None:
    lab = shape.lab("calico", 3, "/nowhere")
    nat = tables(ruleset(lab, lab.nodes[0]))["nat"]
    chosen = [line for line in nat if line.startswith("-A KUBE-SVC-TCOU7JCQXEZGVUNU") and "->" in line]
    assert len(chosen) == 2
    assert "--probability 0.5000000000 " in chosen[0]
    assert "--probability" not in chosen[1]
    refused = [line for line in tables(ruleset(lab, lab.nodes[0]))["filter"] if "REJECT" in line]
    assert len(refused) == 1
    assert "kotsadm/postgres has no endpoints" in refused[0]
    assert "10.105.80.214" in refused[0]


def test_felix_comments_stand_before_the_action_and_name_the_reason() -> None:
    table = proxy_rules.Table()
    calico_rules.add(table, "cali-tw-x", "-m mark --mark 0x0/0x20000 -j DROP", "End of tier default. Drop if no policies passed packet")
    (rule,) = table.rules
    assert re.fullmatch(
        r'-A cali-tw-x -m mark --mark 0x0/0x20000 -m comment --comment "cali:[\w-]{16}" '
        r'-m comment --comment "End of tier default\. Drop if no policies passed packet" -j DROP',
        rule,
    )


def test_a_goto_stays_a_goto() -> None:
    table = proxy_rules.Table()
    calico_rules.add(table, "cali-INPUT", "-i cali+ -g cali-wl-to-host")
    assert re.fullmatch(r'-A cali-INPUT -i cali\+ -m comment --comment "cali:[\w-]{16}" -g cali-wl-to-host', table.rules[0])
