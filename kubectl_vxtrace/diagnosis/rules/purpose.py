"""What a dropping rule is made for, by its chain, comment and text; and what it is found to stand for, given the packets that it took."""

import re
from dataclasses import dataclass
from enum import StrEnum

from kubectl_vxtrace.diagnosis.cause import Cause
from kubectl_vxtrace.diagnosis.rules.queues import QUEUEING
from kubectl_vxtrace.model.facts import Rule
from kubectl_vxtrace.model.report import Confidence, Evidence

# iptables-extensions(8), rpfilter; nft(8), fib: the source is looked up as if it were a destination.
_REVERSE_PATH = re.compile(r"\brpfilter\b|\bfib\b.*\bsaddr\b.*\boif\b|\bfib\b.*\boif\b.*\bsaddr\b")
# nft names the match of a rule that iptables-nft wrote, and not what it asks for. In these chains the one drop by connection state is
# that of INVALID packets (kube-proxy's proxier.go, felix/rules/endpoints.go); newer kube-proxies count them with nfacct.
_CONNTRACK_ONLY = re.compile(r'^(?=.*"name":"conntrack")(?:xt \{[^}]*"name":"(?:conntrack|nfacct|comment)"[^}]*\} )+counter drop$')
_TRACKING_CHAIN = re.compile(r"KUBE-FORWARD$|cali-[ft]w-")
# What Felix takes for VXLAN that is not its own: from addresses that are no nodes' (felix/rules/static.go), and from pods (endpoints.go).
_FOREIGN_VXLAN = "VXLAN packets from non-allowed hosts"
_POD_VXLAN = "VXLAN encapped packets originating in workloads"
_POLICY_WORDS = re.compile(r"no policies passed|network ?policy|KUBE-NWPLCY|KUBE-POD-FW|KUBE-ROUTER", re.IGNORECASE)


class Purpose(StrEnum):
    """Which packets a rule is there to drop.

    foreign-vxlan: VXLAN from addresses that are no nodes'. pod-vxlan: UDP to VXLAN's port from a pod.
    no-endpoints, no-local-endpoints: requests to a Service without a backend.
    workload-source: what a pod sends from another address. reverse-path: what came in where no way leads back. invalid: what connection
    tracking calls so. forward-policy: all that no rule of FORWARD accepts. network-policy: what no policy allows. queue: what a process is
    to judge. proxy: what checks of kube-proxy's own nftables refuse. firewall: the rest.
    """

    FOREIGN_VXLAN = "foreign-vxlan"
    POD_VXLAN = "pod-vxlan"
    NO_ENDPOINTS = "no-endpoints"
    NO_LOCAL_ENDPOINTS = "no-local-endpoints"
    WORKLOAD_SOURCE = "workload-source"
    REVERSE_PATH = "reverse-path"
    INVALID = "invalid"
    FORWARD_POLICY = "forward-policy"
    NETWORK_POLICY = "network-policy"
    QUEUE = "queue"
    PROXY = "proxy"
    FIREWALL = "firewall"


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleVerdict:
    """The cause that a rule stands for, and what shows it.

    note: a few words on the packets, for the summary. alternatives: what it may stand for as well. max_confidence: what is left.
    remediation: None for that of the cause.
    """

    cause: Cause
    proofs: tuple[Evidence, ...] = ()
    note: str | None = None
    alternatives: tuple[str, ...] = ()
    max_confidence: Confidence = Confidence.CERTAIN
    remediation: str | None = None


def purpose_of(rule: Rule) -> Purpose:
    """What a dropping rule is made for."""
    words = f"{rule.comment or ''} {rule.text}"
    if _FOREIGN_VXLAN in words:
        return Purpose.FOREIGN_VXLAN
    if _POD_VXLAN in words:
        return Purpose.POD_VXLAN
    if "has no endpoints" in words:
        return Purpose.NO_ENDPOINTS
    if "has no local endpoints" in words:
        return Purpose.NO_LOCAL_ENDPOINTS
    if _REVERSE_PATH.search(words):
        return Purpose.WORKLOAD_SOURCE if "cali-" in rule.chain else Purpose.REVERSE_PATH
    if re.search(r"\bINVALID\b", words, re.IGNORECASE) or (_CONNTRACK_ONLY.search(rule.text) and _TRACKING_CHAIN.match(rule.chain)):
        return Purpose.INVALID
    if is_proxys(rule):
        return Purpose.NO_ENDPOINTS if "reject-chain" in rule.chain or "no-endpoint" in words else Purpose.PROXY
    if rule.text == "policy" and "FORWARD" in rule.chain.upper():
        return Purpose.FORWARD_POLICY
    if "cali-" in rule.chain or _POLICY_WORDS.search(f"{rule.chain} {words}"):
        return Purpose.NETWORK_POLICY
    return Purpose.QUEUE if rule.target in QUEUEING else Purpose.FIREWALL


def is_proxys(rule: Rule) -> bool:
    """Whether a rule is of the table that kube-proxy makes in its nftables mode (pkg/proxy/nftables/proxier.go)."""
    return rule.backend == "nft" and rule.table.rpartition(" ")[2] == "kube-proxy"
