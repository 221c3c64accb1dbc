"""Listening at pods' interfaces, without a cluster."""

import threading
from collections.abc import Sequence
from typing import Any, cast

import pytest

from kubectl_vxtrace import peek
from kubectl_vxtrace.errors import CannotRunError, UsageError
from kubectl_vxtrace.model.cluster import AnswerStatus, NodeAnswer, NodeCommand
from kubectl_vxtrace.model.path import Direction, Endpoint, Flow, Hop, Role, Tap
from kubectl_vxtrace.model.path import Path as HopPath
from kubectl_vxtrace.peek import Heard
from tests.topology.build import DNS, snapshot
from tests.topology.frames import ethernet, ip, pcap, udp

POD, OTHER = "10.244.114.75", "10.244.114.74"
TAPS = {POD: Tap(node="ada-ec-1", interface="cali1"), OTHER: Tap(node="ada-ec-1", interface="cali2")}
QUESTION = pcap([ethernet(ip(POD, DNS, 17, udp(40_000, 53), ident=1, ttl=64))])
NOTHING = pcap([])


class Nodes:
    """Nodes that answer each turn by the interface that is listened to."""

    def __init__(self, *turns: dict[str, bytes]) -> None:
        self.turns = list(turns)
        self.asked: list[NodeCommand] = []

    def ask(self, commands: Sequence[NodeCommand]) -> tuple[NodeAnswer, ...]:
        self.asked += commands
        turn = self.turns.pop(0)
        return tuple(
            NodeAnswer(
                command=command,
                status=AnswerStatus.FAILED,  # timeout(1) ends tcpdump
                exit_code=124,
                stdout=turn[command.argv[command.argv.index("-i") + 1]],
                stderr=b"tcpdump: cali2: No such device exists\n",
            )
            for command in commands
        )


def heard(nodes: Nodes, *, stop: bool = False) -> Heard:
    stopped = threading.Event()
    if stop:
        stopped.set()
    return peek.peek(cast(Any, nodes), TAPS, snapshot(), stop=stopped)


def test_what_any_interface_hears_is_heard() -> None:
    nodes = Nodes({"cali1": QUESTION, "cali2": NOTHING})
    found = heard(nodes)
    assert [(peer.client, peer.server, peer.port) for peer in found.peers] == [(POD, DNS, 53)]
    assert found.deaf == ()
    assert nodes.asked[0].argv[-1] == f"host {POD}"


def test_silence_is_listened_to_three_times() -> None:
    silent = {"cali1": NOTHING, "cali2": NOTHING}
    assert heard(Nodes(silent, silent, {"cali1": QUESTION, "cali2": NOTHING})).peers
    nodes = Nodes(*[silent] * peek.TIMES)
    assert heard(nodes).peers == ()
    assert nodes.turns == []


def test_ctrl_c_ends_the_listening() -> None:
    nodes = Nodes({"cali1": NOTHING, "cali2": NOTHING})
    assert heard(nodes, stop=True).peers == ()


def test_an_interface_that_cannot_be_heard_is_said_and_the_others_are() -> None:
    found = heard(Nodes({"cali1": QUESTION, "cali2": b""}))
    assert len(found.peers) == 1
    assert found.deaf == ("ada-ec-1/cali2 could not be listened to: tcpdump: cali2: No such device exists",)


def test_where_nothing_can_be_heard_it_is_an_error() -> None:
    with pytest.raises(CannotRunError, match="ada-ec-1/cali1 could not be listened to"):
        heard(Nodes({"cali1": b"", "cali2": b"nonsense"}))


def test_the_clients_interfaces_are_those_of_the_plan() -> None:
    flows = [Flow(id=1, protocol="TCP", client=Endpoint(address=POD)), Flow(id=2, protocol="TCP", client=Endpoint(address=OTHER))]
    known = HopPath(flow=1, direction=Direction.REQUEST, hops=(Hop(hop=1, role=Role.POD, tap=TAPS[POD]),))
    unknown = HopPath(flow=2, direction=Direction.REQUEST, hops=(Hop(hop=1, role=Role.POD, tap=Tap(node="ada-ec-1", interface="")),))
    assert peek.heard_taps(flows, [known, unknown]) == {POD: TAPS[POD]}
    with pytest.raises(UsageError, match="no interface of the pod is known"):
        peek.heard_taps(flows, [unknown])
