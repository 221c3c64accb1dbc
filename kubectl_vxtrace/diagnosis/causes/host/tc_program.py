"""Did a filter or program at tc take the packets?"""

from collections.abc import Iterator, Sequence

from kubectl_vxtrace.diagnosis.cause import Cause
from kubectl_vxtrace.diagnosis.causes.host.rule_verdict import NETWORK_POLICY_DROP
from kubectl_vxtrace.diagnosis.drop_reasons import Stage
from kubectl_vxtrace.diagnosis.evidence import node_facts
from kubectl_vxtrace.diagnosis.evidence.kernel_drops import match_kernel_drops
from kubectl_vxtrace.diagnosis.evidence.lost_packets import direction_noun, minimum_counter_growth, place_text
from kubectl_vxtrace.diagnosis.evidence.policies import Isolation, isolation
from kubectl_vxtrace.diagnosis.finding import error_finding
from kubectl_vxtrace.diagnosis.losses import AnySegment, Loss
from kubectl_vxtrace.model.facts import NodeFacts
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Hop
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding

TC_PROGRAM = Cause(
    slug="tc-program",
    remediation=(
        "Look on {node}: tc -s filter show dev {device} {side}; bpftool net show dev {device}. If an agent of this cluster has put it "
        "there: correct its rules. If nothing needs it (a leftover of an agent that was removed): tc filter del dev {device} {side}, or "
        "tc qdisc del dev {device} clsact where all filters of the device are leftovers; at tcx: bpftool net detach tcx_{side} dev "
        "{device}."
    ),
    source="cilium/cilium issue 44194; Linux net/core/dev.c (sch_handle_ingress, sch_handle_egress); tc-bpf(8)",
    admitted=True,
    is_circumstance=True,
    stage=Stage.TC_INGRESS,
)
CAUSES = (TC_PROGRAM,)

_SIDES = {"ingress": ("TC_INGRESS",), "egress": ("TC_EGRESS",)}
_BOTH = ("TC_COOKIE_ERROR", "TC_CHAIN_NOTFOUND", "TC_RECLASSIFY_LOOP")
# What the agents of clusters call theirs (cilium/bpf, projectcalico/felix/bpf): where the network is theirs, these enforce policies and are
# never removed by hand; elsewhere they are leftovers.
_AGENTS = {"cil_": "Cilium", "cal": "Calico"}
# Whose network has such programs at every pod, whether anything lists them or not.
_ALWAYS = "Cilium"


def check(case: Case, loss: Loss, segment: AnySegment) -> Iterator[Finding]:
    """Finding `tc-program`, where the kernel or the filter itself counts as many drops as packets were lost; `network-policy-drop`, where
    the program enforces network policies and one isolates the pod.

    A tap is before tc where packets come in, and behind it where they go out (net/core/dev.c): on a segment the first device's filters at
    ingress take packets, and the second one's at egress.
    """
    yield from _at(case, loss, segment.start, "ingress")
    if segment.end is not None:
        yield from _at(case, loss, segment.end, "egress")


def _at(case: Case, loss: Loss, hop: Hop, side: str) -> Iterator[Finding]:
    node, device = hop.tap.node, hop.tap.interface
    names = _names(case, node, device, side)
    told = [match for match in match_kernel_drops(case, loss, reasons=(*_SIDES[side], *_BOTH)) if match.node == node][:1]
    growth, taken = _dropped(case, node, device, side), minimum_counter_growth(loss)
    counted = growth is not None and growth >= taken
    agent = _agent(case, names)
    isolated = isolation(case, loss, node) if agent is not None else None
    if agent is not None and isolated is not None and not counted and not told and _may_be_unlogged(case, node, device):
        yield _by_policy(case, loss, hop, side, agent, isolated, ())
        return
    # A program that nothing lists (at tcx, without bpftool) is told by the reason alone, and on the side that this names.
    if not counted and not (told and (names or told[0].reason in _SIDES[side])):
        return
    what = names[0] if names else "a filter or program"
    proofs = [
        *(Evidence(kind=EvidenceKind.CONFIG, text=f"at tc {side} of {place_text(hop)}: {name}") for name in names),
        *(match.evidence for match in told),
    ]
    if counted:
        proofs.append(Evidence(kind=EvidenceKind.COUNTER, text=f"its drops grew by {growth}; {loss.packets} packets were lost"))
    if isolated is not None and agent is not None:
        yield _by_policy(case, loss, hop, side, agent, isolated, proofs)
        return
    noun = direction_noun(loss.path.direction, loss.packets)
    yield error_finding(
        case,
        loss,
        TC_PROGRAM,
        Confidence.CERTAIN if names and told else Confidence.LIKELY,
        f"{what} at tc {side} of {place_text(hop)} dropped {loss.packets} {noun}",
        proofs,
        remediation=_remedy(node, device, side, agent),
        not_ruled_out=(f"network-policy-drop: {agent} enforces policies by that program",) if agent is not None else (),
    )


def _agent(case: Case, names: tuple[str, ...]) -> str | None:
    """Whose programs these are, where that is who makes the network of this cluster."""
    backend = case.recording.overlay.backend or ""
    owners = (owner for prefix, owner in _AGENTS.items() if any(name.split()[-1].startswith(prefix) for name in names))
    unlisted = (_ALWAYS,) if not names else ()
    return next((owner for owner in (*owners, *unlisted) if backend.startswith(owner.lower())), None)


def _may_be_unlogged(case: Case, node: str, device: str) -> bool:
    """Whether the node's kernel could not say what it dropped, and programs steer its packets at that device."""
    steered = any(facts.is_steered and facts.link(device) is not None for facts in node_facts.looks(case, node))
    return steered and node in case.recording.kernel_drops_absent


def _by_policy(case: Case, loss: Loss, hop: Hop, side: str, agent: str, isolated: Isolation, proofs: Sequence[Evidence]) -> Finding:
    """The agent's program dropped what a policy does not allow; without a word of the kernel it may have.

    Certain only where no policy lets anything through: which traffic rules allow is not read.
    """
    noun = direction_noun(loss.path.direction, loss.packets)
    where = f"at tc {side} of {place_text(hop)}"
    said = any(proof.kind is EvidenceKind.KERNEL for proof in proofs)
    sureness = (Confidence.POSSIBLE, Confidence.LIKELY, Confidence.CERTAIN)[isolated.denies_all + said]
    look = "cilium-dbg monitor --type drop" if agent == "Cilium" else "calico-node -bpf counters dump"
    return error_finding(
        case,
        loss,
        NETWORK_POLICY_DROP,
        sureness,
        f"{agent} {'dropped' if said else 'may have dropped'} {loss.packets} {noun} {where}: {isolated.names} isolates {isolated.pod}",
        [isolated.evidence(), *proofs],
        remediation=(
            f"Look: kubectl get networkpolicy,ciliumnetworkpolicy,ciliumclusterwidenetworkpolicy -A; {look} (in {agent}'s pod on "
            f"{hop.tap.node}). Allow this traffic for {isolated.direction} of {isolated.pod}."
            if agent == "Cilium"
            else f"{NETWORK_POLICY_DROP.remedy()} {look} (in {agent}'s pod on {hop.tap.node}) counts what its programs drop."
        ),
        not_ruled_out=() if isolated.denies_all and said else (f"another check of {agent}'s program: its own monitor names the reason",),
    )


def _remedy(node: str, device: str, side: str, agent: str | None) -> str:
    """An agent's own program is never taken away by hand: the node would lose its network."""
    if agent is None:
        return TC_PROGRAM.remedy(node=node, device=device, side=side)
    monitor = "cilium-dbg monitor --type drop" if agent == "Cilium" else "calico-node -bpf counters dump"
    return (
        f"Look on {node}: tc -s filter show dev {device} {side}; {monitor} (in {agent}'s pod there) says which policy or check "
        "dropped them; kubectl get networkpolicy -A. Leave the program where it is."
    )


def _names(case: Case, node: str, device: str, side: str) -> tuple[str, ...]:
    """What stands at that hook, by kind and name, those that come first first."""
    names = [name for facts in reversed(node_facts.looks(case, node)) for name in _names_in(facts, device, side)]
    return tuple(dict.fromkeys(names))


def _names_in(facts: NodeFacts, device: str, side: str) -> Iterator[str]:
    for program in facts.bpf_programs:
        if program.device == device and program.hook in (f"tcx/{side}", "netkit"):
            yield f"program {program.name or program.id or 'without a name'}"
    for filter_ in facts.tc_filters:
        if (filter_.device, filter_.direction) == (device, side):
            yield f"{filter_.kind} filter {filter_.name or ' '.join(filter_.actions)}".rstrip()
    if not any(filter_.device == device for filter_ in facts.tc_filters):
        for program in facts.bpf_programs:
            if (program.device, program.hook) == (device, f"tc/{side}"):
                yield f"program {program.name or program.id or 'without a name'}"


def _dropped(case: Case, node: str, device: str, side: str) -> int | None:
    """By how much the filters' own counters of drops grew together; None where nothing counts."""
    totals = []
    for facts in (node_facts.before(case, node), node_facts.after(case, node)):
        filters = facts.tc_filters if facts is not None else ()
        counts = [each.dropped for each in filters if (each.device, each.direction) == (device, side) and each.dropped is not None]
        totals.append(sum(counts) if counts else None)
    first, last = totals
    return last - first if first is not None and last is not None and last >= first else None
