"""Whether probes are sent, and what is kept of that, without a cluster."""

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self, cast

import pytest

from kubectl_vxtrace import probing
from kubectl_vxtrace.capture.probes import ProbeTarget
from kubectl_vxtrace.errors import UsageError
from kubectl_vxtrace.model.cluster import AnswerStatus, Node, NodeAnswer, NodeCommand
from kubectl_vxtrace.model.path import Endpoint, Flow, Overlay, ServiceRef, Vtep
from kubectl_vxtrace.model.request import Limits, PodOptions, ProbeKind, Request, Target
from kubectl_vxtrace.probing import Probed, Prober
from tests.test_anonymous import Quiet

FLOW = Flow(
    id=1,
    protocol="TCP",
    client=Endpoint(address="10.244.1.7", pod="shop/web", node="node-a"),
    service=ServiceRef(address="10.96.0.20", port=80),
    server=Endpoint(address="10.244.2.9", port=8080, node="node-b"),
)
NODES = (Node(name="node-a", ready=True, annotations={}), Node(name="node-b", ready=True, annotations={}))
REQUEST = Request(command="pod", source=Target(name="web"), target=Target(name="api"), probe=ProbeKind.AUTO)


class Pods:
    """Debug pods that run at once. made: the nodes of each that was made; gone: how many were removed."""

    made: list[list[str]]
    gone = 0
    refusal: Exception | None = None

    def __init__(self, *_: object, host_pid: bool, **__: object) -> None:
        assert host_pid

    def start(self, nodes: Sequence[Node]) -> dict[str, str]:
        Pods.made.append([node.name for node in nodes])
        if Pods.refusal is not None:
            raise Pods.refusal
        return {}

    def delete(self) -> None:
        Pods.gone += 1


class Nodes:
    """A node that sends what it is told."""

    def __init__(self, *_: object) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def ask(self, commands: Sequence[NodeCommand]) -> tuple[NodeAnswer, ...]:
        lines = "".join(f"tcp {41000 + number} 176448960000000000{number} 10.96.0.20\n" for number in range(4))
        return tuple(NodeAnswer(command=each, status=AnswerStatus.OK, exit_code=0, stdout=lines.encode()) for each in commands)


@pytest.fixture(autouse=True)
def _cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    Pods.made, Pods.gone, Pods.refusal = [], 0, None
    monkeypatch.setattr(probing, "DebugPods", Pods)
    monkeypatch.setattr(probing, "DebugNodes", Nodes)
    monkeypatch.setattr(probing, "SILENCE_S", 0.01)


def _run(
    request: Request = REQUEST,
    *,
    silent: bool = True,
    over: bool = False,
    flows: Sequence[Flow] = (FLOW,),
    sizes: Sequence[ProbeTarget] = (),
) -> Probed:
    ended = threading.Event()
    if over:
        ended.set()
    nothing: Any = None
    prober = Prober(connection=nothing, session="7f3a", request=request, flows=flows, nodes=NODES, taken=(), console=Quiet(), sizes=sizes)
    return prober.run(lambda: silent, ended)


def test_a_silent_pod_is_stood_in_for_on_its_node_and_nothing_is_left() -> None:
    found = _run()
    assert [(probe.kind, probe.client_port) for probe in found.sent] == [(ProbeKind.TCP, 41000 + number) for number in range(4)]
    assert (found.missing, Pods.made, Pods.gone) == ((), [["node-a"]], 1)


@pytest.mark.parametrize(
    ("request_", "silent", "over"),
    [
        (replace(REQUEST, probe=ProbeKind.NONE), True, False),
        (REQUEST, False, False),
        (REQUEST, True, True),
        (replace(REQUEST, limits=Limits(duration_s=5.0)), True, False),
    ],
)
def test_nothing_is_made_without_need_or_time(request_: Request, silent: bool, over: bool) -> None:
    assert _run(request_, silent=silent, over=over) == Probed()
    assert Pods.made == []


def test_what_is_asked_for_is_sent_although_the_pod_talks() -> None:
    assert len(_run(replace(REQUEST, probe=ProbeKind.TCP, limits=Limits(duration_s=5.0)), silent=False).sent) == 4


def test_why_nothing_was_sent_is_kept() -> None:
    netraw = replace(REQUEST, pod_options=PodOptions(profile="netraw"))
    assert _run(netraw).missing == ("a pod of --profile netraw may not enter the client's network namespace",)
    assert "--probe udp" in _run(flows=[replace(FLOW, protocol="UDP")]).missing[0]
    assert _run(replace(REQUEST, probe=ProbeKind.DNS)).missing == ("--probe dns fits none of the flows that were asked for",)
    assert Pods.made == []
    Pods.refusal = UsageError("pods are forbidden")
    assert _run().missing == ("pods are forbidden",)
    assert Pods.gone == 1


def test_sizes_are_tried_although_the_pod_talks() -> None:
    size = ProbeTarget(node="node-a", client="10.244.1.7", kind=ProbeKind.ICMP, address="10.244.2.9", port=0, count=2, payload_bytes=1382)
    _run(replace(REQUEST, mtu=True, probe=ProbeKind.NONE), silent=False, sizes=(size,))
    assert Pods.made == [["node-a"]]
    assert _run(replace(REQUEST, mtu=True)).missing == (
        "no echoes were sent: the client, or whom it talks to, is on no node that is known",
    )


class Echoing:
    """Nodes that send what they are asked to."""

    def __init__(self, *, perl: bool = True) -> None:
        self.asked: list[NodeCommand] = []
        self._perl = perl

    def ask(self, commands: Sequence[NodeCommand]) -> tuple[NodeAnswer, ...]:
        self.asked += commands
        return tuple(self._answer(command) for command in commands)

    def _answer(self, command: NodeCommand) -> NodeAnswer:
        if not self._perl:
            return NodeAnswer(command=command, status=AnswerStatus.FAILED, exit_code=4, stderr=b"the image has no perl\n")
        lines = ""
        for spec in (word for word in command.argv[-2:] if word.startswith("icmp,")):
            kind, target, _, count, _ = spec.split(",")
            lines += "".join(f"{kind} {number} 1764489600000000000 {target}\n" for number in range(int(count)))
        return NodeAnswer(command=command, status=AnswerStatus.OK, exit_code=0, stdout=lines.encode())


def _between(nodes: Echoing, *, over: bool = False, mtu_bytes: int | None = 1410) -> Probed:
    ends = [Endpoint(address=f"10.244.{number}.0", node=f"node-{number}", host_network=True) for number in (1, 2)]
    flows = [Flow(id=1, protocol="ICMP", client=ends[0], server=ends[1]), Flow(id=2, protocol="ICMP", client=ends[1], server=ends[0])]
    overlay = Overlay(vteps=tuple(Vtep(node=end.node or "", interface="vxlan", mtu_bytes=mtu_bytes) for end in ends))
    ended = threading.Event()
    if over:
        ended.set()
    return probing.between_nodes(cast(Any, nodes), probing.echoes(flows, overlay), ended)


@pytest.fixture
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "_BEFORE_S", 0.01)


@pytest.mark.usefixtures("_at_once")
def test_nodes_send_each_other_small_echoes_and_ones_that_just_fit() -> None:
    nodes = Echoing()
    found = _between(nodes)
    assert [command.argv[-2:] for command in nodes.asked] == [
        ("icmp,10.244.2.0,0,8,0", "icmp,10.244.2.0,0,4,1382"),
        ("icmp,10.244.1.0,0,8,0", "icmp,10.244.1.0,0,4,1382"),
    ]
    assert (len(found.sent), found.missing) == (24, ())


@pytest.mark.usefixtures("_at_once")
def test_nothing_is_sent_between_nodes_once_captures_are_over() -> None:
    nodes = Echoing()
    assert _between(nodes, over=True) == Probed()
    assert nodes.asked == []


@pytest.mark.usefixtures("_at_once")
def test_a_node_that_cannot_send_is_said() -> None:
    assert _between(Echoing(perl=False)).missing == ("node-1: the image has no perl", "node-2: the image has no perl")


@pytest.mark.usefixtures("_at_once")
def test_where_the_tunnels_mtu_is_not_known_only_small_ones_are_sent() -> None:
    nodes = Echoing()
    _between(nodes, mtu_bytes=None)
    assert all(command.argv[-2:][-1].endswith(",8,0") for command in nodes.asked)
