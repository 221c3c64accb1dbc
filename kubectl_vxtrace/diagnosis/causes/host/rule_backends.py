"""Are rules of both backends of iptables active at the same time?"""

from kubectl_vxtrace.diagnosis.cause import Cause
from kubectl_vxtrace.diagnosis.drop_reasons import Stage
from kubectl_vxtrace.diagnosis.evidence import node_facts
from kubectl_vxtrace.diagnosis.losses import AnySegment
from kubectl_vxtrace.diagnosis.rules import proxy
from kubectl_vxtrace.diagnosis.rules.purpose import RuleVerdict
from kubectl_vxtrace.model.facts import Rule
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.report import Evidence, EvidenceKind

NFT_LEGACY_MIX = Cause(
    slug="nft-legacy-mix",
    remediation=(
        "Look: iptables-legacy-save -c and iptables-nft-save -c, nft list ruleset. Fix: make all components use one backend, and flush "
        "the other (iptables-legacy -F and -t nat -F, or a reboot of the node)."
    ),
    source="kubernetes/kubernetes issue 109811; projectcalico/calico issue 9969; kubernetes-sigs/iptables-wrappers",
    admitted=True,
    stage=Stage.PREROUTING,
)
CAUSES = (NFT_LEGACY_MIX,)

# Chains that no person writes by hand.
_MANAGED = ("KUBE-", "cali-", "FLANNEL-")


def in_other_backend(case: Case, segment: AnySegment, rule: Rule) -> RuleVerdict | None:
    """A rule of kube-proxy or the CNI, while the other backend of iptables holds such rules as well: one of the two is left over."""
    node = segment.start.tap.node
    last = node_facts.looks(case, node)[-1]
    both = proxy.managed_backends(last)
    if len(both) < 2 or rule.backend not in both or not (rule.chain.startswith(_MANAGED) or rule.text == "policy"):
        return None
    other = next(backend for backend in sorted(both) if backend != rule.backend)
    if any((twin.backend, twin.chain, twin.text, twin.target) == (other, rule.chain, rule.text, rule.target) for twin in last.rules):
        return None
    text = f"{node} has chains of kube-proxy or the CNI in {' and in '.join(sorted(both))}; this rule stands in {rule.backend} alone"
    return RuleVerdict(cause=NFT_LEGACY_MIX, proofs=(Evidence(kind=EvidenceKind.CONFIG, text=text),))
