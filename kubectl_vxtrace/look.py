"""What nodes are asked besides capturing: about themselves, and for their kernels' words on drops; answers are kept raw and parsed."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from kubectl_vxtrace import facts
from kubectl_vxtrace.bundle import folder as trace_folder
from kubectl_vxtrace.capture.droplog import DropLog
from kubectl_vxtrace.kube.nodes import DebugNodes
from kubectl_vxtrace.model.cluster import AnswerStatus, Node, NodeAnswer, NodeCommand
from kubectl_vxtrace.model.facts import KernelDrop, NodeFacts
from kubectl_vxtrace.model.path import Flow


def look(
    asked: DebugNodes,
    nodes: Sequence[Node],
    flows: Sequence[Flow],
    *,
    folder: Path,
    when: str,
    lookups: Mapping[str, Sequence[str]] | None = None,
) -> tuple[NodeFacts, ...]:
    """Ask every node about itself; the answers and what they mean are kept in `folder` under `when` (`before`, `after`).

    Args:
        asked: who asks.
        nodes: those of the paths.
        flows: what is traced; its ends are asked about.
        folder: the trace folder.
        when: `before` or `after` the capture.
        lookups: further addresses by node.
    """
    answers = _answers(asked, [_question(node, nodes, flows, (lookups or {}).get(node.name, ())) for node in nodes])
    parsed = tuple(facts.parse(answer) for answer in answers)
    texts = {answer.command.node: facts.texts(answer) for answer in answers}
    trace_folder.write_facts(folder, when, parsed, texts)
    return parsed


def keep_drops(logs: Iterable[DropLog], folder: Path) -> tuple[tuple[KernelDrop, ...], dict[str, str]]:
    """What the logs say, in order of time, and per node why its log says nothing or not all; the logs are kept as they were printed."""
    drops: list[KernelDrop] = []
    absent = {}
    for log in logs:
        drops += log.drops
        if log.reason is not None:
            absent[log.node] = log.reason
        if log.text:
            trace_folder.write_drop_log(folder, log.node, log.text)
    return tuple(sorted(drops, key=lambda drop: drop.time_ns)), absent


def _answers(nodes: DebugNodes, questions: Sequence[NodeCommand]) -> list[NodeAnswer]:
    """The answers; a question that reads and whose answer was cut off is put once more."""
    answers = list(nodes.ask(questions))
    cut = [number for number, answer in enumerate(answers) if answer.status is AnswerStatus.TRUNCATED]
    if cut:
        for number, answer in zip(cut, nodes.ask([questions[number] for number in cut]), strict=True):
            answers[number] = answer
    return answers


def _question(node: Node, nodes: Sequence[Node], flows: Sequence[Flow], lookups: Sequence[str]) -> NodeCommand:
    """What to ask `node`: its own ends of the flows, the ends elsewhere, the Services between them, and the other nodes' addresses."""
    ends = [end for flow in flows for end in (flow.client, flow.server, *flow.candidates) if end is not None]
    services = [flow.service.address for flow in flows if flow.service is not None and flow.service.address is not None]
    return facts.look(
        node.name,
        local=_unique(end.address for end in ends if end.node == node.name),
        remote=_unique(end.address for end in ends if end.node != node.name),
        underlay=_unique(address for other in nodes if other.name != node.name for address in other.addresses),
        lookups=_unique((*services, *lookups)),
        tuples=_tuples(node, flows),
    )


def _tuples(node: Node, flows: Sequence[Flow]) -> tuple[tuple[str, int, str], ...]:
    """The servers that a client of `node` asks, and their ports."""
    servers = [(flow, end) for flow in flows if flow.client.node == node.name for end in (flow.server, *flow.candidates) if end is not None]
    return tuple(dict.fromkeys((flow.protocol, end.port, end.address) for flow, end in servers if end.port is not None))


def _unique(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))
