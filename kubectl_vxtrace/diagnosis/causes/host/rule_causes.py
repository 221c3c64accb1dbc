"""Which cause a dropping rule stands for, now that it is known which packets it took."""

from collections.abc import Iterator

import numpy as np

from kubectl_vxtrace.diagnosis.causes.host.conntrack_invalid import invalid
from kubectl_vxtrace.diagnosis.causes.host.rule_verdict import Meaning
from kubectl_vxtrace.diagnosis.ends import senders
from kubectl_vxtrace.diagnosis.evidence import node_facts as nodes
from kubectl_vxtrace.diagnosis.evidence import routes as ways
from kubectl_vxtrace.diagnosis.evidence.lost_packets import frame_refs, place_text, rows_at
from kubectl_vxtrace.diagnosis.losses import Place, Stretch, Trouble
from kubectl_vxtrace.diagnosis.rules import droppers as rule_tables
from kubectl_vxtrace.diagnosis.rules.proxy import managed_backends
from kubectl_vxtrace.diagnosis.rules.reverse_path import addresses_of
from kubectl_vxtrace.model.facts import Rule
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.packets import address_text
from kubectl_vxtrace.model.path import Direction
from kubectl_vxtrace.model.report import Evidence, EvidenceKind

# Chains that no person writes by hand.
_MANAGED = ("KUBE-", "cali-", "FLANNEL-")


def meaning(case: Case, trouble: Trouble, stretch: Stretch, rule: Rule) -> Meaning:
    """What `rule` stands for, given the packets of `trouble` that it took on `stretch`."""
    cause = rule_tables.cause(rule)
    refined = _other_backend(case, stretch, rule)
    if refined is None and cause == "network-policy-drop":
        refined = _sees_translated_source(case, trouble, stretch)
    if refined is None and cause in ("workload-anti-spoofing", "rp-filter") and trouble.flow.foreign:
        refined = _foreign_address(case, trouble, stretch, cause)
    if refined is None and cause == "workload-anti-spoofing":
        refined = _own_address(case, trouble, stretch)
    if refined is None and cause == "calico-unknown-vtep" and stretch.place is Place.FORWARD:
        refined = _masqueraded(case, trouble, stretch)
    if refined is None and cause == "conntrack-invalid":
        refined = invalid(case, trouble, stretch, rule)
    return refined or Meaning(cause=cause)


def _other_backend(case: Case, stretch: Stretch, rule: Rule) -> Meaning | None:
    """A rule of kube-proxy or the CNI, while the other backend of iptables holds such rules as well: one of the two is left over."""
    node = stretch.start.tap.node
    last = nodes.looks(case, node)[-1]
    both = managed_backends(last)
    if len(both) < 2 or rule.backend not in both or not (rule.chain.startswith(_MANAGED) or rule.text == "policy"):
        return None
    other = next(backend for backend in sorted(both) if backend != rule.backend)
    if any((one.backend, one.chain, one.text, one.target) == (other, rule.chain, rule.text, rule.target) for one in last.rules):
        return None
    text = f"{node} has chains of kube-proxy or the CNI in {' and in '.join(sorted(both))}; this rule stands in {rule.backend} alone"
    return Meaning(cause="nft-legacy-mix", proofs=(Evidence(kind=EvidenceKind.CONFIG, text=text),))


def _sees_translated_source(case: Case, trouble: Trouble, stretch: Stretch) -> Meaning | None:
    """The packets come from another address than the client pod's, so that no policy can know the pod by it."""
    client = trouble.flow.client
    seen = sources_at(case, trouble, stretch)
    if trouble.path.direction is not Direction.REQUEST or client.host_network or not seen or client.address in seen:
        return None
    rows = rows_at(trouble, stretch.start)
    text = f"at {place_text(stretch.start)} they come from {', '.join(seen)}; the client pod's address is {client.address}"
    proof = Evidence(kind=EvidenceKind.PACKETS, text=text, frames=frame_refs(case, stretch.start.tap, rows))
    return Meaning(cause="policy-sees-snat", proofs=(proof,))


def _foreign_address(case: Case, trouble: Trouble, stretch: Stretch, cause: str) -> Meaning:
    """The pod sends from an address that is not its own."""
    client = trouble.flow.client
    own = ", ".join(addresses_of(case, client.pod))
    text = f"the API has {own or 'other addresses'} for {client.pod}; at {place_text(stretch.start)} it sends from {client.address}"
    proof = Evidence(kind=EvidenceKind.CONFIG, text=text)
    return Meaning(cause=cause, proofs=(proof,), says=f"{client.pod} sends from {client.address}, which is not its address")


def _own_address(case: Case, trouble: Trouble, stretch: Stretch) -> Meaning | None:
    """The pod sends from its own address: the reverse path check fails because its node has no route to it through its interface."""
    seen, own = sources_at(case, trouble, stretch), senders(trouble)
    if not seen or not set(seen) <= set(own):
        return None
    node, interface = stretch.start.tap.node, stretch.start.tap.interface
    found = list(_ways_back(case, node, seen, interface))
    if not found:
        return None
    return Meaning(cause="pod-route-missing", proofs=tuple(Evidence(kind=EvidenceKind.CONFIG, text=text) for text in found))


def _ways_back(case: Case, node: str, addresses: tuple[str, ...], interface: str) -> Iterator[str]:
    for address in addresses:
        for facts in nodes.looks(case, node)[-1:]:
            way = ways.plain(facts, address)
            if way is not None and (ways.is_refused(way) or way.device != interface):
                told = ways.answer_text(way)
                yield f"{address} is the pod's own address, and {node} does not route it to {interface}: {told}"


def _masqueraded(case: Case, trouble: Trouble, stretch: Stretch) -> Meaning | None:
    """Replies to a VXLAN port at another address than the client's: its node had masqueraded the connection to that port."""
    table, rows = case.tables.get(stretch.start.tap), rows_at(trouble, stretch.start)
    if table is None or trouble.path.direction is not Direction.REPLY or not len(rows):
        return None
    talks = np.unique(table.conversation[rows])
    talks = talks[talks >= 0]
    small = table.conversations
    ports = {vtep.port for vtep in case.recording.overlay.vteps if vtep.port is not None}
    ends = sorted({address_text(small.destination[talk]) for talk in talks})
    if not set(small.destination_port[talks].tolist()) <= ports or trouble.flow.client.address in ends:
        return None
    text = (
        f"at {place_text(stretch.start)} they go to {', '.join(ends)}, port {', '.join(map(str, sorted(ports)))}, the port of VXLAN itself"
    )
    proof = Evidence(kind=EvidenceKind.PACKETS, text=text, frames=frame_refs(case, stretch.start.tap, rows))
    return Meaning(cause="masquerade-port-clash", proofs=(proof,))


def sources_at(case: Case, trouble: Trouble, stretch: Stretch) -> tuple[str, ...]:
    """The source addresses of the trouble's packets where the stretch begins."""
    table = case.tables.get(stretch.start.tap)
    if table is None:
        return ()
    talk = np.unique(table.conversation[rows_at(trouble, stretch.start)])
    return tuple(address_text(raw) for raw in np.unique(table.conversations.source[talk[talk >= 0]], axis=0))
