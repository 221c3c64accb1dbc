"""What nodes are asked besides capturing, with nodes that say what a test wants."""

import json
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from kubectl_vxtrace import look
from kubectl_vxtrace.capture.droplog import DropLog
from kubectl_vxtrace.kube.nodes import DebugNodes
from kubectl_vxtrace.model.cluster import AnswerStatus, Node, NodeAnswer, NodeCommand
from kubectl_vxtrace.model.facts import ConntrackEntry, KernelDrop, NodeFacts
from kubectl_vxtrace.model.path import Endpoint, Flow, Overlay, ServiceRef
from kubectl_vxtrace.model.recording import Recording

_CLIENT = Endpoint(address="10.244.114.75", node="a")
_SERVER = Endpoint(address="10.244.56.129", port=53, node="b")
_FLOWS = (Flow(id=1, protocol="UDP", client=_CLIENT, service=ServiceRef(address="10.96.0.10", port=53), server=_SERVER),)
_NODES = (Node(name="a", addresses=("10.128.0.72",), annotations={}), Node(name="b", addresses=("10.128.0.95",), annotations={}))
_ENTRY = b"udp 17 29 src=10.244.114.75 dst=10.96.0.10 sport=%d dport=53 [UNREPLIED] src=10.244.56.129 dst=10.244.114.75 sport=53 dport=%d\n"


class _Nodes:
    """Every answer but the first `cut` is one connection, from a port that grows."""

    def __init__(self, *, cut: int = 0) -> None:
        self.asked: list[NodeCommand] = []
        self._cut = cut

    def ask(self, commands: Sequence[NodeCommand]) -> tuple[NodeAnswer, ...]:
        return tuple(self._answer(command) for command in commands)

    def _answer(self, command: NodeCommand) -> NodeAnswer:
        self.asked.append(command)
        port = 40_000 + len(self.asked)
        entry = _ENTRY % (port, port)
        said = b"vxtrace-look 1\nconntrack 0 %d 0\n\n" % len(entry) + entry
        status = AnswerStatus.TRUNCATED if len(self.asked) <= self._cut else AnswerStatus.OK
        return NodeAnswer(command=command, status=status, exit_code=0, stdout=b"" if status is AnswerStatus.TRUNCATED else said)


def _as_nodes(nodes: _Nodes) -> DebugNodes:
    return cast(DebugNodes, nodes)


def test_each_node_is_asked_about_its_ends_the_service_and_the_flows_tuple(tmp_path: Path) -> None:
    nodes = _Nodes()
    look.look(_as_nodes(nodes), _NODES, _FLOWS, folder=tmp_path, when="before", lookups={"b": ["10.128.0.9"]})
    a, b = ([word for word in command.argv if ":" in word and "\n" not in word] for command in nodes.asked)
    ends = ["local:10.244.114.75", "remote:10.244.56.129", "underlay:10.128.0.95"]
    assert a == [*ends, "service:10.96.0.10", "tuple:udp,53,10.244.56.129"]
    assert b == ["local:10.244.56.129", "remote:10.244.114.75", "underlay:10.128.0.72", "service:10.96.0.10", "lookup:10.128.0.9"]
    assert json.loads((tmp_path / "nodes/a/before.json").read_bytes())["conntrack"][0]["original_source_port"] == 40_001


RECORDING = Recording(session="7f3a01", version="0.1.0", started_ns=0, overlay=Overlay(), flows=(), paths=())


def _nothing_is_told(text: str) -> None:
    raise AssertionError(text)


def test_answers_after_the_capture_are_not_lost_where_they_cannot_be_kept(tmp_path: Path) -> None:
    nowhere = tmp_path / "file"
    nowhere.touch()
    told: list[str] = []
    found = look.look(_as_nodes(_Nodes()), _NODES, _FLOWS, folder=nowhere, when="after", tell=told.append)
    assert all(facts.conntrack for facts in found)
    assert look.with_connections(found, (), nowhere, told.append) == found
    drop = KernelDrop(node="a", time_ns=5, reason="XDP", location="x")
    kept = look.keep_drops([DropLog(node="a", drops=(drop,), text=b"raw")], RECORDING, nowhere, told.append)
    assert kept == replace(RECORDING, kernel_drops=(drop,))
    assert told == ["cannot keep what the nodes said: Not a directory; a bundle will lack it"] * 3
    with pytest.raises(OSError, match="Not a directory"):
        look.look(_as_nodes(_Nodes()), _NODES, _FLOWS, folder=nowhere, when="before")


def test_an_answer_that_was_cut_off_is_asked_for_once_more(tmp_path: Path) -> None:
    nodes = _Nodes(cut=2)
    found = look.look(_as_nodes(nodes), _NODES, _FLOWS, folder=tmp_path, when="after")
    assert len(nodes.asked) == 4
    assert all(facts.conntrack for facts in found)


def test_connections_that_were_forgotten_meanwhile_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look, "_WATCH_S", 0.01)
    nodes, over = _Nodes(), threading.Event()

    def ask(commands: Sequence[NodeCommand]) -> tuple[NodeAnswer, ...]:
        over.set()
        return _Nodes.ask(nodes, commands)

    monkeypatch.setattr(nodes, "ask", ask)
    watched = look.watch_connections(_as_nodes(nodes), _NODES, _FLOWS, over)
    assert all(command.argv[-1] == "only:conntrack" for command in nodes.asked)
    latest = replace(watched[0].conntrack[0], reply_packets=3)
    last = ConntrackEntry(
        protocol="UDP", original_source="a", original_destination="b", reply_source="b", reply_destination="a", original_source_port=9
    )
    (after,) = look.with_connections((NodeFacts(node="a", conntrack=(latest, last)),), watched, tmp_path, _nothing_is_told)
    assert after.conntrack == (latest, last)
    assert len(json.loads((tmp_path / "nodes/a/after.json").read_bytes())["conntrack"]) == 2


def test_drop_logs_are_kept_as_printed_and_read_in_order(tmp_path: Path) -> None:
    drops = [KernelDrop(node=node, time_ns=time_ns, reason="XDP", location="x") for node, time_ns in (("a", 5), ("b", 3))]
    logs = [
        DropLog(node="a", drops=(drops[0],), logged_ns=(1, 9), text=b"raw"),
        DropLog(node="b", drops=(drops[1],), reason="not whole", text=b"cut"),
        DropLog(node="c", reason="no tracefs"),
    ]
    found = look.keep_drops(logs, RECORDING, tmp_path, _nothing_is_told)
    assert [drop.node for drop in found.kernel_drops] == ["b", "a"]
    assert (found.kernel_drops_absent, found.kernel_drops_logged) == ({"b": "not whole", "c": "no tracefs"}, {"a": (1, 9)})
    assert (tmp_path / "nodes/a/drops.txt").read_bytes() == b"raw"
    assert not (tmp_path / "nodes/c").exists()
