"""Programs that take packets away before a tap sees them, or past it: which there are, and which hops of a path are behind each."""

from collections.abc import Iterator, Sequence

from kubectl_vxtrace.journeys.records import Hook, TakingProgram
from kubectl_vxtrace.model.datapath import TcFilter
from kubectl_vxtrace.model.facts import BpfProgram, Link, NodeFacts
from kubectl_vxtrace.model.path import Hop, Role
from kubectl_vxtrace.model.recording import Recording

# What a filter's actions do to a packet that does not go on its way (tc-actions(8)).
_TAKING_ACTIONS = ("drop", "shot", "stolen", "trap", "mirred", "redirect", "police", "queued")


def taking_programs(recording: Recording) -> tuple[TakingProgram, ...]:
    """The programs of all nodes that said any, each once."""
    programs: dict[tuple[str, str, Hook], TakingProgram] = {}
    for facts in (*recording.after, *recording.before):
        for program in _of_node(recording, facts):
            programs.setdefault((program.node, program.device, program.hook), program)
    return tuple(programs.values())


def _of_node(recording: Recording, facts: NodeFacts) -> Iterator[TakingProgram]:
    """Those that are named, then those of which only the kind is known."""
    steered = {link.name for link in facts.links if link.vxlan is not None and link.vxlan.external}
    for filter_ in facts.tc_filters:
        if _can_take(filter_):
            hook = Hook.INGRESS if filter_.direction == "ingress" else Hook.EGRESS
            yield TakingProgram(
                node=facts.node,
                device=filter_.device,
                hook=hook,
                text=_filter_text(filter_),
                dropped=_growth(recording, facts.node, filter_),
                unless_entered=filter_.device in steered and hook is Hook.INGRESS,
            )
    for program in facts.bpf_programs:
        for hook in _hooks(program):
            name = f" {program.name}" if program.name else ""
            text = f"the {hook_text(hook)} program{name} on {program.device}"
            steers = program.device in steered and hook is Hook.INGRESS
            yield TakingProgram(node=facts.node, device=program.device, hook=hook, text=text, unless_entered=steers)
    for link in facts.links:
        yield from _of_link(facts, link)


def _of_link(facts: NodeFacts, link: Link) -> Iterator[TakingProgram]:
    if link.xdp:
        yield TakingProgram(node=facts.node, device=link.name, hook=Hook.XDP, text=f"an XDP program on {link.name}")
    if link.bpf and not any(program.device == link.name and program.hook != "xdp" for program in facts.bpf_programs):
        for hook in (Hook.INGRESS, Hook.EGRESS):
            yield TakingProgram(node=facts.node, device=link.name, hook=hook, text=f"a tc program on {link.name}")
    if link.vxlan is not None and link.vxlan.external:
        # Only a program can know where such a device's packets go, and tc does not show those at tcx (Linux 6.6 and later).
        text = f"the program that reads {link.name}, a device in metadata mode,"
        yield TakingProgram(node=facts.node, device=link.name, hook=Hook.INGRESS, text=text, unless_entered=True)


def _hooks(program: BpfProgram) -> tuple[Hook, ...]:
    if program.hook == "xdp":
        return (Hook.XDP,)
    sides = tuple(hook for hook in (Hook.INGRESS, Hook.EGRESS) if program.hook.endswith(hook))
    return sides or (Hook.INGRESS, Hook.EGRESS)


def hook_text(hook: Hook) -> str:
    """A hook as a reader knows it."""
    return "XDP" if hook is Hook.XDP else f"tc {hook}"


def _can_take(filter_: TcFilter) -> bool:
    if filter_.kind in ("bpf", "unreadable"):
        return True
    return any(word in action for action in filter_.actions for word in _TAKING_ACTIONS)


def _filter_text(filter_: TcFilter) -> str:
    name = f" {filter_.name}" if filter_.name else ""
    return f"the tc {filter_.direction} filter{name} on {filter_.device}"


def _growth(recording: Recording, node: str, filter_: TcFilter) -> int | None:
    """By how much the counters of all filters there grew."""

    def total(looks: Sequence[NodeFacts]) -> int | None:
        counts = [
            each.dropped
            for facts in looks
            if facts.node == node
            for each in facts.tc_filters
            if (each.device, each.direction) == (filter_.device, filter_.direction) and each.dropped is not None
        ]
        return sum(counts) if counts else None

    first, last = total(recording.before), total(recording.after)
    return last - first if first is not None and last is not None and last >= first else None


def hops_behind(program: TakingProgram, hops: Sequence[Hop]) -> range:
    """Indices of the hops of a path that are behind a program on the same node; empty where the path does not pass it.

    Of XDP it is the device's own tap alone: what a program takes there and hands to others is another path.
    """
    for index, hop in enumerate(hops):
        if (hop.tap.node, hop.tap.interface) != (program.node, program.device):
            continue
        passage = passage_of(hops, index)
        if program.hook is Hook.XDP and passage is Hook.INGRESS:
            return range(index, index + 1)
        if program.hook is passage:
            first = index + 1 if passage is Hook.INGRESS else index
            return range(first, _end_of_node(hops, index))
    return range(0)


def _end_of_node(hops: Sequence[Hop], index: int) -> int:
    """The index behind the last hop in a row that is on the same node."""
    return next((other for other in range(index + 1, len(hops)) if hops[other].tap.node != hops[index].tap.node), len(hops))


def passage_of(hops: Sequence[Hop], index: int) -> Hook:
    """Whether packets of a path come in by a hop's device or go out by it."""
    hop = hops[index]
    before = hops[index - 1] if index and hops[index - 1].tap.node == hop.tap.node else None
    match hop.role:
        case Role.POD:
            is_ingress = before is None
        case Role.BRIDGE:
            is_ingress = before is not None and before.role is Role.POD
        case Role.VXLAN:
            is_ingress = before is not None and before.role is Role.UNDERLAY
        case Role.UNDERLAY:
            is_ingress = before is None and index > 0
    return Hook.INGRESS if is_ingress else Hook.EGRESS
