"""Whom a pod talks to, where nobody said: a short capture at its interface before the trace."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Event

from kubectl_vxtrace.capture.plan import own_taps
from kubectl_vxtrace.errors import CannotRunError, PcapError, UsageError
from kubectl_vxtrace.kube.nodes import DebugNodes
from kubectl_vxtrace.model.cluster import ClusterSnapshot, NodeAnswer, NodeCommand
from kubectl_vxtrace.model.path import Flow, Tap
from kubectl_vxtrace.model.path import Path as HopPath
from kubectl_vxtrace.packets import read_pcap
from kubectl_vxtrace.topology.peers import Peer, peers_of

SECONDS = 3.0
MOST_PACKETS = 5_000
TIMES = 3
"""A pod that says nothing is listened to so often."""

_SNAPLEN_BYTES = 96
_MAX_BYTES = MOST_PACKETS * (_SNAPLEN_BYTES + 16) + 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What passed the interfaces of pods for a moment: exchanges, those with most packets first, and in sentences where nothing could be
    heard."""

    peers: tuple[Peer, ...]
    deaf: tuple[str, ...]


def heard_taps(flows: Sequence[Flow], paths: Sequence[HopPath]) -> dict[str, Tap]:
    """The clients' own interfaces by their addresses, as the plan has them.

    Raises:
        UsageError: none is known.
    """
    found = own_taps(flows, paths)
    if not found:
        raise UsageError("no interface of the pod is known, so that nobody can be heard there", "name the other end with --to")
    return found


def peek(nodes: DebugNodes, taps: Mapping[str, Tap], snapshot: ClusterSnapshot, *, stop: Event) -> Heard:
    """What passes pods' interfaces (by the pods' addresses) for a moment; nothing where all say nothing for three times as long, or `stop`
    is set. What was captured is read in memory and forgotten.

    Raises:
        CannotRunError: nothing could be captured at any of them.
    """
    commands = [_command(tap, address) for address, tap in taps.items()]
    for _ in range(TIMES):
        answers = nodes.ask(commands)
        read = [_read(answer, address, snapshot) for answer, address in zip(answers, taps, strict=True)]
        deaf = tuple(each for each in read if isinstance(each, str))
        if len(deaf) == len(read):
            raise CannotRunError(deaf[0], "name the other end with --to")
        peers = sorted((peer for each in read if not isinstance(each, str) for peer in each), key=lambda peer: -peer.packets)
        if peers or stop.is_set():
            return Heard(peers=tuple(peers), deaf=deaf)
    return Heard(peers=(), deaf=deaf)


def _command(tap: Tap, address: str) -> NodeCommand:
    argv = (
        *("timeout", "-s", "INT", str(math.ceil(SECONDS)), "tcpdump", "-Z", "root", "-p", "--immediate-mode", "-U", "-nn"),
        *("-s", str(_SNAPLEN_BYTES), "-c", str(MOST_PACKETS), "-i", tap.interface, "-w", "-", "--", f"host {address}"),
    )
    return NodeCommand(node=tap.node, key=f"peek {tap.interface}", argv=argv, timeout_s=SECONDS + 10.0, max_bytes=_MAX_BYTES)


def _read(answer: NodeAnswer, address: str, snapshot: ClusterSnapshot) -> tuple[Peer, ...] | str:
    """The exchanges in a node's answer, or why it has none."""
    try:
        return peers_of(read_pcap(answer.stdout, vxlan_ports=None), address, snapshot)
    except PcapError as error:
        where = f"{answer.command.node}/{answer.command.key.partition(' ')[2]}"
        return f"{where} could not be listened to: {_why(answer) or error}"


def _why(answer: NodeAnswer) -> str:
    """Why tcpdump wrote nothing, in its last words."""
    said = answer.stderr.decode("utf-8", "replace").strip().splitlines()
    return answer.reason or (said[-1] if said else "")
