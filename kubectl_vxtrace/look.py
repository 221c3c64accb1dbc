"""What nodes are asked besides capturing: about themselves, and for their kernels' words on drops; answers are kept raw and parsed."""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from kubectl_vxtrace import facts
from kubectl_vxtrace.bundle import folder as trace_folder
from kubectl_vxtrace.capture.droplog import DropLog
from kubectl_vxtrace.kube.nodes import DebugNodes
from kubectl_vxtrace.model.address import unique
from kubectl_vxtrace.model.cluster import AnswerStatus, Node, NodeAnswer, NodeCommand
from kubectl_vxtrace.model.facts import ConntrackEntry, KernelDrop, NodeFacts
from kubectl_vxtrace.model.path import Flow
from kubectl_vxtrace.model.recording import Recording

# nf_conntrack_udp_timeout and nf_conntrack_icmp_timeout are 30 s (Documentation/networking/nf_conntrack-sysctl.rst).
SHORTEST_TIMEOUT_S = 30.0
_WATCH_S = 20.0


def look(
    asked: DebugNodes,
    nodes: Sequence[Node],
    flows: Sequence[Flow],
    *,
    folder: Path,
    when: str,
    lookups: Mapping[str, Sequence[str]] | None = None,
    tell: Callable[[str], None] | None = None,
) -> tuple[NodeFacts, ...]:
    """Ask every node about itself; the answers and what they mean are kept in `folder` under `when` (`before`, `after`).

    Args:
        asked: who asks.
        nodes: those of the paths.
        flows: what is traced; its ends are asked about.
        folder: the trace folder.
        when: `before` or `after` the capture.
        lookups: further addresses by node.
        tell: is told where the folder cannot be written to, which is no reason to lose the answers; without it that is raised.

    Raises:
        OSError: the folder cannot be written to.
    """
    questions = [_question(node, nodes, flows, (lookups or {}).get(node.name, ())) for node in nodes]
    # What counters say after a capture is lost with it.
    answers = _answers(asked, [replace(question, patient=when == "after") for question in questions])
    parsed = tuple(facts.parse(answer) for answer in answers)
    texts = {answer.command.node: facts.texts(answer) for answer in answers}
    _write(lambda: trace_folder.write_facts(folder, when, parsed, texts), tell)
    return parsed


def _write(write: Callable[[], None], tell: Callable[[str], None] | None) -> None:
    try:
        write()
    except OSError as error:
        if tell is None:
            raise
        tell(f"cannot keep what the nodes said: {error.strerror or error}; a bundle will lack it")


def watch_connections(asked: DebugNodes, nodes: Sequence[Node], flows: Sequence[Flow], stop: threading.Event) -> tuple[NodeFacts, ...]:
    """What nodes say of the flows' connections every 20 s until `stop` is set: an unanswered one is forgotten after 30 s.

    Returns facts in which only `conntrack` means something, in order of time.
    """
    found: list[NodeFacts] = []
    while not stop.wait(_WATCH_S):
        questions = [_question(node, nodes, flows, (), connections_only=True) for node in nodes]
        found += (facts.parse(answer) for answer in asked.ask(questions))
    return tuple(found)


def with_connections(
    after: Sequence[NodeFacts], watched: Iterable[NodeFacts], folder: Path, tell: Callable[[str], None]
) -> tuple[NodeFacts, ...]:
    """The looks `after`, each with the connections that its node had meanwhile; kept in `folder`. The latest state of each stands."""
    connections: dict[str, dict[object, ConntrackEntry]] = {}
    for seen in (*watched, *after):
        connections.setdefault(seen.node, {}).update({_identity(entry): entry for entry in seen.conntrack})
    whole = tuple(replace(seen, conntrack=tuple(connections[seen.node].values())) for seen in after)
    _write(lambda: trace_folder.write_facts(folder, "after", whole, {}), tell)
    return whole


def _identity(entry: ConntrackEntry) -> object:
    ends = (entry.original_source, entry.original_destination, entry.reply_source, entry.reply_destination)
    ports = (entry.original_source_port, entry.original_destination_port, entry.reply_source_port, entry.reply_destination_port)
    return entry.protocol, ends, ports


def keep_drops(logs: Iterable[DropLog], recording: Recording, folder: Path, tell: Callable[[str], None]) -> Recording:
    """The recording with what the logs say, in order of time, and per node when its log ran and why it says nothing or not all.

    The logs are kept as they were printed.
    """
    drops: list[KernelDrop] = []
    absent, logged = {}, {}
    for log in logs:
        drops += log.drops
        if log.reason is not None:
            absent[log.node] = log.reason
        if log.logged_ns is not None:
            logged[log.node] = log.logged_ns
        if log.text:
            _write(partial(trace_folder.write_drop_log, folder, log.node, log.text), tell)
    in_order = tuple(sorted(drops, key=lambda drop: drop.time_ns))
    return replace(recording, kernel_drops=in_order, kernel_drops_absent=absent, kernel_drops_logged=logged)


def _answers(nodes: DebugNodes, questions: Sequence[NodeCommand]) -> list[NodeAnswer]:
    """The answers; a question that reads and whose answer was cut off is put once more."""
    answers = list(nodes.ask(questions))
    cut = [number for number, answer in enumerate(answers) if answer.status is AnswerStatus.TRUNCATED]
    if cut:
        for number, answer in zip(cut, nodes.ask([questions[number] for number in cut]), strict=True):
            answers[number] = answer
    return answers


def _question(
    node: Node, nodes: Sequence[Node], flows: Sequence[Flow], lookups: Sequence[str], *, connections_only: bool = False
) -> NodeCommand:
    """What to ask `node`: its own ends of the flows, the ends elsewhere, the Services between them, and the other nodes' addresses."""
    ends = [end for flow in flows for end in (flow.client, flow.server) if end is not None]
    services = [flow.service.address for flow in flows if flow.service is not None and flow.service.address is not None]
    return facts.look(
        node.name,
        local=unique(end.address for end in ends if end.node == node.name),
        remote=unique(end.address for end in ends if end.node != node.name),
        underlay=unique(address for other in nodes if other.name != node.name for address in other.addresses),
        services=unique(services),
        lookups=unique(lookups),
        tuples=_tuples(node, flows),
        connections_only=connections_only,
    )


def _tuples(node: Node, flows: Sequence[Flow]) -> tuple[tuple[str, int, str], ...]:
    """The servers that a client of `node` asks, and their ports."""
    servers = [(flow, flow.server) for flow in flows if flow.client.node == node.name and flow.server is not None]
    return tuple(dict.fromkeys((flow.protocol, end.port, end.address) for flow, end in servers if end.port is not None))
